# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Maintenance mode: entered when what is in flight has drained, and left only on purpose."""

from __future__ import annotations

import typing as t

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..._common.waiter import wait_until
from ..profile import Maintenance
from ..site import Reading
from ..states import UNKNOWN
from ..wire import number
from .run import Run, Told


def ensure_maintenance(run: Run, *, enabled: bool, mode: str, drain: bool) -> Outcome:
    """Maintenance is on in ``mode`` with nothing in flight, or off."""
    maintenance: Maintenance = run.site.require("maintenance")
    modes = {str(name): word for name, word in maintenance.modes.items()}
    if enabled and mode not in modes:
        raise InputError(
            f"{run.site.name}: {run.site.profile.title} has no maintenance mode {mode!r}; it has {', '.join(modes)}. "
            "Nothing was sent."
        )
    action = maintenance.enable if enabled else maintenance.disable
    flight = maintenance.in_flight
    run.site.check(action.request, *maintenance.read.sources.values(), *(flight.sources.values() if flight else ()))
    wanted = mode if enabled else "disabled"
    before, told = _mode(run, maintenance), Told()
    # From a mode that cannot be read nothing is changed: leaving maintenance may let orders through.
    if before.known and before.value != wanted:
        values = {"mode": modes[mode]} if enabled else {}
        why = f"maintenance {before.value} -> {wanted}"
        told = run.tell_all(
            action, f"maintenance {wanted}", why, values, lambda: _mode(run, maintenance).value == wanted
        )
    draining = enabled and drain and flight is not None
    left: float | None
    if enabled and drain and flight is None:
        run.gate.note("the profile does not tell what is in flight: the drain is not proven")
    if run.gate.check_mode and before.known:
        after, left = Reading(wanted), 0.0
    elif before.known and not told.error:
        after, left = _settle(run, maintenance, wanted, draining=draining)
    else:
        after, left = _look(run, maintenance, draining=draining) if told.error else (before, None)
    problem = ""
    if after.value != wanted:
        problem = ": ".join(filter(None, (f"maintenance is {after.value}", after.problem)))
    elif draining and left != 0:
        problem = f"{'an unknown number of' if left is None else format(left, 'g')} orders are still in flight"
    if told.error:
        problem = ". ".join(filter(None, (str(told.error), problem)))
    return run.outcome(
        "maintenance",
        wanted,
        before={"mode": before.value},
        after={"mode": after.value, **({"in_flight": UNKNOWN if left is None else left} if draining else {})},
        problem=problem,
        refused=bool(told.error) and told.refused([wanted]),
        error=told.error or before.error,
        summary=f"maintenance {after.value}",
    )


def _mode(run: Run, maintenance: Maintenance) -> Reading:
    return run.site.read(maintenance.read, run.deadline)


def _look(run: Run, maintenance: Maintenance, *, draining: bool) -> tuple[Reading, float | None]:
    mode = _mode(run, maintenance)
    if not draining or maintenance.in_flight is None:
        return mode, 0.0
    return mode, number(run.site.read(maintenance.in_flight, run.deadline).value)


def _settle(run: Run, maintenance: Maintenance, wanted: str, *, draining: bool) -> tuple[Reading, float | None]:
    def good(seen: tuple[Reading, t.Any]) -> bool:
        return seen[0].value == wanted and seen[1] == 0

    return wait_until(lambda: _look(run, maintenance, draining=draining), good, run.part_budget())[1]
