# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the venue does: executes market orders, reports fills, brings orders back, lets the dead-man switch act."""

from __future__ import annotations

import typing as t

from .engine import Engine
from .orders import Row

_FILL_COLUMNS = "order_id, symbol, side, quantity::float8 AS quantity, price::float8 AS price, account, reduce_only"
_MOVE = """
INSERT INTO {table} (symbol, quantity, price, account) VALUES ($1, $2::numeric, $3::numeric, $4)
ON CONFLICT (symbol) DO UPDATE SET quantity = {table}.quantity + excluded.quantity
"""
_BACK = """
WITH back AS (
    UPDATE orders SET status = 'open', placed_at = now(), updated_at = now(), due_at = NULL
    WHERE status = 'reopening' AND due_at <= now() RETURNING *
), venue AS (
    INSERT INTO venue_orders (id, order_id, symbol, side, quantity, price, type, status, account, venue, reduce_only)
    SELECT 'V' || id, id, symbol, side, quantity, price, type, 'open', account, venue, reduce_only FROM back
), counted AS (
    UPDATE settings SET value = to_jsonb(value::bigint + (SELECT count(*) FROM back)) WHERE key = 'orders_accepted'
)
INSERT INTO audit (actor, action, object, detail)
SELECT 'venue', 'order_accepted', id, jsonb_build_object('symbol', symbol, 'side', side, 'quantity', quantity) FROM back
"""
_DUE = """
SELECT extract(epoch FROM least(
    (SELECT min(due_at) FROM venue_orders WHERE type <> 'market' OR status = 'filled' OR $1),
    (SELECT min(due_at) FROM orders WHERE status = 'reopening')) - now())::float8
"""


async def work(engine: Engine) -> float | None:
    """Do what is due. Returns the seconds until something is due again, or None when nothing is scheduled."""
    open_ = await engine.market_open()
    due = await engine.db.fetchval(_DUE, open_)
    if due is not None and due <= 0:
        if open_:
            await _execute_market_orders(engine)
        await _learn_fills(engine)
        await engine.db.execute(_BACK)
        due = await engine.db.fetchval(_DUE, open_)
    left = await _dead_man(engine)
    if (await engine.settings())["when_flat"]:
        await _when_flat(engine)
    return min((wait for wait in (due, left) if wait is not None), default=None)


async def fill(engine: Engine, order: Row) -> None:
    """Fill a working order at the venue. The book learns of it ``fill_lag`` seconds later.

    A reduce-only order fills at most what reduces the position; one that reduces nothing is cancelled by the venue.
    """
    sign = 1 if order["side"] == "buy" else -1
    quantity = order["quantity"]
    if order["reduce_only"]:
        held = await engine.db.fetchval(
            "SELECT quantity::float8 FROM venue_positions WHERE symbol = $1", order["symbol"]
        )
        quantity = min(quantity, abs(held)) if held and held * sign < 0 else 0.0
    if not quantity:
        await engine.db.execute("DELETE FROM venue_orders WHERE order_id = $1", order["order_id"])
        await engine.db.execute(
            "UPDATE orders SET status = 'cancelled', updated_at = now() WHERE id = $1", order["order_id"]
        )
        await engine.audit("order_cancelled", order["order_id"], why="it would not reduce a position")
        return
    await _move(engine, "venue_positions", order, quantity)
    await engine.db.execute(
        "UPDATE venue_orders SET status = 'filled', quantity = $2::float8::numeric,"
        " due_at = now() + $3 * interval '1 second' WHERE order_id = $1",
        order["order_id"],
        quantity,
        float((await engine.settings())["fill_lag"]),
    )


async def _execute_market_orders(engine: Engine) -> None:
    rows = await engine.db.fetch(
        f"SELECT {_FILL_COLUMNS} FROM venue_orders"
        " WHERE type = 'market' AND status = 'open' AND due_at <= now() ORDER BY due_at"
    )
    for row in rows:
        await fill(engine, dict(row))


async def _learn_fills(engine: Engine) -> None:
    rows = await engine.db.fetch(
        f"DELETE FROM venue_orders WHERE status = 'filled' AND due_at <= now() RETURNING {_FILL_COLUMNS}"
    )
    for row in rows:
        order = dict(row)
        await _move(engine, "positions", order, order["quantity"])
        await engine.db.execute(
            "UPDATE orders SET status = 'filled', updated_at = now() WHERE id = $1", order["order_id"]
        )
        await engine.db.execute(
            "INSERT INTO trades (order_id, symbol, side, quantity, price)"
            " VALUES ($1, $2, $3, $4::float8::numeric, $5::float8::numeric)",
            *(order[key] for key in ("order_id", "symbol", "side", "quantity", "price")),
        )
        await engine.audit("order_filled", order["order_id"], symbol=order["symbol"], quantity=order["quantity"])


async def _move(engine: Engine, table: str, order: Row, quantity: float) -> None:
    signed = quantity if order["side"] == "buy" else -quantity
    await engine.db.execute(
        _MOVE.format(table=table), order["symbol"], str(signed), str(order["price"]), order["account"]
    )
    await engine.db.execute(f"DELETE FROM {table} WHERE quantity = 0")


async def _dead_man(engine: Engine) -> float | None:
    left = await engine.dead_man()
    if left is None or left > 0:
        return left
    results = await engine.cancel_orders(reason="the dead-man switch ran out")
    await engine.put(dead_man_switch=None)
    await engine.audit("dead_man_switch", "fired", cancelled=sum(1 for row in results if row["ok"]))
    return None


async def _when_flat(engine: Engine) -> None:
    if not await engine.positions() and not await engine.venue_positions():
        state: t.Any = (await engine.settings())["when_flat"]
        await engine.set_state(state, "no position is left")
