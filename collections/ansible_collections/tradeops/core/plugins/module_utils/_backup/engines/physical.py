# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the tools of base backups have in common: the server, its archiver, and one component of a set."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import pathlib
import typing as t

from ..._common.errors import InputError, Refused, Unproven
from ..._common.times import iso, span
from ..._common.typed import Data
from ..._common.waiter import Deadline, wait_until
from .. import recovery, scratch
from ..engine import Base, Capture, Physical, Restore
from ..manifest import Component
from ..wal import Continuity, Target, continuity
from .postgresql import connect, fingerprints, settings_of

_ARCHIVED = 300.0  # s for a segment to come into the archive: an archiver that failed three times rests for a minute
_RIGHTS = (
    "pg_backup_start(text, boolean)",
    "pg_backup_stop(boolean)",
    "pg_switch_wal()",
    "pg_create_restore_point(text)",
)
_ALLOWED = " AND ".join(f"has_function_privilege('{function}', 'EXECUTE')" for function in _RIGHTS)
# The functions have had these names since PostgreSQL 15; of an older server the tool itself asks.
_STATE = f"""
    SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,
        current_setting('server_version') AS version, current_setting('archive_mode') AS archive_mode,
        (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
        pg_is_in_recovery() AS recovering, clock_timestamp() AS now, current_user AS "user",
        CASE WHEN current_setting('server_version_num')::int >= 150000 THEN {_ALLOWED} ELSE true END AS allowed,
        a.last_archived_wal, a.last_archived_time, a.last_failed_wal, a.last_failed_time, a.failed_count
    FROM pg_stat_archiver AS a
"""


class Tool(Physical, t.Protocol):
    """A tool that tells of itself."""

    @property
    def described(self) -> dict[str, t.Any]: ...

    def in_the_way(self) -> str:
        """Say what about the tool is in the way of a new base backup, and what to do; empty when nothing is."""


@dataclasses.dataclass(frozen=True)
class _Facts:
    data: str
    service: str = ""
    runtime: str = ""
    owner: str = ""
    database: str = ""
    supervisor: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    recovery_budget: float = 3600.0
    barman: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    pgbackrest: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Server:
    """The server of a site as ``tradeops_postgresql_server`` describes it. ``tool``: what is said of the tool.

    ``database``: where the site's role may take base backups, for functions are granted by database. ``service`` is run
    by ``runtime``. ``budget``: seconds for a recovery.
    """

    data: pathlib.Path
    database: str
    service: str
    runtime: str
    supervisor: dict[str, t.Any]
    budget: float
    tool: dict[str, t.Any]

    @property
    def user(self) -> scratch.User | None:
        """Whose the data folder is, None for ours; where it is lost, the one that it lay in tells."""
        for path in (self.data, self.data.parent):
            if path.is_dir() and (os.getuid() or path.stat().st_uid):
                return scratch.owner_of(path)
        return scratch.server_user()

    @classmethod
    def of(cls, site: str, given: t.Mapping[str, t.Any], tool: str) -> Server:
        """Raises InputError."""
        where = f"{site}: tradeops_postgresql_server"
        if not given.get("postgresql_server"):
            raise InputError(
                f"{where} is not given: base backups are of a whole server, so it has to be the site's own. Nothing "
                "was captured."
            )
        known = {field.name for field in dataclasses.fields(_Facts)}
        facts = Data({key: value for key, value in given["postgresql_server"].items() if key in known}, where).read(
            _Facts
        )
        of_tool = getattr(facts, tool)
        if not of_tool:
            raise InputError(f"{where} has no {tool}, which says where its backups are. Nothing was captured.")
        return cls(
            pathlib.Path(facts.data),
            facts.database,
            facts.service,
            facts.runtime,
            facts.supervisor,
            facts.recovery_budget,
            of_tool,
        )


class Output:
    """Keeps what a program says."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    @property
    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


def check_physical(site: str, options: dict[str, t.Any], given: dict[str, t.Any], tool: Physical) -> None:
    """Refuse what cannot become a base backup, before one is begun."""
    _max_age(site, options)
    server = Server.of(site, given, tool.tool)
    data = server.data
    if not (data / "PG_VERSION").is_file():
        raise InputError(
            f"{site}: {data} is no data folder of a server that we can read; base backups are taken on its machine, as "
            "its owner or as root. Nothing was captured."
        )
    scratch.owner_of(data)
    with connect(site, given, server.database) as session:
        state = session.execute(_STATE).fetchone()
    problem = archiver_problem(state)
    if not problem and not state["allowed"]:
        database = server.database or given["postgresql"]["database"]
        problem = (
            f"{state['user']} may not take base backups; in the database {database} grant it "
            f"EXECUTE on {', '.join(_RIGHTS)}"
        )
    if problem:
        raise Refused(f"{site}: {problem}. Nothing was captured.", method="check", path=str(data), sent=False)


def archiver_problem(state: t.Mapping[str, t.Any]) -> str:
    """Say why the log does not get into the archive, as the server itself tells, or return an empty text."""
    if state["recovering"]:
        return "the server is a standby; take base backups of its primary"
    if state["archive_mode"] == "off":
        return "archive_mode is off: the server keeps no log, so there is no recovery to a moment"
    failed, archived = state["last_failed_time"], state["last_archived_time"]
    if failed and (archived is None or failed > archived):
        when = failed.isoformat(timespec="seconds")
        return (
            f"the server fails to archive its log: {state['last_failed_wal']} at {when}, "
            f"{state['failed_count']} failures; look at its own log and at its archive_command"
        )
    return ""


def capture_physical(name: str, engine: str, options: dict[str, t.Any], capture: Capture, tool: Tool) -> Component:
    """Take a base backup or use a young one, bring its log up to this moment, and look whether it is whole."""
    site, given = capture.site, capture.given
    started = iso()
    server = Server.of(site, given, tool.tool)
    with connect(site, given, server.database) as session:
        before = session.execute(_STATE).fetchone()
    base = _young(tool, before, _max_age(site, options))
    taken = base is None
    if base is None:
        base = tool.take(capture.progress)
    if base.system != before["system"]:
        raise Unproven(
            f"{site}: the base backup {base.id} is of another server ({base.system}) than the one that answers "
            f"({before['system']})"
        )
    moment, lsn, segment = flushed(capture, server)
    whole = arrived(capture, tool, base, segment)
    if segment is None or whole.newest < segment:
        moment = iso(dt.datetime.fromisoformat(base.ended).timestamp())
    return Component(
        name=name,
        engine=engine,
        started=started,
        moment=moment,
        ended=iso(),
        facts={
            **tool.described,
            "backup_id": base.id,
            "taken": taken,
            "begin": base.started,
            "end": base.ended,
            "begin_lsn": base.begin,
            "end_lsn": base.end,
            "begin_wal": base.begin_wal,
            "end_wal": base.end_wal,
            "newest_wal": whole.newest,
            "lsn": lsn,
            "timeline": base.timeline,
            "system_identifier": base.system,
            "server_version": before["version"],
            "size": base.size,
            "role": settings_of(site, given)["user"],
            "database": settings_of(site, given)["dbname"],
        },
    )


def recovered(
    site: str, component: Component, given: dict[str, t.Any], tool: Physical, base: Base, place: pathlib.Path
) -> dict[str, int]:
    """Recover a scratch server in ``place`` to what a set shows; return its rows by table. Raises Unproven."""
    facts, server, data = component.facts, Server.of(site, given, tool.tool), place / "data"
    target = Target("lsn", facts["lsn"], inclusive=False) if facts.get("lsn") else Target("immediate")
    recovery.fetch(tool, base, data, server.user, _untold)
    with recovery.recovering(
        place,
        tool,
        data,
        target,
        bin=given.get("postgresql_bin"),
        user=facts["role"],
        budget=server.budget,
        progress=_untold,
    ) as found:
        if found.reached.system != facts["system_identifier"]:
            raise Unproven(f"{site}: the recovered server is {found.reached.system}, not {facts['system_identifier']}")
        with found.session(facts["database"]) as session:
            return fingerprints(session, 0)[0]


def _untold(text: str) -> None:
    """Of a verification the verb tells how far it is."""
    del text


def _young(tool: Physical, state: t.Mapping[str, t.Any], max_age: float | None) -> Base | None:
    """Return the newest base backup if it is young enough to serve. One of before a recovery is of another timeline."""
    if max_age is None:
        return None
    now = (state["system"], state["timeline"])
    bases = [base for base in tool.bases() if base.usable and (base.system, base.timeline) == now]
    if not bases:
        return None
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(bases[-1].ended)
    return bases[-1] if age.total_seconds() <= max_age else None


def flushed(capture: Capture | Restore, server: Server) -> tuple[str, str, str | None]:
    """Let the server finish its segment of the log; return the moment that is in it, its position and its name."""
    try:
        with connect(capture.site, capture.given, server.database) as session:
            found = session.execute(
                "SELECT clock_timestamp() AS now, pg_current_wal_insert_lsn()::text AS lsn"
            ).fetchone()
            row = session.execute("SELECT pg_walfile_name(pg_switch_wal()) AS name").fetchone()
    except Refused as exc:
        capture.note(
            f"the log of the last minutes is not in the archive yet, for this user may not run pg_switch_wal ({exc})"
        )
        return iso(), "", None
    return iso(found["now"].timestamp()), found["lsn"], row["name"]


def arrived(capture: Capture | Restore, tool: Physical, base: Base, segment: str | None) -> Continuity:
    """Wait until the log that is needed is in the archive, and weigh it. Raises Unproven."""
    wanted = {base.end_wal, *([segment] if segment and segment > base.end_wal else [])}
    capture.progress(f"{tool.tool}: waiting for {max(wanted)} in the archive")
    there, names = wait_until(tool.segments, lambda names: wanted <= names, Deadline(_ARCHIVED))
    found = continuity(base, names)
    if found.problem:
        raise Unproven(f"{capture.site}: of the base backup {base.id} {found.problem}")
    if not there:
        raise Unproven(
            f"{capture.site}: after {_ARCHIVED:g} s the archive has no {', '.join(sorted(wanted - names))}; look at "
            "the archive_command of the server"
        )
    return found


def _max_age(site: str, options: t.Mapping[str, t.Any]) -> float | None:
    value = options.get("max_age")
    seconds = span(value)
    if value is not None and (seconds is None or seconds < 0):
        raise InputError(f"{site}: max_age is {value!r}; give a time such as 24h. Nothing was captured.")
    return seconds
