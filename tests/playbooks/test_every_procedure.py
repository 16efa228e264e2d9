# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of docs/procedures.md as it stands there: planned without a write, carried out in truth, then unchanged."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from playing import Controller
from procedure_table import COVERED
from simulator_ground import Ground

Truth = dict[str, t.Any]

FLASHMM = ("flashmm-primary", "flashmm-dr")
AI = ("ai-trading-primary",)
BOOK = ("adaptive-order-book-primary",)
SMC = ("smc-agent-primary",)
BASELINE = {"max_daily_loss": 5000, "max_leverage": 3, "max_position": 250000}


def halted(truth: Truth) -> bool:
    return bool(truth["state"] == "halted" and truth["open_orders"] == truth["venue_open_orders"] == 0 and truth["positions"])


def flat(truth: Truth, state: str = "halted") -> bool:
    left = (truth["venue_open_orders"], truth["positions"], truth["venue_positions"])
    return bool(truth["state"] == state and left == (0, {}, {}))


def breakers(truth: Truth) -> set[bool]:
    return set(truth["breakers"].values())


def percentages(truth: Truth) -> set[float]:
    return set(truth["rollouts"].values())


@dataclasses.dataclass
class Case:
    """``state`` and ``settings`` make the sites what they are before, ``open_breakers`` too. ``truth`` is what the lab has
    to say of each site afterwards. ``faster``: what the test adds to the command, so that it waits less.
    """

    sites: tuple[str, ...]
    truth: t.Callable[[Truth], bool]
    state: str = "active"
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    open_breakers: bool = False
    faster: tuple[str, ...] = ()
    reads_only: bool = False


CASES: dict[str, list[Case]] = {
    "FM-STOP": [Case(FLASHMM, halted), Case(FLASHMM, flat)],
    "FM-PNL": [
        Case(
            FLASHMM,
            lambda truth: flat(truth) and truth["limits"] == {name: value * 0.8 for name, value in BASELINE.items()},
            settings={"daily_pnl": -250.0, "risk_utilization": 97.0},
        )
    ],
    "AT-HALT": [Case(AI, lambda truth: flat(truth) and truth["maintenance"] == "maintenance")],
    "AT-FIN": [Case(AI, lambda truth: flat(truth, "stopped"))],
    "OB-STOP": [
        Case(
            BOOK,
            lambda truth: halted(truth) and breakers(truth) == {True} and percentages(truth) == {0},
            faster=("-e", "emergency_stop_abort_window=1"),
        )
    ],
    "OB-RESUME": [
        Case(
            BOOK,
            lambda truth: truth["state"] == "active" and breakers(truth) == {False},
            state="halted",
            open_breakers=True,
            faster=("-e", "emergency_resume_health_hold=0.5"),
        )
    ],
    "OB-MIG": [
        Case(BOOK, lambda truth: percentages(truth) == {25}),
        Case(BOOK, lambda truth: truth["rollouts"]["BTCUSDT"] == 5 and truth["rollouts"]["ETHUSDT"] != 5),
        Case(BOOK, lambda truth: percentages(truth) == {0}),
        Case(BOOK, lambda truth: percentages(truth) == {0}),
    ],
    "OB-CB": [
        Case(BOOK, lambda truth: truth["state"] == "active", reads_only=True),
        Case(BOOK, lambda truth: breakers(truth) == {True}),
        Case(
            BOOK,
            lambda truth: [pair for pair, is_open in truth["breakers"].items() if not is_open] == ["BTCUSDT"],
            open_breakers=True,
        ),
        Case(BOOK, lambda truth: breakers(truth) == {False}, open_breakers=True),
    ],
    "SM-STOP": [Case(SMC, flat)],
    "SM-PAUSE": [
        Case(SMC, lambda truth: truth["state"] == "reducing" and bool(truth["positions"])),
        Case(SMC, lambda truth: truth["maintenance"] == "read_only"),
    ],
    "AT-MODE": [
        Case(AI, lambda truth: truth["maintenance"] == "maintenance"),
        Case(AI, lambda truth: truth["maintenance"] == "read_only"),
        Case(AI, lambda truth: truth["maintenance"] == "off", state="halted", settings={"maintenance": "maintenance"}),
    ],
}

COMMANDS = [
    pytest.param(command, case, id=f"{row.id}-{number}")
    for row in COVERED
    for number, (command, case) in enumerate(zip(row.commands, CASES.get(row.id, []), strict=False), 1)
]


def test_every_command_is_run() -> None:
    assert {row.id: len(row.commands) for row in COVERED} == {name: len(cases) for name, cases in CASES.items()}


@pytest.mark.parametrize(("command", "case"), COMMANDS)
def test_planned_done_and_left_alone(ground: Ground, controller: Controller, command: list[str], case: Case) -> None:
    for site in case.sites:
        ground.control("POST", f"/sites/{site}/state", {"trading": case.state})
        ground.control("PUT", f"/sites/{site}/settings", case.settings)
        if case.open_breakers:
            ground.call(site, "POST", "/admin/circuit-breaker/activate-all", {"reason": "test"})
        ground.settled(site)
    ground.forget(*case.sites)
    command = [*command, *case.faster]

    controller.play(*command, "--check")
    assert writes(ground, case) == []

    done = controller.play(*command)
    for site in case.sites:
        assert case.truth(ground.truth(site)), f"{site}: {ground.truth(site)}\n{done}"
    assert bool(writes(ground, case)) is not case.reads_only

    ground.forget(*case.sites)
    controller.play(*command)
    assert writes(ground, case) == []


def writes(ground: Ground, case: Case) -> list[str]:
    return [f"{site}: {write}" for site in case.sites for write in ground.writes(site)]
