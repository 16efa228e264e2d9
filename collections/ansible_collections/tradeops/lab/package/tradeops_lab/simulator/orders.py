# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders and positions of one site: the platform's book and the venue behind it."""

from __future__ import annotations

import json
import typing as t

import asyncpg

from .chance import DICE
from .faults import Fault, Seen

if t.TYPE_CHECKING:
    from .site import Site

Row = dict[str, t.Any]
Where = t.Mapping[str, str]
ACKNOWLEDGED = 0.8  # s that the venue takes to acknowledge an order
FILTERS = ("account", "venue", "strategy", "symbol", "owner", "side", "status")

_ORDER = """id, symbol, side, quantity::float8 AS quantity, price::float8 AS price, type, status, account, venue,
    strategy, owner, reduce_only, placed_at, updated_at"""
_POSITION = "symbol, quantity::float8 AS quantity, price::float8 AS price, account"
_PLACE = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS o(id text, symbol text, side text, quantity numeric, price numeric,
        type text, account text, venue text, strategy text, owner text, reduce_only boolean, delay float8)
), book AS (
    INSERT INTO orders (id, symbol, side, quantity, price, type, status, account, venue, strategy, owner, reduce_only)
    SELECT id, symbol, side, quantity, price, type, 'open', account, venue, strategy, owner, reduce_only FROM given
), venue AS (
    INSERT INTO venue_orders
        (id, order_id, symbol, side, quantity, price, type, status, account, venue, reduce_only, due_at)
    SELECT 'V' || id, id, symbol, side, quantity, price, type, 'open', account, venue, reduce_only,
        now() + delay * interval '1 second' FROM given
), counted AS (
    UPDATE settings SET value = to_jsonb(value::bigint + $2) WHERE key = 'orders_accepted'
)
INSERT INTO audit (actor, action, object, detail)
SELECT $3, 'order_accepted', id, jsonb_build_object('symbol', symbol, 'side', side, 'quantity', quantity) FROM given
"""
_CANDIDATES = """
SELECT o.id, o.symbol, o.status, v.status AS at_venue FROM orders o LEFT JOIN venue_orders v ON v.order_id = o.id
"""


class Book:
    """Operations on orders and positions.

    ``db`` is a connection, in a transaction when the caller writes; ``actor`` is who the audit names; ``seen`` is the
    request that this is for (None: the market's own work).
    """

    def __init__(self, site: Site, db: asyncpg.Connection, actor: str, seen: Seen | None = None) -> None:
        self.site, self.db, self.actor, self.seen = site, db, actor, seen

    # -- reading -------------------------------------------------------------------------------------------------

    async def orders(self, where: Where | None = None, limit: int | None = None) -> list[Row]:
        """Orders by ``where`` (keys of FILTERS; status defaults to open, ``all`` is no filter), oldest first."""
        condition, values = _condition({"status": "open", **(where or {})})
        query = f"SELECT {_ORDER} FROM orders {condition} ORDER BY placed_at, id"
        return _rows(await self.db.fetch(f"{query} LIMIT {limit}" if limit else query, *values))

    async def count_orders(self, where: Where | None = None) -> int:
        condition, values = _condition({"status": "open", **(where or {})})
        return int(await self.db.fetchval(f"SELECT count(*) FROM orders {condition}", *values))

    async def order(self, order_id: str) -> Row | None:
        row = await self.db.fetchrow(f"SELECT {_ORDER} FROM orders WHERE id = $1", order_id)
        return dict(row) if row else None

    async def positions(self, where: Where | None = None) -> list[Row]:
        """The positions of the book (``where``: symbol, account); a position of zero does not exist."""
        condition, values = _condition(
            {key: (where or {})[key] for key in ("symbol", "account") if key in (where or {})}
        )
        return _rows(await self.db.fetch(f"SELECT {_POSITION} FROM positions {condition} ORDER BY symbol", *values))

    async def trades(self, limit: int = 50) -> list[Row]:
        """The last trades, newest first: id, at, order_id, symbol, side, quantity, price."""
        return _rows(
            await self.db.fetch(
                'SELECT id, "timestamp" AS at, order_id, symbol, side, quantity::float8 AS quantity,'
                f" price::float8 AS price FROM trades ORDER BY id DESC LIMIT {limit}"
            )
        )

    async def venue_orders(self) -> list[Row]:
        """What works at the venue: id (the venue's), order_id (the platform's), symbol, side, quantity, price, ..."""
        return _rows(
            await self.db.fetch(
                "SELECT id, order_id, symbol, side, quantity::float8 AS quantity, price::float8 AS price, type, status,"
                " account, venue FROM venue_orders WHERE status = 'open' ORDER BY order_id"
            )
        )

    async def venue_positions(self) -> list[Row]:
        return _rows(await self.db.fetch(f"SELECT {_POSITION} FROM venue_positions ORDER BY symbol"))

    async def in_flight(self) -> int:
        """Orders accepted in the last ACKNOWLEDGED seconds that still work: the venue's word on them is under way."""
        return await self.accepted_within(ACKNOWLEDGED, "open")

    async def accepted_within(self, seconds: float, status: str = "all") -> int:
        """How many orders (of ``status``) were accepted in the last ``seconds``."""
        return int(
            await self.db.fetchval(
                "SELECT count(*) FROM orders"
                " WHERE placed_at > now() - $1 * interval '1 second' AND $2 IN ('all', status)",
                seconds,
                status,
            )
        )

    # -- writing -------------------------------------------------------------------------------------------------

    async def place(self, orders: t.Sequence[Row]) -> None:
        """Accept orders: book, venue, counter, audit. Keys as in the table; ``delay`` (s) only for market orders."""
        await self.db.execute(_PLACE, json.dumps(orders), len(orders), self.actor)

    async def cancel_orders(self, where: Where | None = None, reason: str = "") -> list[Row]:
        """Cancel the open orders that fit ``where``; one result each: id, symbol, ok, status, why."""
        condition, values = _condition({**(where or {}), "status": "open"}, "o.")
        rows = await self.db.fetch(f"{_CANDIDATES} {condition} ORDER BY o.placed_at, o.id", *values)
        return await self._cancel(rows, reason)

    async def cancel_order(self, order_id: str, reason: str = "") -> Row | None:
        """Cancel one order; the result as in ``cancel_orders``, or None when there is no such order."""
        rows = await self.db.fetch(f"{_CANDIDATES} WHERE o.id = $1", order_id)
        return (await self._cancel(rows, reason))[0] if rows else None

    async def _cancel(self, rows: t.Sequence[t.Any], reason: str) -> list[Row]:
        refused = self._refused([row["id"] for row in rows if row["status"] == "open" and row["at_venue"] == "open"])
        results: list[Row] = []
        for row in rows:
            status, why = _cancellable(row["status"], row["at_venue"], row["id"] in refused)
            results.append(
                {"id": row["id"], "symbol": row["symbol"], "ok": not why, "status": status, "why": why or "cancelled"}
            )
        done = [result["id"] for result in results if result["ok"]]
        if done:
            # The venue first: only what it gave up is cancelled in the book.
            await self.db.execute("DELETE FROM venue_orders WHERE order_id = ANY($1)", done)
            await self.db.execute("UPDATE orders SET status = 'cancelled', updated_at = now() WHERE id = ANY($1)", done)
            await self._reopen(done)
        await self.db.execute(
            "INSERT INTO audit (actor, action, object, detail) SELECT $1, r.action, r.id, jsonb_build_object("
            "'reason', $3::text, 'why', r.why) FROM jsonb_to_recordset($2::jsonb) AS r(action text, id text, why text)",
            self.actor,
            json.dumps([{**row, "action": "order_cancelled" if row["ok"] else "cancel_refused"} for row in results]),
            reason,
        )
        return results

    def _refused(self, ids: list[str]) -> set[str]:
        fault = self._fault("refuse_orders")
        if not fault or not ids:
            return set()
        for order_id in ids:
            if len(fault.refused) < fault.ids:
                fault.refused.add(order_id)
        hit = fault.refused.intersection(ids)
        if hit:
            self.site.faults.use(fault, self.seen)
        return hit

    async def _reopen(self, ids: list[str]) -> None:
        fault = self._fault("reopen")
        if not fault:
            return
        self.site.faults.use(fault, self.seen)
        await self.db.executemany(
            "INSERT INTO orders (id, symbol, side, quantity, price, type, status, account, venue, strategy, owner,"
            " reduce_only, due_at) SELECT $2, symbol, side, quantity, price, type, 'reopening', account, venue,"
            " strategy, owner, reduce_only, now() + $3 * interval '1 second' FROM orders WHERE id = $1",
            [(order_id, self.site.next_order_id(), fault.lasts(0.5)) for order_id in ids],
        )

    def _fault(self, kind: str) -> Fault | None:
        # What the strategies do among themselves is not spoiled, only requests are.
        return self.site.faults.find((kind,), self.seen) if self.seen else None

    async def close_positions(
        self, where: Where | None = None, reason: str = "", *, held: bool = False, percentage: float = 100.0
    ) -> list[Row]:
        """Place a reduce-only market order for each position that fits ``where`` (symbol, account).

        One result per position: symbol, ok, id (of the order, or None), quantity, why, held (quantity that open orders
        hold), related (their ids). With ``held`` a position is refused while open orders on its closing side hold any
        of it. The order fills some tens to hundreds of milliseconds later, if the market is open; else it stays queued.
        """
        rows = await self.positions(where)
        holding = await self._holding() if held else {}
        orders: list[Row] = []
        results: list[Row] = []
        for row in rows:
            side = "sell" if row["quantity"] > 0 else "buy"
            quantity = round(abs(row["quantity"]) * percentage / 100, 8)
            related = holding.get((row["symbol"], side), [])
            result = {"symbol": row["symbol"], "ok": not related, "id": None, "quantity": quantity, "why": "submitted"}
            result["held"] = round(sum(order["quantity"] for order in related), 8)
            result["related"] = [order["id"] for order in related]
            if related:
                result["why"] = "insufficient quantity available: held for open orders"
            else:
                order = self.site.draft(row["symbol"], side, quantity, row["price"], account=row["account"])
                order |= {"type": "market", "reduce_only": True, "delay": DICE.uniform(0.05, 0.4)}
                result["id"] = order["id"]
                orders.append(order)
            results.append(result)
        if orders:
            await self.place(orders)
        await self.audit("positions_close", ",".join(row["symbol"] for row in rows), reason=reason)
        return results

    async def _holding(self) -> dict[tuple[str, str], list[Row]]:
        holding: dict[tuple[str, str], list[Row]] = {}
        for order in await self.orders():
            holding.setdefault((order["symbol"], order["side"]), []).append(order)
        return holding

    async def audit(self, action: str, target: str = "", **detail: t.Any) -> None:
        await self.db.execute(
            "INSERT INTO audit (actor, action, object, detail) VALUES ($1, $2, $3, $4::jsonb)",
            self.actor,
            action,
            target,
            json.dumps(detail),
        )


def _cancellable(status: str, at_venue: str | None, refused: bool) -> tuple[str, str]:
    """Return the order's status after the attempt and why it was refused (empty: cancelled)."""
    if status != "open":
        return status, f"already {status}"
    if at_venue == "filled":
        return "filled", "already filled"
    if at_venue is None:
        return "open", "the venue does not know this order"
    return ("open", "the venue refuses to cancel this order") if refused else ("cancelled", "")


def _condition(where: Where, prefix: str = "") -> tuple[str, list[str]]:
    keys = [key for key in where if not (key == "status" and where[key] == "all")]
    unknown = [key for key in keys if key not in FILTERS]
    if unknown:
        raise ValueError(f"orders cannot be filtered by {', '.join(unknown)}")
    parts = [f"{prefix}{key} = ${index}" for index, key in enumerate(keys, start=1)]
    return ("WHERE " + " AND ".join(parts) if parts else ""), [where[key] for key in keys]


def _rows(records: t.Iterable[t.Any]) -> list[Row]:
    return [dict(record) for record in records]
