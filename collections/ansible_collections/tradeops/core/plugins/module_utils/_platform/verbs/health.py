# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The platform's own health as a gate: good without a break for a while, or the gate stays shut."""

from __future__ import annotations

import time

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..._common.waiter import poll
from ..profile import Read
from ..site import Reading
from .run import Run

_RANK = {"fail": 0, "warn": 1, "pass": 2}


def ensure_health(run: Run, *, minimum: str, hold: float) -> Outcome:
    """The health is at least ``minimum`` for ``hold`` seconds in a row, within the time budget. Reads only."""
    if hold < 0:
        raise InputError(f"{run.site.name}: hold is {hold:g}; give seconds, 0 or more.")
    health: Read = run.site.require("health")
    run.site.check(*health.sources.values())
    first = run.site.read(health, run.deadline, attempts=1)
    seen, since, readings = first, time.monotonic() if _good(first, minimum) else None, 1
    for _attempt in poll(run.deadline):
        seen = run.site.read(health, run.deadline, attempts=1)
        readings += 1
        if not _good(seen, minimum):
            since = None
        elif since is None:
            since = time.monotonic()
        elif time.monotonic() - since >= hold:
            break
    held = time.monotonic() - since if since is not None else 0.0
    problem = ""
    if held < hold:
        said = f"{seen.value}: {seen.problem}" if seen.problem else str(seen.value)
        problem = f"health was {minimum} or better for {held:.1f} of {hold:g} s; last seen: {said}"
    return run.outcome(
        "health",
        f"{minimum} for {hold:g} s",
        before={"health": first.value},
        after={"health": seen.value, "held_seconds": round(held, 1)},
        problem=problem,
        summary=f"{seen.value}, {readings} readings",
    )


def _good(reading: Reading, minimum: str) -> bool:
    return _RANK.get(str(reading.value), -1) >= _RANK[minimum]
