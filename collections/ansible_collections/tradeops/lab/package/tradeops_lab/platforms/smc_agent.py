# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMC Trading Agent: sign-in with user name and password for 15 minutes, and an emergency token beside it."""

from __future__ import annotations

import typing as t

from ..simulator import auth, sessions
from .base import Bearer, Call, Platform, Refusal, Reply, Route, Row, Session
from .shapes import Fields, listing, number, page, scope, shape, shapes, text, word

PAGE = 25  # orders on one page
STATUS = {"open": "new", "filled": "filled", "cancelled": "canceled", "rejected": "rejected"}

ORDER: Fields = {
    "id": "id",
    "symbol": "symbol",
    "side": "side",
    "quantity": "quantity",
    "price": "price",
    "status": word("status", STATUS),
    "account": "account",
    "exchange": "venue",
    "created_at": "placed_at",
}
EXCHANGE_ORDER: Fields = {"client_order_id": "order_id", "symbol": "symbol", "side": "side", "quantity": "quantity"}
POSITION: Fields = {"symbol": "symbol", "size": "quantity", "entry_price": "price", "account": "account"}
EXCHANGE_POSITION: Fields = {"symbol": "symbol", "quantity": "quantity"}
TRADE: Fields = {"id": "id", "time": "at", "symbol": "symbol", "side": "side", "quantity": "quantity", "price": "price"}
CANCELLED: Fields = {"id": "id", "result": word("ok", {True: "cancelled", False: "failed"}), "error": "why"}
CLOSED: Fields = {
    "symbol": "symbol",
    "result": word("ok", {True: "closing", False: "failed"}),
    "order_id": "id",
    "error": "why",
}
LIMIT: Fields = {"name": "name", "value": "value"}
FILTER = {"symbol": "symbol", "exchange": "venue"}


def error(refusal: Refusal) -> t.Any:
    return {"success": False, "error": {"type": refusal.code, "message": refusal.message}}


# -- signing in --------------------------------------------------------------------------------------------------------


def _tokens(tokens: sessions.Tokens) -> dict[str, t.Any]:
    return {
        "token_type": "bearer",
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "expires_in": tokens.expires_in,
    }


async def login(call: Call) -> t.Any:
    username, password = text(call, "username"), text(call, "password")
    user = await auth.names_of(call.engine.db, [username])
    secret = await auth.names_of(call.engine.db, [password])
    if "username" not in user or "password" not in secret:
        raise Refusal(401, "invalid_credentials", "user name or password is wrong")
    return _tokens(await sessions.sign_in(call.site, username))


async def refresh(call: Call) -> t.Any:
    tokens = await sessions.refresh(call.site, text(call, "refresh_token"))
    if tokens is None:
        raise Refusal(401, "invalid_refresh_token", "the refresh token is not valid")
    return _tokens(tokens)


# -- trading -----------------------------------------------------------------------------------------------------------


async def status_word(call: Call) -> str:
    state = await call.engine.state()
    if state == "reducing" and (await call.engine.settings())["when_flat"] == "stopped":
        return "shutting_down"
    return call.platform.word(state)


async def trading_status(call: Call) -> t.Any:
    return {
        "status": await status_word(call),
        "mode": "normal" if (await call.engine.settings())["maintenance"] == "off" else "safe",
        "in_flight": await call.engine.in_flight(),
        "as_of": await call.engine.now(),
    }


async def _done(call: Call, status: int = 200) -> Reply:
    return Reply({"success": True, "status": await status_word(call)}, status)


async def pause(call: Call) -> t.Any:
    state = await call.engine.state()
    if state in ("halted", "stopped"):
        raise Refusal(409, "not_running", f"trading is not running: {await status_word(call)}")
    if state == "active":
        await call.engine.set_state("reducing", call.reason)
    return await _done(call)


async def start(call: Call) -> t.Any:
    if (await call.engine.settings())["maintenance"] != "off":
        raise Refusal(409, "safe_mode", "safe mode is on; leave it first")
    await call.engine.set_state("active", call.reason)
    return await _done(call)


async def emergency_stop(call: Call) -> t.Any:
    if await call.engine.state() != "stopped":
        await call.engine.set_state("halted", call.reason)
    return await _done(call)


async def shutdown(call: Call) -> t.Any:
    """Graceful: open orders are cancelled, positions are closed, and then the agent stops by itself."""
    state = await call.engine.state()
    if state == "stopped":
        return await _done(call)
    positions = await call.engine.positions()
    if positions and state == "halted":
        raise Refusal(409, "positions_open", "trading is halted and positions are open: close them first")
    await call.engine.cancel_orders(reason=call.reason)
    if not positions:
        await call.engine.set_state("stopped", call.reason)
        return await _done(call)
    # Asked again it begins again, so that a shutdown whose closing orders were cancelled does not hang.
    await call.engine.set_state("reducing", call.reason, when_flat="stopped")
    await call.engine.close_positions(reason=call.reason)
    return await _done(call, 202)


async def safe_mode(call: Call) -> t.Any:
    if await call.engine.state() == "active":
        await call.engine.set_state("reducing", call.reason)
    await call.engine.set_maintenance("read_only", call.reason)
    return await _done(call)


async def leave_safe_mode(call: Call) -> t.Any:
    await call.engine.set_maintenance("off", call.reason)
    return await _done(call)


# -- orders and positions ----------------------------------------------------------------------------------------------


async def orders(call: Call) -> t.Any:
    where = scope(call, FILTER)
    given = call.query.get("status", "open")
    where["status"] = next((ours for ours, theirs in STATUS.items() if theirs == given), given)
    rows, following = page(call, await call.engine.orders(where), PAGE)
    return {"orders": shapes(rows, ORDER), "next_page": following, "as_of": await call.engine.now()}


async def order(call: Call) -> t.Any:
    row = await call.engine.order(call.path["id"])
    if row is None:
        raise Refusal(404, "order_not_found", f"there is no order {call.path['id']}")
    return shape(row, ORDER)


async def cancel_all(call: Call) -> t.Any:
    results = await call.engine.cancel_orders(scope(call, FILTER), call.reason)
    return {"success": all(row["ok"] for row in results), "orders": shapes(results, CANCELLED)}


async def cancel_one(call: Call) -> t.Any:
    result = await call.engine.cancel_order(call.path["id"], call.reason)
    if result is None:
        raise Refusal(404, "order_not_found", f"there is no order {call.path['id']}")
    if not result["ok"]:
        raise Refusal(409, "not_cancellable", result["why"])
    return shape(result, CANCELLED)


async def emergency_close(call: Call) -> t.Any:
    results = await call.engine.close_positions(reason=call.reason)
    return {"success": all(row["ok"] for row in results), "positions": shapes(results, CLOSED)}


def _by_exchange(call: Call, key: str, groups: t.Mapping[str, t.Sequence[Row]], fields: Fields) -> dict[str, t.Any]:
    return {
        "exchanges": [{"exchange": venue, key: shapes(groups.get(venue, ()), fields)} for venue in call.platform.venues]
    }


async def exchange_orders(call: Call) -> t.Any:
    groups: dict[str, list[Row]] = {}
    for row in await call.engine.venue_orders():
        groups.setdefault(row["venue"], []).append(row)
    return _by_exchange(call, "orders", groups, EXCHANGE_ORDER)


async def exchange_positions(call: Call) -> t.Any:
    # The lab's venue nets positions per symbol; the agent holds them at its first exchange.
    return _by_exchange(
        call, "positions", {call.platform.venues[0]: await call.engine.venue_positions()}, EXCHANGE_POSITION
    )


async def rate_limits(call: Call) -> t.Any:
    return {
        "orders_accepted_total": (await call.engine.settings())["orders_accepted"],
        "orders_per_minute_limit": 1_200,
    }


async def recent_trades(call: Call) -> t.Any:
    return shapes(reversed(await call.engine.trades()), TRADE)


# -- risk and health ---------------------------------------------------------------------------------------------------


async def risk_current(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "daily_loss": max(0.0, -values["daily_pnl"]),
        "total_exposure": await exposure(call),
        "margin_usage": values["risk_utilization"],
        "as_of": await call.engine.now(),
    }


async def risk_summary(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "total_exposure": await exposure(call),
        "daily_pnl": values["daily_pnl"],
        "max_drawdown": values["max_drawdown"],
        "open_positions": shapes(await call.engine.positions(), POSITION),
        "risk_score": values["risk_score"],
        "as_of": await call.engine.now(),
    }


async def exposure(call: Call) -> float:
    return round(sum(abs(row["quantity"]) * row["price"] for row in await call.engine.positions()), 2)


async def set_limit(call: Call) -> t.Any:
    name = text(call, "name")
    row = await call.engine.set_limit(name, number(call, "value"), call.reason)
    if row is None:
        raise Refusal(404, "limit_not_found", f"there is no limit {name}")
    return shape(row, LIMIT)


async def system(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "cpu_percent": values["cpu_percent"],
        "memory_percent": values["memory_percent"],
        "as_of": await call.engine.now(),
    }


async def market_data(call: Call) -> t.Any:
    symbol = call.path["symbol"]
    if symbol not in call.platform.symbols:
        raise Refusal(404, "unknown_symbol", f"there is no market data for {symbol}")
    moment = (await call.engine.time()).timestamp() - (await call.engine.settings())["market_data_age"]
    return {"symbol": symbol, "price": call.platform.symbols[symbol], "timestamp": round(moment * 1000)}


async def daily(call: Call) -> t.Any:
    """Of a day in the query key `date`; the lab knows one day only, the one that goes on."""
    values = await call.engine.settings()
    return {
        "date": call.query.get("date") or (await call.engine.time()).date().isoformat(),
        "total_trades": await call.engine.count_orders({"status": "filled"}),
        "win_rate": values["win_rate"],
        "total_pnl": values["daily_pnl"],
        "sharpe_ratio": values["sharpe_ratio"],
        "as_of": await call.engine.now(),
    }


async def health(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {"status": values["health"], "trading": await status_word(call), "as_of": await call.engine.now()}


PLATFORM = Platform(
    name="smc_agent",
    config="smc_agent",
    history=("trades", "market_data", "alembic_version"),
    services={"api": "/api", "root": ""},
    trades_with=("api", "smc-agent"),
    served_by="smc-agent",
    auth={"operator": Session(), "emergency": Bearer("emergency_token", denied=403)},
    states={"active": "running", "reducing": "paused", "halted": "emergency_stopped", "stopped": "shutdown"},
    symbols={"BTCUSDT": 64_000, "ETHUSDT": 3_100, "SOLUSDT": 145, "ADAUSDT": 0.45, "DOTUSDT": 6.2},
    venues=("binance", "bybit"),
    strategies=("order-block", "liquidity-sweep", "fair-value-gap"),
    limits={"max_daily_loss": 1_000, "max_position_size": 5_000, "max_margin_usage": 80},
    settings={
        "health": "healthy",
        "max_drawdown": 3.4,
        "risk_score": 28.0,
        "win_rate": 0.57,
        "sharpe_ratio": 1.4,
        "market_data_age": 2.0,
        "cpu_percent": 36.0,
        "memory_percent": 57.0,
    },
    error=error,
    routes=[
        Route("GET", "/health", health, auth=None, service="root"),
        Route("POST", "/auth/login", login, auth=None),
        Route("POST", "/auth/refresh", refresh, auth=None),
        Route("GET", "/trading/status", trading_status),
        Route("POST", "/trading/pause", pause, writes=True),
        Route("POST", "/trading/start", start, writes=True),
        Route("POST", "/trading/shutdown", shutdown, writes=True),
        Route("POST", "/trading/emergency-stop", emergency_stop, auth="emergency", writes=True),
        Route("POST", "/admin/safe-mode", safe_mode, writes=True),
        Route("DELETE", "/admin/safe-mode", leave_safe_mode, writes=True),
        Route("GET", "/orders", orders),
        Route("GET", "/orders/{id}", order),
        Route("POST", "/orders/cancel-all", cancel_all, auth="emergency", writes=True),
        Route("POST", "/orders/{id}/cancel", cancel_one, writes=True),
        Route("GET", "/positions", listing("positions", None, POSITION)),
        Route("POST", "/positions/emergency-close", emergency_close, auth="emergency", writes=True),
        Route("GET", "/trades/recent", recent_trades),
        Route("GET", "/performance/daily", daily),
        Route("GET", "/risk/current", risk_current),
        Route("GET", "/risk/summary", risk_summary),
        Route("GET", "/risk/limits", listing("limits", None, LIMIT)),
        Route("PUT", "/risk/limits", set_limit, writes=True),
        Route("GET", "/metrics/system", system),
        Route("GET", "/market-data/{symbol}", market_data),
        Route("GET", "/exchanges/orders", exchange_orders),
        Route("GET", "/exchanges/positions", exchange_positions),
        Route("GET", "/exchanges/rate-limits", rate_limits),
    ],
)
