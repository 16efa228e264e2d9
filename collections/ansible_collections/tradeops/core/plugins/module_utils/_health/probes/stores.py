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

from ..._common.waiter import Deadline, poll
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
# Positions in the log are counted in bytes.
_GOAL_OF_STANDBY = (
    "SELECT pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::float8"
)
_STANDBY = """
SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::float8,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
       (SELECT count(*) FROM pg_stat_wal_receiver)
"""
_GOAL_OF_STANDBYS = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"
_STANDBYS = """
SELECT pid, coalesce(application_name, ''), state, coalesce(pg_wal_lsn_diff(replay_lsn, '0/0'), 0)::float8,
       coalesce(extract(epoch FROM replay_lag), 0)::float8
FROM pg_stat_replication WHERE state IS NULL OR state = 'streaming'
"""
_SLOTS = 16384  # of every cluster of Redis
_LOST = {"fail", "fail?", "noaddr", "handshake"}  # what a node says of another that it does not reach
_LOOK = 1.0  # s for which a standby that is behind is looked at


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
        return _measure(check, session, where, asked.deadline)
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


def _measure(check: PostgreSQL, session: t.Any, where: str, deadline: Deadline) -> Reading:
    if check.read == "connections":
        used, limit = _row(session, _CONNECTIONS)
        return Reading(round(100.0 * used / limit, 2), where, note=f"{used:.0f} of {limit} connections")
    if check.read == "longest_query":
        seconds, hidden = _row(session, _LONGEST)
        if hidden:
            raise Unreadable(_HIDDEN)
        return Reading(round(seconds or 0.0, 3), where)
    if check.read == "replication_lag":
        look = Deadline(min(_LOOK, deadline.remaining / 2))
        standby = _row(session, "SELECT pg_is_in_recovery()")[0]
        return _lag_of_standby(session, where, look) if standby else _lag_of_standbys(check, session, where, look)
    row = _row(session, t.cast(str, check.query))
    value = wire.number(float(row[0])) if len(row) == 1 and _is_number(row[0]) else None
    if value is None:
        raise Unreadable(f"the query gives {row!r}, not one number")
    return Reading(value, where)


def _lag_of_standby(session: t.Any, where: str, look: Deadline) -> Reading:
    """Return how far a standby is behind what it has received.

    The age of the last transaction is no lag where the primary is idle, and says an hour when the first one after an
    hour comes in: so what is behind gets a moment to replay what was there when we came.
    """
    (goal,) = _row(session, _GOAL_OF_STANDBY)
    for attempt in poll(look):
        replayed, age, receivers = _row(session, _STANDBY)
        if not receivers:
            raise NoAnswer("this standby receives nothing from its primary")
        if replayed >= goal:
            return Reading(round(look.elapsed if attempt else 0.0, 3), where, note="as its standby says")
    if age is None:
        raise Unreadable("this standby has replayed no transaction yet")
    return Reading(round(age, 3), where, note="as its standby says")


def _lag_of_standbys(check: PostgreSQL, session: t.Any, where: str, look: Deadline) -> Reading:
    """Return how far the slowest standby is behind, as their primary sees it.

    Its ``replay_lag`` stands still when a standby does, at whatever it was, and stays for a while when that has caught
    up. So it counts only for a standby that is behind and moves.
    """
    (goal,) = _row(session, _GOAL_OF_STANDBYS)
    first: dict[int, float] = {}
    for attempt in poll(look):
        standbys = session.execute(_STANDBYS, binary=True).fetchall()
        if any(state is None for _pid, _name, state, _at, _lag in standbys):
            raise Unreadable(_HIDDEN)
        if len(standbys) < check.standbys:
            raise NoAnswer(f"{len(standbys)} of {check.standbys} standbys are streaming")
        behind = [row for row in standbys if row[3] < goal]
        if not behind:
            seconds = look.elapsed if attempt else 0.0
            return Reading(round(seconds, 3), where, note=f"{len(standbys)} standbys are streaming")
        first = first or {row[0]: row[3] for row in behind}
    stuck = [f"{name} ({goal - at:.0f} bytes)" for pid, name, _state, at, _lag in behind if first.get(pid) == at]
    if stuck:
        raise Unreadable(
            f"behind, and not moving for {look.elapsed:.1f} s, so that nobody knows by how long: {', '.join(stuck)}"
        )
    seconds = max(look.elapsed, *(row[4] for row in behind))
    return Reading(round(seconds, 3), where, note=f"{len(standbys)} standbys are streaming")


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


def _cluster(info: t.Mapping[str, t.Any], nodes: t.Mapping[str, t.Mapping[str, t.Any]], where: str) -> Reading:
    """Return how many nodes of a cluster are lost or not linked, as the node that was asked sees it."""
    lost = sorted(
        address.partition("@")[0]
        for address, node in nodes.items()
        if _LOST & set(str(node["flags"]).split(",")) or not node["connected"]
    )
    state, slots = str(info["cluster_state"]), int(info["cluster_slots_ok"])
    note = f"state {state}, {slots} of {_SLOTS} slots served, {len(nodes) - len(lost)} of {len(nodes)} nodes"
    note += f"; lost: {', '.join(lost)}" if lost else ""
    return Reading(float(len(lost)), where, level=None if state == "ok" and slots == _SLOTS else "fail", note=note)


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
        if check.read == "cluster":
            return _cluster(client.execute_command("CLUSTER INFO"), client.execute_command("CLUSTER NODES"), where)
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
