# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab with a cluster, and one controller, for all tests of the trading day."""

from __future__ import annotations

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

SITES = ("grandmodel-primary", "smc-agent-primary", "smc-agent-dr")


ground = simulator_ground.ground(*SITES, kubernetes=True)


@pytest.fixture(scope="module")
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    return Controller(ground, tmp_path_factory.mktemp("controller"))


@pytest.fixture(autouse=True)
def _fresh(ground: Ground, controller: Controller) -> None:
    for site in SITES:
        ground.fresh(site, market=True)
        ground.forget(site)
    controller.forget_messages()
