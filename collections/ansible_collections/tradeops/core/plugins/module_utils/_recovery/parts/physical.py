# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A whole server: recovered beside from a base backup and its log, read while it waits at its target, then renamed.

The live server keeps running until the recovered one was seen to be right. Its folder stays as ``<data>.before-<id>``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import typing as t

from ..._backup import recovery, scratch
from ..._backup.engine import Base
from ..._backup.engines import barman, pgbackrest
from ..._backup.engines.physical import Server, Tool, arrived, flushed
from ..._backup.engines.postgresql import connect, fingerprints, settings_of
from ..._backup.manifest import Artefact, Component
from ..._backup.run import Run
from ..._backup.wal import Target as Moment
from ..._backup.wal import check_target, choose
from ..._common.errors import CallError, LeaseHeld, Refused, TradeopsError
from ..._common.outcome import Object
from ..._common.waiter import Deadline, poll
from ..back import Back, Listing, room_of
from ..places import Place
from ..plan import Target
from ..service import Service
from ..stopped import Note, Stopped

_TOLD = 20.0  # s after which a server has told of what was deleted
_DELETED = """
    SELECT pg_catalog.format('%I.%I', schemaname, relname) AS name, n_tup_del AS deleted
    FROM pg_catalog.pg_stat_user_tables
"""
_OPENED: dict[str, t.Callable[..., Tool]] = {"barman": barman.opened, "pgbackrest": pgbackrest.opened}


class Physical:
    """One component of an engine of base backups. Options: ``timeline`` and ``inclusive`` of the recovery."""

    def __init__(self, back: Back, component: Component, options: t.Mapping[str, t.Any]) -> None:
        self.back = back
        self.component = component
        self.server = Server.of(back.site, back.given, component.engine)
        self.service = Service(back.site, self.server)
        asked = back.listings.get(component.engine)
        self.tool: Tool = asked.result()[0] if asked else _OPENED[component.engine](back.site, back.given, back.folder)
        self._asked = asked
        self.data = self.server.data
        self.place = Place(self.data, back.set_id)
        self.note = Note(self.data)
        self.moment, self.wanted_base = _moment(back, component, options)
        self._chosen: Base | None = None
        self.reached: recovery.Reached | None = None
        self._rows: dict[str, int] = {}
        self._switched = False
        self._ran = True

    def look(self) -> Target:
        check_target(self.back.site, self.moment)
        bases = self._asked.result()[1] if self._asked else self.tool.bases()
        base = self._chosen = choose(self.back.site, bases, self.moment, self.wanted_base)
        problems = []
        if self.data.exists() and self.service.running is None:
            self.back.note(
                f"{self.service.name} is stopped, and no restore has stopped it: it is left so until the recovered "
                "server takes its place. If its log of the last minutes is wanted, start it first"
            )
        try:
            with connect(self.back.site, self.back.given, self.server.database) as session:
                live = session.execute(
                    "SELECT current_setting('server_version') AS version, pg_current_wal_lsn()::text AS lsn, "
                    "(SELECT system_identifier::text FROM pg_control_system()) AS system, "
                    "(SELECT timeline_id FROM pg_control_checkpoint()) AS timeline"
                ).fetchone()
        except CallError as exc:
            live = None
            self.back.note(f"the live server does not answer, so its last segment of the log may be missing: {exc}")
        if live and live["system"] != base.system:
            problems.append(f"the base backup {base.id} is of another server ({base.system}) than the live one")
        shown = {"lsn": live["lsn"], "timeline": live["timeline"], "system": live["system"]} if live else {}
        size = base.size or _size(self.data)
        return Target(
            name=f"the server in {self.data}",
            exists=self.data.exists(),
            shown={**shown, "base": base.id, "to": str(self.moment)},
            version=_version(live["version"]) if live else (),
            room=room_of(self.data.parent),
            needs=size,
            way=f"recovered beside from the base backup {base.id} to {self.moment}, then renamed",
            safety=str(self.place.before),
            problems=tuple(problems),
            notes=tuple(due(self.tool)),
        )

    def wanted(self) -> list[Artefact]:
        return []

    def streamed(self) -> list[Artefact]:
        return []

    def inspect(self) -> list[str]:
        return []

    def sweep(self) -> None:
        for note in self.place.sweep():
            self.back.note(note)

    def prepare(self) -> None:
        self.place.begin()
        with recovery.synced_meanwhile(self.place.path.parent):
            self._recover(t.cast(Base, self._chosen))
        self.place.ready()

    def _recover(self, base: Base) -> None:
        back = self.back
        recovery.fetch(
            self.tool,
            base,
            self.place.beside,
            self.server.user,
            back.progress,
            before_log=lambda: self._bring_up_to_date(base),
        )
        back.progress(f"recovering to {self.moment}")
        with recovery.recovering(
            back.folder,
            self.tool,
            self.place.beside,
            self.moment,
            bin=back.given.get("postgresql_bin"),
            user=str(self._settings["user"]),
            budget=self.server.budget,
            progress=back.progress,
        ) as found:
            with found.session(str(self._settings["dbname"])) as session:
                self._rows = fingerprints(session, 0)[0]
            back.progress(f"{found.reached.said}; {sum(self._rows.values())} rows in {len(self._rows)} tables")
            self.reached = found.promote()

    def switch(self) -> None:
        """Exchange the folders while nothing runs. What fails then is taken back, so that a server runs again."""
        inode = self.place.beside.stat().st_ino
        self._ran = self.service.running is not None
        self.note.write(self.back.given.get("operation") or "(of no name)", self.back.set_id, inode, ran=self._ran)
        with self.tool.pushing() as push:
            if self._ran:
                self.service.stop()
            try:
                self.place.switch()
                self._switched = True
                # Before the server is on its timeline, so that no other recovery can take its number.
                push_history(push, self.data, t.cast(recovery.Reached, self.reached).timeline)
            except (OSError, TradeopsError) as exc:
                self._back_again()
                raise Refused(f"{self.data}: {exc}", method="rename", path=str(self.data), sent=False) from exc
        try:
            self.service.begin(lambda: answers(self.back.site, self.back.given))
            self.note.remove()
        except TradeopsError:
            self.undo()
            raise

    def undo(self) -> None:
        self.service.stop()
        self._back_again()

    def _back_again(self) -> None:
        if self._switched:
            self.place.undo()
            self._switched = False
        if self.data.exists() and self._ran:
            self._start()
        self.note.remove()

    def prove(self) -> list[Object]:
        """Ask the server itself where it stands."""
        reached = t.cast(recovery.Reached, self.reached)
        name = f"the server in {self.data}"
        with connect(self.back.site, self.back.given) as session:
            seen = session.execute(
                "SELECT pg_is_in_recovery() AS recovering, "
                "(SELECT timeline_id FROM pg_control_checkpoint()) AS timeline, "
                "(SELECT system_identifier::text FROM pg_control_system()) AS system"
            ).fetchone()
            rows = fingerprints(session, 0)[0]
            lacks = {
                table: (count, rows.get(table)) for table, count in self._rows.items() if (rows.get(table) or 0) < count
            }
            lacks = _unexplained(session, lacks) if lacks else {}
        more = sorted(table for table, count in rows.items() if count > self._rows.get(table, 0))
        if more:
            self.back.note(f"written to since the server is back: {', '.join(more[:5])}")
        problem = ""
        if seen["recovering"]:
            problem = "it is still in recovery"
        elif (seen["timeline"], seen["system"]) != (reached.timeline, reached.system):
            problem = (
                f"it is on timeline {seen['timeline']} of {seen['system']}, not {reached.timeline} of {reached.system}"
            )
        elif lacks:
            problem = f"rows are missing: {lacks}"
        try:
            self.service.begun()
        except TradeopsError as exc:
            problem = problem or str(exc)
        after = {
            **{key: seen[key] for key in ("timeline", "system")},
            "rows": sum(rows.values()),
            "to": str(self.moment),
            "last_transaction": reached.last,
            "said": reached.said,
        }
        kept = {"kept": str(self.place.before)}
        return [Object(name, "server", kept, after, "refused" if problem else "proven", problem)]

    def discard(self) -> None:
        if not self._switched:
            self.place.discard()

    @property
    def _settings(self) -> dict[str, t.Any]:
        return settings_of(self.back.site, self.back.given)

    def _bring_up_to_date(self, base: Base) -> None:
        """Let the live server send what it has of the log; where it does not live, the archive is what there is."""
        try:
            with connect(self.back.site, self.back.given, self.server.database) as session:
                # A recovery stops at the first transaction after its target. A site that rests has none: here it is.
                session.execute("SELECT txid_current()")
            _now, _lsn, segment = flushed(self.back, self.server)
        except CallError as exc:
            self.back.note(f"the live server does not answer; the log ends where it was last archived: {exc}")
            return
        arrived(self.back, self.tool, base, segment)

    def _start(self) -> None:
        """Start the server; from then on nobody has to bring it back."""
        self.service.start(lambda: answers(self.back.site, self.back.given))
        self.note.remove()


def due(tool: Tool) -> list[str]:
    """Say what has to follow a recovery, and what is in its way: that keeps nobody from restoring."""
    said = ["a new base backup is due afterwards, for the server is then on a new timeline"]
    try:
        why = tool.in_the_way()
    except TradeopsError as exc:
        return [*said, f"whether it can be taken is not known: {exc}"]
    return [*said, f"it will be refused: {why}"] if why else said


def listings(
    site: str,
    given: dict[str, t.Any],
    engines: t.Sequence[str],
    place: pathlib.Path,
    stack: contextlib.ExitStack,
) -> dict[str, Listing]:
    """Ask for the base backups of these engines while the rest is looked at. Who needs them raises what was met."""

    def ask(engine: str) -> tuple[Tool, list[Base]]:
        tool = _OPENED[engine](site, given, place)
        return tool, tool.bases()

    pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(max(1, len(engines))))
    return {engine: pool.submit(ask, engine) for engine in engines}


def bring_back(run: Run, given: t.Mapping[str, t.Any], engine: str) -> bool:
    """Start a server again that a killed restore had stopped; return whether there was one. Raises TradeopsError.

    Only a server of which the note beside its folder says so: one that somebody else has stopped is theirs.
    """
    server = Server.of(run.site, given, engine)
    note = Note(server.data)
    stopped = note.read()
    if stopped is None:
        return False
    service = Service(run.site, server)
    recovered = server.data.exists() and server.data.stat().st_ino == stopped.inode
    if not (stopped.ran or recovered or stopped.alive):
        if not run.gate.check_mode:
            note.remove()
        run.gate.note(f"{service.name} had been stopped before {stopped}, which was killed: it is left as it is")
        return False
    who = f"{service.name} was stopped by {stopped}"
    if stopped.alive:
        raise LeaseHeld(f"{run.site}: {who}, and that is still at it. Wait until it ends.")
    if run.gate.check_mode:
        raise Refused(
            f"{run.site}: {who}, which was killed. A restore starts it first; to see a plan now, start it by hand and "
            f"remove {note.path}. Nothing was touched.",
            method="start",
            path=service.name,
            sent=False,
        )
    step = {"action": "start", "method": "start", "path": service.name, "service": engine, "why": who}
    run.gate.write([step], lambda: _started_again(run, given, engine, service, stopped, recovered=recovered))
    note.remove()
    run.touched = True
    return True


def _started_again(
    run: Run, given: t.Mapping[str, t.Any], engine: str, service: Service, stopped: Stopped, *, recovered: bool
) -> None:
    """Start a server with the folder that is in place, and say which that is."""
    run.tell(f"{run.site}: {service.name} was stopped by {stopped}, which was killed: starting it")
    if recovered:
        # As a switch does it: before the server is on its timeline, so that no other recovery can take its number.
        state = recovery.controldata(given.get("postgresql_bin"), service.data)
        with scratch.folder(given["scratch_dir"]) as place:
            tool = _OPENED[engine](run.site, dict(given), place)
            push_history(tool.push, service.data, int(state["Latest checkpoint's TimeLineID"]))
    if not service.settled(lambda: answers(run.site, given)):
        service.start(lambda: answers(run.site, given))
    was = f"{run.site}: {service.name} had been stopped by {stopped}, which was killed; it was started again"
    if recovered:
        run.gate.note(f"{was}, with what that restore had recovered: a base backup of its new timeline is due")
    else:
        run.gate.note(f"{was}, with what was there before that restore")


def push_history(push: t.Callable[[pathlib.Path], None], data: pathlib.Path, timeline: int) -> None:
    """Put the file that tells of a timeline into the archive. The first timeline has none."""
    file = recovery.history(data, timeline)
    if file.exists():
        push(file)


def answers(site: str, given: t.Mapping[str, t.Any]) -> bool:
    """Whether the server of a site takes sessions, and writes."""
    try:
        with connect(site, given) as session:
            return bool(session.execute("SELECT NOT pg_is_in_recovery() AS yes").fetchone()["yes"])
    except CallError:
        return False


def _moment(back: Back, component: Component, options: t.Mapping[str, t.Any]) -> tuple[Moment, str]:
    """Return up to where, and which base backup is wanted: that of the set, unless a moment is asked for."""
    inclusive, timeline = bool(options.get("inclusive", True)), str(options.get("timeline", "latest"))
    at, facts = back.at, component.facts
    if at.kind == "time" and at.moment:
        return Moment("time", at.moment.isoformat(), inclusive, timeline), ""
    if at.kind in ("lsn", "name"):
        return Moment(t.cast(t.Any, at.kind), at.text, inclusive, timeline), ""
    if facts.get("lsn"):
        return Moment("lsn", facts["lsn"], False, timeline), facts["backup_id"]
    return Moment("immediate", "", inclusive, timeline), facts["backup_id"]


def _size(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split()[0].split(".") if part.isdigit())


def _unexplained(session: t.Any, lacks: dict[str, tuple[int, int | None]]) -> dict[str, tuple[int, int | None]]:
    """Return the tables whose missing rows were not deleted since: the platform is back at once, and works on.

    The server counts deletions, and tells of them some seconds later.
    """
    left = dict(lacks)
    for _attempt in poll(Deadline(_TOLD)):
        found = session.execute(_DELETED).fetchall()
        deleted = {row["name"]: int(row["deleted"]) for row in found}
        left = {name: (was, now) for name, (was, now) in left.items() if deleted.get(name, -1) < was - (now or 0)}
        if not left:
            break
    return left
