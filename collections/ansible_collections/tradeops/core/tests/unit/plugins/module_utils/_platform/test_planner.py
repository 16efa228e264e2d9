# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way leads from one trading state to another, on platforms of several kinds."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.typed import Expression
from ansible_collections.tradeops.core.plugins.module_utils._platform import planner
from ansible_collections.tradeops.core.plugins.module_utils._platform.profile import Read, Request, Trading, Transition
from ansible_collections.tradeops.core.plugins.module_utils._platform.states import loosens, satisfies

Step = tuple[str, str]


def platform(*steps: str, levels: dict[t.Any, t.Any] | None = None) -> Trading:
    """Each step is ``from,from>to``, with an exclamation mark when it is blind."""
    transitions = []
    for step in steps:
        from_, _arrow, to = step.rstrip("!").partition(">")
        name: t.Any = to
        states: t.Any = from_.split(",")
        transitions.append(
            Transition(request=Request(path=f"/{step}"), to=name, from_=states, blind=step.endswith("!"))
        )
    read = Read(sources={"a": Request(path="/")}, value=Expression("a"), map={"x": "active"})
    return Trading(read=read, transitions=transitions, levels=levels or {})


FULL = platform(
    "active,reducing>halted!", "active,halted>reducing", "reducing,halted>active", "halted>stopped", "stopped>active"
)
FREQTRADE = platform(
    "active,reducing>stopped!", "active>reducing", "reducing,stopped>active", "stopped>reducing",
    levels={"halted": "stopped", "flat": "stopped"},
)  # fmt: skip


def way(trading: Trading, seen: str, goal: str) -> list[str] | None:
    found = planner.route(trading, seen, goal)
    return None if found is None else [step.to for step in found]


@pytest.mark.parametrize(
    ("trading", "seen", "goal", "steps"),
    [
        (FULL, "active", "halted", ["halted"]),
        (FULL, "active", "stopped", ["halted", "stopped"]),
        (FULL, "reducing", "stopped", ["halted", "stopped"]),
        (FULL, "halted", "reducing", ["reducing"]),
        (FULL, "stopped", "active", ["active"]),
        # Only through active, which is looser than both: no way.
        (FULL, "stopped", "reducing", None),
        (FULL, "stopped", "halted", None),
        (platform("halted>active", "active>stopped"), "halted", "stopped", None),
        (platform("active>reducing", "reducing>active", "active>halted"), "reducing", "halted", None),
        (FREQTRADE, "active", "stopped", ["stopped"]),
        (FREQTRADE, "stopped", "active", ["active"]),
        (FREQTRADE, "stopped", "reducing", ["reducing"]),
        (platform("active>halted", "halted>active"), "flat", "active", None),
    ],
)
def test_a_route_is_short_and_never_looser_than_its_ends(
    trading: Trading, seen: str, goal: str, steps: list[str] | None
) -> None:
    assert way(trading, seen, goal) == steps


@pytest.mark.parametrize(
    ("trading", "goal", "step"),
    [
        (FULL, "halted", "halted"),
        (FULL, "reducing", "halted"),
        (FULL, "stopped", None),
        (FULL, "active", None),
        (FREQTRADE, "reducing", "stopped"),
        (platform("active>reducing!", "active>stopped!"), "reducing", "reducing"),
        (platform("active>reducing", "active>halted!", "active>stopped!"), "reducing", "halted"),
    ],
)
def test_a_blind_order_is_the_mildest_that_serves(trading: Trading, goal: str, step: str | None) -> None:
    found = planner.blind(trading, goal)
    assert (found.to if found else None) == step


@pytest.mark.parametrize(
    ("trading", "wanted", "goal"),
    [
        (FULL, "flat", "halted"),
        (FULL, "active", "active"),
        (FREQTRADE, "halted", "stopped"),
        (FREQTRADE, "flat", "stopped"),
        (FREQTRADE, "reducing", "reducing"),
        (platform("active>halted"), "reducing", None),
        (platform("active>reducing"), "flat", None),
        (platform("active>stopped"), "flat", "stopped"),
        (platform("active>stopped", levels={"halted": "stopped"}), "flat", "stopped"),
    ],
)
def test_the_level_that_a_platform_has(trading: Trading, wanted: str, goal: str | None) -> None:
    assert planner.target(trading, wanted) == goal


@pytest.mark.parametrize(
    ("trading", "seen", "goal", "needs", "stage"),
    [
        (FULL, "active", "halted", [], "halted"),
        (FULL, "active", "halted", [[]], "halted"),
        (FULL, "active", "stopped", [["active", "reducing", "halted"]], "halted"),
        (FREQTRADE, "active", "stopped", [["active", "reducing"], []], "reducing"),
        (FREQTRADE, "unknown", "stopped", [["active", "reducing"]], "reducing"),
        # Never looser than what is there, and never started: the goal itself, where the guard says no by name.
        (FREQTRADE, "stopped", "stopped", [["active", "reducing"]], "stopped"),
        (FREQTRADE, "reducing", "stopped", [["active"]], "stopped"),
        (FREQTRADE, "active", "stopped", [["active"]], "active"),
        (FULL, "halted", "stopped", [["reducing"], ["halted"]], "stopped"),
    ],
)
def test_the_stage_at_which_orders_and_positions_go(
    trading: Trading, seen: str, goal: str, needs: list[list[str]], stage: str
) -> None:
    assert planner.stage(trading, seen, goal, needs) == stage


def test_unknown_satisfies_nothing_and_stricter_does_unless_exact() -> None:
    assert not any(satisfies("unknown", state) for state in ("active", "reducing", "halted", "flat", "stopped"))
    assert satisfies("stopped", "halted")
    assert not satisfies("stopped", "halted", exact=True)
    assert not satisfies("halted", "stopped")
    assert not satisfies("reducing", "active")
    assert loosens("halted", "reducing")
    assert not loosens("active", "halted")
    assert not loosens("unknown", "active")
