# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume for one site of a running lab: the orders, trades, audit, sessions and files of months of market activity.

PostgreSQL makes the rows itself. As in production they compress to about 40 %: most of them repeat, the messages of
venues do not. What is there counts, so doing it again adds nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import secrets
import time
import typing as t

import asyncpg
import redis.asyncio

from . import platforms
from .errors import LabError
from .folder import Folder, read_json
from .platforms.base import Platform
from .simulator.files import parquet

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_DATABASE, _FILES = 0.9, 0.08  # parts of the size; what is left is sessions
_SESSION = 256  # bytes that Redis takes for one, about
_BATCH = 20_000  # orders
_ORDER = 1250  # bytes that an order takes in all tables and indexes, about
_FILE = 4 * 2**20  # bytes
_DAYS = 120  # over which the activity is spread

# Text that no compressor can make much of: 176 characters of 6 bits each.
_HASHES = "sha512(('{name}' || number)::bytea) || sha512((number || '{name}')::bytea)"
_NOISE = f"translate(encode({_HASHES}, 'base64'), E'\\n', '')"
# One statement, so that an order never is without its trade and its audit. $1: how many, $2: a number that only grows.
_ACTIVITY = """
WITH made AS MATERIALIZED (
    SELECT 'H-' || to_hex($2::bigint + n) AS id,
        ($3::text[])[1 + n % cardinality($3::text[])] AS symbol,
        CASE n % 2 WHEN 0 THEN 'buy' ELSE 'sell' END AS side,
        1 + n % 50 AS quantity,
        round((100 + 20 * random())::numeric, 4) AS price,
        CASE n % 5 WHEN 0 THEN 'cancelled' ELSE 'filled' END AS status,
        ($4::text[])[1 + n % cardinality($4::text[])] AS account,
        ($5::text[])[1 + n % cardinality($5::text[])] AS venue,
        ($6::text[])[1 + n % cardinality($6::text[])] AS strategy,
        ($7::text[])[1 + n % cardinality($7::text[])] AS owner,
        now() - (1 - n / $1::float8) * $8 * interval '1 day' - interval '1 hour' AS at,
        $2::bigint + n AS number
    FROM generate_series(1, $1::integer) AS n
), placed AS (
    INSERT INTO orders (id, symbol, side, quantity, price, type, status, account, venue, strategy, owner, placed_at,
        updated_at)
    SELECT id, symbol, side, quantity, price, 'limit', status, account, venue, strategy, owner, at,
        at + interval '2 seconds' FROM made
), traded AS (
    INSERT INTO trades ("timestamp", order_id, symbol, side, quantity, price)
    SELECT at + interval '2 seconds', id, symbol, side, quantity, price FROM made WHERE status = 'filled'
), counted AS (
    UPDATE settings SET value = to_jsonb(value::bigint + $1) WHERE key = 'orders_accepted'
)
INSERT INTO audit (at, actor, action, object, detail)
SELECT at, 'strategy', 'order_accepted', id, jsonb_build_object('symbol', symbol, 'side', side, 'quantity', quantity,
    'message', {message}) FROM made
UNION ALL
SELECT at + interval '2 seconds', 'strategy', 'order_' || status, id, jsonb_build_object('symbol', symbol,
    'quantity', quantity, 'price', price, 'venue', venue, 'message', {answer}) FROM made
""".format(message=_NOISE.format(name="message"), answer=_NOISE.format(name="answer"))


@dataclasses.dataclass
class Volume:
    """What a site holds, in bytes; ``sessions`` is how many."""

    database: int
    files: int
    sessions: int

    @property
    def total(self) -> int:
        return self.database + self.files + self.sessions * _SESSION


def size(text: str) -> int:
    """Read ``50MB`` or ``1.5GB``. Raises LabError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B)", text.strip(), re.IGNORECASE)
    unit = {name.lower(): value for name, value in _UNITS.items()}.get(found[2].lower()) if found else None
    if not found or not unit or float(found[1]) <= 0:
        raise LabError(f"--size {text!r}: a number with {', '.join(_UNITS)}, such as 50MB or 1GB")
    return int(float(found[1]) * unit)


def fill(folder: Folder, site: str, wanted: int, tell: t.Callable[[str], None]) -> tuple[Volume, bool]:
    """Let ``site`` hold ``wanted`` bytes. Returns what it holds and whether anything was added. Raises LabError."""
    lab = read_json(folder.lab_json)
    if lab is None:
        raise LabError(f"no lab runs in {folder.path}: python -m tradeops_lab up")
    plan = lab["sites"].get(site)
    if plan is None or "database" not in plan:
        known = [name for name, other in lab["sites"].items() if "database" in other]
        raise LabError(f"--site: there is no site {site!r} with a database; there are: {', '.join(known)}")
    try:
        return asyncio.run(_Filler(folder, lab, site, tell).run(wanted))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, redis.RedisError, OSError) as exc:
        raise LabError(f"{site}: {type(exc).__name__}: {exc}: python -m tradeops_lab status") from exc


class _Filler:
    def __init__(self, folder: Folder, lab: dict[str, t.Any], site: str, tell: t.Callable[[str], None]) -> None:
        self.plan: dict[str, t.Any] = lab["sites"][site]
        self.postgresql = self.plan.get("postgresql") or lab["postgresql"]
        self.redis = self.plan.get("redis") or lab["redis"]
        self.platform: Platform = platforms.load(self.plan["platform"])
        # Where a platform has no data files, its logs grow.
        kind = "data" if self.platform.parquet_days else "site-logs"
        self.files = folder.run / kind / site
        self.name, self._tell, self._told = site, tell, 0.0

    async def run(self, wanted: int) -> tuple[Volume, bool]:
        began = time.monotonic()
        keys = ("host", "port", "user", "password")
        db = await asyncpg.connect(**{key: self.postgresql[key] for key in keys}, database=self.plan["database"])
        store = redis.asyncio.Redis(
            host=self.redis["host"],
            port=self.redis["port"],
            password=self.redis["password"],
            db=self.plan["redis_db"],
        )
        try:
            rows = await self._rows(db, int(wanted * _DATABASE))
            files = self._write_files(int(wanted * _FILES))
            sessions = await self._sessions(store, int(wanted * (1 - _DATABASE - _FILES)) // _SESSION)
            volume = Volume(await _database_size(db), _files_size(self.files), int(await store.dbsize()))
        finally:
            await db.close()
            await store.aclose()
        changed = bool(rows or files or sessions)
        if changed:
            self._say(
                f"{rows} orders, {files} files, {sessions} sessions in {time.monotonic() - began:.1f} s", now=True
            )
        return volume, changed

    async def _rows(self, db: asyncpg.Connection, wanted: int) -> int:
        """Returns how many orders were made."""
        platform = self.platform
        lists = [list(names) for names in (platform.symbols, platform.accounts, platform.venues)]
        lists += [list(names) for names in (platform.strategies, platform.owners)]
        made = 0
        while (missing := wanted - await _database_size(db)) > 0:
            number = max(100, min(_BATCH, missing // _ORDER))
            await db.execute(_ACTIVITY, number, time.time_ns() // 1000, *lists, _DAYS, timeout=120)
            made += number
            self._say(f"{(wanted - missing) / 1e6:.0f} of {wanted / 1e6:.0f} MB in the database")
        if made:
            await db.execute("ANALYZE", timeout=120)
        return made

    def _write_files(self, wanted: int) -> int:
        """Returns how many files were made."""
        made = 0
        while (missing := wanted - _files_size(self.files)) > 0:
            length = min(_FILE, missing)
            noise = os.urandom(length * 2 // 5)
            number = secrets.token_hex(4)
            if self.platform.parquet_days:
                place = self.files / next(iter(self.platform.symbols)) / f"history-{number}.parquet"
                content = parquet(noise + bytes(length - len(noise)))
            else:
                place = self.files / f"application-history-{number}.log"
                content = (noise.hex() + "\n").encode()[:length]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            made += 1
        return made

    async def _sessions(self, store: redis.asyncio.Redis, wanted: int) -> int:
        """Returns how many were made. Refresh tokens, for they last a month."""
        missing = max(0, wanted - int(await store.dbsize()))
        for first in range(0, missing, 5000):
            async with store.pipeline(transaction=False) as pipe:
                for _number in range(min(5000, missing - first)):
                    key = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
                    value = json.dumps({"actor": self.platform.owners[0], "issued_at": time.time()})
                    pipe.set(f"refresh:{key}", value, ex=30 * 24 * 3600)
                await pipe.execute()
            self._say(f"{first} of {missing} sessions")
        return missing

    def _say(self, text: str, *, now: bool = False) -> None:
        """Tell how far it is, at most every second."""
        if now or time.monotonic() - self._told > 1:
            self._told = time.monotonic()
            self._tell(f"{self.name}: {text}")


async def _database_size(db: asyncpg.Connection) -> int:
    return int(await db.fetchval("SELECT pg_database_size(current_database())"))


def _files_size(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
