# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A recovery to a moment: a scratch server on a base backup that was fetched, stopped where it was told to, and read.

What is said of it is read from the server and from its log: that it ended well proves nothing, for a log that ends too
early looks the same to a tool.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import datetime as dt
import importlib
import os
import pathlib
import re
import signal
import typing as t

from .._common.errors import InputError, Unproven
from .._common.waiter import Deadline, meanwhile, poll
from . import programs, scratch
from .engine import Base, Physical
from .wal import Target, history_of, position

_STOPPED = re.compile(r"LOG:\s+(recovery stopping .*)")
_LAST = re.compile(r"LOG:\s+last completed transaction was at log time (.*)")
_TOO_EARLY = "recovery ended before configured recovery target was reached"
_EVERY = 10.0  # s between two lines of progress
_PROMOTION = 120.0  # s
_SYNCED = 1.0  # s between two turns of bringing to the disk what comes
_LOOK = """
    SELECT pg_is_in_recovery() AS recovering,
        CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END AS paused,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
        pg_last_xact_replay_timestamp() AS last,
        (SELECT timeline_id FROM pg_control_checkpoint()) AS timeline,
        (SELECT system_identifier::text FROM pg_control_system()) AS system
"""
# Nothing of a recovery that was before, nobody to follow, and what it says in words that we know.
_OWN = {
    "hot_standby": "on",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "recovery_end_command": "",
    "archive_cleanup_command": "",
    "archive_command": "",
    "archive_library": "",
    "recovery_min_apply_delay": "0",
    "lc_messages": "C",
    "log_min_messages": "info",
    # What is kept of it is synced once, at its end.
    "fsync": "off",
}
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True)
class Reached:
    """Where a recovery stands, as its server and its log tell. ``last``: time of its last transaction, or empty."""

    lsn: str
    last: str
    timeline: int
    system: str
    said: str


@dataclasses.dataclass
class Recovery:
    """A recovery that has reached its target and waits there. ``server`` takes readers; nothing is written yet."""

    server: scratch.Server
    target: Target
    reached: Reached
    bin: str | None
    user: str

    def session(self, database: str) -> t.Any:
        """Return a session that reads what would be restored, in autocommit; its rows are mappings."""
        return _session(self.server, self.user, database)

    def promote(self) -> Reached:
        """End the recovery here and stop the server in an orderly way, all of it on disk; return where it stands.
        Raises Unproven.

        Nothing of it is in the archive yet: see ``Physical.push`` and ``history``.
        """
        argv = [scratch.program("pg_ctl", self.bin), "promote", "-w", "-t", f"{_PROMOTION:.0f}"]
        data = self.server.data
        scratch.run(self.server, [*argv, "-D", str(data)])
        seen: dict[str, t.Any] = {}
        for _attempt in poll(Deadline(_PROMOTION), first=0.05, longest=0.5):
            seen = _look(self.server, self.user, "template1") or {}
            if seen and not seen["recovering"]:
                break
        else:
            raise Unproven(f"the recovered server did not end its recovery within {_PROMOTION:g} s: {seen}")
        status = self.server.stop(signal.SIGINT)
        state = controldata(self.bin, data)
        if status or state.get("Database cluster state") != "shut down":
            raise Unproven(
                f"the recovered server did not stop in an orderly way: status {status}, state "
                f"{state.get('Database cluster state')!r}"
            )
        synced(data)
        timeline = int(state["Latest checkpoint's TimeLineID"])
        if self.target.kind != "immediate" and timeline <= self.reached.timeline and self.target.kind != "end":
            raise Unproven(f"the recovered server is still on timeline {timeline}: it was not promoted")
        return dataclasses.replace(self.reached, timeline=timeline, lsn=state["Latest checkpoint location"])


def history(data: pathlib.Path, timeline: int) -> pathlib.Path:
    """Return the file that tells of a new timeline. Without it in the archive, a recovery takes its number again."""
    return data / "pg_wal" / history_of(timeline)


def synced(data: pathlib.Path) -> None:
    """Bring everything of the file system of ``data`` to its disk, in one step. Raises Unproven."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(folder):
            raise Unproven(f"{data} cannot be brought to its disk: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(folder)


@contextlib.contextmanager
def synced_meanwhile(folder: pathlib.Path) -> t.Iterator[None]:
    """Bring what is written into the file system of ``folder`` to its disk while the block runs, for there is nothing
    else to do for that disk then. Raises Unproven when it could not: the kernel tells of a lost write once."""
    problems: list[Unproven] = []

    def sync() -> None:
        if not problems:
            try:
                synced(folder)
            except Unproven as exc:
                problems.append(exc)

    with meanwhile(sync, _SYNCED, f"sync {folder}"):
        yield
    if problems:
        raise problems[0]


def fetch(
    tool: Physical,
    base: Base,
    data: pathlib.Path,
    owner: scratch.User | None,
    progress: t.Callable[[str], None],
    before_log: t.Callable[[], None] = lambda: None,
) -> None:
    """Fetch a base backup to ``data``, which must not be there, for the owner that it will have, and log after
    ``before_log``. Raises InputError."""
    if data.exists():
        raise InputError(f"{data} is there already: it is of a restore that was not finished; remove it")
    if not data.parent.is_dir():
        raise InputError(f"there is no folder {data.parent} to restore into")
    tool.fetch(base, data, progress, before_log)
    if not (data / "global" / "pg_control").is_file():
        raise Unproven(f"{tool.tool} ended well, and {data} holds no server: pg_control is missing")
    if owner:
        for path in (data, *data.rglob("*")):
            os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    data.chmod(0o700)


@contextlib.contextmanager
def recovering(
    place: pathlib.Path,
    tool: Physical,
    data: pathlib.Path,
    target: Target,
    *,
    bin: str | None,  # noqa: A002 - as the option is called
    user: str,
    budget: float,
    progress: t.Callable[[str], None],
) -> t.Iterator[Recovery]:
    """Recover the server in ``data`` up to the target on a scratch server, and give it while it waits there.

    ``place`` is a scratch folder, ``user`` a role of the server. Raises Unproven when the target is not reached.
    """
    for name in ("standby.signal", "postmaster.pid", "backup_label.old"):
        (data / name).unlink(missing_ok=True)
    owner = data.stat()
    mark = data / "recovery.signal"
    mark.touch(mode=0o600)
    os.chown(mark, owner.st_uid, owner.st_gid)
    settings = {**_OWN, **target.settings(), "restore_command": tool.restore_command(data)}
    told = Deadline(_EVERY)

    def ready(server: scratch.Server) -> bool:
        nonlocal told
        seen = _look(server, user, "template1")
        if told.over:
            where = f"at {seen['lsn']}, {seen['last']}" if seen else "not consistent yet"
            progress(f"recovering to {target}: {where}")
            told = Deadline(_EVERY)
        if seen is None:
            return False
        if target.kind == "end":
            return not seen["recovering"]
        return bool(seen["recovering"] and seen["paused"] == "paused" and _STOPPED.search(server.logged()))

    log = place / "pg" / "log"
    try:
        with scratch.postgresql(
            place,
            programs=bin,
            data=data,
            settings=settings,
            budget=budget,
            ready=ready,
            environment=tool.environment(),
            runs=tool.runs(),
        ) as server:
            yield Recovery(server, target, _reached(server, user, target), bin, user)
    except Unproven as exc:
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        if _TOO_EARLY in text:
            last = _LAST.findall(text)
            until = f"; its last transaction is of {last[-1]}" if last else ""
            raise Unproven(
                f"the log ends before {target}{until}. Choose an earlier moment, or look for what is missing in the "
                "archive"
            ) from exc
        raise


def _reached(server: scratch.Server, user: str, target: Target) -> Reached:
    """Look once more, and compare with what was asked for. Raises Unproven."""
    seen, log = _look(server, user, "template1"), server.logged()
    if seen is None:
        raise Unproven("the recovered server does not answer any more")
    stopped = _STOPPED.findall(log)
    last = seen["last"].astimezone(dt.UTC) if seen["last"] else None
    found = Reached(
        seen["lsn"],
        last.isoformat(timespec="microseconds").replace("+00:00", "Z") if last else "",
        seen["timeline"],
        seen["system"],
        stopped[-1] if stopped else "archive recovery complete",
    )
    if target.kind == "time" and last and last > target.moment:
        raise Unproven(f"the recovery holds a transaction of {found.last}, after {target}")
    if target.kind == "lsn" and target.inclusive and position(found.lsn) < position(target.text):
        raise Unproven(f"the recovery stands at {found.lsn}, before {target}")
    if target.kind == "name" and f'"{target.text}"' not in found.said:
        raise Unproven(f"the recovery did not stop at {target}: {found.said}")
    return found


def controldata(folder: str | None, data: pathlib.Path) -> dict[str, str]:
    """Return what pg_controldata tells of a data folder. Raises Refused."""
    said = _Text()
    what = f"the state of {data}"
    programs.run([scratch.program("pg_controldata", folder), str(data)], said, env={"LC_ALL": "C"}, what=what)
    rows = (line.partition(":") for line in said.text.splitlines())
    return {key.strip(): value.strip() for key, _colon, value in rows}


class _Text:
    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> int:
        self.text += data.decode(errors="replace")
        return len(data)


def _session(server: scratch.Server, user: str, database: str) -> t.Any:
    driver: t.Any = importlib.import_module("psycopg")
    rows: t.Any = importlib.import_module("psycopg.rows")
    return driver.connect(
        host=server.host,
        port=server.port,
        user=user,
        dbname=database,
        autocommit=True,
        connect_timeout=5,
        row_factory=rows.dict_row,
    )


def _look(server: scratch.Server, user: str, database: str) -> dict[str, t.Any] | None:
    """Return how a server that recovers stands, or None as long as it takes no sessions."""
    driver: t.Any = importlib.import_module("psycopg")
    try:
        with _session(server, user, database) as session:
            return t.cast("dict[str, t.Any]", session.execute(_LOOK).fetchone())
    except driver.OperationalError:
        return None
