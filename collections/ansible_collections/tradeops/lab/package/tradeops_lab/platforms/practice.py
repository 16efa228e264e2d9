# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform that nobody runs. It has what the others lack, so that every part of a profile can be practised.

The API key is in the JSON body of every POST, and nearly everything is a POST, reads too. Listings come in numbered
pages. Orders are cancelled by account, venue, strategy, symbol or owner. There is a dead-man switch, a market clock,
and a state ``stopped`` in which nothing can be cancelled or closed.
"""

from __future__ import annotations

import typing as t

from .base import Call, Handler, Headers, InBody, Platform, Refusal, Reply, Route
from .shapes import Fields, number, page, scope, shape, shapes, text, word

PAGE = 15  # rows on one page
STATUS = {"open": "working", "filled": "done", "cancelled": "withdrawn", "rejected": "refused"}

ORDER: Fields = {
    "ref": "id",
    "symbol": "symbol",
    "side": "side",
    "lots": "quantity",
    "state": word("status", STATUS),
    "account": "account",
    "venue": "venue",
    "strategy": "strategy",
    "owner": "owner",
}
VENUE_ORDER: Fields = {
    "ref": "order_id",
    "symbol": "symbol",
    "lots": "quantity",
    "account": "account",
    "venue": "venue",
}
POSITION: Fields = {"symbol": "symbol", "lots": "quantity", "account": "account"}
WITHDRAWN: Fields = {"ref": "id", "outcome": word("ok", {True: "withdrawn", False: "kept"}), "note": "why"}
CLOSED: Fields = {"symbol": "symbol", "outcome": word("ok", {True: "closing", False: "kept"}), "note": "why"}


def error(refusal: Refusal) -> t.Any:
    return {"ok": False, "code": refusal.code, "message": refusal.message}


async def health(call: Call) -> t.Any:
    return {"health": (await call.engine.settings())["health"]}


async def status(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {
        "state": call.platform.word(await call.engine.state()),
        "maintenance": values["maintenance"],
        "in_flight": await call.engine.in_flight(),
        "as_of": await call.engine.now(),
    }


async def statistics(call: Call) -> t.Any:
    values = await call.engine.settings()
    return {"accepted": values["orders_accepted"], "pnl": values["daily_pnl"], "risk": values["risk_utilization"]}


async def _running(call: Call) -> None:
    if await call.engine.state() == "stopped":
        raise Refusal(409, "stopped", "the engine is stopped")


def move(state: str) -> Handler:
    """Move the engine. One that is stopped is started by nothing but ``/engine/start``."""

    async def handler(call: Call) -> t.Any:
        if state != "active" and await call.engine.state() == "stopped":
            return {"ok": True, "state": call.platform.word("stopped")}
        await call.engine.set_state(state, call.reason)
        return {"ok": True, "state": call.platform.word(state)}

    return handler


async def orders(call: Call) -> t.Any:
    rows, following = page(call, await call.engine.orders(scope(call)), PAGE)
    return {"rows": shapes(rows, ORDER), "next_page": following, "as_of": await call.engine.now()}


async def order(call: Call) -> t.Any:
    row = await call.engine.order(text(call, "ref"))
    if row is None:
        raise Refusal(404, "unknown_order", f"there is no order {call.body['ref']}")
    return shape(row, ORDER)


async def cancel(call: Call) -> t.Any:
    await _running(call)
    results = await call.engine.cancel_orders(scope(call), call.reason)
    return {"ok": True, "results": shapes(results, WITHDRAWN)}


async def cancel_one(call: Call) -> t.Any:
    await _running(call)
    result = await call.engine.cancel_order(text(call, "ref"), call.reason)
    if result is None:
        raise Refusal(404, "unknown_order", f"there is no order {call.body['ref']}")
    if not result["ok"]:
        raise Refusal(409, "kept", result["why"])
    return {"ok": True, **shape(result, WITHDRAWN)}


async def positions(call: Call) -> t.Any:
    rows, following = page(call, await call.engine.positions(), PAGE)
    return {"rows": shapes(rows, POSITION), "next_page": following}


async def close(call: Call) -> t.Any:
    """Close what fits account and symbol. A position that open orders hold is kept: cancel them first."""
    await _running(call)
    where = scope(call, {"account": "account", "symbol": "symbol"})
    results = await call.engine.close_positions(where, call.reason, held=True)
    return Reply({"ok": True, "queued": not await call.engine.market_open(), "results": shapes(results, CLOSED)}, 202)


def venue(source: str, fields: Fields) -> Handler:
    async def handler(call: Call) -> t.Any:
        rows, following = page(call, await getattr(call.engine, source)(), PAGE)
        return {"rows": shapes(rows, fields), "next_page": following}

    return handler


async def clock(call: Call) -> t.Any:
    seen = await call.engine.clock()
    return {"market": "open" if seen["open"] else "closed", "now": seen["now"], "next_open": seen["next_open"]}


async def switch(call: Call) -> t.Any:
    return {"seconds_left": await call.engine.dead_man(), "as_of": await call.engine.now()}


async def set_switch(call: Call) -> t.Any:
    timeout = number(call, "timeout")
    if not 0 <= timeout <= 86_400:
        raise Refusal(400, "bad_timeout", f"timeout must be 0 to 86400 seconds, not {timeout:g}")
    await call.engine.arm(timeout)
    return {"ok": True, "seconds_left": timeout or None}


async def maintain(call: Call) -> t.Any:
    mode = text(call, "mode")
    if mode not in ("off", "maintenance", "read_only"):
        raise Refusal(400, "bad_mode", f"mode must be off, maintenance or read_only, not {mode!r}")
    await call.engine.set_maintenance(mode, call.reason)
    return {"ok": True, "maintenance": mode}


PLATFORM = Platform(
    name="practice",
    services={"api": "/practice"},
    auth={"operator": InBody({"api_key": "api_key"}), "reader": Headers({"X-Api-Key": "api_key"})},
    states={"active": "running", "reducing": "closing_only", "halted": "held", "stopped": "off"},
    error=error,
    routes=[
        Route("GET", "/health", health, auth=None),
        Route("POST", "/engine/status", status),
        Route("POST", "/engine/statistics", statistics),
        Route("POST", "/engine/start", move("active"), writes=True),
        Route("POST", "/engine/closing-only", move("reducing"), writes=True),
        Route("POST", "/engine/hold", move("halted"), writes=True),
        Route("POST", "/engine/stop", move("stopped"), writes=True),
        Route("POST", "/engine/maintenance", maintain, writes=True),
        Route("POST", "/orders/list", orders),
        Route("POST", "/orders/show", order),
        Route("POST", "/orders/cancel", cancel, writes=True),
        Route("POST", "/orders/cancel-one", cancel_one, writes=True),
        Route("POST", "/positions/list", positions),
        Route("POST", "/positions/close", close, writes=True),
        Route("POST", "/venue/orders", venue("venue_orders", VENUE_ORDER)),
        Route("POST", "/venue/positions", venue("venue_positions", {"symbol": "symbol", "lots": "quantity"})),
        Route("POST", "/market/clock", clock),
        Route("GET", "/dead-man-switch", switch, auth="reader"),
        Route("POST", "/dead-man-switch", set_switch, writes=True),
    ],
)
