# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FlashMM: a market maker with one control API under /api/v1, an operator's token and an emergency token."""

from __future__ import annotations

import typing as t

from .base import Bearer, Call, Platform, Refusal, Reply, Route
from .shapes import Fields, confirm, listing, number, scope, shape, shapes, states, transition, word

ORDER: Fields = {
    "order_id": "id",
    "symbol": "symbol",
    "side": "side",
    "quantity": "quantity",
    "price": "price",
    "status": word("status", {"open": "OPEN", "filled": "FILLED", "cancelled": "CANCELLED", "rejected": "REJECTED"}),
    "account": "account",
    "venue": "venue",
    "strategy": "strategy",
    "owner": "owner",
    "created_at": "placed_at",
}
VENUE_ORDER: Fields = {"client_order_id": "order_id", "market": "symbol", "side": "side", "size": "quantity"}
POSITION: Fields = {"symbol": "symbol", "quantity": "quantity", "entry_price": "price", "account": "account"}
VENUE_POSITION: Fields = {"market": "symbol", "size": "quantity"}
LIMIT: Fields = {"name": "name", "value": "value"}
CANCELLED: Fields = {"order_id": "id", "status": word("ok", {True: "cancelled", False: "rejected"}), "message": "why"}
CLOSED: Fields = {
    "symbol": "symbol",
    "status": word("ok", {True: "submitted", False: "rejected"}),
    "order_id": "id",
    "message": "why",
}


def error(refusal: Refusal) -> t.Any:
    return {"error": {"code": refusal.code, "message": refusal.message}}


async def health(call: Call) -> t.Any:
    return {"status": (await call.engine.settings())["health"], "as_of": await call.engine.now()}


async def status(call: Call) -> t.Any:
    return {
        "state": call.platform.word(await call.engine.state()),
        "as_of": await call.engine.now(),
    }


async def metrics(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "summary": {
            "orders_accepted_total": values["orders_accepted"],
            "daily_pnl_usdc": values["daily_pnl"],
            "trades_24h": await call.engine.count_orders({"status": "filled"}),
            "latency_p95_ms": values["latency_p95_ms"],
            "ml_prediction_accuracy": values["ml_accuracy"],
            "uptime_percent": values["uptime_percent"],
            "spread_improvement_percent": values["spread_improvement"],
        },
        "as_of": await call.engine.now(),
    }


async def system(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "cpu_percent": values["cpu_percent"],
        "memory_percent": values["memory_percent"],
        "disk_percent": values["disk_percent"],
        "network_latency_ms": values["network_latency_ms"],
        "as_of": await call.engine.now(),
    }


async def predictions(call: Call) -> t.Any:
    """The newest prediction of a symbol, as its model would make it."""
    symbol = call.query.get("symbol", next(iter(call.platform.symbols)))
    if symbol not in call.platform.symbols:
        raise Refusal(404, "symbol_not_found", f"there is no model for {symbol}")
    row = {"symbol": symbol, "direction": "flat", "confidence": 0.61, "as_of": await call.engine.now()}
    return {"predictions": [row], "as_of": await call.engine.now()}


async def chain(call: Call) -> t.Any:
    """The node of the Sei network, which asks nobody who he is."""
    return {"result": {"sync_info": {"latest_block_time": await call.engine.now(), "catching_up": False}}}


async def emergency_stop(call: Call) -> t.Any:
    confirm(call)
    await call.engine.set_state("halted", call.reason)
    return {**states(call, "halted"), "open_orders": await call.engine.count_orders()}


async def orders(call: Call) -> t.Any:
    where = scope(call, {"status": "status", "symbol": "symbol", "strategy": "strategy"})
    where["status"] = where.get("status", "open").lower()
    return {"orders": shapes(await call.engine.orders(where), ORDER), "as_of": await call.engine.now()}


async def order(call: Call) -> t.Any:
    row = await call.engine.order(call.path["id"])
    if row is None:
        raise Refusal(404, "order_not_found", f"there is no order {call.path['id']}")
    return shape(row, ORDER)


async def cancel_all(call: Call) -> t.Any:
    results = await call.engine.cancel_orders(scope(call, {"symbol": "symbol", "strategy": "strategy"}), call.reason)
    return Reply({"results": shapes(results, CANCELLED)}, 200 if all(row["ok"] for row in results) else 207)


async def cancel_one(call: Call) -> t.Any:
    result = await call.engine.cancel_order(call.path["id"], call.reason)
    if result is None:
        raise Refusal(404, "order_not_found", f"there is no order {call.path['id']}")
    if not result["ok"]:
        raise Refusal(409, "not_cancellable", result["why"])
    return shape(result, CANCELLED)


async def positions(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "positions": shapes(await call.engine.positions(), POSITION),
        "portfolio_summary": {
            "risk_utilization_percent": values["risk_utilization"],
            "daily_pnl_usdc": values["daily_pnl"],
        },
        "as_of": await call.engine.now(),
    }


async def flatten(call: Call) -> t.Any:
    results = await call.engine.close_positions(reason=call.reason)
    return Reply({"results": shapes(results, CLOSED)}, 202)


async def set_limit(call: Call) -> t.Any:
    row = await call.engine.set_limit(call.path["id"], number(call, "value"), call.reason)
    if row is None:
        raise Refusal(404, "limit_not_found", f"there is no limit {call.path['id']}")
    return shape(row, LIMIT)


async def maintenance(call: Call) -> t.Any:
    return {
        "mode": (await call.engine.settings())["maintenance"],
        "in_flight": await call.engine.in_flight(),
        "as_of": await call.engine.now(),
    }


async def enable_maintenance(call: Call) -> t.Any:
    mode = call.body.get("mode", "maintenance")
    if mode not in ("maintenance", "read_only"):
        raise Refusal(400, "invalid_mode", f"mode must be maintenance or read_only, not {mode!r}")
    await call.engine.set_maintenance(mode, call.reason)
    return {"status": "accepted", "mode": mode}


async def disable_maintenance(call: Call) -> t.Any:
    await call.engine.set_maintenance("off", call.reason)
    return {"status": "accepted", "mode": "off"}


PLATFORM = Platform(
    name="flashmm",
    services={"api": "/api/v1"},
    auth={"operator": Bearer("token"), "emergency": Bearer("emergency_token", denied=403)},
    states={"active": "RUNNING", "reducing": "REDUCE_ONLY", "halted": "HALTED"},
    symbols={"SEI/USDC": 0.42, "BTC/USDC": 64_000, "ETH/USDC": 3_100, "SOL/USDC": 145, "ATOM/USDC": 8.1},
    venues=("sei-spot", "sei-perp"),
    strategies=("quoter", "hedger", "inventory"),
    settings={
        "latency_p95_ms": 142.0,
        "ml_accuracy": 0.58,
        "uptime_percent": 99.95,
        "spread_improvement": 44.0,
        "cpu_percent": 38.0,
        "memory_percent": 61.0,
        "disk_percent": 47.0,
        "network_latency_ms": 85.0,
    },
    models=("quotes.onnx", "toxicity.onnx"),
    error=error,
    served_by="flashmm-app",
    trades_with=("flashmm-app",),
    routes=[
        Route("GET", "/health", health, auth=None),
        Route("GET", "/trading/status", status),
        Route("GET", "/metrics/trading", metrics),
        Route("GET", "/metrics/system", system),
        Route("GET", "/ml/predictions", predictions),
        Route("GET", "/exchange/status", chain, auth=None),
        Route("POST", "/admin/emergency-stop", emergency_stop, auth="emergency", writes=True),
        Route(
            "POST", "/admin/trading/reduce-only", transition("reducing", lambda c: states(c, "reducing")), writes=True
        ),
        Route("POST", "/admin/trading/resume", transition("active", lambda c: states(c, "active")), writes=True),
        Route("GET", "/trading/orders", orders),
        Route("DELETE", "/trading/orders", cancel_all, auth="emergency", writes=True),
        Route("GET", "/trading/orders/{id}", order),
        Route("DELETE", "/trading/orders/{id}", cancel_one, auth="emergency", writes=True),
        Route("GET", "/exchange/orders", listing("venue_orders", "open_orders", VENUE_ORDER)),
        Route("GET", "/trading/positions", positions),
        Route("POST", "/trading/positions/flatten", flatten, auth="emergency", writes=True),
        Route("GET", "/exchange/positions", listing("venue_positions", "positions", VENUE_POSITION)),
        Route("GET", "/risk/limits", listing("limits", "limits", LIMIT)),
        Route("PUT", "/risk/limits/{id}", set_limit, writes=True),
        Route("GET", "/admin/maintenance", maintenance),
        Route("POST", "/admin/maintenance/enable", enable_maintenance, writes=True),
        Route("POST", "/admin/maintenance/disable", disable_maintenance, writes=True),
    ],
)
