# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alpaca: the parts of the trading API v2 that concern stopping, with the shapes and statuses of its OpenAPI document.

What makes it special: a 207 lists what was asked for, not what happened; a cancelled order stays ``pending_cancel`` for
a while (setting ``cancel_lag``, s) and holds its shares so long; closing a position whose shares are held is refused
with 403; closing orders wait while the market is closed. Whether a suspended account may close positions is not
documented: the setting ``suspended_may_close`` has it either way. ``account`` holds what Alpaca itself may set.
"""

from __future__ import annotations

import datetime as dt
import typing as t
import uuid

from .base import Call, Headers, Platform, Refusal, Reply, Route, Row

WORDS = {"open": "new", "filled": "filled", "cancelled": "canceled", "rejected": "rejected"}
LISTED = {
    "open": "(status = 'open' OR pending)",
    "closed": "(status IN ('filled', 'cancelled', 'rejected') AND NOT pending)",
    "all": "status <> 'reopening'",
}
CONFIGURATIONS: t.Mapping[str, t.Any] = {
    "disable_overnight_trading": False,
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "max_options_trading_level": 2,
    "no_shorting": False,
    "ptp_no_exception_entry": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
}
# Fields of an order that this simulator never fills, and of a position whose price never moves.
NEVER = (
    *("expired_at", "failed_at", "replaced_at", "replaced_by", "replaces", "notional"),
    *("stop_price", "legs", "trail_percent", "trail_price", "hwm"),
)
UNMOVED = ("unrealized_pl", "unrealized_plpc", "unrealized_intraday_pl", "unrealized_intraday_plpc", "change_today")
_ORDERS = """
SELECT * FROM (
    SELECT id, symbol, side, quantity::float8 AS quantity, price::float8 AS price, type, status, strategy, placed_at,
        updated_at, status = 'cancelled' AND updated_at > now() - $1::float8 * interval '1 second' AS pending
    FROM orders
) AS o WHERE {where} ORDER BY placed_at {direction}, id LIMIT {limit}
"""


def identity(name: object) -> str:
    """A UUID that is always the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(name)))


def decimal(value: float) -> str:
    """A number as Alpaca writes it: a text without needless zeros."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def error(refusal: Refusal) -> t.Any:
    return {"code": refusal.status * 100_000 + 10_000, "message": refusal.message, **refusal.extra}


# -- account -----------------------------------------------------------------------------------------------------------


async def account(call: Call) -> t.Any:
    values = await call.engine.settings()
    held = sum(abs(row["quantity"]) * row["price"] for row in await call.engine.positions())
    equity = 250_000 + values["daily_pnl"]
    return {
        "id": identity("account"),
        "account_number": "PA3LAB000001",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": decimal(equity - held),
        "equity": decimal(equity),
        "last_equity": "250000",
        "portfolio_value": decimal(equity),
        "buying_power": decimal(4 * equity - held),
        "regt_buying_power": decimal(2 * equity - held),
        "initial_margin": decimal(held / 2),
        "maintenance_margin": decimal(held * 0.3),
        "multiplier": "4",
        "shorting_enabled": True,
        "trade_suspended_by_user": await call.engine.state() == "halted",
        "transfers_blocked": False,
        "created_at": "2024-01-02T15:00:00.000000Z",
        **values["account"],
    }


async def configurations(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {**values["configurations"], "suspend_trade": await call.engine.state() == "halted"}


async def configure(call: Call) -> t.Any:
    values = await call.engine.settings()
    for key, value in call.body.items():
        if key not in CONFIGURATIONS or type(value) is not type(CONFIGURATIONS[key]):
            raise Refusal(422, "unprocessable", f"{key} cannot be {value!r}")
    changed = {key: value for key, value in call.body.items() if key != "suspend_trade"}
    if changed:
        await call.engine.put(configurations={**values["configurations"], **changed})
    if "suspend_trade" in call.body:
        await call.engine.set_state("halted" if call.body["suspend_trade"] else "active")
    return await configurations(call)


async def history(call: Call) -> t.Any:
    gain = (await call.engine.settings())["daily_pnl"]
    return {
        "timestamp": [int((await call.engine.time()).timestamp())],
        "equity": [250_000 + gain],
        "profit_loss": [gain],
        "profit_loss_pct": [gain / 250_000],
        "base_value": 250_000,
        "timeframe": call.query.get("timeframe", "1D"),
    }


async def clock(call: Call) -> t.Any:
    seen = await call.engine.clock()
    now = await call.engine.time()
    return {
        "timestamp": seen["now"],
        "is_open": seen["open"],
        "next_open": seen["next_open"] or now + dt.timedelta(hours=18),
        "next_close": now + dt.timedelta(hours=4 if seen["open"] else 10),
    }


# -- orders ------------------------------------------------------------------------------------------------------------


async def _fetch(call: Call, where: str, *values: t.Any, direction: str = "desc", limit: int = 500) -> list[Row]:
    lag = (await call.engine.settings())["cancel_lag"]
    query = _ORDERS.format(where=where, direction=direction, limit=limit)
    return [dict(row) for row in await call.engine.db.fetch(query, lag, *values)]


async def _order(call: Call, row: Row) -> dict[str, t.Any]:
    status = "pending_cancel" if row["pending"] else WORDS[row["status"]]
    if row["status"] == "open" and row["type"] == "market" and not await call.engine.market_open():
        status = "accepted"
    done = {word: row["updated_at"] if status == word else None for word in ("filled", "canceled")}
    return {
        "id": row["id"],
        "client_order_id": f"{row['strategy']}-{row['id'][:8]}",
        "created_at": row["placed_at"],
        "updated_at": row["updated_at"],
        "submitted_at": row["placed_at"],
        "filled_at": done["filled"],
        "canceled_at": done["canceled"],
        "asset_id": identity(row["symbol"]),
        "symbol": row["symbol"],
        "asset_class": "us_equity",
        "qty": decimal(row["quantity"]),
        "filled_qty": decimal(row["quantity"]) if status == "filled" else "0",
        "filled_avg_price": decimal(row["price"]) if status == "filled" else None,
        "order_class": "simple",
        "order_type": row["type"],
        "type": row["type"],
        "side": row["side"],
        "time_in_force": "day" if row["type"] == "market" else "gtc",
        "limit_price": decimal(row["price"]) if row["type"] == "limit" else None,
        "status": status,
        "extended_hours": False,
        **dict.fromkeys(NEVER),
    }


async def orders(call: Call) -> t.Any:
    status, direction = call.query.get("status", "open"), call.query.get("direction", "desc")
    if status not in LISTED or direction not in ("asc", "desc"):
        raise Refusal(422, "unprocessable", f"invalid status {status!r} or direction {direction!r}")
    conditions: list[str] = [LISTED[status]]
    values: list[t.Any] = []
    for key, operator in (("after", ">"), ("until", "<")):
        if key in call.query:
            values.append(_moment(key, call.query[key]))
            conditions.append(f"placed_at {operator} ${len(values) + 1}")
    if call.query.get("symbols"):
        values.append(call.query["symbols"].split(","))
        conditions.append(f"symbol = ANY(${len(values) + 1})")
    limit = call.query.get("limit", "50")
    if not limit.isdecimal() or not 1 <= int(limit) <= 500:
        raise Refusal(422, "unprocessable", "limit must be between 1 and 500")
    rows = await _fetch(call, " AND ".join(conditions), *values, direction=direction, limit=int(limit))
    return [await _order(call, row) for row in rows]


def _moment(key: str, given: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(given)
    except ValueError:
        raise Refusal(422, "unprocessable", f"{key} is not a time: {given!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


async def order(call: Call) -> t.Any:
    rows = await _fetch(call, "id = $2", call.path["id"])
    if not rows:
        raise Refusal(404, "not_found", f"order not found for {call.path['id']}")
    return await _order(call, rows[0])


async def cancel_all(call: Call) -> t.Any:
    results = await call.engine.cancel_orders()
    return Reply([{"id": row["id"], "status": 200 if row["ok"] else 500} for row in results], 207)


async def cancel_one(call: Call) -> t.Any:
    result = await call.engine.cancel_order(call.path["id"])
    if result is None:
        raise Refusal(404, "not_found", f"order not found for {call.path['id']}")
    if not result["ok"]:
        raise Refusal(422, "not_cancelable", f"order is not cancelable: {result['why']}")
    return Reply(status=204)


# -- positions ---------------------------------------------------------------------------------------------------------


async def _holding(call: Call) -> dict[tuple[str, str], list[Row]]:
    """What works or is being cancelled, by symbol and side: those orders hold shares."""
    holding: dict[tuple[str, str], list[Row]] = {}
    for row in await _fetch(call, LISTED["open"]):
        holding.setdefault((row["symbol"], row["side"]), []).append(row)
    return holding


def _held(row: Row, holding: t.Mapping[tuple[str, str], list[Row]]) -> list[Row]:
    return holding.get((row["symbol"], "sell" if row["quantity"] > 0 else "buy"), [])


async def positions(call: Call) -> t.Any:
    holding = await _holding(call)
    return [_position(row, _held(row, holding)) for row in await call.engine.positions()]


async def position(call: Call) -> t.Any:
    row = await _find(call)
    return _position(row, _held(row, await _holding(call)))


async def _find(call: Call) -> Row:
    for row in await call.engine.positions({"symbol": call.path["symbol"]}):
        return row
    raise Refusal(404, "not_found", "position does not exist")


def _position(row: Row, related: list[Row]) -> dict[str, t.Any]:
    quantity, price = row["quantity"], row["price"]
    free = max(0.0, abs(quantity) - sum(order["quantity"] for order in related))
    return {
        "asset_id": identity(row["symbol"]),
        "symbol": row["symbol"],
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "avg_entry_price": decimal(price),
        "qty": decimal(quantity),
        "qty_available": decimal(free if quantity > 0 else -free),
        "side": "long" if quantity > 0 else "short",
        "market_value": decimal(quantity * price),
        "cost_basis": decimal(quantity * price),
        "current_price": decimal(price),
        "lastday_price": decimal(price),
        **dict.fromkeys(UNMOVED, "0"),
    }


async def _close(call: Call, row: Row, related: list[Row]) -> dict[str, t.Any]:
    """Place the order that closes one position. Raises Refusal before anything is done."""
    values = await call.engine.settings()
    if await call.engine.state() == "halted" and not values["suspended_may_close"]:
        raise Refusal(403, "forbidden", "new orders are rejected by user request")
    if related:
        wanted, held = abs(row["quantity"]), sum(order["quantity"] for order in related)
        free = max(0.0, wanted - held)
        raise Refusal(
            403,
            "forbidden",
            f"insufficient qty available for order (requested: {decimal(wanted)}, available: {decimal(free)})",
            symbol=row["symbol"],
            existing_qty=decimal(wanted),
            available=decimal(free),
            held_for_orders=decimal(min(held, wanted)),
            related_orders=[order["id"] for order in related],
        )
    result = (await call.engine.close_positions({"symbol": row["symbol"]}))[0]
    return await _order(call, (await _fetch(call, "id = $2", result["id"]))[0])


async def close_all(call: Call) -> t.Any:
    holding: dict[tuple[str, str], list[Row]] = {}
    if call.query.get("cancel_orders") == "true":
        await call.engine.cancel_orders()
    else:
        holding = await _holding(call)
    results = []
    for row in await call.engine.positions():
        try:
            status, body = 200, await _close(call, row, _held(row, holding))
        except Refusal as refusal:
            status, body = refusal.status, error(refusal)
        results.append({"symbol": row["symbol"], "status": status, "body": body})
    return Reply(results, 207)


async def close_one(call: Call) -> t.Any:
    row = await _find(call)
    return await _close(call, row, _held(row, await _holding(call)))


PLATFORM = Platform(
    name="alpaca",
    services={"api": "/v2"},
    auth={"operator": Headers({"APCA-API-KEY-ID": "key_id", "APCA-API-SECRET-KEY": "secret_key"}, denied=401)},
    symbols={"AAPL": 231, "MSFT": 428, "NVDA": 142, "SPY": 588, "TSLA": 339},
    accounts=("PA3LAB000001",),
    venues=("NASDAQ",),
    settings={
        "account": {"status": "ACTIVE", "trading_blocked": False, "account_blocked": False},
        "configurations": dict(CONFIGURATIONS),
        "cancel_lag": 0.15,
        "suspended_may_close": True,
    },
    error=error,
    order_id=identity,
    routes=[
        Route("GET", "/account", account),
        Route("GET", "/account/configurations", configurations),
        Route("PATCH", "/account/configurations", configure, writes=True),
        Route("GET", "/account/portfolio/history", history),
        Route("GET", "/clock", clock),
        Route("GET", "/orders", orders),
        Route("DELETE", "/orders", cancel_all, writes=True),
        Route("GET", "/orders/{id}", order),
        Route("DELETE", "/orders/{id}", cancel_one, writes=True),
        Route("GET", "/positions", positions),
        Route("DELETE", "/positions", close_all, writes=True),
        Route("GET", "/positions/{symbol}", position),
        Route("DELETE", "/positions/{symbol}", close_one, writes=True),
    ],
)
