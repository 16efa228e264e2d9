# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The market of one site: strategies that place orders, fills and cancellations, moving P&L."""

from __future__ import annotations

import asyncio
import logging
import time
import typing as t

from . import venue
from .chance import DICE
from .database import ERRORS
from .engine import Engine

if t.TYPE_CHECKING:
    from .site import Site

LOG = logging.getLogger(__name__)
WORKING = 40  # open orders that the strategies keep up
IDLE = 2.0  # s; an idle site looks again after this time, because a database may be restored under it


class Market:
    """The site's clock. It sleeps until something is due, or until a request has changed something."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._changed = asyncio.Event()
        self._next_trade = 0.0

    def wake(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Run until cancelled. A database that is away is reported once, and tried again."""
        broken = False
        while True:
            try:
                wait = await self.step()
                broken = False
            except ERRORS as exc:
                if not broken:
                    LOG.warning("%s: the market stands still: %s: %s", self.site.name, type(exc).__name__, exc)
                broken, wait = True, 0.5
            # Not wait_for: Python 3.11's loses a cancellation that comes together with the event.
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()

    async def step(self) -> float:
        """Do what is due in one transaction. Returns the seconds to sleep."""
        async with self.site.writing() as db:
            engine = self.site.engine(db, "strategy")
            due = await venue.work(engine)
            values = await engine.settings()
            interval = 1 / max(float(values["market_rate"]), 0.001)
            wait = IDLE
            if values["market_enabled"]:
                now = time.monotonic()
                if now >= self._next_trade:
                    await self._trade(engine)
                    self._next_trade = max(now, self._next_trade + interval) if self._next_trade else now + interval
                wait = min(wait, max(self._next_trade - time.monotonic(), 0.0))
        return max(min(wait, IDLE if due is None else due), 0.0) + 0.002

    async def _trade(self, engine: Engine) -> None:
        values = await engine.settings()
        state = await engine.state()
        if not self.site.trades or values["maintenance"] != "off" or state not in ("active", "reducing"):
            return
        if not await engine.market_open():
            return
        blocked = {row["pair"] for row in await engine.breakers() if row["open"]}
        if state == "active":
            await self._enter(engine, [symbol for symbol in self.site.platform.symbols if symbol not in blocked])
        elif self.site.platform.exits_while_reducing:
            await self._reduce(engine)
        await self._leave(engine, state)
        await engine.put(
            daily_pnl=round(values["daily_pnl"] + DICE.gauss(0, 2), 2),
            risk_utilization=round(min(100.0, max(0.0, values["risk_utilization"] + DICE.gauss(0, 0.05))), 2),
        )

    async def _enter(self, engine: Engine, symbols: list[str]) -> None:
        if symbols:
            symbol = DICE.choice(symbols)
            price = self.site.platform.symbols[symbol]
            lot = self.site.lot(price, DICE.uniform(500, 2_000))
            await engine.place([self.site.draft(symbol, DICE.choice(("buy", "sell")), lot, price)])

    async def _reduce(self, engine: Engine) -> None:
        positions = await engine.positions()
        if positions:
            position = DICE.choice(positions)
            lot = min(abs(position["quantity"]), self.site.lot(position["price"], 2_000))
            side = "sell" if position["quantity"] > 0 else "buy"
            order = self.site.draft(position["symbol"], side, lot, position["price"], account=position["account"])
            await engine.place([order | {"reduce_only": True}])

    async def _leave(self, engine: Engine, state: str) -> None:
        """Take orders that are too many from the venue, one half by a fill and one half by a cancellation."""
        rows = await engine.db.fetch(
            "SELECT order_id, symbol, side, quantity::float8 AS quantity, price::float8 AS price, account, reduce_only,"
            " count(*) OVER () AS working FROM venue_orders WHERE status = 'open' AND type = 'limit' AND NOT stray"
            " AND (reduce_only OR $1) ORDER BY random() LIMIT 3",
            state == "active",
        )
        surplus = rows[0]["working"] - (WORKING if state == "active" else 2) if rows else 0
        for row in rows[: max(surplus, 0)]:
            if state == "reducing" or DICE.random() < 0.5:
                await venue.fill(engine, dict(row))
            else:
                await engine.cancel_order(row["order_id"], "requoted")
