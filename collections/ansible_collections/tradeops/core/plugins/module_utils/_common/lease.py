# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A lease on a site: two operations never act on one site at once, except that a stop takes over and says so.

Leases are files in a folder that all controllers of a site share, changed under a lock. The file remembers which
operations were taken over: they notice before their next write and never get the lease again. A lease ends with its
time to live, or with the process that took it when that ran on this machine: a crash blocks nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import platform
import time
import typing as t
import urllib.parse

from .errors import LeaseHeld
from .waiter import Deadline, poll

_REMEMBERED = 50
# Seconds to wait for another process that is changing the file; a stop waits for next to nothing.
_PATIENCE = 5.0
_PATIENCE_OF_A_STOP = 0.5


@dataclasses.dataclass(frozen=True)
class Holder:
    """``expires``: Unix time in seconds. ``born`` tells a process from a later one with the same number.
    ``evicted``: operations that were taken over, the newest last."""

    operation: str
    operator: str
    purpose: str
    expires: float
    machine: str
    pid: int
    born: str
    evicted: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires))
        return f"operation {self.operation} of {self.operator} ({self.purpose}), until {until}"


class Lease:
    """The lease of one site, as one operation sees it. ``ttl`` is in seconds; it ends earlier with process ``pid``."""

    def __init__(
        self, folder: str, site: str, *, operation: str, operator: str, ttl: float = 900.0, pid: int = 0
    ) -> None:
        self.folder = pathlib.Path(folder).expanduser()
        self.file = urllib.parse.quote(site, safe="")
        self.path = self.folder / f"{self.file}.json"
        self.site = site
        self.operation = operation
        self.operator = operator
        self.ttl = ttl
        self.pid = pid or os.getpid()
        self._born = born(self.pid)

    def holder(self) -> Holder | None:
        """Return who holds the lease now, or None. Raises LeaseHeld when the file is damaged or cannot be read."""
        with self._usable():
            found = self._load()
        return found if found and _valid(found) else None

    def acquire(self, purpose: str, *, takeover: bool = False) -> Holder | None:
        """Take or renew the lease; return the holder that was taken over. Raises LeaseHeld.

        Only a stop goes on without the process that it belongs to.
        """
        if not takeover and self._born and born(self.pid) != self._born:
            raise LeaseHeld(
                f"{self.site}: the process {self.pid} of this operation has ended, and the lease with it; nothing more "
                "is done in it"
            )
        with self._locked(_PATIENCE_OF_A_STOP if takeover else _PATIENCE):
            previous = self._load()
            evicted = previous.evicted if previous else []
            if self.operation in evicted:
                raise LeaseHeld(f"{self.site}: this operation was taken over by a stop; nothing more is done in it")
            held = previous if previous and _valid(previous) else None
            foreign = held if held and held.operation != self.operation else None
            if foreign and not takeover:
                raise LeaseHeld(
                    f"{self.site}: held by {foreign}. Wait until it ends; only what stops trading takes it over."
                )
            if foreign:
                evicted = [*evicted, foreign.operation][-_REMEMBERED:]
            expires = time.time() + self.ttl
            process = (platform.node(), self.pid, self._born)
            self._store(Holder(self.operation, self.operator, purpose, expires, *process, evicted))
            return foreign

    def release(self) -> bool:
        """Give the lease back; return whether it was ours. Raises LeaseHeld when the file cannot be changed."""
        with self._locked(_PATIENCE_OF_A_STOP):
            held = self._load()
            if held is None or held.operation != self.operation:
                return False
            # The file stays, for it remembers who was taken over.
            self._store(dataclasses.replace(held, expires=0.0))
            return True

    @contextlib.contextmanager
    def _usable(self) -> t.Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise LeaseHeld(f"{self.site}: the lease folder {self.folder} cannot be used: {exc.strerror}") from exc

    @contextlib.contextmanager
    def _locked(self, patience: float) -> t.Iterator[None]:
        with self._usable():
            lock, flags = self.folder / f".{self.file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            try:
                descriptor = os.open(lock, flags, 0o600)
            except FileNotFoundError:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(lock, flags, 0o600)
            try:
                if not any(_lock(descriptor) for _attempt in poll(Deadline(patience), first=0.01, longest=0.1)):
                    raise LeaseHeld(f"{self.site}: another process has kept {self.path} locked for {patience:g} s")
                yield
            finally:
                os.close(descriptor)

    def _load(self) -> Holder | None:
        try:
            found = Holder(**json.loads(self.path.read_text(encoding="utf-8")))
            problem = _damage(found)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as exc:
            found, problem = None, str(exc)
        if problem:
            raise LeaseHeld(f"{self.site}: the lease file {self.path} is damaged ({problem}); remove it by hand")
        return found

    def _store(self, holder: Holder) -> None:
        scratch = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            scratch.write_text(json.dumps(dataclasses.asdict(holder)), encoding="utf-8")
            os.replace(scratch, self.path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _damage(holder: Holder) -> str:
    """Say which field of a stored holder has a wrong type, or return an empty text."""
    kinds: tuple[tuple[str, t.Any], ...] = (
        ("operation", str),
        ("expires", (int, float)),
        ("pid", int),
        ("evicted", list),
    )
    for name, kind in kinds:
        if not isinstance(getattr(holder, name), kind):
            return f"{name} is {getattr(holder, name)!r}"
    return ""


def _valid(holder: Holder) -> bool:
    if holder.expires <= time.time():
        return False
    return holder.machine != platform.node() or born(holder.pid) == holder.born


def born(pid: int) -> str:
    """Return when a process of this machine began, in ticks, or an empty text when it has ended (or without /proc)."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the process, in brackets, may hold blanks. After it: the state, and 19 fields later the start time.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
