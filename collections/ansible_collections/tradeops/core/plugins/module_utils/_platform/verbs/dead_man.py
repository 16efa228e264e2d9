# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Dead man's switches: the venue cancels all orders by itself unless it is told again in time."""

from __future__ import annotations

import math

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..._common.waiter import wait_until
from ..profile import DeadManSwitch
from ..site import Reading
from .run import Run


def ensure_switch(run: Run, *, armed: bool, timeout: float) -> Outcome:
    """The switch is armed with at least half of ``timeout`` seconds left (it is refreshed otherwise), or disarmed."""
    switch: DeadManSwitch = run.site.require("dead_man_switch")
    if armed and timeout <= 0:
        raise InputError(f"{run.site.name}: timeout is {timeout:g}; give the seconds after which orders are cancelled.")
    action = switch.arm if armed else switch.disarm
    run.site.check(action.request, *switch.read.sources.values())

    def good(seen: Reading) -> bool:
        left = _seconds(seen)
        # A switch with far more time left than asked for is not the one that was asked for.
        return seen.known and (timeout / 2 <= left <= timeout + 1 if armed else left == 0)

    before = _look(run, switch)
    if not good(before):
        wanted = f"arm for {timeout:g} s" if armed else "disarm"
        run.act(action, wanted, f"{_said(before)}", {"timeout": timeout}, lambda: good(_look(run, switch)))
    after = Reading(timeout if armed else None) if run.gate.check_mode else before
    if run.gate.sent:
        after = wait_until(lambda: _look(run, switch), good, run.part_budget())[1]
    problem = "" if run.gate.check_mode or good(after) else f"the switch is {_said(after)}"
    return run.outcome(
        "dead_man_switch",
        "armed" if armed else "disarmed",
        before={"seconds_left": before.value},
        after={"seconds_left": after.value},
        problem=problem,
        summary=_said(after),
    )


def _look(run: Run, switch: DeadManSwitch) -> Reading:
    return run.site.read(switch.read, run.deadline)


def _seconds(seen: Reading) -> float:
    """Return the seconds left; what cannot be read as a number satisfies neither armed nor disarmed."""
    if seen.value in (None, False):
        return 0.0
    try:
        return float(seen.value)
    except (TypeError, ValueError):
        return math.nan


def _said(seen: Reading) -> str:
    if not seen.known:
        return f"unknown: {seen.problem}"
    left = _seconds(seen)
    if math.isnan(left):
        return f"unreadable: {seen.value!r}"
    return f"armed, {left:.0f} s left" if left else "not armed"
