# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Bring a list of named things (breakers, migrations, limits) to wanted values, and read every one of them back."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ..._common.errors import CallError, InputError, Unsupported
from ..._common.outcome import Object, Outcome
from ..._common.waiter import wait_until
from ..profile import Action, Listing
from ..site import Rows
from ..states import UNKNOWN
from ..wire import number
from .run import Run, Told

Values = dict[str, t.Any]

# Seconds after which a thing that was refused, and has not changed, is believed to stay as it is.
_STANDS = 2.0


@dataclasses.dataclass(frozen=True)
class Change:
    """``field`` of the rows of ``listing`` becomes ``value``, by one action for all or one action for each."""

    capability: str
    kind: str
    listing: Listing
    field: str
    for_all: Action | None
    for_one: Action | None
    # What is sent for a value, where that is not the value as it is compared: 30 and not 30.0.
    sent: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    def read(self, run: Run) -> Values:
        """Return id -> value. What the platform tells twice, and differently, is ``unknown``. Raises CallError."""
        seen: Values = {}
        for row in run.rows(self.listing):
            value = _plain(row.get(self.field))
            seen[row["id"]] = value if same(seen.get(row["id"], value), value) else UNKNOWN
        return seen

    def check(self, run: Run) -> None:
        run.site.check(self.listing.request, *[action.request for action in (self.for_all, self.for_one) if action])


def ensure(run: Run, change: Change, wanted: str, goal: t.Callable[[Values], Values], *, whole: bool) -> Outcome:
    """Bring the things to their goal. ``goal`` gives id -> value for what is asked; ``whole``: it asks for all."""
    change.check(run)
    before = change.read(run)
    target = {key: _plain(value) for key, value in goal(before).items()}
    missing = sorted(set(target) - set(before))
    if not target and whole:
        run.gate.note(f"the platform lists no {change.kind} at all")
    elif missing or not target:
        raise InputError(
            f"{run.site.name}: there is no {change.kind} {', '.join(missing)}; "
            f"{run.site.profile.title} has {', '.join(sorted(before)) or 'none'}. Nothing was sent."
        )
    todo = {key: value for key, value in target.items() if not same(before[key], value)}
    told = _send(run, change, before, target, todo, wanted, whole=whole) if todo else Told()
    problem, error = "", told.error
    after = before | target
    if not run.gate.check_mode and todo:
        try:
            after = _read_back(run, change, target, told)
        except CallError as exc:
            after = dict.fromkeys(target, UNKNOWN)
            problem, error = f"the {change.kind}s cannot be read back: {exc}", error or exc
    changed = "would be changed" if run.gate.check_mode else "changed"
    objects = [_object(change, key, before, after, value, told, changed) for key, value in target.items()]
    left = [item for item in objects if not same(item.after, target[item.id])]
    if left and not problem:
        problem = "; ".join(
            f"{item.id} is {item.after}, not {target[item.id]}" + (f" ({item.why})" if item.why else "")
            for item in left
        )
        problem += f"; {told.error}" if told.error else ""
    return run.outcome(
        change.capability,
        wanted,
        before={key: before[key] for key in target},
        after={key: after.get(key) for key in target},
        objects=objects,
        problem=problem,
        refused=told.refused([item.id for item in left]),
        error=error,
    )


def same(seen: t.Any, value: t.Any) -> bool:
    """Whether two values are equal; numbers are as far as a platform's own rounding allows."""
    if isinstance(seen, float) and isinstance(value, float):
        return math.isclose(seen, value, rel_tol=1e-6, abs_tol=1e-9)
    return type(seen) is type(value) and bool(seen == value)


def _read_back(run: Run, change: Change, target: Values, told: Told) -> Values:
    budget = run.part_budget()

    def settled(seen: Values) -> bool:
        open_still = {key for key, value in target.items() if not same(seen.get(key), value)}
        hopeless = told.error is not None or open_still <= told.refusals.keys()
        return not open_still or (hopeless and budget.elapsed > _STANDS)

    return wait_until(lambda: change.read(run), settled, budget)[1]


def _send(run: Run, change: Change, before: Values, target: Values, todo: Values, wanted: str, *, whole: bool) -> Told:
    def landed(keys: t.Iterable[str]) -> bool:
        seen = change.read(run)
        return all(same(seen.get(key), target[key]) for key in keys)

    one_value = len(set(target.values())) == 1
    if change.for_all and whole and one_value:
        value = next(iter(target.values()))
        names = {"value": value, "percentage": value}
        why = f"{len(todo)} of {len(before)}"
        return run.tell_all(change.for_all, f"{change.kind}s: {wanted}", why, names, lambda: landed(todo))
    if change.for_one is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can do this to all {change.kind}s at once only, not to "
            f"{', '.join(sorted(target))}; nothing was sent."
        )
    rows: Rows = [
        {"id": key, "symbol": key, "value": change.sent.get(key, value), "percentage": value}
        for key, value in todo.items()
    ]
    return run.tell_each(
        rows,
        change.for_one,
        f"{change.kind}: {wanted}",
        lambda row: f"{row['id']}: {before[row['id']]} -> {row['value']}",
        lambda key: landed([key]),
    )


def _object(change: Change, key: str, before: Values, after: Values, value: t.Any, told: Told, changed: str) -> Object:
    seen = after.get(key)
    reached = same(seen, value)
    result = "unchanged" if reached and same(before[key], value) else changed if reached else "not changed"
    return Object(key, change.kind, before[key], seen, result, "" if reached else told.refusals.get(key, ""))


def _plain(value: t.Any) -> t.Any:
    """Numbers compare as numbers, whether the platform writes 0, 0.0 or "0"."""
    found = number(value)
    return value if found is None else found
