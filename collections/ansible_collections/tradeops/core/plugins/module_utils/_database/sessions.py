# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Statements that have run for too long are ended, named with what they ran, and seen to be gone."""

from __future__ import annotations

import re
import typing as t

from .._common.errors import Refused
from .._common.outcome import Object, Outcome
from .._common.waiter import Deadline, wait_until
from .run import Parameters, Run
from .server import Row

_LONGEST = 200  # characters of a statement
# Whatever stands in quotes may be a secret, in a statement that sets a password as in one that stores a key.
_QUOTED = re.compile(r"""\$(\w*)\$.*?\$\1\$|E?'(?:[^'\\]|''|\\.)*'?""", re.IGNORECASE | re.DOTALL)

_LONG = """
SELECT pid, backend_start, usename AS user, application_name AS application, state,
    extract(epoch FROM clock_timestamp() - query_start)::bigint AS seconds, query
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND state IN ('active', 'idle in transaction')
    AND query_start < clock_timestamp() - %(seconds)s * interval '1 second'
    AND application_name NOT LIKE 'tradeops %%'
ORDER BY query_start
"""


def ensure_no_long_queries(run: Run, given: Parameters) -> Outcome:
    """No statement, and no transaction that waits for its client, has run for longer than ``older_than`` seconds."""
    wanted = {"seconds": given["older_than"]}
    found = run.database.look("pg_stat_activity", _LONG, wanted)
    problems = {_key(row): _end(run, row) for row in found}
    if run.gate.check_mode:
        objects = [Object(_name(row), "session", shown(row), None, "planned") for row in found]
        return run.outcome(
            "database_sessions", "no long query", objects, before={"long": len(found)}, after={"long": 0}
        )

    def left() -> list[Row]:
        keys = {_key(row) for row in found}
        return [row for row in run.database.look("pg_stat_activity", _LONG, wanted) if _key(row) in keys]

    after = wait_until(left, lambda rows: not rows, Deadline(min(10.0, run.deadline.remaining)))[1] if found else []
    still = {_key(row) for row in after}
    objects = [
        Object(
            _name(row),
            "session",
            shown(row),
            "still there" if _key(row) in still else "gone",
            ("refused" if problems[_key(row)] else "unproven") if _key(row) in still else "proven",
            (problems[_key(row)] or "it is still there") if _key(row) in still else "",
        )
        for row in found
    ]
    return run.outcome(
        "database_sessions", "no long query", objects, before={"long": len(found)}, after={"long": len(after)}
    )


def shown(row: Row) -> dict[str, t.Any]:
    """What may be told of a session: its statement without anything that stood in quotes."""
    query = " ".join(_QUOTED.sub("'?'", row["query"] or "").split())
    return {key: row[key] for key in ("user", "application", "state", "seconds")} | {"query": query[:_LONGEST]}


def _end(run: Run, row: Row) -> str:
    step = {
        "action": "end a session",
        "method": "pg_terminate_backend",
        "path": _name(row),
        "service": "postgresql",
        "why": f"{row['state']} for {row['seconds']} s: {shown(row)['query']}",
    }
    # A pid may have been given to another session by now: its start is compared in the same statement.
    statement = (
        "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
        " WHERE pid = %(pid)s AND backend_start = %(backend_start)s"
    )
    values = {"pid": row["pid"], "backend_start": row["backend_start"]}
    try:
        run.gate.write([step], lambda: run.database.run("end a session", statement, run.deadline, values))
    except Refused as exc:
        return str(exc).removeprefix(f"{run.site}: ")
    return ""


def _key(row: Row) -> tuple[int, t.Any]:
    return row["pid"], row["backend_start"]


def _name(row: Row) -> str:
    return f"pid {row['pid']}"
