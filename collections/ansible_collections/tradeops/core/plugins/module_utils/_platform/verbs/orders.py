# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Cancel open orders, and tell for every single one what became of it."""

from __future__ import annotations

import typing as t

from ..._common.errors import CallError, InputError, Unsupported
from ..._common.outcome import Object, Outcome
from ..._common.waiter import Deadline, wait_until
from ..profile import Action, Orders
from ..site import Rows
from ..states import UNKNOWN
from .run import Part, Run, Told, check_scope

Scope = t.Mapping[str, str]

_AT_THE_PLATFORM = "the platform lists it as open"
# Seconds after which an order that nobody will cancel any more, and that is still open, is believed to stay open.
_STANDS = 2.0
# How many orders are looked up one by one to learn how they ended, when the platform does not say it by itself.
_LOOKUPS = 50


def ensure_no_open_orders(
    run: Run, *, scope: t.Mapping[str, t.Any], everything: bool, expected_count: int | None
) -> Outcome:
    """No order of the scope is open. ``expected_count``: refuse when another number of orders is in the scope."""
    orders: Orders = run.site.require("orders")
    check_requests(run, orders)
    scope = check_scope(run, scope, everything, orders.list)
    found = listed(run, orders, scope)
    if expected_count is not None and len(found) != expected_count:
        raise InputError(
            f"{run.site.name}: {len(found)} open orders are in the scope, {expected_count} were expected. "
            "Nothing was sent."
        )
    if found:
        run.require_state(needed(run, orders, scope), "cancel orders")
    part = cancel(run, scope, found, run.part_budget())
    return run.outcome(
        "orders",
        "no open order" + "".join(f", {key} {value}" for key, value in scope.items()),
        before={"open_orders": len(found)},
        after={"open_orders": 0 if run.gate.check_mode and not part.problem else part.left},
        objects=part.objects,
        problem=part.problem,
        refused=part.refused,
        error=part.error,
    )


def check_requests(run: Run, orders: Orders) -> None:
    """Refuse, before any call, what the site lacks to list and cancel orders."""
    actions = [action.request for action in (orders.cancel_all, orders.cancel_one) if action]
    listings = [listing.request for listing in (orders.list, orders.witness) if listing]
    run.site.check(*actions, *listings, orders.lookup.request if orders.lookup else None)


def chosen(orders: Orders, scope: Scope) -> Action | None:
    """Return the action that cancels the orders of the scope and no others, or None when the platform has none."""
    everywhere = orders.cancel_all
    return everywhere if everywhere and set(scope) <= set(everywhere.scopes) else orders.cancel_one


def needed(run: Run, orders: Orders, scope: Scope) -> Action:
    """Return the action that serves the scope. Raises Unsupported: a wider one is never sent in its place."""
    action = chosen(orders, scope)
    if not orders.can:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} lists its orders and has no way to cancel them "
            f"(profile {run.site.profile.name}); nothing was sent."
        )
    if action is None:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} can only cancel all orders, not those of "
            f"{', '.join(scope)}; a wider cancel is not sent in its place. Nothing was sent."
        )
    return action


def listed(run: Run, orders: Orders, scope: Scope) -> Rows:
    """Return the open orders that the platform lists in the scope, one row for each. Raises CallError."""
    return list({row["id"]: row for row in run.rows(orders.list, scope)}.values())


def still_open(run: Run, scope: Scope, asked: t.Collection[str]) -> dict[str, str]:
    """Return what is open in the scope at the platform or at the venue: id -> who lists it. Raises CallError.

    A venue that does not tell the keys of the scope is only asked about the orders ``asked``.
    """
    orders: Orders = run.site.require("orders")
    left = dict.fromkeys((row["id"] for row in run.rows(orders.list, scope)), _AT_THE_PLATFORM)
    if orders.witness is not None:
        tells = set(scope) <= set(orders.witness.fields)
        for row in run.rows(orders.witness, scope if tells else None):
            if tells or row["id"] in asked:
                left.setdefault(row["id"], "the venue lists it as open")
    return left


def cancel(run: Run, scope: Scope, found: Rows | None, budget: Deadline) -> Part:
    """Cancel the orders ``found`` in the scope and read back, from the platform and its witness, that none is open.

    None for ``found``: they could not be listed. Then all of the scope are cancelled unseen, where the platform can.
    ``budget``: for how long orders are awaited that are still open.
    """
    orders: Orders = run.site.require("orders")
    rows, asked = found or [], {row["id"] for row in found or []}
    told = Told()
    if found is None or found:
        told = _send(run, orders, scope, found)
    if run.gate.check_mode and rows:
        return Part([Object(row["id"], "order", "open", "open", "would be cancelled") for row in rows], left=len(rows))
    try:
        left = _wait(run, scope, asked, told, budget)
    except CallError as exc:
        objects = [
            Object(row["id"], "order", "open", UNKNOWN, "unproven", told.refusals.get(row["id"], "")) for row in rows
        ]
        return Part(objects, len(rows), f"the open orders cannot be read back: {exc}", error=told.error or exc)
    objects = [
        Object(key, "order", UNKNOWN, "open", "not cancelled", why) for key, why in left.items() if key not in asked
    ]
    objects = _fates(run, orders, rows, left, told) + objects
    if not left:
        return Part(objects)
    entered = sum(1 for key, who in left.items() if key not in asked and who == _AT_THE_PLATFORM)
    counts = (
        (left.keys() & asked, f"of {len(rows)} are still open"),
        (left.keys() - asked, "are open that were not listed"),
    )
    what = "orders: " + ", ".join(f"{len(some)} {text}" for some, text in counts if some)
    what += told.why(left)
    return Part(objects, len(left), what, told.refused(left), told.error, entered)


def _wait(run: Run, scope: Scope, asked: set[str], told: Told, budget: Deadline) -> dict[str, str]:
    """Look until nothing is open, or nothing else is to be expected for what is."""
    began = budget.elapsed

    def settled(left: dict[str, str]) -> bool:
        waiting = left.keys() & (asked - told.refusals.keys())
        entered = any(who == _AT_THE_PLATFORM and key not in asked for key, who in left.items())
        # New orders do not go away by waiting: the caller cancels them too, or says that trading goes on.
        hopeless = told.error is not None or not waiting
        return not left or (hopeless and (entered or budget.elapsed - began > _STANDS))

    return wait_until(lambda: still_open(run, scope, asked), settled, budget)[1]


def _send(run: Run, orders: Orders, scope: Scope, found: Rows | None) -> Told:
    action = needed(run, orders, scope)

    def gone(ids: set[str]) -> bool:
        return found is not None and not any(row["id"] in ids for row in run.rows(orders.list, scope))

    if action is orders.cancel_all:
        why = f"cancel {'all' if found is None else len(found)} open orders"
        why += "".join(f" of {key} {value}" for key, value in scope.items())
        ids = {row["id"] for row in found or []}
        return run.tell_all(action, "cancel orders", why, dict(scope), lambda: gone(ids))
    return run.tell_each(found or [], action, "cancel order", lambda row: f"order {row['id']}", lambda key: gone({key}))


def _fates(run: Run, orders: Orders, rows: Rows, left: dict[str, str], told: Told) -> list[Object]:
    objects, lookups = [], 0
    for row in rows:
        key = row["id"]
        if key in left:
            objects.append(Object(key, "order", "open", "open", "not cancelled", told.refusals.get(key) or left[key]))
            continue
        if key in told.accepted:
            objects.append(Object(key, "order", "open", "cancelled", "cancelled"))
            continue
        final = UNKNOWN
        if orders.lookup and lookups < _LOOKUPS and not run.deadline.over:
            lookups += 1
            final = run.site.look_up(orders.lookup, key, run.deadline)
        objects.append(_fate(key, final, told.refusals.get(key, "")))
    return objects


def _fate(key: str, final: str, refusal: str) -> Object:
    """Tell what became of an order that is no longer open and whose cancel was not confirmed."""
    if final == "cancelled":
        return Object(key, "order", "open", "cancelled", "cancelled")
    if final == UNKNOWN:
        why = refusal or "cancelled or filled, the platform does not tell"
        return Object(key, "order", "open", "not open", "refused" if refusal else "gone", why)
    return Object(key, "order", "open", final, "refused" if refusal else "gone", f"already {final}")
