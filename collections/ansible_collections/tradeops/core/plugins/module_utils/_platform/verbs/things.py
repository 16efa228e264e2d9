# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Bring a list of named things (breakers, migrations, limits) to wanted values, and read every one of them back."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ..._common.errors import InputError, Refused, Unsupported
from ..._common.outcome import Object, Outcome
from ..._common.waiter import wait_until
from ..profile import Action, Listing
from .run import Run

Values = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Change:
    """``field`` of the rows of ``listing`` becomes ``value``, by one action for all or one action for each."""

    capability: str
    kind: str
    listing: Listing
    field: str
    for_all: Action | None
    for_one: Action | None

    def read(self, run: Run) -> Values:
        return {row["id"]: _plain(row.get(self.field)) for row in run.rows(self.listing)}

    def check(self, run: Run) -> None:
        run.site.check(self.listing.request, *[action.request for action in (self.for_all, self.for_one) if action])


def ensure(run: Run, change: Change, wanted: str, goal: t.Callable[[Values], Values], *, whole: bool) -> Outcome:
    """Bring the things to their goal. ``goal`` gives id -> value for what is asked; ``whole``: it asks for all."""
    change.check(run)
    before = change.read(run)
    target = {key: _plain(value) for key, value in goal(before).items()}
    missing = sorted(set(target) - set(before))
    if missing:
        raise InputError(
            f"{run.site.name}: there is no {change.kind} {', '.join(missing)}; "
            f"{run.site.profile.title} has {', '.join(sorted(before)) or 'none'}. Nothing was sent."
        )
    todo = {key: value for key, value in target.items() if not _same(before[key], value)}
    refusals = _send(run, change, before, target, todo, wanted, whole=whole) if todo else {}
    after = before | target
    if not run.gate.check_mode:
        after = wait_until(
            lambda: change.read(run), lambda seen: all(_same(seen.get(key), value) for key, value in target.items()), run.part_budget()
        )[1]
    changed = "would be changed" if run.gate.check_mode else "changed"
    objects = [_object(change, key, before, after, value, changed) for key, value in target.items()]
    wrong = [item for item in objects if not _same(item.after, target[item.id])]
    untold = [
        f"{item.id} is {item.after}, not {target[item.id]}" + (f" ({refusals[item.id]})" if item.id in refusals else "")
        for item in wrong
    ]
    return run.outcome(
        change.capability,
        wanted,
        before={key: before[key] for key in target},
        after={key: after.get(key) for key in target},
        objects=objects,
        problem="; ".join(untold),
        refused=bool(wrong) and all(item.id in refusals for item in wrong),
    )


def _send(
    run: Run, change: Change, before: Values, target: Values, todo: Values, wanted: str, *, whole: bool
) -> dict[str, str]:
    """Send what is to do; return what the platform refused, with its reason. A refusal does not hide the others."""

    def landed(keys: t.Iterable[str]) -> bool:
        seen = change.read(run)
        return all(_same(seen.get(key), target[key]) for key in keys)

    values = set(target.values())
    if change.for_all and whole and len(values) == 1:
        value = next(iter(values))
        names = {"value": value, "percentage": value}
        run.act(change.for_all, f"{change.kind}s: {wanted}", f"{len(todo)} of {len(before)}", names, lambda: landed(todo))
        return {}
    if change.for_one is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can do this to all {change.kind}s at once only, not to "
            f"{', '.join(sorted(target))}; nothing was sent."
        )
    refusals = {}
    for key, value in todo.items():
        names = {"id": key, "symbol": key, "value": value, "percentage": value}
        why = f"{key}: {before[key]} -> {value}"
        try:
            run.act(change.for_one, f"{change.kind}: {wanted}", why, names, lambda key=key: landed([key]))
        except Refused as exc:
            refusals[key] = str(exc)
    return refusals


def _object(
    change: Change, key: str, before: Values, after: Values, value: t.Any, changed: str
) -> Object:
    seen = after.get(key)
    result = "not changed"
    if _same(seen, value):
        result = "unchanged" if _same(before[key], value) else changed
    return Object(key, change.kind, before[key], seen, result)


def _same(seen: t.Any, wanted: t.Any) -> bool:
    """Whether two values are equal; numbers are when they differ by no more than platforms round."""
    if isinstance(seen, float) and isinstance(wanted, float):
        return math.isclose(seen, wanted, rel_tol=1e-6, abs_tol=1e-9)
    return bool(seen == wanted)


def _plain(value: t.Any) -> t.Any:
    """Numbers compare as numbers, whether the platform writes 0, 0.0 or "0"."""
    if isinstance(value, bool) or value is None:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
