# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Tables are vacuumed, analyzed and reindexed, and the server's own books say so afterwards."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import typing as t

from .._common.errors import InputError, Refused
from .._common.outcome import Object, Outcome
from .._common.waiter import Deadline, wait_until
from .run import Parameters, Run
from .server import Row, library

OPERATIONS = ("vacuum", "analyze", "reindex")
# Seconds that the statistics may take to show what was done; before PostgreSQL 15 they travel by messages.
_BOOKED = 5.0
# What REINDEX CONCURRENTLY leaves behind when it is interrupted.
_LEFTOVER = re.compile(r"_cc(?:new|old)\d*\Z")

# Sizes as the catalogue has them: to measure a table takes a lock on it.
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relname AS short, c.oid::bigint AS oid,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed, greatest(s.last_analyze, s.last_autoanalyze) AS analyzed,
    s.n_dead_tup AS dead, s.n_live_tup AS live, c.relpages::bigint * current_setting('block_size')::bigint AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND n.nspname NOT LIKE 'pg_%'
ORDER BY 1
"""
_INDEXES = """
SELECT i.indrelid::bigint AS oid, format('%%I.%%I', n.nspname, c.relname) AS name, c.relname AS short,
    pg_relation_filenode(c.oid)::bigint AS file, i.indisvalid AS valid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY(%(oids)s) OR i.indrelid IN (SELECT reltoastrelid FROM pg_class WHERE oid = ANY(%(oids)s))
ORDER BY 2
"""


def ensure_tables(run: Run, given: Parameters) -> Outcome:
    """Each operation is done on each table; a table that refuses does not keep the others from theirs."""
    operations = [name for name in OPERATIONS if name in given["operations"]]
    tables = choose(run.database.look("pg_stat_user_tables", _TABLES), given["tables"], run.site, run.database.where)
    objects: list[Object] = []
    for table in tables:
        booked = [name for name in operations if name != "reindex"]
        if booked:
            objects += _book(run, table, booked)
        if "reindex" in operations:
            objects += _reindex(run, table)
    names = {table["name"] for table in tables}
    after = [row for row in run.database.look("pg_stat_user_tables", _TABLES) if row["name"] in names]
    return run.outcome(
        "database_tables",
        " and ".join(f"{name}{'ed' if name != 'analyze' else 'd'}" for name in operations),
        objects,
        before=_sum(tables),
        after=_sum(after),
    )


def choose(known: list[Row], wanted: t.Sequence[str], site: str, where: str) -> list[Row]:
    """Return the tables that are named, with or without their schema; all where none is. Raises InputError."""
    if not wanted:
        return known
    by_name = {row["short"]: row for row in known if row["name"].startswith("public.")}
    by_name |= {row["name"]: row for row in known}
    for name in wanted:
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; it has {', '.join(sorted(by_name)) or 'none'}."
            raise InputError(f"{site}: the database {where} has no table {name!r}{hint} Nothing was done.")
    return list({by_name[name]["name"]: by_name[name] for name in wanted}.values())


def _book(run: Run, table: Row, operations: list[str]) -> list[Object]:
    """VACUUM and ANALYZE in one pass; the statistics must show a later time than the server's clock did before."""
    statement = {
        ("vacuum", "analyze"): f"VACUUM (ANALYZE) {table['name']}",
        ("vacuum",): f"VACUUM {table['name']}",
        ("analyze",): f"ANALYZE {table['name']}",
    }[tuple(operations)]
    columns = {"vacuum": "vacuumed", "analyze": "analyzed"}
    started = _clock(run)
    run.database.notices.clear()
    problem = _act(run, " and ".join(operations), table["name"], statement)

    def object_of(name: str, row: Row | None) -> Object:
        column = columns[name]
        after = row[column] if row else None
        done = after is not None and after >= started
        result = "proven" if done else "refused" if problem else "unproven"
        why = problem or " ".join(run.database.notices) or f"the server's statistics do not show the {name}"
        before = {"at": table[column], "dead": table["dead"]}
        seen = {"at": after, "dead": row["dead"] if row else None}
        return Object(f"{table['name']} {name}", "table", before, seen, result, "" if done else why)

    if run.gate.check_mode:
        return [
            Object(
                f"{table['name']} {name}", "table", {"at": table[columns[name]], "dead": table["dead"]}, None, "planned"
            )
            for name in operations
        ]

    def look() -> list[Object]:
        found = [row for row in run.database.look("pg_stat_user_tables", _TABLES) if row["name"] == table["name"]]
        return [object_of(name, found[0] if found else None) for name in operations]

    budget = Deadline(0.0 if problem else min(_BOOKED, run.deadline.remaining))
    return wait_until(look, lambda seen: all(item.result == "proven" for item in seen), budget)[1]


def _reindex(run: Run, table: Row) -> list[Object]:
    """Every index of the table is built anew beside the traffic: in another file, valid, and with no leftover."""
    where = {"oids": [table["oid"]]}
    before = run.database.look("pg_index", _INDEXES, where)
    kept = [row for row in before if not _leftover(row)]
    _drop_leftovers(run, before)
    problem = _act(run, "reindex", table["name"], f"REINDEX TABLE CONCURRENTLY {table['name']}") if kept else ""
    if run.gate.check_mode:
        return [Object(row["name"], "index", {"valid": row["valid"]}, None, "planned") for row in kept]
    left = _drop_leftovers(run, run.database.look("pg_index", _INDEXES, where))
    after = run.database.look("pg_index", _INDEXES, where)
    strangers = [
        Object(
            name, "index", {"valid": False}, {"valid": False}, "refused", f"a leftover that cannot be dropped: {why}"
        )
        for name, why in left.items()
    ]
    return [*(compare_index(row, after, problem) for row in kept), *strangers]


def compare_index(before: Row, after: list[Row], problem: str) -> Object:
    """Say what became of one index."""
    found = next((row for row in after if row["name"] == before["name"]), None)
    done = bool(found and found["valid"] and found["file"] != before["file"])
    why = "" if done else problem or "it is not rebuilt"
    result = "proven" if done else "refused" if problem else "unproven"
    return Object(
        before["name"], "index", {"valid": before["valid"]}, {"valid": bool(found and found["valid"])}, result, why
    )


def _leftover(row: Row) -> bool:
    return not row["valid"] and _LEFTOVER.search(row["short"]) is not None


def _drop_leftovers(run: Run, rows: list[Row]) -> dict[str, str]:
    """Drop what an interrupted reindex left behind; return those that stay, and why."""
    names = [row["name"] for row in rows if _leftover(row)]
    problems = {
        name: _act(run, "drop a leftover of a reindex", name, f"DROP INDEX CONCURRENTLY {name}") for name in names
    }
    return {name: why for name, why in problems.items() if why}


def _act(run: Run, action: str, name: str, statement: str) -> str:
    """Run a statement through the gate; return an empty text, or why the server did not do it."""
    step = {
        "action": action,
        "method": statement.split(maxsplit=1)[0],
        "path": name,
        "service": "postgresql",
        "why": statement,
    }

    def send() -> None:
        try:
            run.database.run(action, library().sql.SQL(statement), run.deadline)
        except Refused as exc:
            exc.sent = None  # these statements are no transaction: what they did before they failed stays
            raise

    try:
        run.gate.write([step], send)
    except Refused as exc:
        return str(exc).removeprefix(f"{run.site}: ")
    return ""


def _clock(run: Run) -> dt.datetime:
    return t.cast(dt.datetime, run.database.look("clock", "SELECT clock_timestamp() AS at")[0]["at"])


def _sum(rows: list[Row]) -> dict[str, t.Any]:
    return {"tables": len(rows), **{key: sum(int(row[key]) for row in rows) for key in ("dead", "bytes")}}
