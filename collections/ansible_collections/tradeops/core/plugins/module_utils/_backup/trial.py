# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A backup put to the trial: read by the tools that made it, restored into scratch servers, and compared."""

from __future__ import annotations

import importlib
import os
import pathlib
import re
import typing as t

from .._common.errors import Damaged, InputError, Refused, Unproven
from . import programs as run_programs
from . import scratch
from .engine import Physical
from .engines import barman, pgbackrest
from .engines.physical import recovered
from .engines.postgresql import CHECKSUM, connect
from .manifest import Artefact, Component

_PIECE = 1 << 20
_DATABASE = "restored"
_ROLES = re.compile(r"(CREATE|ALTER) ROLE |GRANT |SET ")
TOOLS: dict[str, t.Callable[[str, dict[str, t.Any], pathlib.Path], Physical]] = {
    "barman": barman.opened,
    "pgbackrest": pgbackrest.opened,
}
_COUNTED = re.compile(r"\[info\] (?P<count>\d+) (?P<what>keys read|expires)")
_SAID_BY_REDIS = re.compile(
    r"short read|truncat|corrupt|unexpected end|bad file format|wrong signature|internal error in rdb", re.IGNORECASE
)


class _Text:
    """Takes what a program writes."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, data: bytes) -> int:
        self.text += data
        return len(data)


def the(component: Component, ending: str) -> Artefact:
    """Return the artefact of a component whose plain name has this ending. Raises Damaged."""
    for item in component.artefacts:
        if item.name.removesuffix(".age").removesuffix(".zst").endswith(ending):
            return item
    raise Damaged(f"the component {component.name} has no artefact *{ending}.")


def pieces(file: pathlib.Path) -> t.Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            yield piece


def listed(source: t.Iterable[bytes], folder: str | None, component: Component) -> int:
    """Let pg_restore list a dump, and return for how many tables it has data. Reads ``source`` to its end."""
    program = run_programs.find("pg_restore", folder, "tradeops_postgresql_bin")
    _new_enough(component, run_programs.version(program)[0])
    output, rest = _Text(), iter(source)
    try:
        run_programs.run([program, "--list"], output, env={"LC_ALL": "C"}, what=component.name, source=rest)
    except Refused as exc:
        for _piece in rest:  # the bytes themselves may tell better what is wrong
            pass
        raise Damaged(f"{component.name}: pg_restore cannot read the dump: {exc}") from exc
    for _piece in rest:
        pass
    found = len(re.findall(rb"^\d+; \d+ \d+ TABLE DATA ", output.text, re.MULTILINE))
    wanted = len(component.facts.get("rows") or {})
    if found < wanted:
        raise Damaged(f"{component.name}: the dump has data of {found} tables, its manifest counted {wanted}.")
    return found


def settings(component: Component) -> dict[str, str]:
    """Return what a scratch server needs for the extensions of a dump."""
    preload = [name for name in ("timescaledb",) if name in (component.facts.get("extensions") or {})]
    return {"shared_preload_libraries": ",".join(preload)} if preload else {}


def postgresql(
    server: scratch.Server,
    folder: str | None,
    file: pathlib.Path,
    roles: str,
    component: Component,
    notes: list[str],
    tell: t.Callable[[str], None],
) -> dict[str, t.Any]:
    """Restore a dump into a scratch server, compare it with the manifest, and return what was compared."""
    facts = component.facts
    with scratch.connect(server) as session:
        _fits(session, component)
        session.execute(f"DROP DATABASE IF EXISTS {_DATABASE}")
        session.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE template0")
        _make_roles(session, roles, notes)
    with scratch.connect(server, _DATABASE) as session:
        timescale = "timescaledb" in (facts.get("extensions") or {})
        if timescale:
            session.execute("CREATE EXTENSION timescaledb")
            session.execute("SELECT timescaledb_pre_restore()")
    program = run_programs.find("pg_restore", folder, "tradeops_postgresql_bin")
    own = [] if roles else ["--no-owner", "--no-privileges"]
    jobs = [] if timescale else [f"--jobs={min(4, os.cpu_count() or 1)}"]
    argv = [program, "--exit-on-error", "--no-tablespaces", *own, *jobs]
    argv += [
        f"--host={server.host}",
        f"--port={server.port}",
        "--username=postgres",
        f"--dbname={_DATABASE}",
        str(file),
    ]
    tell(f"{component.name}: restoring into a scratch server")
    try:
        said = run_programs.run(argv, None, env=_quiet(), what=component.name)
    except Refused as exc:
        # Its bytes are those that were captured, so this may be for want of something here; no record says damaged.
        raise Unproven(f"{component.name} cannot be restored here: {exc}") from exc
    notes += [f"{component.name}: {line}" for line in said.splitlines() if line.strip()]
    place = {"host": server.host, "port": server.port, "database": _DATABASE, "user": "postgres"}
    with connect("the trial", {"postgresql": place, "secrets": {}}) as session:
        if timescale:
            session.execute("SELECT timescaledb_post_restore()")
        compared = _compare(session, component)
        amcheck = _amcheck(session, server, folder, component, notes)
    return {**compared, "amcheck": amcheck}


def check_rdb(file: pathlib.Path, folder: str | None, place: pathlib.Path) -> dict[str, int]:
    """Let Redis check a dump; return how many keys it has, and how many of them end at some time. Raises Damaged."""
    # The checker is the server under another name, and not every package has that name.
    server = run_programs.find("redis-server", folder, "tradeops_redis_bin")
    checker = place / "redis-check-rdb"
    if not checker.exists():
        checker.symlink_to(pathlib.Path(server).resolve())
    output = _Text()
    try:
        run_programs.run([str(checker), str(file)], output, env={}, what=file.name)
    except Refused as exc:
        told = " ".join(output.text.decode(errors="replace").split())[-300:]
        raise Damaged(f"{file.name}: redis-check-rdb: {told or exc}") from exc
    counts = {what: count for count, what in _COUNTED.findall(output.text.decode(errors="replace"))}
    return {"keys": int(counts.get("keys read", 0)), "expires": int(counts.get("expires", 0))}


def redis(server: scratch.Server, component: Component, expires: int) -> dict[str, t.Any]:
    """Compare what a scratch Redis has loaded with the manifest. ``expires``: how many keys end. Raises Damaged."""
    said = [line.strip() for line in server.logged().splitlines() if _SAID_BY_REDIS.search(line)]
    if said:
        raise Damaged(f"{component.name}: Redis says of the dump: {said[0]}")
    with scratch.client(server) as session:
        found = {key[2:]: value["keys"] for key, value in session.info("keyspace").items()}
    for db, count in (component.facts.get("keys") or {}).items():
        # Keys whose time is over when the dump is loaded are not there any more.
        if not count - expires <= found.get(str(db), 0) <= count:
            raise Damaged(
                f"{component.name}: database {db} has {found.get(str(db), 0)} keys, its manifest counted {count}, and "
                f"{expires} of all keys end at some time."
            )
    return {"loaded": sum(found.values())}


def physical(
    site: str, component: Component, given: t.Mapping[str, t.Any], place: pathlib.Path, *, restore: bool = False
) -> dict[str, t.Any]:
    """Let the tool of a base backup verify it, and look whether its log is whole; with ``restore`` recover from it.

    Raises Damaged with what is wrong.
    """
    place.mkdir(mode=0o711)  # passed through by whoever the tool runs as
    tool = TOOLS[component.engine](site, dict(given), place)
    wanted = component.facts.get("backup_id")
    base = next((one for one in tool.bases() if one.id == wanted), None)
    if base is None:
        raise Damaged(f"{component.name}: {component.engine} has no base backup {wanted} any more")
    wrong = tool.verify(base)
    if wrong:
        raise Damaged(f"{component.name}: {component.engine} says: {'; '.join(wrong)}")
    facts: dict[str, t.Any] = {"tool": f"{component.engine} found nothing wrong with {base.id}"}
    if restore:
        rows = recovered(site, component, dict(given), tool, base, place)
        facts |= {"tables": len(rows), "rows": sum(rows.values())}
    return facts


def _quiet() -> dict[str, str]:
    return {"LC_ALL": "C", "PGAPPNAME": "tradeops verify"}


def _new_enough(component: Component, has: int) -> None:
    """Refuse programs that are older than the server of a dump. Raises InputError."""
    needs = int(component.facts.get("server_version_num") or 0) // 10000
    if has < needs:
        raise InputError(
            f"{component.name} is of a PostgreSQL {needs}, and the programs here are of version {has}: set "
            f"tradeops_postgresql_bin to those of version {needs} or newer."
        )


def _fits(session: t.Any, component: Component) -> None:
    """Refuse a dump that this server cannot take, which says nothing about the dump. Raises InputError."""
    facts = component.facts
    has = int(session.execute("SELECT current_setting('server_version_num')::int").fetchone()[0]) // 10000
    _new_enough(component, has)
    there = {row[0] for row in session.execute("SELECT name FROM pg_available_extensions").fetchall()}
    missing = sorted(set(facts.get("extensions") or {}) - there)
    if missing:
        raise InputError(
            f"{component.name} needs the extensions {', '.join(missing)}, which the PostgreSQL here lacks: install "
            f"them, or set tradeops_postgresql_bin to one that has them."
        )


def _make_roles(session: t.Any, roles: str, notes: list[str]) -> None:
    """Make the roles of the server that was dumped. No psql reads them: it would run what a script tells it to."""
    driver: t.Any = importlib.import_module("psycopg")
    for statement in _statements(roles):
        if not _ROLES.match(statement):
            notes.append(f"not made for the trial: {statement[:60]}")
            continue
        try:
            session.execute(statement)
        except (driver.errors.DuplicateObject, driver.errors.ReservedName):
            continue  # the role postgres, which every server has
        except driver.Error as exc:
            raise Unproven(f"the roles cannot be made here: {' '.join(str(exc).split())}") from exc


def _statements(text: str) -> list[str]:
    """Split what pg_dumpall wrote into its statements: one ends with a semicolon at the end of a line."""
    found: list[str] = []
    open_: list[str] = []
    for line in text.splitlines():
        if not open_ and (not line.strip() or line.startswith(("--", "\\"))):
            continue
        open_.append(line)
        if line.rstrip().endswith(";") and "\n".join(open_).count("'") % 2 == 0:
            found.append("\n".join(open_))
            open_ = []
    return found


def _compare(session: t.Any, component: Component) -> dict[str, t.Any]:
    """Count the rows of every table that the manifest counted, and sum those that it has summed. Raises Damaged."""
    rows, sums = component.facts.get("rows") or {}, component.facts.get("checksums") or {}
    driver: t.Any = importlib.import_module("psycopg")
    wrong = []
    for table, wanted in rows.items():
        summed = table in sums
        what = f"count(*) AS n, {CHECKSUM.format(row='t')} AS c" if summed else "count(*) AS n, NULL AS c"
        try:
            found = session.execute(f"SELECT {what} FROM ONLY {table} AS t").fetchone()
        except driver.Error as exc:
            wrong.append(f"{table} cannot be read: {' '.join(str(exc).split())}")
            continue
        count, checksum = found["n"], found["c"]
        if count != wanted:
            wrong.append(f"{table} has {count} rows, its manifest counted {wanted}")
        elif summed and str(checksum or 0) != str(sums[table]):
            wrong.append(f"{table} has other rows than were captured: their checksum is {checksum}, not {sums[table]}")
    if wrong:
        raise Damaged(f"{component.name}, restored: {'; '.join(wrong[:5])}")
    return {"rows": sum(rows.values()), "tables": len(rows), "checksums": len(sums)}


def _amcheck(
    session: t.Any, server: scratch.Server, folder: str | None, component: Component, notes: list[str]
) -> bool:
    """Check tables and indexes with pg_amcheck where it can be had; say so where not. Raises Damaged."""
    there = session.execute("SELECT count(*) AS n FROM pg_available_extensions WHERE name = 'amcheck'").fetchone()["n"]
    if not there:
        notes.append(f"{component.name}: pg_amcheck was not run, for the PostgreSQL here has no extension amcheck")
        return False
    program = run_programs.find("pg_amcheck", folder, "tradeops_postgresql_bin")
    argv = [
        program,
        "--install-missing",
        f"--host={server.host}",
        f"--port={server.port}",
        "--username=postgres",
        _DATABASE,
    ]
    output = _Text()
    try:
        run_programs.run(argv, output, env=_quiet(), what=component.name)
    except Refused as exc:
        found = " ".join(output.text.decode(errors="replace").split())[-300:]
        raise Damaged(f"{component.name}, restored: pg_amcheck: {found or exc}") from exc
    return True
