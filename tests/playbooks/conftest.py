# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of those that need every system, and one controller. A file that needs less makes a smaller lab."""

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
    "grandmodel-primary",
)


ground = simulator_ground.ground(*SITES, kubernetes=True)


@pytest.fixture(scope="module")
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    return Controller(ground, tmp_path_factory.mktemp("controller"))


@pytest.fixture
def _fresh(ground: Ground, controller: Controller) -> None:
    """Freshly seeded sites that trade, and nobody told anything yet."""
    for site in ground.sites:
        ground.fresh(site, market=True)
    controller.forget_messages()
