# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adaptive Order Book: admin API without a prefix, cursors, results per item with 207, breakers and migrations."""

from __future__ import annotations

import typing as t

from .base import Bearer, Call, Platform, Refusal, Reply, Route, Row
from .shapes import Fields, cursor, listing, number, scope, shape, shapes, text, transition, word

PAGE = 25  # orders on one page unless `limit` asks for another number

ORDER: Fields = {
    "id": "id",
    "pair": "symbol",
    "side": word("side", {"buy": "BID", "sell": "ASK"}),
    "qty": "quantity",
    "limit_price": "price",
    "status": "status",
    "account": "account",
    "venue": "venue",
    "strategy": "strategy",
    "trader": "owner",
    "placed_at": "placed_at",
}
VENUE_ORDER: Fields = {"client_id": "order_id", "pair": "symbol", "side": "side", "qty": "quantity", "venue": "venue"}
POSITION: Fields = {"pair": "symbol", "net_qty": "quantity", "avg_price": "price", "account": "account"}
VENUE_POSITION: Fields = {"pair": "symbol", "net_qty": "quantity"}
BREAKER: Fields = {"pair": "pair", "open": "open", "reason": "reason", "since": "since"}
MIGRATION: Fields = {"pair": "pair", "current_percentage": "percentage", "status": "status"}
CANCELLED: Fields = {"id": "id", "code": word("ok", {True: 200, False: 409}), "message": "why"}
CLOSED: Fields = {
    "pair": "symbol",
    "code": word("ok", {True: 202, False: 409}),
    "order_id": "id",
    "message": "why",
}
FILTER = {"status": "status", "pair": "symbol", "venue": "venue", "strategy": "strategy"}
CANCEL_FILTER = {key: value for key, value in FILTER.items() if key != "status"}


def error(refusal: Refusal) -> t.Any:
    return {"code": refusal.status, "error": refusal.code, "message": refusal.message}


# -- trading -----------------------------------------------------------------------------------------------------------


async def health(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {"status": values["health"], "trading": call.platform.word(await call.engine.state())}


async def status(call: Call) -> t.Any:
    return {
        "state": call.platform.word(await call.engine.state()),
        "in_flight": await call.engine.in_flight(),
        "updated_at": await call.engine.now(),
    }


def moved(state: str) -> t.Callable[[Call], t.Any]:
    return lambda call: {"result": "ok", "state": call.platform.word(state)}


async def orders(call: Call) -> t.Any:
    size = call.query.get("limit", str(PAGE))
    if not size.isdecimal() or not 1 <= int(size) <= 100:
        raise Refusal(400, "bad_request", f"limit must be 1 to 100, not {size!r}")
    rows, following = cursor(call, await call.engine.orders(scope(call, FILTER)), int(size))
    return {"orders": shapes(rows, ORDER), "next_cursor": following, "updated_at": await call.engine.now()}


async def order(call: Call) -> t.Any:
    row = await call.engine.order(call.path["id"])
    if row is None:
        raise Refusal(404, "not_found", f"no order {call.path['id']}")
    return shape(row, ORDER)


async def cancel_all(call: Call) -> t.Any:
    results = await call.engine.cancel_orders(scope(call, CANCEL_FILTER), call.reason)
    return Reply(
        {
            "items": shapes(results, CANCELLED),
            "cancelled": sum(1 for row in results if row["ok"]),
            "failed": sum(1 for row in results if not row["ok"]),
        },
        207,
    )


async def cancel_one(call: Call) -> t.Any:
    result = await call.engine.cancel_order(call.path["id"], call.reason)
    if result is None:
        raise Refusal(404, "not_found", f"no order {call.path['id']}")
    if not result["ok"]:
        raise Refusal(409, "not_cancellable", result["why"])
    return shape(result, CANCELLED)


async def flatten(call: Call) -> t.Any:
    results = await call.engine.close_positions(scope(call, {"pair": "symbol"}), call.reason)
    return Reply({"items": shapes(results, CLOSED)}, 207)


# -- migrations and circuit breakers -----------------------------------------------------------------------------------


async def migrations(call: Call) -> t.Any:
    return shapes(await call.engine.rollouts(), MIGRATION)


def _found(rows: t.Sequence[Row], pair: str) -> t.Sequence[Row]:
    if not rows:
        raise Refusal(404, "unknown_pair", f"no pair {pair}")
    return rows


async def set_percentage(call: Call) -> t.Any:
    pair, percentage = text(call, "pair"), number(call, "percentage")
    if not 0 <= percentage <= 100 or percentage != int(percentage):
        raise Refusal(400, "bad_request", f"percentage must be a whole number from 0 to 100, not {percentage:g}")
    state = {0: "stopped", 100: "complete"}.get(int(percentage), "in_progress")
    rows = await call.engine.set_rollouts(int(percentage), state, None if pair == "all" else pair, call.reason)
    return shapes(_found(rows, pair), MIGRATION)


def stop_migrations(state: str) -> t.Callable[[Call], t.Awaitable[t.Any]]:
    async def handler(call: Call) -> t.Any:
        return {
            "result": "ok",
            "migrations": shapes(await call.engine.set_rollouts(0, state, None, call.reason), MIGRATION),
        }

    return handler


async def breakers(call: Call) -> t.Any:
    return shapes(await call.engine.breakers(), BREAKER)


def switch_breakers(is_open: bool) -> t.Callable[[Call], t.Awaitable[t.Any]]:
    """Open or reset the breaker of the pair in the path, or all where the path names none."""

    async def handler(call: Call) -> t.Any:
        pair = call.path.get("pair")
        rows = await call.engine.set_breakers(is_open, pair, call.reason or "operator")
        return shapes(_found(rows, pair or "all"), BREAKER)

    return handler


# -- maintenance and metrics -------------------------------------------------------------------------------------------


async def maintenance(call: Call) -> t.Any:
    mode = (await call.engine.settings())["maintenance"]
    return {
        "enabled": mode != "off",
        "mode": None if mode == "off" else mode,
        "in_flight": await call.engine.in_flight(),
        "updated_at": await call.engine.now(),
    }


async def enable_maintenance(call: Call) -> t.Any:
    mode = call.body.get("mode", "maintenance")
    if mode not in ("maintenance", "read_only"):
        raise Refusal(400, "bad_request", f"mode must be maintenance or read_only, not {mode!r}")
    await call.engine.set_maintenance(mode, call.reason)
    return {"result": "ok", "mode": mode}


async def disable_maintenance(call: Call) -> t.Any:
    await call.engine.set_maintenance("off", call.reason)
    return {"result": "ok", "mode": None}


async def summary(call: Call) -> t.Any:
    values = await call.engine.settings()
    day = {"orders": values["orders_accepted"], "trades": await call.engine.count_orders({"status": "filled"})}
    return {
        "last_24h": day,
        "total_orders_24h": day["orders"],
        "total_trades_24h": day["trades"],
        "error_rate_24h": values["error_rate"],
        "avg_latency_p95": values["latency_p95_ms"],
        "daily_pnl_usdt": values["daily_pnl"],
        "risk_utilization_percent": values["risk_utilization"],
    }


async def daily_report(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "date": (await call.engine.time()).date().isoformat(),
        "total_orders": values["orders_accepted"],
        "total_trades": await call.engine.count_orders({"status": "filled"}),
        "error_rate": values["error_rate"],
        "avg_latency_p95": values["latency_p95_ms"],
        "peak_throughput": values["peak_throughput"],
        "updated_at": await call.engine.now(),
    }


async def active_alerts(call: Call) -> t.Any:
    return [{"name": name, "since": await call.engine.now()} for name in (await call.engine.settings())["alerts"]]


async def resources(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "cpu_percent": values["cpu_percent"],
        "memory_mi": values["memory_mi"],
        "disk_percent": values["disk_percent"],
        "updated_at": await call.engine.now(),
    }


async def throughput(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "orders_accepted_total": values["orders_accepted"],
        "last_minute": {"orders": await call.engine.accepted_within(60)},
        "updated_at": await call.engine.now(),
    }


async def current(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {"latency_p95_ms": values["latency_p95_ms"], "error_rate": values["error_rate"]}


async def metrics(call: Call) -> t.Any:
    """What Prometheus scrapes."""
    values = await call.engine.settings()
    figures = {
        ("counter", "trading_orders_total"): values["orders_accepted"],
        ("counter", "trading_trades_total"): await call.engine.count_orders({"status": "filled"}),
        ("gauge", "trading_latency_p95"): values["latency_p95_ms"],
        ("gauge", "trading_error_rate"): values["error_rate"],
    }
    return "".join(f"# TYPE {name} {kind}\n{name} {value}\n" for (kind, name), value in figures.items())


PLATFORM = Platform(
    name="adaptive_order_book",
    history=("order_book_snapshots",),
    services={"api": ""},
    auth={"operator": Bearer("token")},
    states={"active": "ACCEPTING", "reducing": "REDUCE_ONLY", "halted": "HALTED"},
    symbols={"BTCUSDT": 64_000, "ETHUSDT": 3_100, "SOLUSDT": 145, "ADAUSDT": 0.45, "DOTUSDT": 6.2},
    venues=("book-a", "book-b"),
    settings={
        "latency_p95_ms": 4.2,
        "error_rate": 0.0005,
        "peak_throughput": 1_850,
        "alerts": [],
        "cpu_percent": 41.0,
        "memory_mi": 3_100,
        "disk_percent": 52.0,
    },
    error=error,
    served_by="trading-service",
    trades_with=("trading-service",),
    routes=[
        Route("GET", "/health", health, auth=None),
        Route("GET", "/metrics", metrics, auth=None),
        Route("GET", "/admin/trading/status", status),
        Route("POST", "/admin/trading/halt", transition("halted", moved("halted")), writes=True),
        Route("POST", "/admin/trading/reduce-only", transition("reducing", moved("reducing")), writes=True),
        Route("POST", "/admin/trading/resume", transition("active", moved("active")), writes=True),
        Route("GET", "/admin/orders", orders),
        Route("DELETE", "/admin/orders", cancel_all, writes=True),
        Route("GET", "/admin/orders/{id}", order),
        Route("DELETE", "/admin/orders/{id}", cancel_one, writes=True),
        Route("GET", "/venue/orders", listing("venue_orders", "orders", VENUE_ORDER)),
        Route("GET", "/admin/positions", listing("positions", "positions", POSITION)),
        Route("POST", "/admin/positions/flatten", flatten, writes=True),
        Route("GET", "/venue/positions", listing("venue_positions", "positions", VENUE_POSITION)),
        Route("GET", "/admin/migration/status", migrations),
        Route("POST", "/admin/migration/percentage", set_percentage, writes=True),
        Route("POST", "/admin/migration/stop-all", stop_migrations("stopped"), writes=True),
        Route("POST", "/admin/migration/emergency-stop", stop_migrations("emergency_stopped"), writes=True),
        Route("GET", "/admin/circuit-breaker/status", breakers),
        Route("POST", "/admin/circuit-breaker/activate-all", switch_breakers(True), writes=True),
        Route("POST", "/admin/circuit-breaker/activate/{pair}", switch_breakers(True), writes=True),
        Route("POST", "/admin/circuit-breaker/reset-all", switch_breakers(False), writes=True),
        Route("POST", "/admin/circuit-breaker/reset/{pair}", switch_breakers(False), writes=True),
        Route("GET", "/admin/maintenance/status", maintenance),
        Route("POST", "/admin/maintenance/enable", enable_maintenance, writes=True),
        Route("POST", "/admin/maintenance/disable", disable_maintenance, writes=True),
        Route("GET", "/admin/reports/daily", daily_report),
        Route("GET", "/admin/alerts/active", active_alerts),
        Route("GET", "/admin/system/resources", resources),
        Route("GET", "/admin/metrics/summary", summary),
        Route("GET", "/admin/metrics/throughput", throughput),
        Route("GET", "/admin/metrics/current", current),
    ],
)
