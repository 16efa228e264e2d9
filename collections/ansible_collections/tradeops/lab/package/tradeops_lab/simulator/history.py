# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site has stored over the years: tables beside the book, with rows old enough to be archived."""

from __future__ import annotations

import typing as t

import asyncpg

# Tables beside those of schema.sql.
_TABLES = {
    "order_book_snapshots": """(
        id bigserial PRIMARY KEY, symbol text NOT NULL, bids jsonb NOT NULL, asks jsonb NOT NULL,
        created_at timestamptz NOT NULL)""",
    "audit_log": """(
        id bigserial PRIMARY KEY, actor text NOT NULL, event text NOT NULL, created_at timestamptz NOT NULL)""",
    "system_metrics": """(
        id bigserial PRIMARY KEY, name text NOT NULL, value double precision NOT NULL,
        "timestamp" timestamptz NOT NULL)""",
    "market_data": """(
        id bigserial PRIMARY KEY, symbol text NOT NULL, price numeric NOT NULL, "timestamp" timestamptz NOT NULL)""",
    "alembic_version": "(version_num varchar(32) PRIMARY KEY)",  # the revision of the schema: ../migrate.py
}
# Their rows: most of them recent, some older than any retention.
_ROWS = {
    "order_book_snapshots": """(symbol, bids, asks, created_at)
        SELECT 'BTCUSDT', '[[64000, 1]]', '[[64010, 2]]', now() - n * interval '2 hours'
        FROM generate_series(0, 1799) AS n""",  # 150 days
    "audit_log": """(actor, event, created_at)
        SELECT 'agent', 'decision ' || n, now() - n * interval '2 hours' FROM generate_series(0, 1799) AS n""",
    "system_metrics": """(name, value, "timestamp")
        SELECT 'latency_ms', n % 90, now() - n * interval '1 hour' FROM generate_series(0, 1199) AS n""",  # 50 days
    "market_data": """(symbol, price, "timestamp")
        SELECT 'ES', 5900 + n % 40, now() - n * interval '1 minute' FROM generate_series(0, 599) AS n""",
    "trades": """("timestamp", order_id, symbol, side, quantity, price)
        SELECT now() - n * interval '10 hours', 'OLD-' || n, 'BTC-USD', 'buy', 1, 64000
        FROM generate_series(1200, 1, -1) AS n""",  # 500 days
    "alembic_version": "(version_num) VALUES ('0001')",
}


async def prepare(tables: t.Sequence[str], db: asyncpg.Connection) -> None:
    """Create the tables of a platform that are missing."""
    for table in tables:
        if table in _TABLES:
            await db.execute(f"CREATE TABLE IF NOT EXISTS {table} {_TABLES[table]}")


async def fill(tables: t.Sequence[str], db: asyncpg.Connection) -> None:
    """Fill them as at the first start, and forget what was archived."""
    for table in tables:
        await db.execute(f"TRUNCATE {table} RESTART IDENTITY")
        await db.execute(f"DROP TABLE IF EXISTS {table}_archive")
        await db.execute(f"INSERT INTO {table} {_ROWS[table]}")
