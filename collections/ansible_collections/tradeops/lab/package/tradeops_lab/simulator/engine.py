# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trading engine of one site as a handler uses it: one object per request, all state in PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
import typing as t

import asyncpg

from .orders import Book, Row

STATES = ("active", "reducing", "halted", "stopped")
MODES = ("off", "maintenance", "read_only")


class Engine(Book):
    """Trading state, maintenance, breakers, rollouts, limits, dead-man switch and market clock, beside the Book.

    Every operation works in the connection it was given, so the caller decides whether it is kept. Times are UTC and
    come from the database, percentages are 0 to 100.
    """

    _cache: tuple[dt.datetime, dict[str, t.Any]] | None = None

    # -- settings ------------------------------------------------------------------------------------------------

    async def settings(self) -> dict[str, t.Any]:
        """All settings of the site: those of ``seed.py``, what the platform added, and what its cluster says."""
        return {**(await self._read())[1], **self.site.workloads}

    async def _read(self) -> tuple[dt.datetime, dict[str, t.Any]]:
        if self._cache is None:
            now, text = await self.db.fetchrow("SELECT now(), (SELECT jsonb_object_agg(key, value) FROM settings)")
            self._cache = now, _settings(text)
        return self._cache

    async def names_of(self, hashes: t.Collection[str]) -> set[str]:
        """The names of the valid tokens among ``hashes``. The settings come with the same round trip."""
        now, text, names = await self.db.fetchrow(
            "SELECT now(), (SELECT jsonb_object_agg(key, value) FROM settings),"
            " ARRAY(SELECT name FROM tokens WHERE hash = ANY($1) AND NOT revoked)",
            hashes,
        )
        self._cache = now, _settings(text)
        return set(names)

    async def put(self, **values: t.Any) -> None:
        """Store settings of the platform's own, or the well-known ones."""
        await self.db.execute(
            "INSERT INTO settings SELECT key, value FROM jsonb_each($1::jsonb)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            json.dumps(values),
        )
        self._cache = None

    async def time(self) -> dt.datetime:
        return (await self._read())[0]

    async def now(self) -> str:
        """The time of this reading, ISO 8601 in UTC: the ``as_of`` of answers."""
        return iso(await self.time())

    # -- trading state -------------------------------------------------------------------------------------------

    async def state(self) -> str:
        """active, reducing, halted or stopped."""
        return self.site.platform.trading_state(await self.settings())

    async def set_state(self, state: str, reason: str = "", *, when_flat: str | None = None, **values: t.Any) -> None:
        """Move the trading state. Open orders and positions stay as they are.

        ``when_flat`` names the state that follows by itself when no position is left (a graceful shutdown is
        ``set_state("reducing", reason, when_flat="stopped")`` and then ``close_positions``). ``values`` are stored too.
        """
        if state not in STATES:
            raise ValueError(f"{state!r} is no trading state; known: {', '.join(STATES)}")
        await self.put(trading=state, when_flat=when_flat, **values)
        await self.audit("trading_state", state, reason=reason)

    async def set_maintenance(self, mode: str, reason: str = "", **values: t.Any) -> None:
        """off, maintenance or read_only. While it is not off, no new order is accepted from the strategies."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is no maintenance mode; known: {', '.join(MODES)}")
        await self.put(maintenance=mode, **values)
        await self.audit("maintenance", mode, reason=reason)

    # -- circuit breakers, rollouts, limits ----------------------------------------------------------------------

    async def breakers(self) -> list[Row]:
        return [
            dict(row) for row in await self.db.fetch("SELECT pair, open, reason, since FROM breakers ORDER BY pair")
        ]

    async def set_breakers(self, open_: bool, pair: str | None = None, reason: str = "") -> list[Row]:
        """Open or close the breaker of ``pair`` (None: of all). Returns those it was about; none: no such pair."""
        rows = await self.db.fetch(
            "UPDATE breakers SET open = $1, reason = $2, since = CASE WHEN open = $1 THEN since ELSE now() END"
            " WHERE $3::text IS NULL OR pair = $3 RETURNING pair, open, reason, since",
            open_,
            reason if open_ else "",
            pair,
        )
        await self.audit("breaker_open" if open_ else "breaker_reset", pair or "all", reason=reason)
        return sorted((dict(row) for row in rows), key=lambda row: str(row["pair"]))

    async def rollouts(self) -> list[Row]:
        return [dict(row) for row in await self.db.fetch("SELECT pair, percentage, status FROM rollouts ORDER BY pair")]

    async def set_rollouts(
        self, percentage: int | None, status: str, pair: str | None = None, reason: str = ""
    ) -> list[Row]:
        """Set percentage (None: as it is) and status of the rollout of ``pair`` (None: of all). Returns those."""
        rows = await self.db.fetch(
            "UPDATE rollouts SET percentage = coalesce($1, percentage), status = $2 WHERE $3::text IS NULL OR pair = $3"
            " RETURNING pair, percentage, status",
            percentage,
            status,
            pair,
        )
        await self.audit("rollout", pair or "all", percentage=percentage, status=status, reason=reason)
        return sorted((dict(row) for row in rows), key=lambda row: str(row["pair"]))

    async def limits(self) -> list[Row]:
        rows = await self.db.fetch("SELECT name, value::float8 AS value FROM limits ORDER BY name")
        return [dict(row) for row in rows]

    async def set_limit(self, name: str, value: float, reason: str = "") -> Row | None:
        """Set one limit. Returns it, or None when there is no such limit."""
        row = await self.db.fetchrow(
            "UPDATE limits SET value = $2::float8::numeric WHERE name = $1 RETURNING name, value::float8 AS value",
            name,
            value,
        )
        if row is None:
            return None
        await self.audit("limit", name, value=value, reason=reason)
        return dict(row)

    # -- dead-man switch and market clock ------------------------------------------------------------------------

    async def arm(self, timeout: float) -> None:
        """Cancel all orders in ``timeout`` seconds unless armed again before; 0 disarms."""
        switch = None
        if timeout:
            switch = {"timeout": timeout, "expires_at": iso(await self.time() + dt.timedelta(seconds=timeout))}
        await self.put(dead_man_switch=switch)
        await self.audit("dead_man_switch", "armed" if switch else "disarmed", timeout=timeout)

    async def dead_man(self) -> float | None:
        """Seconds until the dead-man switch cancels all orders, or None when it is not armed."""
        switch = (await self.settings())["dead_man_switch"]
        if not switch:
            return None
        return max(0.0, (dt.datetime.fromisoformat(switch["expires_at"]) - await self.time()).total_seconds())

    async def market_open(self) -> bool:
        return bool((await self.settings())["market_open"]) and not self.site.faults.find(("market_closed",), None)

    async def clock(self) -> Row:
        """The market clock: open, now and next_open (ISO times; next_open None while it is open)."""
        fault = self.site.faults.find(("market_closed",), None)
        open_ = await self.market_open()
        opens = await self.time() + dt.timedelta(seconds=fault.lasts(3600) if fault else 3600)
        return {"open": open_, "now": await self.now(), "next_open": None if open_ else iso(opens)}

    # -- the lab's own view --------------------------------------------------------------------------------------

    async def truth(self) -> Row:
        """What is really so, for tests: book, venue, counters and controls."""
        values = await self.settings()
        working = await self.db.fetchval("SELECT count(*) FROM venue_orders WHERE status = 'open'")
        return {
            "state": await self.state(),
            "open_orders": await self.count_orders(),
            "venue_open_orders": working,
            "positions": {row["symbol"]: row["quantity"] for row in await self.positions()},
            "venue_positions": {row["symbol"]: row["quantity"] for row in await self.venue_positions()},
            "orders_accepted": values["orders_accepted"],
            "breakers": {row["pair"]: row["open"] for row in await self.breakers()},
            "rollouts": {row["pair"]: row["percentage"] for row in await self.rollouts()},
            "limits": {row["name"]: row["value"] for row in await self.limits()},
            "maintenance": values["maintenance"],
            "workloads": self.site.workloads,
            "in_flight": await self.in_flight(),
            "dead_man_switch": await self.dead_man(),
            "audit": await self.db.fetchval("SELECT count(*) FROM audit"),
        }


def _settings(text: str | None) -> dict[str, t.Any]:
    if text is None:
        raise asyncpg.InterfaceError("the table settings is empty")
    return t.cast("dict[str, t.Any]", json.loads(text))


def iso(moment: dt.datetime) -> str:
    """A moment as ISO 8601 in UTC with a Z."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
