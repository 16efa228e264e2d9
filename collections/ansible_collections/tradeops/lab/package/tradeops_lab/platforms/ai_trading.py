# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AI Trading System: seven services with a port each and one token. No service knows the whole state.

Settings of its own: ``executor_halted`` (the executor was stopped alone, while the scheduler still runs), the figures
that ``/status``, ``/data/status`` and ``/health`` report, ``service_health`` (service -> status, if not healthy), and
``configuration`` (what the services have loaded).
"""

from __future__ import annotations

import typing as t

from .base import Bearer, Call, Handler, Platform, Refusal, Route, Row
from .shapes import Fields, listing, number, scope, shape, shapes, text

SERVICES = ("data_collector", "strategy_engine", "risk_manager", "trade_executor", "scheduler", "export", "maintenance")
AT_START = ("database_pool_size",)
EXECUTOR, RISK, MAINTENANCE = "trade_executor", "risk_manager", "maintenance"

ORDER: Fields = {
    "id": "id",
    "symbol": "symbol",
    "side": "side",
    "qty": "quantity",
    "limit_price": "price",
    "status": "status",
    "account": "account",
    "strategy": "strategy",
    "submitted_at": "placed_at",
}
BROKER_ORDER: Fields = {"client_order_id": "order_id", "symbol": "symbol", "side": "side", "qty": "quantity"}
POSITION: Fields = {"symbol": "symbol", "qty": "quantity", "avg_price": "price", "account": "account"}
BROKER_POSITION: Fields = {"symbol": "symbol", "qty": "quantity", "avg_price": "price"}
CANCELLED: Fields = {"id": "id", "cancelled": "ok", "detail": "why"}
CLOSED: Fields = {"symbol": "symbol", "submitted": "ok", "order_id": "id", "detail": "why"}
LIMIT: Fields = {"name": "name", "value": "value"}
FILTER = {"symbol": "symbol", "strategy": "strategy"}


def error(refusal: Refusal) -> t.Any:
    return {"detail": refusal.message, "code": refusal.code}


def trading_state(settings: Row) -> str:
    """The executor alone can be halted by its own call; nothing else knows of that."""
    if settings["executor_halted"] and settings["trading"] in ("active", "reducing"):
        return "halted"
    return str(settings["trading"])


def health(service: str) -> Handler:
    async def handler(call: Call) -> t.Any:
        values = await call.engine.settings()
        answer = {"service": service, "status": values["service_health"].get(service, "healthy")}
        return answer | ({"health_score": values["health_score"]} if service == MAINTENANCE else {})

    return handler


async def system(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "cpu_percent": values["cpu_percent"],
        "memory_percent": values["memory_percent"],
        "disk_percent": values["disk_percent"],
        "network_latency_ms": values["network_latency_ms"],
        "queue_depth": values["queue_depth"],
        "as_of": await call.engine.now(),
    }


async def data_status(call: Call) -> t.Any:
    age = (await call.engine.settings())["market_data_age"]
    return {"status": "current" if age < 60 else "stale", "age_seconds": age, "as_of": await call.engine.now()}


# -- executor and broker -----------------------------------------------------------------------------------------------


async def executor_status(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "service": EXECUTOR,
        "state": call.platform.word(await call.engine.state()),
        "open_orders": await call.engine.count_orders(),
        "in_flight": await call.engine.in_flight(),
        "fill_rate_percent": values["fill_rate"],
        "execution_seconds": values["execution_time"],
        "as_of": await call.engine.now(),
    }


async def broker_status(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "connected": True,
        "market_open": await call.engine.market_open(),
        "orders_received_total": values["orders_accepted"],
        "as_of": await call.engine.now(),
    }


async def orders(call: Call) -> t.Any:
    where = scope(call, {"status": "status", **FILTER})
    return {"orders": shapes(await call.engine.orders(where), ORDER), "as_of": await call.engine.now()}


async def order(call: Call) -> t.Any:
    row = await call.engine.order(call.path["id"])
    if row is None:
        raise Refusal(404, "not_found", f"there is no order {call.path['id']}")
    return shape(row, ORDER)


async def cancel_all(call: Call) -> t.Any:
    results = await call.engine.cancel_orders(scope(call, FILTER), call.reason)
    return {"results": shapes(results, CANCELLED)}


async def cancel_one(call: Call) -> t.Any:
    result = await call.engine.cancel_order(call.path["id"], call.reason)
    if result is None:
        raise Refusal(404, "not_found", f"there is no order {call.path['id']}")
    if not result["ok"]:
        raise Refusal(409, "not_cancellable", result["why"])
    return shape(result, CANCELLED)


async def close_in_emergency(call: Call) -> t.Any:
    await require_running(call)
    return {"results": shapes(await call.engine.close_positions(reason=call.reason), CLOSED)}


async def close_with_orders(call: Call) -> t.Any:
    if await call.engine.state() not in ("active", "reducing"):
        raise Refusal(409, "halted", "the executor takes no orders; use /emergency/close-all-positions")
    return {"results": shapes(await call.engine.close_positions(reason=call.reason), CLOSED)}


async def stop_executor(call: Call) -> t.Any:
    """What the runbook of this platform calls an emergency stop: the executor alone. The scheduler runs on."""
    if await call.engine.state() in ("active", "reducing"):
        await call.engine.put(executor_halted=True)
        await call.engine.audit("trading_state", "executor halted", reason=call.reason)
    return {"service": EXECUTOR, "state": call.platform.word(await call.engine.state())}


def loosen(state: str) -> Handler:
    """Resume or reduce-only: what needs running services and no maintenance."""

    async def handler(call: Call) -> t.Any:
        await require_running(call)
        mode = (await call.engine.settings())["maintenance"]
        if mode != "off":
            raise Refusal(409, "maintenance", f"maintenance mode is on: {mode}")
        await call.engine.set_state(state, call.reason, executor_halted=False)
        return {"service": EXECUTOR, "state": call.platform.word(state)}

    return handler


async def require_running(call: Call) -> None:
    if await call.engine.state() == "stopped":
        raise Refusal(409, "stopped", "the services are shut down and have to be started first")


async def export_performance(call: Call) -> t.Any:
    """A report is asked for with POST, and changes nothing."""
    values = await call.engine.settings()
    return {
        "start_date": call.body.get("start_date") or (await call.engine.time()).date().isoformat(),
        "total_trades": await call.engine.count_orders({"status": "filled"}),
        "daily_pnl_usd": values["daily_pnl"],
        "fill_rate_percent": values["fill_rate"],
        "execution_seconds": values["execution_time"],
        "error_rate_percent": values["error_rate"],
        "as_of": await call.engine.now(),
    }


# -- scheduler, maintenance, risk --------------------------------------------------------------------------------------


async def scheduler_status(call: Call) -> t.Any:
    words = {"halted": "paused", "stopped": "stopped"}
    trading = (await call.engine.settings())["trading"]
    return {"service": "scheduler", "state": words.get(trading, "running"), "as_of": await call.engine.now()}


async def maintenance_status(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {"service": MAINTENANCE, "mode": values["maintenance"], "as_of": await call.engine.now()}


async def configuration(call: Call) -> t.Any:
    loaded = (await call.engine.settings())["configuration"]
    rows = [{"name": name, "value": value} for name, value in loaded.items()]
    return {"settings": rows, "as_of": await call.engine.now()}


async def configure(call: Call) -> t.Any:
    """One setting, effective at once in all services; it keeps its type."""
    name, value = text(call, "name"), call.body.get("value")
    loaded = (await call.engine.settings())["configuration"]
    if name not in loaded:
        raise Refusal(404, "not_found", f"there is no setting {name}")
    if type(value) is not type(loaded[name]):
        raise Refusal(422, "invalid_value", f"{name} must be of type {type(loaded[name]).__name__}")
    if name in AT_START:
        raise Refusal(409, "restart_needed", f"{name} is read when the services start")
    await call.engine.put(configuration=loaded | {name: value})
    await call.engine.audit("configuration", f"{name} is {value}", reason=call.reason)
    return {"name": name, "value": value}


async def enter_maintenance(call: Call) -> t.Any:
    mode = call.body.get("mode") or "maintenance"
    if mode not in ("maintenance", "read_only"):
        raise Refusal(422, "invalid_mode", f"mode must be maintenance or read_only, not {mode!r}")
    await halt_all(call)
    await call.engine.set_maintenance(mode, call.reason)
    return {"status": "ok", "mode": mode}


async def exit_maintenance(call: Call) -> t.Any:
    await call.engine.set_maintenance("off", call.reason)
    return {"status": "ok", "mode": "off"}


async def emergency_halt(call: Call) -> t.Any:
    await halt_all(call)
    return {"status": "ok", "halted": [service for service in SERVICES if service not in ("export", MAINTENANCE)]}


async def emergency_shutdown(call: Call) -> t.Any:
    await call.engine.set_state("stopped", call.reason, executor_halted=False)
    await call.engine.set_maintenance("maintenance", call.reason)
    return {"status": "ok", "mode": "maintenance"}


async def halt_all(call: Call) -> None:
    if await call.engine.state() != "stopped":
        await call.engine.set_state("halted", call.reason, executor_halted=False)


async def risk_status(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "status": "ok",
        "daily_pnl_usd": values["daily_pnl"],
        "utilization_percent": values["risk_utilization"],
        "as_of": await call.engine.now(),
    }


async def recent_decisions(call: Call) -> t.Any:
    rows = (await call.engine.orders())[-20:]
    decisions = [{"order_id": row["id"], "decision": "approved", "at": row["placed_at"]} for row in rows]
    return {"decisions": decisions, "as_of": await call.engine.now()}


async def set_limit(call: Call) -> t.Any:
    name = text(call, "name")
    row = await call.engine.set_limit(name, number(call, "value"), call.reason)
    if row is None:
        raise Refusal(404, "not_found", f"there is no limit {name}")
    return shape(row, LIMIT)


PLATFORM = Platform(
    name="ai_trading",
    config="ai_trading",
    parquet_days=2,
    services=dict.fromkeys(SERVICES, ""),
    trades_with=("strategy_engine", EXECUTOR),
    auth={"operator": Bearer("token")},
    states={"active": "running", "reducing": "reduce_only", "halted": "halted", "stopped": "stopped"},
    symbols={"AAPL": 228, "MSFT": 415, "NVDA": 142, "SPY": 590, "QQQ": 505},
    venues=("alpaca",),
    strategies=("trend", "mean-reversion", "news"),
    limits={"max_position_usd": 50_000, "max_daily_loss_usd": 2_500, "max_open_orders": 100},
    settings={
        "executor_halted": False,
        "service_health": {},
        "health_score": 98.5,
        "fill_rate": 97.2,
        "execution_time": 0.35,
        "market_data_age": 4.0,
        "error_rate": 0.2,
        "cpu_percent": 44.0,
        "memory_percent": 58.0,
        "disk_percent": 51.0,
        "network_latency_ms": 42.0,
        "queue_depth": 7,
        "configuration": {
            "log_level": "INFO",
            "api_timeout_seconds": 10,
            "alert_cpu_percent": 80,
            "alert_memory_percent": 85,
            "alert_disk_percent": 90,
            "rate_limit_per_minute": 120,
            "alerts_enabled": True,
            "database_pool_size": 20,
        },
    },
    error=error,
    trading_state=trading_state,
    routes=[
        *(Route("GET", "/health", health(service), auth=None, service=service) for service in SERVICES),
        Route("GET", "/metrics/system", system, service=MAINTENANCE),
        Route("GET", "/data/status", data_status, service="data_collector"),
        Route("GET", "/risk/status", risk_status, service=RISK),
        Route("GET", "/risk/recent-decisions", recent_decisions, service=RISK),
        Route("GET", "/risk/limits", listing("limits", "limits", LIMIT), service=RISK),
        Route("PUT", "/risk/limits", set_limit, writes=True, service=RISK),
        Route("GET", "/status", executor_status, service=EXECUTOR),
        Route("GET", "/broker/status", broker_status, service=EXECUTOR),
        Route("GET", "/orders", orders, service=EXECUTOR),
        Route("DELETE", "/orders", cancel_all, writes=True, service=EXECUTOR),
        Route("GET", "/orders/{id}", order, service=EXECUTOR),
        Route("DELETE", "/orders/{id}", cancel_one, writes=True, service=EXECUTOR),
        Route("GET", "/broker/orders", listing("venue_orders", "orders", BROKER_ORDER), service=EXECUTOR),
        Route("GET", "/positions", listing("positions", "positions", POSITION), service=EXECUTOR),
        Route("GET", "/broker/positions", listing("venue_positions", "positions", BROKER_POSITION), service=EXECUTOR),
        Route("POST", "/positions/close-all", close_with_orders, writes=True, service=EXECUTOR),
        Route("POST", "/emergency/close-all-positions", close_in_emergency, writes=True, service=EXECUTOR),
        Route("POST", "/trading/emergency-stop", stop_executor, writes=True, service=EXECUTOR),
        Route("POST", "/trading/reduce-only", loosen("reducing"), writes=True, service=EXECUTOR),
        Route("POST", "/trading/resume", loosen("active"), writes=True, service=EXECUTOR),
        Route("GET", "/status", scheduler_status, service="scheduler"),
        Route("POST", "/export/performance", export_performance, service="export"),
        Route("GET", "/maintenance/status", maintenance_status, service=MAINTENANCE),
        Route("GET", "/config", configuration, service=MAINTENANCE),
        Route("PUT", "/config", configure, writes=True, service=MAINTENANCE),
        Route("POST", "/maintenance/enter", enter_maintenance, writes=True, service=MAINTENANCE),
        Route("POST", "/maintenance/exit", exit_maintenance, writes=True, service=MAINTENANCE),
        Route("POST", "/maintenance/emergency-shutdown", emergency_shutdown, writes=True, service=MAINTENANCE),
        Route("POST", "/emergency/halt", emergency_halt, writes=True, service=MAINTENANCE),
    ],
)
