# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.migrate 0002``: migrates the schema of SMC Trading Agent, as alembic would.

Which database is told by PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD. Everything happens in one transaction.
"""

from __future__ import annotations

import asyncio
import sys

import asyncpg

# Revision -> what leads to it from the one before. A site that was reset has what later ones made.
REVISIONS = {
    "0001": "",
    "0002": "CREATE TABLE IF NOT EXISTS signal_reviews (id bigserial PRIMARY KEY, signal text NOT NULL, verdict text)",
}


async def upgrade(revision: str) -> None:
    """Bring the database to ``revision``. Raises ValueError when there is no way."""
    order = list(REVISIONS)
    if revision not in order:
        raise ValueError(f"there is no revision {revision}; there are {', '.join(order)}")
    session = await asyncpg.connect(ssl=False)
    try:
        async with session.transaction():
            now = await session.fetchval("SELECT version_num FROM alembic_version FOR UPDATE")
            if now not in order:
                raise ValueError(f"the database says that its revision is {now}, which is unknown")
            for one in order[order.index(now) + 1 : order.index(revision) + 1]:
                await session.execute(REVISIONS[one])
                await session.execute("UPDATE alembic_version SET version_num = $1", one)
    finally:
        await session.close()


if __name__ == "__main__":
    try:
        asyncio.run(upgrade(sys.argv[1]))
    except (ValueError, OSError, asyncpg.PostgresError) as exc:
        sys.exit(f"migrate: {exc}")
