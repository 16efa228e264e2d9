# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A database from its dump: restored into a new one beside, compared there, then put in place by two renames at once.

The database of before keeps its content under another name; nothing is ever restored over it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import threading
import typing as t

from ..._backup import programs
from ..._backup.engines.postgresql import CHECKSUM, DUMP, connect, environment
from ..._backup.manifest import Artefact, Component
from ..._common.errors import Damaged, Refused, TradeopsError
from ..._common.outcome import Object
from ..._common.waiter import Deadline, poll
from ..._database.server import library
from ..back import Back, room_of
from ..dump import Dump, in_one_pass, owners
from ..plan import Room, Target, roles_made, roles_refused
from ..roles import Roles

_BIN = "tradeops_postgresql_bin"
_HERE = ("localhost", "127.0.0.1", "::1")
_MAINTENANCE = "postgres"  # the database that renames are done from
_LONGEST = 63  # bytes of a name
_TELL = 10.0  # s between two words to the operator
_GONE = 20.0  # s for the sessions of others to end
# Of the restoring sessions only. Nothing of a database beside has to survive a crash: it would be made anew.
_FAST = {"synchronous_commit": "off", "maintenance_work_mem": "256MB", "max_parallel_maintenance_workers": "2"}
_SERVER = """
    SELECT current_setting('server_version') AS version, current_setting('data_directory', true) AS data,
        r.rolsuper OR r.rolcreatedb AS may_create
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
"""
_DATABASES = """
    SELECT d.oid::bigint AS oid, d.datname AS name, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
        pg_catalog.pg_has_role(d.datdba, 'MEMBER') AS ours,
        pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
        d.datlocprovider::text AS provider, d.datconnlimit AS connections, to_jsonb(d) AS everything,
        CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
            THEN pg_catalog.pg_database_size(d.oid) END AS size
    FROM pg_catalog.pg_database AS d WHERE d.datname = %(name)s OR starts_with(d.datname, %(beside)s)
"""
_EXTENSIONS = "SELECT name, version FROM pg_catalog.pg_available_extension_versions"
_SESSIONS = "SELECT pid, usename, application_name FROM pg_catalog.pg_stat_activity WHERE datname = %(name)s"
# As the capture names them, so that the two can be compared.
_TABLES = """
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
    ORDER BY pg_catalog.pg_table_size(c.oid) DESC
"""
_SETTINGS = """
    SELECT unnest(s.setconfig) AS setting FROM pg_catalog.pg_db_role_setting AS s
    WHERE s.setdatabase = %(oid)s AND s.setrole = 0
"""
_GRANTS = """
    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee,
        a.privilege_type AS privilege, a.is_grantable AS grantable
    FROM pg_catalog.pg_database AS d, pg_catalog.aclexplode(d.datacl) AS a WHERE d.oid = %(oid)s
"""


class Logical:
    """One component of the engine ``postgresql``."""

    def __init__(self, back: Back, component: Component, options: t.Mapping[str, t.Any]) -> None:
        self.back = back
        self.component = component
        self.database: str = options.get("database") or back.given["postgresql"]["database"]
        self.prefix = shortened(f"{self.database}_restoring_")
        self.beside = shortened(f"{self.prefix}{back.set_id}")
        self.before = ""
        self.roles = Roles(back, component)
        self.hooked = "timescaledb" in component.facts.get("extensions", {})
        self.one_pass = in_one_pass(
            component.facts.get("rows") or {},
            jobs=1 if self.hooked else back.given["jobs"],
            processors=len(os.sched_getaffinity(0)) if _is_here(back.given["postgresql"]["host"]) else None,
        )
        self._old: dict[str, t.Any] | None = None
        self._found: list[dict[str, t.Any]] = []
        self._made = 0

    # -- look ----------------------------------------------------------------------------------------------------

    def look(self) -> Target:
        given, facts = self.back.given, self.component.facts
        tool = self._dump.tool
        with self._session() as session:
            server = session.execute(_SERVER).fetchone()
            self._see(session)
            extensions: dict[str, list[str]] = {}
            for row in session.execute(_EXTENSIONS):
                extensions.setdefault(row["name"], []).append(row["version"])
            roles = self.roles.look(session)
            named = {row["name"] for row in session.execute("SELECT datname AS name FROM pg_catalog.pg_database")}
        self.before = _free_name(f"{self.database}_before_{self.back.set_id}", named)
        problems = []
        if not server["may_create"]:
            problems.append(f"the role {given['postgresql']['user']} may not create a database; give it CREATEDB")
        if self._old and not self._old["ours"]:
            problems.append(
                f"the database {self.database} belongs to {self._old['owner']}, and the role "
                f"{given['postgresql']['user']} is not a member of it; make it one"
            )
        size = int(facts.get("size") or 0)
        return Target(
            name=f"the database {self.database} of {given['postgresql']['host']}:{given['postgresql']['port']}",
            exists=self._old is not None,
            shown={"size": self._old["size"], "owner": self._old["owner"]} if self._old else {},
            version=_numbers(server["version"]),
            tool=programs.version(tool),
            extensions={name: tuple(versions) for name, versions in extensions.items()},
            room=_room(given["postgresql"]["host"], server["data"]) if size else None,
            needs=size,
            way=f"pg_restore into {self.beside}, compared there, then two renames in one transaction",
            safety=f"the database {self.before}",
            problems=tuple(problems),
            roles=roles,
            may_create_roles=self.roles.may_create,
        )

    def wanted(self) -> list[Artefact]:
        return [] if self.one_pass else [self._artefact()]

    def streamed(self) -> list[Artefact]:
        return [self._artefact()] if self.one_pass else []

    def inspect(self) -> list[str]:
        """The table of contents can be read, and every owner in it is a role of the server."""
        if self.one_pass:
            with contextlib.closing(self.back.read(self._artefact())) as pieces:
                contents = self._dump.peek(pieces)
        else:
            contents = self._dump.contents()
        with self._session() as session:
            missing = self.roles.look(session, owners(contents))
        if problem := roles_refused(missing, may_create=self.roles.may_create):
            return [problem]
        if missing:
            self.back.note(f"{self.component.name}: {roles_made(missing)}")
        return []

    # -- beside --------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        with self._session() as session:
            self._see(session)
            for row in self._found:
                if row["name"] != self.database:
                    self.back.note(f"what a restore that was killed had left is removed: the database {row['name']}")
                    self._drop(session, row["name"])

    def prepare(self) -> None:
        artefact = self._artefact()
        with self._session() as session:
            self.roles.make(session)
            session.execute(self._create())
            self._see(session)
            self._made = next(row["oid"] for row in self._found if row["name"] == self.beside)
        if self.one_pass:
            size = f"{artefact.stored.size / 1e6:.1f} MB"
            self.back.progress(f"reading {artefact.name}, {size}, and loading it meanwhile")
        with self._telling():
            if self.hooked:
                self._with_hooks()
            else:
                self._load(jobs=self.back.given["jobs"])
        with self._session() as session:
            self._dress(session)
        problems = self._compare(self.beside, exact=True)
        if problems:
            raise Damaged(f"{self.component.name}: what was restored is not what was captured: {'; '.join(problems)}")

    def _load(self, *, jobs: int) -> None:
        options = ["--exit-on-error", "--no-password", f"--dbname={self.beside}"]
        settings = " ".join(f"-c {name}={value}" for name, value in _FAST.items())
        with environment(self.back.given, self.beside) as env:
            env = {**env, "PGOPTIONS": settings}
            if self.one_pass:
                with contextlib.closing(self.back.read(self._artefact())) as pieces:
                    self._dump.load_while_read(pieces, *options, jobs=jobs, env=env)
            else:
                self._dump.load(*options, f"--jobs={jobs}", env=env)

    def _with_hooks(self) -> None:
        """TimescaleDB: its catalogue is data of the dump, so it is loaded between its two hooks, by one job only."""
        compose = library().sql
        version = compose.Literal(self.component.facts["extensions"]["timescaledb"])
        self._hook(compose.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(version))
        self._hook("SELECT timescaledb_pre_restore()")
        try:
            self._load(jobs=1)
        finally:
            self._hook("SELECT timescaledb_post_restore()")

    def _hook(self, statement: t.Any) -> None:
        with connect(self.back.site, self.back.given, self.beside) as session:
            session.execute(statement)

    def _create(self) -> t.Any:
        """Return the statement that makes the database beside, alike the one that is there, or the captured one."""
        compose = library().sql
        old, facts = self._old, self.component.facts
        text: dict[str, str | None] = {
            "ENCODING": old["encoding"] if old else facts.get("encoding"),
            "LC_COLLATE": old["collate"] if old else facts.get("collate"),
            "LC_CTYPE": old["ctype"] if old else facts.get("ctype"),
        }
        if old and old["provider"] in ("i", "b"):
            every = old["everything"]
            kind = "icu" if old["provider"] == "i" else "builtin"
            text |= {
                "LOCALE_PROVIDER": kind,
                f"{kind.upper()}_LOCALE": every.get("datlocale") or every.get("daticulocale"),
            }
        parts = [
            compose.SQL(f"{key} {{}}").format(compose.Literal(value))
            for key, value in text.items()
            if value is not None
        ]
        if old:
            parts.append(compose.SQL("OWNER {}").format(compose.Identifier(old["owner"])))
        return compose.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(
            compose.Identifier(self.beside), compose.SQL(" ").join(parts)
        )

    def _dress(self, session: t.Any) -> None:
        """Give the new database what belongs to the old one and is not in a dump: settings, grants, the limit."""
        if self._old is None:
            return
        compose = library().sql
        name = compose.Identifier(self.beside)
        for row in session.execute(_SETTINGS, {"oid": self._old["oid"]}).fetchall():
            key, _equals, value = row["setting"].partition("=")
            statement = compose.SQL("ALTER DATABASE {} SET {} TO {}")
            session.execute(statement.format(name, compose.Identifier(key), compose.SQL(_listed(key, value))))
        if self._old["everything"].get("datacl") is not None:
            session.execute(compose.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for row in session.execute(_GRANTS, {"oid": self._old["oid"]}).fetchall():
            grantee, option = compose.SQL(row["grantee"]), " WITH GRANT OPTION" if row["grantable"] else ""
            statement = compose.SQL(f"GRANT {row['privilege']} ON DATABASE {{}} TO {{}}{option}")
            session.execute(statement.format(name, grantee))
        if self._old["connections"] != -1:
            limit = compose.Literal(self._old["connections"])
            session.execute(compose.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, limit))

    def _compare(self, database: str, *, exact: bool) -> list[str]:
        """Count the rows of every table, and their checksums where they were captured; return what differs.

        Without ``exact`` more rows than were captured are somebody who writes already, and are only told.
        """
        facts = self.component.facts
        rows: dict[str, int] = facts.get("rows") or {}
        # Another way to sum up cannot be compared.
        sums: dict[str, str] = (
            facts.get("checksums") or {} if facts.get("checksum") == CHECKSUM.format(row="row") else {}
        )
        problems = []
        with connect(self.back.site, self.back.given, database) as session:
            # The names are those of the server itself, already quoted: those of a manifest never get into a statement.
            names = [row["name"] for row in session.execute(_TABLES)]
            for name in (name for name in names if name in rows):
                summed = exact and name in sums
                what = f"count(*) AS n, {CHECKSUM.format(row='t') if summed else 'NULL'} AS c"
                found = session.execute(f"SELECT {what} FROM ONLY {name} AS t").fetchone()
                if found["n"] < rows[name] or (exact and found["n"] > rows[name]):
                    problems.append(f"{name} has {found['n']} rows and had {rows[name]}")
                elif found["n"] > rows[name]:
                    self.back.note(
                        f"{name} has {found['n'] - rows[name]} rows more than the set: it is written to already"
                    )
                elif summed and str(found["c"] or 0) != sums[name]:
                    problems.append(f"the rows of {name} have another checksum")
        return problems + [f"{name} is not there" for name in sorted(rows.keys() - set(names))]

    # -- in place ------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        if self._old is None:
            self._rename([(self.beside, self.database)])
        else:
            self._rename([(self.database, self.before), (self.beside, self.database)])

    def undo(self) -> None:
        if self._old is None:
            self._rename([(self.database, self.beside)])
        else:
            self._rename([(self.database, self.beside), (self.before, self.database)])

    def prove(self) -> list[Object]:
        rows = self.component.facts.get("rows") or {}
        before = {"size": self._old["size"]} if self._old else None
        try:
            with connect(self.back.site, self.back.given, self.database) as session:
                found = session.execute(
                    "SELECT oid::bigint AS oid FROM pg_catalog.pg_database WHERE datname = current_database()"
                ).fetchone()
            problems = self._compare(self.database, exact=False)
            if found["oid"] != self._made:
                problems.insert(0, f"{self.database} is not the database that was restored")
        except TradeopsError as exc:
            problems = [str(exc)]
        after = {"tables": len(rows), "rows": sum(rows.values()), "kept": self.before if self._old else ""}
        result = "unproven" if problems else "proven"
        return [Object(self.component.name, "database", before, after, result, "; ".join(problems))]

    def discard(self) -> None:
        with self._session() as session:
            self._drop(session, self.beside)
            self.roles.unmake(session)

    def _rename(self, pairs: t.Sequence[tuple[str, str]]) -> None:
        """Rename databases in one transaction, while the sessions of others in them are ended.

        The first rename locks its database: who comes meanwhile waits, and then finds the other one under the name.
        """
        compose = library().sql
        busy = threading.Event()
        ending = threading.Thread(target=self._end_sessions, args=([old for old, _new in pairs], busy), daemon=True)
        ending.start()
        try:
            deadline, problem = Deadline(_GONE), ""
            for _attempt in poll(deadline, first=0.05, longest=0.5):
                try:
                    with self._session() as session, session.transaction():
                        for old, new in pairs:
                            names = compose.Identifier(old), compose.Identifier(new)
                            session.execute(compose.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
                    return
                except Refused as exc:
                    if "being accessed by other users" not in str(exc):
                        raise
                    problem = str(exc)
            with self._session() as session:
                left = [row for old, _new in pairs for row in session.execute(_SESSIONS, {"name": old}).fetchall()]
            who = ", ".join(f"{row['usename']} ({row['application_name'] or 'pid ' + str(row['pid'])})" for row in left)
            raise Refused(
                f"{self.component.name}: sessions did not end within {deadline.seconds:.0f} s: {who or problem}. Stop "
                "what runs there, or grant pg_signal_backend.",
                method="ALTER DATABASE",
                path=pairs[0][0],
                sent=False,
            )
        finally:
            busy.set()
            ending.join()

    def _end_sessions(self, databases: list[str], over: threading.Event) -> None:
        statement = (
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE datname = %(name)s AND pid <> pg_backend_pid()"
        )
        while not over.is_set():
            # What may not be ended is named by the one who renames.
            with contextlib.suppress(TradeopsError), self._session() as session:
                while not over.wait(0.05):
                    for name in databases:
                        session.execute(statement, {"name": name})

    # -- small things --------------------------------------------------------------------------------------------

    def _session(self) -> contextlib.AbstractContextManager[t.Any]:
        return connect(self.back.site, self.back.given, _MAINTENANCE)

    def _see(self, session: t.Any) -> None:
        values = {"name": self.database, "beside": self.prefix}
        self._found = session.execute(_DATABASES, values).fetchall()
        self._old = next((row for row in self._found if row["name"] == self.database), None)

    def _drop(self, session: t.Any, name: str) -> None:
        compose = library().sql
        session.execute(compose.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(compose.Identifier(name)))

    def _artefact(self) -> Artefact:
        found = next(
            (item for item in self.component.artefacts if pathlib.PurePosixPath(item.name).name.startswith(DUMP)), None
        )
        if found is None:
            raise Damaged(f"{self.component.name} of {self.back.set_id} has no {DUMP}. Nothing was touched.")
        return found

    @functools.cached_property
    def _dump(self) -> Dump:
        tool = programs.find("pg_restore", self.back.given.get("postgresql_bin"), _BIN)
        what = f"{self.component.name}, the dump of {self.database}"
        return Dump(tool, self.back.path(self._artefact()), what, self.back.redactor.text)

    @contextlib.contextmanager
    def _telling(self) -> t.Iterator[None]:
        """Tell every ten seconds how large the database beside has become."""
        over = threading.Event()

        def tell() -> None:
            while not over.wait(_TELL):
                with contextlib.suppress(TradeopsError), self._session() as session:
                    row = session.execute("SELECT pg_catalog.pg_database_size(%s) AS size", [self.beside]).fetchone()
                    self.back.progress(f"{self.component.name}: {row['size'] / 1e6:.0f} MB restored beside")

        telling = threading.Thread(target=tell, daemon=True)
        telling.start()
        try:
            yield
        finally:
            over.set()
            telling.join()


def shortened(name: str) -> str:
    """Return a name that PostgreSQL does not cut: one that is too long ends with a digest of itself."""
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: _LONGEST - 9].decode(errors="ignore") + f"_{digest}"


def _free_name(name: str, taken: t.Container[str]) -> str:
    """Return a name that no database has: a copy of before is never replaced by a later one."""
    number, found = 1, shortened(name)
    while found in taken:
        number += 1
        found = shortened(f"{name}_{number}")
    return found


def _listed(key: str, value: str) -> str:
    """Return a setting as SQL has it: some are lists that the catalogue keeps quoted already."""
    lists = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries", "DateStyle")
    if key in lists:
        return value or "''"
    return "'" + value.replace("'", "''") + "'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(" ")[0].split(".") if part.isdigit())


def _is_here(host: str) -> bool:
    return host.startswith("/") or host in _HERE


def _room(host: str, data: str | None) -> Room:
    """Return where a server has its data, and how much is free there if that is on this machine."""
    try:
        return room_of((data or "") if _is_here(host) else "")
    except OSError:
        return Room("the disk of the server", None)
