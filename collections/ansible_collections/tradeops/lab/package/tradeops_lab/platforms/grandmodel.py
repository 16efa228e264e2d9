# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GrandModel: an API that only shows. Trading goes on while the workloads that trade have replicas.

The settings ``replicas``, ``ready`` and ``running`` (workload -> number of pods wanted, ready, and at work) come from
the cluster. In a lab without one they are changed at the control port; ``ready`` and ``running`` then need name only
the workloads where they differ from ``replicas``.
"""

from __future__ import annotations

import typing as t

from .base import Bearer, Call, Platform, Refusal, Route, Row
from .shapes import Fields, listing, shapes, word

# Without any one of these no order is sent.
TRADING = ("strategic-marl", "tactical-marl", "execution-engine")
REPLICAS = {"strategic-marl": 2, "tactical-marl": 3, "risk-management": 2, "execution-engine": 2, "data-handler": 3}

ORDER: Fields = {
    "order_id": "id",
    "instrument": "symbol",
    "side": "side",
    "quantity": "quantity",
    "price": "price",
    "status": "status",
    "account": "account",
    "agent": "strategy",
    "created_at": "placed_at",
}
POSITION: Fields = {"instrument": "symbol", "quantity": "quantity", "average_price": "price", "account": "account"}
BROKER_ORDER: Fields = {"client_order_id": "order_id", "instrument": "symbol", "side": "side", "quantity": "quantity"}
BROKER_POSITION: Fields = {"instrument": "symbol", "quantity": "quantity"}
LIMIT: Fields = {"name": "name", "value": "value"}
CANCELLED: Fields = {"order_id": "id", "status": word("ok", {True: "cancelled", False: "failed"}), "detail": "why"}
CLOSED: Fields = {"instrument": "symbol", "status": word("ok", {True: "submitted", False: "failed"}), "detail": "why"}
# Who has to hear of whom before a decision becomes an order.
LINKS = (
    ("data-handler", "strategic-marl"),
    ("strategic-marl", "tactical-marl"),
    ("tactical-marl", "risk-management"),
)


def at_work(settings: Row, name: str) -> bool:
    """Whether a workload has a pod that works."""
    return bool(settings["running"].get(name, settings["replicas"].get(name, 0)))


def trading_state(settings: Row) -> str:
    """Stopped without any trading workload, else halted without the engine, reducing with nothing but the engine."""
    running = {name: at_work(settings, name) for name in TRADING}
    if all(running.values()):
        return str(settings["trading"])
    if not any(running.values()):
        return "stopped"
    # The engine alone decides nothing and still takes the orders that close positions.
    return "reducing" if running["execution-engine"] and sum(running.values()) == 1 else "halted"


async def system_status(call: Call) -> t.Any:
    agents = _agents(await call.engine.settings())
    degraded = any(agent["status"] == "degraded" for agent in agents)  # scaled to 0 on purpose is not ill
    return {
        "status": "degraded" if degraded else "healthy",
        "trading": call.platform.word(await call.engine.state()),
        "components": [{"name": agent["name"], "status": agent["status"]} for agent in agents],
        "as_of": await call.engine.now(),
    }


async def agents_status(call: Call) -> t.Any:
    return {"agents": _agents(await call.engine.settings()), "as_of": await call.engine.now()}


def _agents(settings: Row) -> list[dict[str, t.Any]]:
    agents = []
    for name, replicas in sorted(settings["replicas"].items()):
        ready = min(replicas, settings["ready"].get(name, replicas))
        status = "healthy" if ready == replicas else "degraded"
        agents.append(
            {"name": name, "replicas": replicas, "ready": ready, "status": status if replicas else "scaled_to_zero"}
        )
    return agents


async def performance(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "timeframe": call.query.get("timeframe", "1d"),
        "orders_accepted_total": values["orders_accepted"],
        "daily_pnl_usd": values["daily_pnl"],
        "risk_utilization_percent": values["risk_utilization"],
        "response_time_p95_ms": values["response_time_p95"],
        "throughput_rps": values["throughput"],
        "error_rate_percent": values["error_rate"],
        "availability_percent": values["availability"],
        "as_of": await call.engine.now(),
    }


async def account(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "balance_usd": values["account_balance"],
        "margin_available_usd": values["margin_available"],
        "as_of": await call.engine.now(),
    }


async def communication(call: Call) -> t.Any:
    """Whether each agent hears the one before it. A link to one that is scaled to 0 on purpose is idle."""
    values = await call.engine.settings()
    agents = {agent["name"]: agent for agent in _agents(values)}
    links = []
    for sender, receiver in LINKS:
        ends = [agents.get(name, {"replicas": 0, "ready": 0}) for name in (sender, receiver)]
        up = all(end["ready"] for end in ends) and sender not in values["silent_agents"]
        status = "idle" if not all(end["replicas"] for end in ends) else "ok" if up else "silent"
        links.append({"from": sender, "to": receiver, "status": status})
    return {"links": links, "as_of": await call.engine.now()}


async def feeds(call: Call) -> t.Any:
    values = await call.engine.settings()
    connected = values["replicas"].get("data-handler", 0) > 0
    feed = {"name": "rithmic", "connected": connected, "age_seconds": values["market_data_age"] if connected else None}
    return {"feeds": [feed], "as_of": await call.engine.now()}


async def daily(call: Call) -> t.Any:
    """What the daily report is made of."""
    values = await call.engine.settings()
    return {
        "total_trades": await call.engine.count_orders({"status": "filled"}),
        "system_uptime_percent": values["availability"],
        "average_response_time_ms": values["response_time"],
        "cpu_percent": values["cpu"],
        "memory_percent": values["memory"],
        "disk_percent": values["disk"],
        "alerts_generated": values["alerts_generated"],
        "incidents_resolved": values["incidents_resolved"],
        "failed_logins": values["failed_logins"],
        "as_of": await call.engine.now(),
    }


async def cancel_all(call: Call) -> t.Any:
    await _needs_engine(call)
    return {"results": shapes(await call.engine.cancel_orders(reason=call.reason), CANCELLED)}


async def close_all(call: Call) -> t.Any:
    await _needs_engine(call)
    return {"results": shapes(await call.engine.close_positions(reason=call.reason), CLOSED)}


async def _needs_engine(call: Call) -> None:
    if not at_work(await call.engine.settings(), "execution-engine"):
        raise Refusal(409, "no_engine", "the execution engine has no pod: nothing reaches the broker")


PLATFORM = Platform(
    name="grandmodel",
    history=("audit_log", "system_metrics", "market_data"),
    services={"api": "/v1"},
    auth={"operator": Bearer("token")},
    states={"active": "ACTIVE", "reducing": "REDUCING", "halted": "HALTED", "stopped": "STOPPED"},
    symbols={"ES": 5_900, "NQ": 20_500, "CL": 71, "GC": 2_650, "ZN": 110},
    venues=("rithmic",),
    strategies=("strategic", "tactical"),
    models=("strategic.onnx", "tactical.onnx", "risk.onnx"),
    settings={
        "replicas": REPLICAS,
        "ready": {},
        "running": {},
        "response_time_p95": 62.0,
        "throughput": 11_200,
        "error_rate": 0.04,
        "availability": 99.95,
        "account_balance": 1_000_000.0,
        "margin_available": 620_000.0,
        "silent_agents": [],
        "market_data_age": 0.4,
        "response_time": 38.0,
        "cpu": 61.0,
        "memory": 66.0,
        "disk": 48.0,
        "alerts_generated": 0,
        "incidents_resolved": 0,
        "failed_logins": 0,
    },
    trading_state=trading_state,
    exits_while_reducing=False,  # the agents are gone, and the engine decides nothing
    served_by="api-gateway",
    trades_with=TRADING,
    routes=[
        Route("GET", "/system/status", system_status),
        Route("GET", "/agents/status", agents_status),
        Route("GET", "/performance/metrics", performance),
        Route("GET", "/orders", listing("orders", "orders", ORDER)),
        Route("POST", "/orders/cancel-all", cancel_all, writes=True),
        Route("GET", "/broker/orders", listing("venue_orders", "orders", BROKER_ORDER)),
        Route("GET", "/positions", listing("positions", "positions", POSITION)),
        Route("POST", "/positions/close-all", close_all, writes=True),
        Route("GET", "/broker/positions", listing("venue_positions", "positions", BROKER_POSITION)),
        Route("GET", "/risk/limits", listing("limits", "limits", LIMIT)),
        Route("GET", "/account", account),
        Route("GET", "/agents/communication", communication),
        Route("GET", "/data/feeds", feeds),
        Route("GET", "/performance/daily", daily),
    ],
)
