# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the databases of one site, PostgreSQL and Redis."""

from __future__ import annotations

import typing as t

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .plan import Server

# What a database that is away, being restored or without its tables looks like from here.
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, OSError)

TIMEOUT = 10.0  # s for one statement: a restore may hold a table


class _Connection(asyncpg.Connection):
    """A connection that is given back as it is: nothing here changes the session, and the reset costs a round trip."""

    def get_reset_query(self) -> str:
        return ""


def settings(server: Server, database: str, name: str) -> dict[str, t.Any]:
    """The arguments of a connection."""
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": database,
        "ssl": False,
        "command_timeout": TIMEOUT,
        "server_settings": {"application_name": f"simulator {name}"[:63], "jit": "off"},
        "connection_class": _Connection,
    }


async def pool(server: Server, database: str, name: str) -> asyncpg.Pool:
    """A pool of one or two connections: one for the writer of the site, one for those who read."""
    return await asyncpg.create_pool(**settings(server, database, name), min_size=1, max_size=2)


def redis_client(server: Server, number: int) -> redis.asyncio.Redis:
    """The database ``number`` of a Redis. A connection that was cut is made anew at once, and only once."""
    return redis.asyncio.Redis(
        host=server.host,
        port=server.port,
        db=number,
        password=server.password,
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )
