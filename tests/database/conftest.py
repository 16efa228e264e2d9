# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from simulator_ground import Ground

SITES = ("smc-agent-primary", "adaptive-order-book-primary", "flashmm-primary")


@pytest.fixture(scope="session")
def ground() -> t.Iterator[Ground]:
    lab = Ground(*SITES)
    yield lab
    lab.down()
