# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One database of PostgreSQL as a dump, and the roles of its server, with what a restore is compared with.

Everything is counted in the snapshot that the dump is of, so that it is exact whatever is written meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import typing as t

from ..._common.errors import InputError, Refused, Unreachable
from ..._common.redact import Redactor
from ..._common.typed import Data
from ..._database.server import library
from .. import programs, scratch
from ..engine import Capture
from ..manifest import Component
from ..sets import iso

DUMP = "database.dump"
GLOBALS = "globals.sql"
_BIN = "tradeops_postgresql_bin"
# Rows as text, so that servers of any version and machine agree; a sum, so that their order is of no concern.
CHECKSUM = "sum(hashtextextended({row}::text, 0)::numeric)"
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_FACTS = """
    SELECT current_database() AS database, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
        current_setting('server_version') AS server_version,
        current_setting('server_version_num')::int AS server_version_num,
        pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
        d.datlocprovider AS locale_provider, pg_catalog.pg_database_size(d.oid) AS size,
        (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
        (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()) AS timeline,
        CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END::text AS lsn,
        (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
        clock_timestamp() AS now
    FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()
"""
_EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1"
# Who owns something of the database, or is granted something. The role that made the server is in no such list.
_ROLES = """
    SELECT DISTINCT pg_catalog.pg_get_userbyid(s.refobjid) AS name FROM pg_catalog.pg_shdepend AS s
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.deptype IN ('o', 'a', 'i', 'r')
        AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    ORDER BY 1
"""
# What belongs to an extension is made by it, and is in a dump only where it says so.
_TABLES = """
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, pg_catalog.pg_table_size(c.oid) AS size
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """``checksums_up_to``: bytes of a table up to which its rows get a checksum; it takes as long as another dump.
    ``lock_timeout``: seconds that the dump waits for a table that somebody holds."""

    database: str = ""
    checksums_up_to: int = 64 << 20
    lock_timeout: float = 30.0
    globals: bool = True

    def check(self) -> tuple[tuple[str, ...], str] | None:
        if self.checksums_up_to < 0 or not 0 < self.lock_timeout <= 3600:
            return ("lock_timeout",), "give 1 to 3600 seconds, and checksums_up_to of at least 0"
        return None


class Postgresql:
    """The options of the component are those of ``Options``; the database is the site's, if not given."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        Data(options, f"{site}: tradeops_backup_components (postgresql)").read(Options)
        program, _dump_all = _programs(given)
        client = programs.version(program)
        with connect(site, given, options.get("database", "")) as session:
            server = session.execute("SELECT current_setting('server_version_num')::int AS n").fetchone()["n"] // 10000
        if client[0] < server:
            raise InputError(
                f"{site}: {program} is of version {client[0]}, older than the server, which is of {server}; it cannot "
                f"dump it. Set {_BIN} to the programs of version {server} or newer. Nothing was captured."
            )

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        facts = Data(options, f"{capture.site}: {name}").read(Options)
        dump, dump_all = _programs(capture.given)
        started = iso(dt.datetime.now(dt.UTC))
        with (
            connect(capture.site, capture.given, facts.database) as session,
            environment(capture.given, facts.database) as env,
        ):
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            snapshot = session.execute("SELECT pg_catalog.pg_export_snapshot() AS name").fetchone()["name"]
            found = session.execute(_FACTS).fetchone()
            extensions = {row["name"]: row["version"] for row in session.execute(_EXTENSIONS)}
            roles = [row["name"] for row in session.execute(_ROLES)]
            capture.progress(f"{name}: dumping {found['database']}, {found['size'] / 1e6:.0f} MB on the server")
            patience = f"{facts.lock_timeout * 1000:.0f}"
            with capture.artefact(DUMP) as sink:
                argv = [dump, "--format=custom", "--compress=0", "--no-password"]
                argv += [f"--lock-wait-timeout={patience}", f"--snapshot={snapshot}"]
                said = capture.run(argv, sink, env=env, what=f"{name}: the dump of {found['database']}")
            for line in filter(None, said.splitlines()):
                capture.note(f"{name}: {line}")
            capture.progress(f"{name}: counting the rows of {found['database']}")
            session.execute("SELECT pg_catalog.set_config('lock_timeout', %s, true)", (patience,))
            try:
                rows, checksums = fingerprints(session, facts.checksums_up_to)
            except library().errors.LockNotAvailable as exc:
                who = f"Look in pg_locks for who holds a table of {found['database']}, and run it again"
                raise Refused(
                    f"{name}: its rows cannot be counted: {exc}. {who}", method="SELECT", path=name, sent=False
                ) from exc
            session.execute("ROLLBACK")
            if facts.globals:
                with capture.artefact(GLOBALS) as sink:
                    argv = [dump_all, "--globals-only", "--no-password", f"--database={found['database']}"]
                    # Only a superuser may read what passwords are kept as.
                    argv += [] if found["superuser"] else ["--no-role-passwords"]
                    capture.run(argv, sink, env=env, what=f"{name}: the roles of the server")
        return Component(
            name,
            "postgresql",
            started,
            iso(found["now"]),
            iso(dt.datetime.now(dt.UTC)),
            facts={
                **{key: value for key, value in found.items() if key not in ("now", "superuser")},
                "locale_provider": _text(found["locale_provider"]),
                "client_version": ".".join(map(str, programs.version(dump))),
                "extensions": extensions,
                "roles": roles,
                "roles_with_passwords": bool(facts.globals and found["superuser"]),
                "rows": rows,
                "checksums": checksums,
                "checksum": CHECKSUM.format(row="row"),
                "snapshot": snapshot,
            },
        )


def fingerprints(session: t.Any, checksums_up_to: int) -> tuple[dict[str, int], dict[str, str]]:
    """Count the rows of every table as ``session`` sees them; return the counts, and the checksums of those not larger.

    Names are as SQL writes them, with quotes where they are needed.
    """
    rows: dict[str, int] = {}
    checksums: dict[str, str] = {}
    for table in session.execute(_TABLES).fetchall():
        name = table["name"]
        summed = table["size"] <= checksums_up_to
        # The name was quoted by the server itself.
        what = f"count(*) AS n, {CHECKSUM.format(row='t')} AS c" if summed else "count(*) AS n, NULL AS c"
        found = session.execute(f"SELECT {what} FROM ONLY {name} AS t").fetchone()
        rows[name] = found["n"]
        if summed:
            checksums[name] = str(found["c"] or 0)
    return rows, checksums


@contextlib.contextmanager
def connect(site: str, given: t.Mapping[str, t.Any], database: str = "", **other: t.Any) -> t.Iterator[t.Any]:
    """Give a session in autocommit, with settings under which a checksum is the same everywhere. Raises CallError."""
    driver = library()
    settings = settings_of(site, given, database) | other
    where = f"{settings['host']}:{settings['port']}/{settings['dbname']}"
    redactor = Redactor([settings["password"]] if settings.get("password") else [])
    try:
        with driver.connect(
            **{key: value for key, value in settings.items() if value not in (None, "")},
            connect_timeout=10,
            application_name="tradeops backup",
            autocommit=True,
            row_factory=driver.rows.dict_row,
        ) as session:
            for name, value in _SETTINGS.items():
                session.execute("SELECT set_config(%s, %s, false)", (name, value))
            yield session
    except driver.Error as exc:
        said = redactor.text(" ".join(str(exc).split()))
        if exc.sqlstate is None or exc.sqlstate.startswith(("08", "57P")):
            text = f"{site}: the database {where} does not answer: {said}"
            raise Unreachable(text, method="SELECT", path=where, sent=False) from exc
        raise Refused(f"{site}: the database {where}: {said}", method="SELECT", path=where, sent=False) from exc


def settings_of(site: str, given: t.Mapping[str, t.Any], database: str = "") -> dict[str, t.Any]:
    """Return how to reach the database of a site, with the names of libpq. Raises InputError."""
    place = given.get("postgresql")
    if not place:
        raise InputError(
            f"{site}: a component is a PostgreSQL database, and tradeops_postgresql does not say where it is."
        )
    return {
        "host": place["host"],
        "port": place["port"],
        "dbname": database or place["database"],
        "user": place["user"],
        "password": given["secrets"].get("postgresql_password"),
        "sslmode": place.get("sslmode") or "prefer",
        "sslrootcert": place.get("ca_path"),
    }


@contextlib.contextmanager
def environment(given: t.Mapping[str, t.Any], database: str = "") -> t.Iterator[dict[str, str]]:
    """Give the environment with which a program of PostgreSQL reaches the database; the password is in a file."""
    settings = settings_of("the site", given, database)
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "sslmode": "PGSSLMODE"}
    env = {names[key]: str(settings[key]) for key in names}
    if settings["sslrootcert"]:
        env["PGSSLROOTCERT"] = os.path.expanduser(settings["sslrootcert"])
    env |= {"PGAPPNAME": "tradeops backup", "PGCONNECT_TIMEOUT": "10", "LC_MESSAGES": "C"}
    # When we are killed the next run removes the folder, and the password with it.
    with scratch.folder() as place:
        if settings["password"]:
            file = place / "pgpass"
            file.touch(mode=0o600)
            escaped = settings["password"].replace("\\", "\\\\").replace(":", "\\:")
            file.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
            env["PGPASSFILE"] = str(file)
        yield env


def _programs(given: t.Mapping[str, t.Any]) -> tuple[str, str]:
    folder = given.get("postgresql_bin")
    return programs.find("pg_dump", folder, _BIN), programs.find("pg_dumpall", folder, _BIN)


def _text(value: t.Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
