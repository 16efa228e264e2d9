# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a lab: start them, find them again, end them.

Every process of a lab, and every child it makes, has the lab's log of its part as standard error. That is how they are
found: no list of process ids has to be kept, none can be out of date, and a process that happens to have got the id of
an earlier one is never taken for ours. Works on Linux 5.3 and later.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time
import typing as t

from .errors import LabError
from .folder import Folder
from .waiting import POLL

_KILL_BUDGET = 5.0  # seconds: the kernel ends a killed process as soon as it leaves uninterruptible sleep


@dataclasses.dataclass(frozen=True)
class Process:
    """A living process of the part ``part``; ``leads`` when its parent is not of the same part."""

    pid: int
    part: str
    leads: bool


@dataclasses.dataclass(frozen=True)
class User:
    """Whom a server runs as instead of root."""

    name: str
    uid: int
    gid: int


@dataclasses.dataclass(frozen=True)
class Command:
    argv: list[str]
    cwd: pathlib.Path
    env: dict[str, str]
    user: User | None = None
    pass_fds: tuple[int, ...] = ()


def start(command: Command, log: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, with ``log`` (appended to) as its output."""
    user = command.user
    with log.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            pass_fds=command.pass_fds,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )


def plain_environment() -> dict[str, str]:
    """What servers get of our environment: no credentials, no PG* or REDIS* settings of the operator."""
    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
    return {"LANG": "C.UTF-8", "TZ": "UTC"} | {name: os.environ[name] for name in kept if name in os.environ}


def find(folder: Folder) -> dict[str, list[Process]]:
    """Return the living processes of the lab by part. A part without any is absent."""
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (part := _part(folder, int(entry))):
            found[int(entry)] = part
    result: dict[str, list[Process]] = {}
    for pid, part in found.items():
        result.setdefault(part, []).append(Process(pid, part, found.get(_parent(pid)) != part))
    return result


def leader(processes: t.Iterable[Process]) -> int | None:
    """Return the id of the process that the others descend from."""
    return min((process.pid for process in processes if process.leads), default=None)


async def stop(folder: Folder, signals: dict[str, signal.Signals], budgets: dict[str, float]) -> list[str]:
    """End the parts that ``signals`` names, all at once and in that order, and return those that had a process.

    A part gets its signal, then SIGKILL when it has not ended within its budget (seconds). Raises LabError when a
    process is still there after that.
    """
    living = {part: found for part, found in find(folder).items() if part in signals}
    began = sorted(living)
    for part, number in signals.items():
        for process in living.get(part, ()):
            if process.leads:
                _send(folder, process, number)
    start_time = time.monotonic()
    while living:
        await asyncio.sleep(POLL)
        elapsed = time.monotonic() - start_time
        living = {part: found for part, found in find(folder).items() if part in began}
        for part, found in living.items():
            budget = budgets.get(part, 5.0)
            if elapsed > budget:
                for process in found:
                    _send(folder, process, signal.SIGKILL)
            if elapsed > budget + _KILL_BUDGET:
                pids = ", ".join(str(process.pid) for process in found)
                raise LabError(f"{part} does not end, not even by SIGKILL: process {pids}")
    return began


def _send(folder: Folder, process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, which is what we want
        handle = os.pidfd_open(process.pid)
        try:
            # The handle holds on to one process, so what is checked here is what gets the signal.
            if _part(folder, process.pid) == process.part:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _part(folder: Folder, pid: int) -> str | None:
    try:
        output = os.readlink(f"/proc/{pid}/fd/2")
    except OSError:  # ended, or of another user
        return None
    head, _slash, name = output.removesuffix(" (deleted)").rpartition("/")
    return name.removesuffix(".log") if head == str(folder.logs) and name.endswith(".log") else None


def _parent(pid: int) -> int:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


def tail(log: pathlib.Path, offset: int = 0, lines: int = 15) -> str:
    """Return the last lines that ``log`` got after ``offset`` bytes, indented; nothing when it got none."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
