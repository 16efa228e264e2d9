# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of AI Trading System, Adaptive Order Book and SMC Trading Agent, and whether all are run."""

from __future__ import annotations

import pytest
import simulator_ground
from procedure_table import COVERED
from rehearsed import AI, BOOK, CASES, COMMANDS, PLATFORMS, SMC, Futures, check, of, rehearsals

__all__ = ["rehearsals"]  # a fixture
ground = simulator_ground.ground(*AI, *BOOK, *SMC, kubernetes=True, prometheus=True)


def test_every_command_is_run() -> None:
    assert {row.id: len(row.commands) for row in COVERED} == {name: len(cases) for name, cases in CASES.items()}
    assert sorted(COMMANDS) == sorted(of(*PLATFORMS))


@pytest.mark.parametrize("name", of(AI, BOOK, SMC))
def test_planned_done_and_left_alone(rehearsals: Futures, name: str) -> None:
    check(rehearsals, name)
