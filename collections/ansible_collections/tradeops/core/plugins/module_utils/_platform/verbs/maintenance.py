# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Maintenance mode: entered when what is in flight has drained, and left only on purpose."""

from __future__ import annotations

from ..._common.errors import InputError, Unreachable
from ..._common.outcome import Outcome
from ..._common.waiter import wait_until
from ..profile import Maintenance
from ..site import Reading
from ..states import UNKNOWN
from .run import Run


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
    before = run.site.read(maintenance.read, run.deadline)
    if not enabled and not before.known:
        raise Unreachable(f"maintenance is not left while its mode cannot be read: {before.problem}", method="GET", path="")
    if before.value != wanted:
        values = {"mode": modes[mode]} if enabled else {}
        why = f"maintenance {before.value} -> {wanted}"
        run.act(action, f"maintenance {wanted}", why, values, lambda: _mode(run, maintenance).value == wanted)
    draining = enabled and drain and flight is not None
    if run.gate.check_mode:
        after, left = Reading(wanted), 0
    else:
        after, left = _settle(run, maintenance, wanted, draining=draining)
    problem = ""
    if after.value != wanted:
        problem = f"maintenance is {after.value}" + (f": {after.problem}" if after.problem else "")
    elif draining and left != 0:
        problem = f"{left} orders are still in flight after {run.deadline.elapsed:.1f} s"
    if enabled and drain and flight is None:
        run.gate.notes.append("the profile does not tell what is in flight: the drain is not proven")
    return run.outcome(
        "maintenance",
        wanted,
        before={"mode": before.value},
        after={"mode": after.value, **({"in_flight": left} if draining else {})},
        problem=problem,
        summary=f"maintenance {after.value}",
    )


def _mode(run: Run, maintenance: Maintenance) -> Reading:
    return run.site.read(maintenance.read, run.deadline)


def _settle(run: Run, maintenance: Maintenance, wanted: str, *, draining: bool) -> tuple[Reading, object]:
    def look() -> tuple[Reading, object]:
        mode = _mode(run, maintenance)
        if not draining or maintenance.in_flight is None:
            return mode, 0
        left = run.site.read(maintenance.in_flight, run.deadline)
        return mode, left.value if left.known else UNKNOWN

    return wait_until(look, lambda seen: seen[0].value == wanted and seen[1] == 0, run.part_budget())[1]
