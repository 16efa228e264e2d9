# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab whose sites are asked for their health."""

from __future__ import annotations

import pytest
import simulator_ground
from asking import SITE, Asking
from operating import Operator
from playing import Controller
from simulator_ground import Ground

SITES = (SITE, "adaptive-order-book-primary", "ai-trading-primary", "smc-agent-primary", "grandmodel-primary")


ground = simulator_ground.ground(*SITES, prometheus=True)


@pytest.fixture
def ask(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Asking:
    for site in SITES:
        ground.fresh(site)
    return Asking(ground, Operator(ground, tmp_path_factory.mktemp("leases")))


@pytest.fixture(scope="module")
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    return Controller(ground, tmp_path_factory.mktemp("controller"))
