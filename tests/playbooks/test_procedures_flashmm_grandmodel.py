# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of FlashMM and GrandModel."""

from __future__ import annotations

import pytest
import simulator_ground
from rehearsed import FLASHMM, GM, Futures, check, of, rehearsals

__all__ = ["rehearsals"]  # a fixture
ground = simulator_ground.ground(*FLASHMM, *GM, kubernetes=True)


@pytest.mark.parametrize("name", of(FLASHMM, GM))
def test_planned_done_and_left_alone(rehearsals: Futures, name: str) -> None:
    check(rehearsals, name)
