# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Old rows leave a table in batches: copied, compared and deleted in one transaction each, or not at all."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import InputError, Refused, TradeopsError, Unproven
from .._common.outcome import Object, Outcome
from .run import Parameters, Run
from .server import Row, library

RULE: dict[str, dict[str, t.Any]] = {
    "table": {"type": "str", "required": True},
    "column": {"type": "str", "required": True},
    "older_than": {"type": "str", "required": True},
    "into": {"type": "str"},
    "batch": {"type": "int", "default": 1000},
}

_RELATION = """
SELECT c.oid::bigint AS oid, format('%%I.%%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(name)s) AND c.relkind IN ('r', 'p')
"""
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attgenerated <> '' AS generated,
    coalesce(a.attnum = ANY(k.conkey), false) AS key
FROM pg_attribute a LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclasses.dataclass
class Rule:
    """One table with what is known of it. ``cutoff``: older rows go; fixed once, so that the work has an end."""

    table: str
    column: str
    into: str | None
    batch: int
    keys: list[str]
    columns: list[str]
    cutoff: t.Any
    create: bool = False
    moved: int = 0


def ensure_archived(run: Run, given: Parameters) -> Outcome:
    """No row older than its rule says is left, and every one of them is in the archive, where the rule names one."""
    rules = [_prepare(run, rule) for rule in given["rules"]]
    before = {rule.table: _count(run, rule) for rule in rules}
    objects = [_archive(run, rule, before[rule.table]) for rule in rules]
    after = before if run.gate.check_mode else {rule.table: _count(run, rule) for rule in rules}
    return run.outcome("database_archive", "old rows archived", objects, before=before, after=after)


def _prepare(run: Run, given: Parameters) -> Rule:
    """Look at the table of a rule. Raises InputError before anything is moved."""
    source = _relation(run, given["table"])
    if source is None:
        raise InputError(
            f"{run.site}: the database {run.database.where} has no table {given['table']!r}. Nothing was moved."
        )
    columns = run.database.look("pg_attribute", _COLUMNS, {"oid": source["oid"]})
    name = source["name"]
    if given["column"] not in {row["name"] for row in columns}:
        known = ", ".join(row["name"] for row in columns)
        raise InputError(f"{run.site}: {name} has no column {given['column']!r}; it has {known}. Nothing was moved.")
    keys = [row["name"] for row in columns if row["key"]]
    if not keys:
        raise InputError(f"{run.site}: {name} has no primary key, so its rows cannot be told apart. Nothing was moved.")
    if given["batch"] < 1:
        raise InputError(f"{run.site}: {name}: batch is {given['batch']}; give 1 or more. Nothing was moved.")
    into, create = _target(run, given["into"], name, columns)
    stored = [row["name"] for row in columns if not row["generated"]]
    return Rule(name, given["column"], into, given["batch"], keys, stored, _cutoff(run, given, name), create)


def _relation(run: Run, name: str) -> Row | None:
    return next(iter(run.database.look("pg_class", _RELATION, {"name": name})), None)


def _target(run: Run, into: str | None, source: str, columns: list[Row]) -> tuple[str | None, bool]:
    """Return the archive of a table as the server writes it, and whether it has to be made. Raises InputError."""
    if into is None:
        return None, False
    found = _relation(run, into)
    if found is None:
        quoted = "SELECT string_agg(quote_ident(part), '.') AS name FROM unnest(%(parts)s::text[]) AS part"
        (row,) = run.database.look("quote_ident", quoted, {"parts": into.split(".")})
        return row["name"], True
    if found["name"] == source:
        raise InputError(f"{run.site}: {source} cannot be its own archive. Nothing was moved.")
    theirs = {row["name"]: row["type"] for row in run.database.look("pg_attribute", _COLUMNS, {"oid": found["oid"]})}
    missing = [f"{row['name']} {row['type']}" for row in columns if theirs.get(row["name"]) != row["type"]]
    if missing:
        raise InputError(f"{run.site}: the archive {found['name']} lacks {', '.join(missing)}. Nothing was moved.")
    return found["name"], False


def _cutoff(run: Run, given: Parameters, name: str) -> t.Any:
    refusal = f"{run.site}: {name}: older_than is {given['older_than']!r}"
    try:
        (row,) = run.database.look(
            "clock",
            "SELECT clock_timestamp() - %(age)s::interval AS at, %(age)s::interval > interval '0' AS good",
            {"age": given["older_than"]},
        )
    except Refused as exc:
        raise InputError(f"{refusal}; give an interval such as '90 days'. Nothing was moved.") from exc
    if not row["good"]:
        raise InputError(f"{refusal}; give more than nothing. Nothing was moved.")
    return row["at"]


def _count(run: Run, rule: Rule) -> dict[str, int]:
    """Count the old rows, the rows that stay, and those in the archive, in the session that changes nothing."""
    compose = library().sql
    query = compose.SQL(
        "SELECT count(*) FILTER (WHERE {column} < %(cutoff)s) AS old,"
        " count(*) FILTER (WHERE {column} >= %(cutoff)s OR {column} IS NULL) AS kept FROM {table}"
    ).format(column=compose.Identifier(rule.column), table=compose.SQL(rule.table))
    (row,) = run.database.look(rule.table, query, {"cutoff": rule.cutoff})
    archived = 0
    if rule.into and _relation(run, rule.into):
        (counted,) = run.database.look(
            rule.into, compose.SQL("SELECT count(*) AS n FROM {}").format(compose.SQL(rule.into))
        )
        archived = counted["n"]
    return {**row, "archived": archived}


def _archive(run: Run, rule: Rule, before: dict[str, int]) -> Object:
    """Move batch after batch, then compare what the observer counts with what the batches said."""
    step = {
        "action": f"archive {before['old']} rows" if rule.into else f"delete {before['old']} rows",
        "method": "DELETE",
        "path": rule.table,
        "service": "postgresql",
        "why": f"{rule.column} before {rule.cutoff.isoformat()}{f', into {rule.into}' if rule.into else ''}",
    }
    if not before["old"]:
        return Object(rule.table, "table", before, before, "unchanged")
    problem = ""
    if run.gate.check_mode:
        run.gate.write([step], lambda: None)
        return Object(rule.table, "table", before, None, "planned")
    try:
        _lay_out(run, rule)
        while not problem:
            if run.deadline.over:
                problem = "the time budget is used up; run it again for the rest"
                break
            moved = run.gate.write([step], lambda: _move(run, rule)) or 0
            rule.moved += moved
            if not moved:
                break
    except TradeopsError as exc:
        problem = f"{str(exc).removeprefix(f'{run.site}: ')}; {rule.moved} rows had been moved, the batch was not"
    return judge(rule, before, _count(run, rule), problem)


def judge(rule: Rule, before: dict[str, int], after: dict[str, int], problem: str) -> Object:
    """Say what became of the old rows of one table: every one must be accounted for."""
    said = dict(after) | {"moved": rule.moved}
    if not problem and after["old"]:
        problem = f"{after['old']} old rows are still there"
    if rule.into and after["archived"] - before["archived"] != rule.moved:
        grown = after["archived"] - before["archived"]
        problem = f"{rule.moved} rows were moved, and {rule.into} grew by {grown}. {problem}".strip()
    if problem:
        return Object(rule.table, "table", before, said, "unproven" if rule.moved else "refused", problem)
    return Object(rule.table, "table", before, said, "proven")


def _lay_out(run: Run, rule: Rule) -> None:
    """Make the archive where it is missing, and the list of the batch, which lives in our session only."""
    compose = library().sql
    keys = compose.SQL(", ").join(map(compose.Identifier, rule.keys))
    table = compose.SQL(rule.table)
    if rule.into and rule.create:
        run.database.run(
            f"make {rule.into}",
            compose.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {}, PRIMARY KEY ({}))").format(
                compose.SQL(rule.into), table, keys
            ),
            run.deadline,
        )
    run.database.run("list", "DROP TABLE IF EXISTS pg_temp.tradeops_batch", run.deadline)
    run.database.run(
        "list",
        compose.SQL(
            "CREATE TEMPORARY TABLE tradeops_batch ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA"
        ).format(keys, table),
        run.deadline,
    )


def _move(run: Run, rule: Rule) -> int:
    """Move one batch in one transaction; return how many rows it had. Raises Unproven when the counts do not agree."""
    driver = library()
    compose = driver.sql
    names = {
        "table": compose.SQL(rule.table),
        "into": compose.SQL(rule.into or ""),
        "column": compose.Identifier(rule.column),
        "keys": compose.SQL(", ").join(map(compose.Identifier, rule.keys)),
        "columns": compose.SQL(", ").join(map(compose.Identifier, rule.columns)),
        "ours": compose.SQL(", ").join(compose.Identifier("o", name) for name in rule.columns),
        "theirs": compose.SQL(", ").join(compose.Identifier("a", name) for name in rule.columns),
        "same": _all(compose, "o.{0} = b.{0}", rule.keys),
        "kept": _all(compose, "a.{0} = o.{0}", rule.keys),
    }

    def count(text: str) -> int:
        return int(
            session.execute(compose.SQL(text).format(**names), {"cutoff": rule.cutoff, "n": rule.batch}).rowcount
        )

    session = run.database.acting()
    try:
        run.database.run("begin", "SELECT 1", run.deadline)  # sets the limits of this session
        with session.transaction():
            listed = count(
                "INSERT INTO tradeops_batch SELECT {keys} FROM {table} WHERE {column} < %(cutoff)s"
                " ORDER BY {column} LIMIT %(n)s FOR UPDATE"
            )
            counts = {"listed": listed}
            if listed and rule.into:
                counts["copied"] = count(
                    "INSERT INTO {into} ({columns}) SELECT {ours} FROM {table} o JOIN tradeops_batch b ON {same}"
                )
                # Read back, column by column, before anything is deleted.
                counts["equal"] = count(
                    "SELECT 1 FROM {table} o JOIN tradeops_batch b ON {same} JOIN {into} a ON {kept}"
                    " WHERE ROW({ours})::text = ROW({theirs})::text"
                )
            if listed:
                counts["deleted"] = count("DELETE FROM {table} o USING tradeops_batch b WHERE {same}")
            if len(set(counts.values())) != 1:
                raise Unproven(f"{run.site}: {rule.table}: the counts of a batch differ: {counts}; it was rolled back")
    except driver.Error as exc:
        raise run.database.error(f"a batch of {rule.table}", exc, write=True) from exc
    return listed


def _all(compose: t.Any, condition: str, names: list[str]) -> t.Any:
    return compose.SQL(" AND ").join(compose.SQL(condition).format(compose.Identifier(name)) for name in names)
