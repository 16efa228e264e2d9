# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probes of PostgreSQL and Redis. Their libraries are loaded only where a check needs them."""

from __future__ import annotations

import contextlib
import importlib
import math
import time
import typing as t

from ..._platform import wire
from ..asked import Asked, server
from ..checks import PostgreSQL, Redis
from ..reading import NoAnswer, Reading, Unreadable

LIBRARIES = {"postgresql": "psycopg", "redis": "redis"}
# How PostgreSQL says that it has no connection left; libpq tells no code of an error before the session.
_FULL = ("too many clients", "remaining connection slots", "too many connections")
_HIDDEN = "the user may not see the sessions of others: grant pg_monitor to it"

_CONNECTIONS = """
SELECT count(*)::float8,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
_LONGEST = """
SELECT extract(epoch FROM max(clock_timestamp() - query_start) FILTER (WHERE state = 'active'))::float8,
       count(*) FILTER (WHERE state IS NULL)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_LAG_OF_STANDBY = """
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8,
       (SELECT count(*) FROM pg_stat_wal_receiver)
"""
_LAG_OF_STANDBYS = """
SELECT coalesce(extract(epoch FROM max(replay_lag)), 0)::float8,
       count(*) FILTER (WHERE state = 'streaming'), count(*) FILTER (WHERE state IS NULL)
FROM pg_stat_replication
"""


def postgresql(check: PostgreSQL, asked: Asked) -> Reading:
    psycopg: t.Any = importlib.import_module("psycopg")
    place = server(asked.site.name, asked.given, "postgresql", check.server)
    where = f"postgresql://{place['host']}:{place.get('port', 5432)}/{place.get('database', '')}"
    began = time.monotonic()
    try:
        session = _connect(psycopg, place, asked)
    except psycopg.Error as exc:
        said = " ".join(str(exc).split())
        if check.read in ("ping", "connections") or any(words in said for words in _FULL):
            raise NoAnswer(said) from exc
        raise Unreadable(said) from exc
    try:
        # A check never writes, whatever query somebody gives it; and it never waits for longer than it may.
        session.read_only = True
        limit = str(max(1, math.ceil(asked.deadline.remaining * 1000)))
        session.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
        if check.read == "ping":
            session.execute("SELECT 1")
            return Reading(round(time.monotonic() - began, 4), where)
        return _measure(check, session, where)
    except psycopg.Error as exc:
        said = " ".join(str(exc).split())
        raise (NoAnswer if check.read == "ping" else Unreadable)(said) from exc
    finally:
        with contextlib.suppress(psycopg.Error):  # what was read stands; the session is of no use any more
            session.close()


def _connect(psycopg: t.Any, place: dict[str, t.Any], asked: Asked) -> t.Any:
    secured = {"sslmode": place.get("sslmode"), "sslrootcert": place.get("ca_path")}
    return psycopg.connect(
        host=place["host"],
        port=place.get("port", 5432),
        dbname=place.get("database"),
        user=place.get("user"),
        password=asked.secret("postgresql_password"),
        connect_timeout=max(1, math.ceil(asked.deadline.remaining)),
        application_name="tradeops health",
        **{key: value for key, value in secured.items() if value},
    )


def _measure(check: PostgreSQL, session: t.Any, where: str) -> Reading:
    if check.read == "connections":
        used, limit = _row(session, _CONNECTIONS)
        return Reading(round(100.0 * used / limit, 2), where, note=f"{used:.0f} of {limit} connections")
    if check.read == "longest_query":
        seconds, hidden = _row(session, _LONGEST)
        if hidden:
            raise Unreadable(_HIDDEN)
        return Reading(round(seconds or 0.0, 3), where)
    if check.read == "replication_lag":
        return _lag(check, session, where)
    row = _row(session, t.cast(str, check.query))
    value = wire.number(float(row[0])) if len(row) == 1 and _is_number(row[0]) else None
    if value is None:
        raise Unreadable(f"the query gives {row!r}, not one number")
    return Reading(value, where)


def _lag(check: PostgreSQL, session: t.Any, where: str) -> Reading:
    if _row(session, "SELECT pg_is_in_recovery()")[0]:
        seconds, receivers = _row(session, _LAG_OF_STANDBY)
        if not receivers:
            raise NoAnswer("this standby receives nothing from its primary")
        if seconds is None:
            raise Unreadable("this standby has replayed no transaction yet")
        return Reading(round(seconds, 3), where, note="as its standby says")
    seconds, streaming, hidden = _row(session, _LAG_OF_STANDBYS)
    if hidden:
        raise Unreadable(_HIDDEN)
    if streaming < check.standbys:
        raise NoAnswer(f"{streaming} of {check.standbys} standbys are streaming")
    return Reading(round(seconds, 3), where, note=f"{streaming} standbys are streaming")


def _row(session: t.Any, query: str) -> tuple[t.Any, ...]:
    # The extended protocol takes one statement only: nothing can be smuggled out of the read-only transaction.
    found = session.execute(query, binary=True).fetchmany(2)
    if len(found) != 1:
        raise Unreadable(f"the query gives {'no row' if not found else 'several rows'}, not one")
    return t.cast("tuple[t.Any, ...]", found[0])


def _is_number(value: t.Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, (bool, str))


def redis(check: Redis, asked: Asked) -> Reading:
    library: t.Any = importlib.import_module("redis")
    place = server(asked.site.name, asked.given, "redis", check.server)
    where = f"redis://{place['host']}:{place.get('port', 6379)}/{place.get('db', 0)}"
    client = library.Redis(
        host=place["host"],
        port=place.get("port", 6379),
        db=place.get("db", 0),
        username=place.get("user"),
        password=asked.secret("redis_password"),
        socket_timeout=max(0.001, asked.deadline.remaining),
        socket_connect_timeout=max(0.001, asked.deadline.remaining),
        # Nothing but what is asked: each greeting of the library would be one more exchange.
        protocol=2,
        driver_info=None,
        # How often a reading is taken again is for the check to say.
        retry=library.retry.Retry(library.backoff.NoBackoff(), 0),
        **({"ssl": True, "ssl_ca_certs": place["ca_path"]} if place.get("ca_path") else {}),
    )
    began = time.monotonic()
    try:
        if check.read == "ping":
            client.ping()
            return Reading(round(time.monotonic() - began, 4), where)
        info = client.info()
    except library.exceptions.BusyLoadingError as exc:
        raise NoAnswer("it is still loading its data") from exc
    except (library.exceptions.RedisError, OSError) as exc:
        said = " ".join(str(exc).split()) or type(exc).__name__
        raise (NoAnswer if check.read == "ping" else Unreadable)(said) from exc
    finally:
        client.close()
    if info.get("loading"):
        raise NoAnswer("it is still loading its data")
    if check.read == "memory":
        limit = info.get("maxmemory") or info.get("total_system_memory")
        if not limit:
            raise Unreadable("it says neither its limit nor the memory of its machine")
        of = "of its limit" if info.get("maxmemory") else "of its machine, for it has no limit"
        return Reading(round(100.0 * info["used_memory"] / limit, 3), where, note=of)
    number = wire.number(info.get(t.cast(str, check.field)))
    if number is None:
        raise Unreadable(f"INFO gives {info.get(t.cast(str, check.field))!r} for {check.field}, which is no number")
    return Reading(number, where)
