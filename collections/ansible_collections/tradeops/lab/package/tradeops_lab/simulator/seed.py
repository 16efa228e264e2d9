# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first state of a site: active, 40 open orders, five positions, five pairs with a breaker and a rollout each."""

from __future__ import annotations

import importlib.resources
import json
import typing as t

import asyncpg

from . import history
from .auth import digest
from .chance import DICE

if t.TYPE_CHECKING:
    from .site import Site

ORDERS_PER_SYMBOL = 8
PERCENTAGES = (10, 25, 50, 75, 100)
_TABLES = (
    "settings, orders, venue_orders, positions, venue_positions, trades, breakers, rollouts, limits, tokens, audit"
)
_SQL = importlib.resources.files(__package__)


async def prepare(site: Site, db: asyncpg.Connection) -> None:
    """Create the tables and fill them, unless that was done before."""
    if await db.fetchval("SELECT to_regclass('audit')") is None:
        await db.execute(_SQL.joinpath("schema.sql").read_text(encoding="utf-8"))
        await history.prepare(site.platform.history, db)
    if not await db.fetchval("SELECT EXISTS (SELECT FROM settings)"):
        await fill(site, db, {})


async def again(site: Site, db: asyncpg.Connection, settings: t.Mapping[str, t.Any]) -> None:
    """Empty the tables and fill them as at the first start, but for the ``settings`` that are given."""
    await db.execute(f"TRUNCATE {_TABLES} RESTART IDENTITY")
    await fill(site, db, settings)


async def fill(site: Site, db: asyncpg.Connection, settings: t.Mapping[str, t.Any]) -> None:
    await db.execute(_SQL.joinpath("seed.sql").read_text(encoding="utf-8"), json.dumps(_document(site, settings)))
    await history.fill(site.platform.history, db)


def _document(site: Site, settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    platform = site.platform
    orders: list[dict[str, t.Any]] = []
    positions: list[dict[str, t.Any]] = []
    rollouts: list[dict[str, t.Any]] = []
    for index, (symbol, price) in enumerate(platform.symbols.items()):
        sign = 1 if index % 2 == 0 else -1
        quantity = site.lot(price, 20_000 + 5_000 * index)
        positions.append(
            {"symbol": symbol, "quantity": sign * quantity, "price": price, "account": site.account(symbol)}
        )
        share = PERCENTAGES[index % len(PERCENTAGES)]
        rollouts.append({"pair": symbol, "percentage": share, "status": "complete" if share == 100 else "in_progress"})
        for number in range(ORDERS_PER_SYMBOL):
            side = "buy" if number % 2 == 0 else "sell"
            order = site.draft(symbol, side, site.lot(price, DICE.uniform(500, 2_000)), price)
            orders.append({**order, "age": DICE.uniform(60, 7_200)})
    return {
        "settings": {
            "trading": "active",
            "maintenance": "off",
            "orders_accepted": len(orders),
            "daily_pnl": 1_250.0,
            "risk_utilization": 42.0,
            "health": "healthy",
            "market_open": True,
            "market_enabled": bool(site.plan.market.get("enabled", True)),
            "market_rate": float(site.plan.market.get("rate", 5)),
            "fill_lag": 0.05,
            "dead_man_switch": None,
            "when_flat": None,
            **platform.settings,
            **settings,
        },
        "orders": orders,
        "positions": positions,
        "rollouts": rollouts,
        "limits": dict(platform.limits),
        "tokens": {digest(value): name for name, value in site.plan.secrets.items()},
    }
