# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

SITES = (
    "flashmm-primary",
    "flashmm-dr",
    "adaptive-order-book-primary",
    "ai-trading-primary",
    "smc-agent-primary",
)


ground = simulator_ground.ground(*SITES)


@pytest.fixture
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """A controller that knows of no window yet, and sites that trade."""
    made = Controller(ground, tmp_path_factory.mktemp("controller"))
    for site in SITES:
        ground.fresh(site, market=True)
    made.forget_messages()
    return made
