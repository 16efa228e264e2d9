# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
import simulator_ground
from operating import Operator
from simulator_ground import Ground

SITES = (
    "flashmm-primary",
    "adaptive-order-book-primary",
    "ai-trading-primary",
    "smc-agent-primary",
    "alpaca-paper",
    "practice-sim",
)


ground = simulator_ground.ground(*SITES)


@pytest.fixture
def operator(ground: Ground, tmp_path: pathlib.Path) -> Operator:
    return Operator(ground, tmp_path / "leases")
