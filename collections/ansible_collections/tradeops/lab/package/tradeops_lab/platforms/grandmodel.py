# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GrandModel: an API that only shows. Trading goes on while the workloads that trade have replicas.

The setting ``replicas`` (workload -> number) stands for the cluster; it is changed at the control port or by a lab that
runs real workloads. ``ready`` may name workloads whose pods are not all ready (workload -> number).
"""

from __future__ import annotations

import typing as t

from .base import Bearer, Call, Platform, Route, Row
from .shapes import Fields, listing

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


def trading_state(settings: Row) -> str:
    """Stopped without any trading workload, halted while one is missing, else what the lab set."""
    running = [settings["replicas"].get(name, 0) > 0 for name in TRADING]
    if all(running):
        return str(settings["trading"])
    return "halted" if any(running) else "stopped"


async def system_status(call: Call) -> t.Any:
    agents = _agents(await call.engine.settings())
    degraded = any(agent["status"] != "healthy" for agent in agents)
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


PLATFORM = Platform(
    name="grandmodel",
    services={"api": "/v1"},
    auth={"operator": Bearer("token")},
    states={"active": "ACTIVE", "reducing": "REDUCING", "halted": "HALTED", "stopped": "STOPPED"},
    symbols={"ES": 5_900, "NQ": 20_500, "CL": 71, "GC": 2_650, "ZN": 110},
    venues=("rithmic",),
    strategies=("strategic", "tactical"),
    settings={
        "replicas": REPLICAS,
        "ready": {},
        "response_time_p95": 62.0,
        "throughput": 11_200,
        "error_rate": 0.04,
        "availability": 99.95,
    },
    trading_state=trading_state,
    routes=[
        Route("GET", "/system/status", system_status),
        Route("GET", "/agents/status", agents_status),
        Route("GET", "/performance/metrics", performance),
        Route("GET", "/orders", listing("orders", "orders", ORDER)),
        Route("GET", "/positions", listing("positions", "positions", POSITION)),
    ],
)
