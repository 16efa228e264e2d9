# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Close positions, and prove at the platform and at the venue that nothing is held any more."""

from __future__ import annotations

import typing as t

from ..._common.errors import CallError, InputError, Unsupported
from ..._common.outcome import Object, Outcome
from ..._common.waiter import wait_until
from ..profile import Action, Positions
from ..site import Rows
from ..wire import number
from .run import Part, Run, Told, check_scope

Scope = t.Mapping[str, str]

# A quantity that is no number counts as held, for it cannot be shown to be zero.
NO_NUMBER = "no number"
# Seconds after which a position that nobody will close any more, and that is still held, is believed to stay.
_STANDS = 2.0


def ensure_flat(
    run: Run,
    *,
    scope: t.Mapping[str, t.Any],
    everything: bool,
    max_positions: int | None,
    max_quantity: float | None,
    when_closed: str,
) -> Outcome:
    """No position of the scope is held. ``max_positions`` and ``max_quantity`` (of any one) refuse a larger close."""
    positions: Positions = run.site.require("positions")
    check_requests(run, positions)
    scope = check_scope(run, scope, everything, positions.list)
    found = held(run, positions, scope)
    _guard(run, found, max_positions, max_quantity)
    if found:
        run.require_state(needed(run, positions, scope), "close positions")
    part = close(run, scope, found, when_closed=when_closed)
    before = _by_id(found)
    after = {item.id: item.after for item in part.objects if item.after != 0}
    return run.outcome(
        "positions",
        "flat" + "".join(f", {key} {value}" for key, value in scope.items()),
        before={"positions": before},
        after={"positions": after},
        objects=part.objects,
        problem=part.problem,
        refused=part.refused,
        error=part.error,
    )


def check_requests(run: Run, positions: Positions) -> None:
    """Refuse, before any call, what the site lacks to list and close positions."""
    actions = [action.request for action in (positions.close_all, positions.close_one) if action]
    run.site.check(*actions, *[listing.request for listing in (positions.list, positions.witness) if listing])


def chosen(positions: Positions, scope: Scope) -> Action | None:
    """Return the action that closes the positions of the scope and no others, or None when the platform has none."""
    everywhere = positions.close_all
    return everywhere if everywhere and set(scope) <= set(everywhere.scopes) else positions.close_one


def needed(run: Run, positions: Positions, scope: Scope) -> Action:
    """Return the action that serves the scope. Raises Unsupported: a wider one is never sent in its place."""
    action = chosen(positions, scope)
    if not positions.can:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} lists its positions and has no way to close them "
            f"(profile {run.site.profile.name}); nothing was sent."
        )
    if action is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can only close all positions, not those of "
            f"{', '.join(scope)}; a wider close is not sent in its place. Nothing was sent."
        )
    return action


def held(run: Run, positions: Positions, scope: Scope) -> Rows:
    """Return the positions of the scope that are not zero. Raises CallError."""
    return _held(run.rows(positions.list, scope))


def still_held(run: Run, scope: Scope, asked: t.Collection[str]) -> dict[str, t.Any]:
    """Return what is held in the scope by the platform's book or the venue's: id -> quantity. Raises CallError.

    A venue that does not tell the keys of the scope is only asked about the positions ``asked``.
    """
    positions: Positions = run.site.require("positions")
    left = _by_id(held(run, positions, scope))
    if positions.witness is not None:
        tells = set(scope) <= set(positions.witness.fields)
        for row in _held(run.rows(positions.witness, scope if tells else None)):
            if tells or row["id"] in asked:
                left.setdefault(row["id"], row["quantity"])
    return left


def close(run: Run, scope: Scope, found: Rows, *, when_closed: str = "refuse") -> Part:
    """Close the positions ``found`` and read back that they are gone."""
    positions: Positions = run.site.require("positions")
    closed = _market_closed(run) if found else ""
    if closed and when_closed == "refuse":
        advice = "nothing was sent to close them; when_closed: queue sends the orders all the same"
        return Part(
            [_object(row, row["quantity"], "deferred", closed) for row in found],
            len(found),
            f"{closed}: {len(found)} positions remain; {advice}",
            refused=True,
        )
    told = _send(run, positions, scope, found) if found else Told()
    if run.gate.check_mode and found:
        return Part([_object(row, 0, "would be closed", closed) for row in found], left=len(found))
    if told.deferred or (closed and not told.error):
        objects = [_object(row, row["quantity"], "deferred", told.refusals.get(row["id"]) or closed) for row in found]
        problem = (
            f"{closed or 'the platform defers them'}: the orders to close {len(found)} positions wait in the queue"
        )
        return Part(objects, len(found), problem, error=told.error)
    return _read_back(run, scope, found, told)


def _read_back(run: Run, scope: Scope, found: Rows, told: Told) -> Part:
    asked, budget = {row["id"] for row in found}, run.part_budget()

    def settled(left: dict[str, t.Any]) -> bool:
        hopeless = told.error is not None or not left.keys() & (asked - told.refusals.keys())
        return not left or (hopeless and budget.elapsed > _STANDS)

    try:
        left = wait_until(lambda: still_held(run, scope, asked), settled, budget)[1]
    except CallError as exc:
        objects = [_object(row, "unknown", "unproven", told.refusals.get(row["id"], "")) for row in found]
        return Part(objects, len(found), f"the positions cannot be read back: {exc}", error=told.error or exc)
    objects = []
    for row in found:
        open_still = row["id"] in left
        why = told.refusals.get(row["id"], "") if open_still else ""
        objects.append(_object(row, left.get(row["id"], 0), "not closed" if open_still else "closed", why))
    for key in left.keys() - asked:
        objects.append(Object(key, "position", None, left[key], "not closed", "it was not there before"))
    if not left:
        return Part(objects)
    problem = f"{len(left)} positions are still held{told.why(left)}"
    return Part(objects, len(left), problem, refused=told.refused(left), error=told.error)


def _send(run: Run, positions: Positions, scope: Scope, found: Rows) -> Told:
    action = needed(run, positions, scope)

    def gone(ids: set[str]) -> bool:
        return not any(row["id"] in ids for row in held(run, positions, scope))

    ids = {row["id"] for row in found}
    if action is positions.close_all:
        why = f"close {len(found)} positions"
        return run.tell_all(action, "close positions", why, dict(scope), lambda: gone(ids))
    return run.tell_each(
        found,
        action,
        "close position",
        lambda row: f"position {row['id']} of {row['quantity']}",
        lambda key: gone({key}),
    )


def _held(rows: Rows) -> Rows:
    counted = []
    for row in rows:
        quantity = number(row.get("quantity"))
        counted.append({**row, "quantity": NO_NUMBER if quantity is None else quantity})
    return [row for row in counted if row["quantity"] != 0]


def _by_id(rows: Rows) -> dict[str, t.Any]:
    """Return id -> quantity; what several accounts hold of one symbol is added up, or listed where that is zero."""
    quantities: dict[str, list[t.Any]] = {}
    for row in rows:
        quantities.setdefault(row["id"], []).append(row["quantity"])

    def together(several: list[t.Any]) -> t.Any:
        return NO_NUMBER if NO_NUMBER in several else sum(several) or ", ".join(f"{quantity:g}" for quantity in several)

    return {key: together(several) for key, several in quantities.items()}


def _market_closed(run: Run) -> str:
    """Say that the market is closed, or that nobody can tell, or return an empty text."""
    market = run.site.profile.capabilities.market
    if market is None:
        return ""
    reading = run.site.read(market, run.deadline)
    if reading.value == "open" or reading.value is True:
        return ""
    return "the market is closed" if reading.known else f"whether the market is open cannot be read ({reading.problem})"


def _guard(run: Run, found: Rows, max_positions: int | None, max_quantity: float | None) -> None:
    if max_positions is not None and len(found) > max_positions:
        raise InputError(
            f"{run.site.name}: {len(found)} positions are held, limits.max_positions is {max_positions}. "
            "Nothing was sent."
        )
    for row in found:
        quantity = number(row["quantity"])
        if max_quantity is not None and not (quantity is not None and abs(quantity) <= max_quantity):
            raise InputError(
                f"{run.site.name}: the position {row['id']} is {row['quantity']}, limits.max_quantity is "
                f"{max_quantity:g}. Nothing was sent."
            )


def _object(row: dict[str, t.Any], after: t.Any, result: str, why: str) -> Object:
    return Object(row["id"], "position", row["quantity"], after, result, why)
