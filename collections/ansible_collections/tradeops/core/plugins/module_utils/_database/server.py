# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One database of a site: a session that acts, and another one that looks afterwards."""

from __future__ import annotations

import importlib
import typing as t

from .._common.errors import InputError, Refused, Unreachable
from .._common.outcome import Seen
from .._common.redact import Redactor
from .._common.waiter import Deadline

if t.TYPE_CHECKING:
    import psycopg
    from psycopg import sql

Row = dict[str, t.Any]
Statement = t.Union[str, "sql.SQL", "sql.Composed"]
_CONNECT_BUDGET = 10.0  # seconds
_LOOK_BUDGET = "60s"  # for one reading


def library() -> t.Any:
    """Return psycopg, which nothing else of the collection needs. Raises InputError."""
    try:
        return importlib.import_module("psycopg")
    except ImportError as exc:
        raise InputError("the Python library psycopg is missing where the database is called from: install it") from exc


class Database:
    """``acting`` runs what changes something, ``look`` reads in a session of its own.

    ``lock_timeout`` (s): how long a statement may wait for a lock, and so how long it may hold up those behind it.
    """

    def __init__(self, site: str, settings: t.Mapping[str, t.Any], redactor: Redactor, *, lock_timeout: float) -> None:
        self.site = site
        self.redactor = redactor
        self.notices: list[str] = []
        self.seen: list[Seen] = []
        self.where = f"{settings['host']}:{settings['port']}/{settings['database']}"
        self._settings = settings
        self._lock_timeout = lock_timeout
        self._sessions: dict[str, psycopg.Connection[Row]] = {}

    def look(self, source: str, query: str, values: t.Mapping[str, t.Any] | None = None) -> list[Row]:
        """Read in the session that changes nothing, and keep when and from where it was read."""
        rows = self._run("observer", source, query, values, write=False)
        at = self._run("observer", "clock", "SELECT clock_timestamp()::text AS at", None, write=False)[0]["at"]
        self.seen.append(Seen(source, "SELECT", f"postgresql://{self.where}", at, {"rows": len(rows)}))
        return rows

    def run(
        self, what: str, statement: Statement, deadline: Deadline, values: t.Mapping[str, t.Any] | None = None
    ) -> list[Row]:
        """Run one statement in the acting session, for as long as the budget lasts. Raises CallError."""
        limits = {"lock": f"{self._lock_timeout * 1000:.0f}", "all": f"{max(1.0, deadline.remaining * 1000):.0f}"}
        self._run(
            "worker",
            "limits",
            "SELECT set_config('lock_timeout', %(lock)s, false), set_config('statement_timeout', %(all)s, false)",
            limits,
            write=False,
        )
        return self._run("worker", what, statement, values, write=True)

    def acting(self) -> psycopg.Connection[Row]:
        """Return the acting session, for a transaction of its own."""
        return self._session("worker")

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _session(self, role: str) -> psycopg.Connection[Row]:
        if role in self._sessions:
            return self._sessions[role]
        driver = library()
        settings = self._settings
        options = {
            "host": settings["host"],
            "port": settings["port"],
            "dbname": settings["database"],
            "user": settings["user"],
            "password": settings["password"],
            "sslmode": settings["sslmode"],
            "sslrootcert": settings["ca_path"],
        }
        try:
            session = driver.connect(
                **{name: value for name, value in options.items() if value is not None},
                connect_timeout=int(_CONNECT_BUDGET),
                application_name=f"tradeops {role}",
                # A reading, too, must not wait for ever for somebody else's lock.
                options=f"-c lock_timeout={self._lock_timeout * 1000:.0f} -c statement_timeout={_LOOK_BUDGET}",
                autocommit=True,
                row_factory=importlib.import_module("psycopg.rows").dict_row,
            )
        except driver.Error as exc:
            raise Unreachable(
                f"{self.site}: the database {self.where} does not let {settings['user']} in: {self._say(exc)}",
                method="connect",
                path=self.where,
                sent=False,
            ) from exc
        session.add_notice_handler(lambda notice: self.notices.append(self.redactor.text(str(notice.message_primary))))
        self._sessions[role] = session
        return t.cast("psycopg.Connection[Row]", session)

    def _run(
        self, role: str, what: str, statement: t.Any, values: t.Mapping[str, t.Any] | None, *, write: bool
    ) -> list[Row]:
        driver, session = library(), self._session(role)
        try:
            answer = session.execute(statement, values)
            return answer.fetchall() if answer.description else []
        except driver.Error as exc:
            raise self.error(what, exc, write=write) from exc

    def error(self, what: str, exc: t.Any, *, write: bool) -> Refused | Unreachable:
        """Return what psycopg raised as an error of ours; a statement that failed has changed nothing."""
        gone = exc.sqlstate is None or exc.sqlstate.startswith(("08", "57P"))
        method = "write" if write else "SELECT"
        if gone:
            self.close()
            text = f"{self.site}: {what}: the database {self.where} went away: {self._say(exc)}"
            return Unreachable(text, method=method, path=self.where, sent=None if write else False)
        return Refused(f"{self.site}: {what}: {self._say(exc)}", method=method, path=self.where, sent=False)

    def _say(self, exc: t.Any) -> str:
        return self.redactor.text(" ".join(str(exc).split())) or type(exc).__name__
