# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Dead man's switches: the venue cancels all orders by itself unless it is told again in time."""

from __future__ import annotations

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..._common.waiter import wait_until
from ..profile import DeadManSwitch
from ..site import Reading
from ..wire import number
from .run import Run, Told

# How much more than asked a switch may have left, for clocks and rounding: seconds.
_SLACK = 1.0


def ensure_switch(run: Run, *, armed: bool, timeout: float) -> Outcome:
    """The switch is off, or armed with half of ``timeout`` seconds left or more, but no more than those."""
    switch: DeadManSwitch = run.site.require("dead_man_switch")
    if armed and not 0 < timeout < 86400:
        raise InputError(
            f"{run.site.name}: timeout is {timeout:g}; give the seconds until the venue cancels. Nothing was sent."
        )
    action = switch.arm if armed else switch.disarm
    run.site.check(action.request, *switch.read.sources.values())

    def good(seen: Reading) -> bool:
        left = number(seen.value)
        if left is None:
            return False
        return timeout / 2 <= left <= timeout + _SLACK if armed else left == 0

    before, told = _look(run, switch), Told()
    after = before
    if not good(before):
        wanted = f"arm for {timeout:g} s" if armed else "disarm"
        told = run.tell_all(action, wanted, _said(before), {"timeout": timeout}, lambda: good(_look(run, switch)))
        if run.gate.check_mode:
            after = Reading(timeout if armed else 0)
        elif told.error:
            after = _look(run, switch)
        else:
            after = wait_until(lambda: _look(run, switch), good, run.part_budget())[1]
    problem = "" if good(after) else f"the switch is {_said(after)}"
    if told.error and problem:
        problem = f"{told.error}. {problem}"
    return run.outcome(
        "dead_man_switch",
        "armed" if armed else "disarmed",
        before={"seconds_left": before.value},
        after={"seconds_left": after.value},
        problem=problem,
        refused=bool(told.error) and told.refused(["switch"]),
        error=told.error or before.error,
        summary=_said(after),
    )


def _look(run: Run, switch: DeadManSwitch) -> Reading:
    return run.site.read(switch.read, run.deadline, null=0)


def _said(seen: Reading) -> str:
    left = number(seen.value)
    if left is None:
        return f"unknown: {seen.problem or repr(seen.value)}"
    return f"armed, {left:.0f} s left" if left else "not armed"
