# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Circuit breakers, gradual migrations and risk limits: three kinds of named things with a value."""

from __future__ import annotations

import math
import typing as t

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..profile import Breakers, Limits, Rollout
from ..wire import number
from .run import Run
from .things import Change, Values, ensure


def ensure_breakers(run: Run, *, state: str, pairs: t.Sequence[str], everything: bool) -> Outcome:
    """The circuit breakers of the pairs, or of all, are open (they block) or closed."""
    breakers: Breakers = run.site.require("circuit_breakers")
    _one_of(run, pairs, everything)
    is_open = state == "open"
    change = Change(
        "circuit_breakers",
        "circuit breaker",
        breakers.list,
        "open",
        breakers.open_all if is_open else breakers.close_all,
        breakers.open_one if is_open else breakers.close_one,
    )
    run.gate.stopping = is_open
    return ensure(run, change, state, lambda seen: dict.fromkeys(pairs or seen, is_open), whole=everything)


def ensure_rollout(
    run: Run, *, percentage: float, pairs: t.Sequence[str], everything: bool, emergency: bool, stop: bool
) -> Outcome:
    """The migrations of the pairs, or of all, are at ``percentage``; ``stop`` takes the platform's own way to 0."""
    rollout: Rollout = run.site.require("rollout")
    _one_of(run, pairs, everything)
    if not 0 <= percentage <= 100:
        raise InputError(f"{run.site.name}: percentage is {percentage:g}; give 0 to 100. Nothing was sent.")
    if emergency and not (stop and everything):
        raise InputError(f"{run.site.name}: emergency goes with state stopped and all: true only. Nothing was sent.")
    for_all = rollout.set_all
    if stop:
        for_all = rollout.stop_all or rollout.set_all
    if emergency and rollout.emergency_stop:
        for_all = rollout.emergency_stop
    elif emergency:
        run.gate.note("the platform has no emergency stop of migrations: its ordinary stop is used")
    change = Change("rollout", "migration", rollout.list, "percentage", for_all, rollout.set_one)
    run.gate.stopping = stop
    wanted = "stopped" if stop else f"{percentage:g} %"
    return ensure(run, change, wanted, lambda seen: dict.fromkeys(pairs or seen, percentage), whole=everything)


def ensure_limits(
    run: Run,
    *,
    limits: t.Mapping[str, t.Any] | None,
    reduce_by: float | None,
    baseline: t.Mapping[str, t.Any],
) -> Outcome:
    """The risk limits have absolute values, or are ``reduce_by`` per cent under their baseline (now, if not given)."""
    risk: Limits = run.site.require("risk_limits")
    change = Change("risk_limits", "risk limit", risk.list, "value", None, risk.set)
    given = _numbers(
        run, "limits" if reduce_by is None else "baseline", (limits if reduce_by is None else baseline) or {}
    )
    if reduce_by is None:
        wanted = ", ".join(f"{name} {value:g}" for name, value in given.items())
        return ensure(run, change, wanted, lambda seen: dict(given), whole=False)
    if not 0 < reduce_by <= 100:
        raise InputError(f"{run.site.name}: reduce_by is {reduce_by:g}; give per cent, more than 0 and at most 100.")
    factor = 1.0 - reduce_by / 100.0

    def reduced(seen: Values) -> Values:
        goal = {}
        for name, value in (given or _numbers(run, "the platform's limits", seen)).items():
            # Limits of losses are often negative: nearer to zero is the lower limit. A lower one is never raised.
            goal[name] = min(float(f"{value * factor:.8g}"), seen.get(name, value), key=_size)
        return goal

    run.gate.stopping = True
    return ensure(run, change, f"reduced by {reduce_by:g} %", reduced, whole=False)


def _size(value: t.Any) -> float:
    """Return how large a limit is; one that is no number is larger than any."""
    return abs(value) if isinstance(value, float) else math.inf


def _numbers(run: Run, what: str, values: t.Mapping[str, t.Any]) -> dict[str, float]:
    found = {str(name): number(value) for name, value in values.items()}
    wrong = [name for name, value in found.items() if value is None]
    if wrong:
        raise InputError(
            f"{run.site.name}: {what}: {wrong[0]} is {values[wrong[0]]!r}, which is no number. Nothing was sent."
        )
    return {name: value for name, value in found.items() if value is not None}


def _one_of(run: Run, pairs: t.Sequence[str], everything: bool) -> None:
    if bool(pairs) == everything:
        found = "both pairs and all: true" if pairs else "neither pairs nor all: true"
        raise InputError(f"{run.site.name}: {found} given; name the pairs or say all: true. Nothing was sent.")
