# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Cancel open orders, and tell for every single one what became of it."""

from __future__ import annotations

import typing as t

from ..._common.errors import CallError, InputError, Refused, Unsupported
from ..._common.outcome import Object, Outcome, tally
from ..._common.waiter import wait_until
from ..profile import Action, Orders
from ..site import Ack
from ..states import UNKNOWN
from .run import Part, Run, check_scope

# Seconds after which an order that was refused and is still open is believed to stay open.
_REFUSAL_STANDS = 2.0


def ensure_no_open_orders(
    run: Run, *, scope: t.Mapping[str, str], everything: bool, expected_count: int | None
) -> Outcome:
    """No order of the scope is open. ``expected_count``: refuse when another number of orders is in the scope."""
    orders: Orders = run.site.require("orders")
    check_requests(run, orders)
    scope = check_scope(run, scope, everything, orders.list)
    found = run.rows(orders.list, scope)
    if expected_count is not None and len(found) != expected_count:
        raise InputError(
            f"{run.site.name}: {len(found)} open orders are in the scope, {expected_count} were expected; nothing was sent."
        )
    part = cancel(run, scope, found)
    wanted = "no open order" + "".join(f", {key} {value}" for key, value in scope.items())
    return run.outcome(
        "orders",
        wanted,
        before={"open_orders": len(found)},
        after={"open_orders": 0 if run.gate.check_mode else part.left},
        objects=part.objects,
        problem=part.problem,
        refused=part.refused,
    )


def check_requests(run: Run, orders: Orders) -> None:
    """Refuse, before any call, what the site lacks to list and cancel orders."""
    actions = [action.request for action in (orders.cancel_all, orders.cancel_one) if action]
    listings = [listing.request for listing in (orders.list, orders.witness) if listing]
    run.site.check(*actions, *listings, orders.lookup.request if orders.lookup else None)


def cancel(run: Run, scope: t.Mapping[str, str], found: list[dict[str, t.Any]]) -> Part:
    """Cancel the orders ``found`` in the scope and read back, from the platform and its witness, that none is open."""
    orders: Orders = run.site.require("orders")
    if not found and not _witnessed(run, orders, scope, set()):
        return Part()
    told: dict[str, str] = {}
    if found:
        told = _send(run, orders, scope, found)
    refusals = {key: why for key, why in told.items() if why}
    if run.gate.check_mode:
        return Part([Object(row["id"], "order", "open", "open", "would be cancelled") for row in found], left=len(found))
    asked = {row["id"] for row in found}
    try:
        left = _wait(run, lambda: _open(run, orders, scope, asked), refusals)
    except CallError as exc:
        return Part(left=len(found), problem=f"the open orders cannot be read back: {exc}")
    objects = [_fate(run, orders, row, left, told) for row in found]
    objects += [Object(key, "order", "not known", "open", "not cancelled", why) for key, why in left.items() if key not in asked]
    if not left:
        return Part(objects)
    what = f"{len(left)} orders are still open ({tally(objects)})"
    return Part(objects, left=len(left), problem=what, refused=set(left) <= set(refusals))


def _wait(run: Run, look: t.Callable[[], dict[str, str]], refusals: dict[str, str]) -> dict[str, str]:
    """Look until nothing is open, or only what was refused and stays so for a while."""
    budget = run.part_budget()

    def settled(left: dict[str, str]) -> bool:
        return not left or (set(left) <= set(refusals) and budget.elapsed > _REFUSAL_STANDS)

    return wait_until(look, settled, budget)[1]


def _send(run: Run, orders: Orders, scope: t.Mapping[str, str], found: list[dict[str, t.Any]]) -> dict[str, str]:
    """Send the cancels; return what the platform said of single orders: its reason to refuse, or an empty text."""

    def landed() -> bool:
        ids = {row["id"] for row in found}
        return not any(row["id"] in ids for row in run.rows(orders.list, scope))

    everywhere = orders.cancel_all
    if everywhere and set(scope) <= set(everywhere.scopes):
        why = f"cancel {len(found)} open orders" + "".join(f" of {key} {value}" for key, value in scope.items())
        run.require_state(everywhere, "cancel orders")
        ack = run.act(everywhere, "cancel orders", why, dict(scope), landed)
        return {item["id"]: "" if item["ok"] else item["why"] or "refused" for item in ack.items} if ack else {}
    if orders.cancel_one is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can only cancel all orders, not those of "
            f"{', '.join(scope)}; a wider cancel is not sent in its place. Nothing was sent."
        )
    run.require_state(orders.cancel_one, "cancel orders")
    refused = {row["id"]: _cancel_one(run, orders.cancel_one, row, scope) for row in found}
    return {key: why for key, why in refused.items() if why}


def _cancel_one(run: Run, action: Action, row: dict[str, t.Any], scope: t.Mapping[str, str]) -> str:
    orders: Orders = run.site.require("orders")

    def landed() -> bool:
        return all(other["id"] != row["id"] for other in run.rows(orders.list, scope))

    try:
        ack: Ack | None = run.act(action, "cancel order", f"order {row['id']}", row, landed)
    except Refused as exc:
        return str(exc)
    return next((item["why"] or "refused" for item in ack.items if not item["ok"]), "") if ack else ""


def _open(run: Run, orders: Orders, scope: t.Mapping[str, str], asked: set[str]) -> dict[str, str]:
    """Return what is still open: id -> where it is seen."""
    left = {row["id"]: "the platform lists it as open" for row in run.rows(orders.list, scope)}
    for key in _witnessed(run, orders, scope, asked):
        left.setdefault(key, "the venue lists it as open")
    return left


def _witnessed(run: Run, orders: Orders, scope: t.Mapping[str, str], asked: set[str]) -> list[str]:
    """Return the orders of the scope that the venue lists as open; only known ids when it cannot tell the scope."""
    if orders.witness is None:
        return []
    if set(scope) <= set(orders.witness.fields):
        return [row["id"] for row in run.rows(orders.witness, scope)]
    return [row["id"] for row in run.rows(orders.witness) if row["id"] in asked]


def _fate(run: Run, orders: Orders, row: dict[str, t.Any], left: dict[str, str], told: dict[str, str]) -> Object:
    """Tell what became of one order; one that only vanished may as well have been filled."""
    identity = row["id"]
    if identity in left:
        return Object(identity, "order", "open", "open", "not cancelled", told.get(identity) or left[identity])
    if told.get(identity) == "":
        return Object(identity, "order", "open", "not open", "cancelled")
    final = run.site.look_up(orders.lookup, identity, run.deadline) if orders.lookup else UNKNOWN
    if final == "cancelled":
        return Object(identity, "order", "open", "cancelled", "cancelled")
    if final != UNKNOWN:
        return Object(identity, "order", "open", final, "refused", f"already {final}")
    why = told.get(identity) or "the platform does not say whether it was cancelled or filled"
    return Object(identity, "order", "open", "not open", "gone", why)
