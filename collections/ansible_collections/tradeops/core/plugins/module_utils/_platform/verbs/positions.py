# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Close positions, and prove at the platform and at the venue that nothing is held any more."""

from __future__ import annotations

import typing as t

from ..._common.errors import CallError, InputError, Refused, Unsupported
from ..._common.outcome import Object, Outcome, tally
from ..._common.waiter import wait_until
from ..profile import Action, Positions
from .run import Part, Run, check_scope

Rows = list[dict[str, t.Any]]


def ensure_flat(
    run: Run,
    *,
    scope: t.Mapping[str, str],
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
    part = close(run, scope, found, when_closed=when_closed)
    return run.outcome(
        "positions",
        "flat" + "".join(f", {key} {value}" for key, value in scope.items()),
        before={"positions": {row["id"]: row["quantity"] for row in found}},
        after={"positions": {item.id: item.after for item in part.objects if item.after}},
        objects=part.objects,
        problem=part.problem,
        refused=part.refused,
    )


def check_requests(run: Run, positions: Positions) -> None:
    """Refuse, before any call, what the site lacks to list and close positions."""
    actions = [action.request for action in (positions.close_all, positions.close_one) if action]
    run.site.check(*actions, *[listing.request for listing in (positions.list, positions.witness) if listing])


def held(run: Run, positions: Positions, scope: t.Mapping[str, str]) -> Rows:
    """Return the positions of the scope that are not zero. Raises CallError."""
    return [row for row in _numbered(run.rows(positions.list, scope)) if row["quantity"]]


def close(run: Run, scope: t.Mapping[str, str], found: Rows, *, when_closed: str = "refuse") -> Part:
    """Close the positions ``found`` and read back that they are gone."""
    positions: Positions = run.site.require("positions")
    if not found and not _witnessed(run, positions, scope, set()):
        return Part()
    closed = _market_closed(run)
    if found and closed and when_closed == "refuse":
        objects = [_object(row, row["quantity"], "deferred", closed) for row in found]
        return Part(objects, left=len(found), problem=f"{closed}: {len(found)} positions remain; nothing was sent", refused=True)
    refusals = _send(run, positions, scope, found) if found else {}
    if run.gate.check_mode:
        return Part([_object(row, 0, "would be closed", closed) for row in found], left=len(found))
    asked = {row["id"] for row in found}
    try:
        flat, left = wait_until(lambda: _left(run, positions, scope, asked), lambda rest: not rest, run.part_budget())
    except CallError as exc:
        return Part(left=len(found), problem=f"the positions cannot be read back: {exc}")
    objects = [
        _object(row, left.get(row["id"], 0), "not closed" if row["id"] in left else "closed", refusals.get(row["id"], ""))
        for row in found
    ]
    objects += [Object(key, "position", 0, rest, "not closed", "seen at the venue") for key, rest in left.items() if key not in asked]
    if flat:
        return Part(objects)
    problem = f"{len(left)} positions are still held ({closed or tally(objects)})"
    return Part(objects, left=len(left), problem=problem, refused=set(left) <= set(refusals))


def _send(run: Run, positions: Positions, scope: t.Mapping[str, str], found: Rows) -> dict[str, str]:
    """Send the closes; return what the platform refused to close, with its reason."""

    def landed() -> bool:
        return not held(run, positions, scope)

    everywhere = positions.close_all
    if everywhere and set(scope) <= set(everywhere.scopes):
        run.require_state(everywhere, "close positions")
        ack = run.act(everywhere, "close positions", f"close {len(found)} positions", dict(scope), landed)
        return {item["id"]: item["why"] or "refused" for item in ack.items if not item["ok"]} if ack else {}
    if positions.close_one is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can only close all positions, not those of {', '.join(scope)}; "
            "a wider close is not sent in its place. Nothing was sent."
        )
    run.require_state(positions.close_one, "close positions")
    refused = {row["id"]: _close_one(run, positions.close_one, row, scope) for row in found}
    return {key: why for key, why in refused.items() if why}


def _close_one(run: Run, action: Action, row: dict[str, t.Any], scope: t.Mapping[str, str]) -> str:
    positions: Positions = run.site.require("positions")

    def landed() -> bool:
        return all(other["id"] != row["id"] for other in held(run, positions, scope))

    try:
        run.act(action, "close position", f"position {row['id']} of {row['quantity']}", row, landed)
    except Refused as exc:
        return str(exc)
    return ""


def _left(run: Run, positions: Positions, scope: t.Mapping[str, str], asked: set[str]) -> dict[str, float]:
    left = {row["id"]: row["quantity"] for row in held(run, positions, scope)}
    for row in _witnessed(run, positions, scope, asked):
        left.setdefault(row["id"], row["quantity"])
    return left


def _witnessed(run: Run, positions: Positions, scope: t.Mapping[str, str], asked: set[str]) -> Rows:
    if positions.witness is None:
        return []
    tells = set(scope) <= set(positions.witness.fields)
    rows = _numbered(run.rows(positions.witness, scope if tells else None))
    return [row for row in rows if row["quantity"] and (tells or row["id"] in asked)]


def _numbered(rows: Rows) -> Rows:
    return [{**row, "quantity": _number(row.get("quantity"))} for row in rows]


def _number(value: t.Any) -> float:
    """Return a quantity; what is no number counts as held, for it cannot be shown to be zero."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _market_closed(run: Run) -> str:
    """Say that the market is closed and until when, or return an empty text."""
    market = run.site.profile.capabilities.market
    if market is None:
        return ""
    reading = run.site.read(market, run.deadline)
    if reading.value in ("open", True):
        return ""
    return "the market is closed" if reading.known else f"whether the market is open cannot be read ({reading.problem})"


def _guard(run: Run, found: Rows, max_positions: int | None, max_quantity: float | None) -> None:
    if max_positions is not None and len(found) > max_positions:
        raise InputError(f"{run.site.name}: {len(found)} positions are held, limits.max_positions is {max_positions}; nothing was sent.")
    for row in found:
        if max_quantity is not None and not abs(row["quantity"]) <= max_quantity:
            raise InputError(
                f"{run.site.name}: the position {row['id']} is {row['quantity']}, limits.max_quantity is {max_quantity}; "
                "nothing was sent."
            )


def _object(row: dict[str, t.Any], after: float, result: str, why: str) -> Object:
    return Object(row["id"], "position", row["quantity"], after, result, why)
