# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Write the journal of an operation: append only, one chain for all processes of the operation.

Nothing here ever stops an operation. What cannot be written is kept and tried again; ``Journal.problem`` says why.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import os
import pathlib
import secrets
import typing as t

from .._common.waiter import Deadline, poll
from .chain import Head, NotARecord, parse, seal

_LOCK_BUDGET = 2.0  # s: a writer holds the lock for milliseconds
_RETRY_AFTER = 5.0  # s between attempts on a journal that could not be written
_BLOCK = 65536


def now() -> str:
    """Return the time as UTC, ISO 8601 with microseconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Journal:
    """The journal file of one operation, as one process (``run``) writes it.

    :ivar problem: why the newest attempt to write failed, or ""; ``pending`` records are then only in memory.
    """

    def __init__(self, folder: pathlib.Path, operation: str) -> None:
        self.path = folder / f"{operation}.jsonl"
        self.run = secrets.token_hex(4)
        self.problem = ""
        self._pending: list[dict[str, t.Any]] = []
        self._descriptor: int | None = None
        self._identity: tuple[int, int] = (0, 0)
        self._head = Head()
        self._end = -1
        self._retry: Deadline | None = None

    @property
    def pending(self) -> int:
        """The number of records that are not in the file."""
        return len(self._pending)

    def append(self, kind: str, *, durable: bool = False, **fields: t.Any) -> bool:
        """Add a record of plain values; with ``durable`` it is on the disk when this returns.

        Returns whether everything so far is in the file. Never raises for a journal that cannot be written.
        """
        self._pending.append({"at": now(), "kind": kind, "run": self.run, **fields})
        if self._retry and not self._retry.over:
            return False
        return self._try(durable)

    def close(self) -> bool:
        """Try once more to write what is pending, and close the file. Returns whether everything is in the file."""
        complete = self._try(durable=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        return complete

    def _try(self, durable: bool) -> bool:
        try:
            self._flush(durable)
        except OSError as exc:
            self.problem = f"{self.path}: {exc.strerror or exc}"
            self._retry = Deadline(_RETRY_AFTER)
            return False
        self.problem, self._retry = "", None
        return True

    def _flush(self, durable: bool) -> None:
        descriptor, repairs = self._open()
        with _locked(descriptor):
            repairs += self._find_end(descriptor)
            if self.problem:
                repairs.append({"why": f"records were written late: {self.problem}", "lost": False})
            head, data = self._head, b""
            said = [{"at": now(), "kind": "recovery", "run": self.run, **item} for item in repairs]
            for record in said + self._pending:
                head, line = seal(record, head)
                data += line
            _write(descriptor, data, self._end)
            self._head, self._end = head, self._end + len(data)
            self._pending.clear()
        if durable:
            os.fsync(descriptor)

    def _open(self) -> tuple[int, list[dict[str, t.Any]]]:
        """Return the open file, and what has to be said about it: somebody may have replaced it meanwhile."""
        repairs: list[dict[str, t.Any]] = []
        if self._descriptor is not None:
            if _identity(self.path) == self._identity:
                return self._descriptor, repairs
            repairs.append({"why": f"the journal was removed or replaced; its head was {self._head}", "lost": True})
            os.close(self._descriptor)
            self._descriptor, self._end = None, -1
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)
        self._identity = _identity(self.path)
        return self._descriptor, repairs

    def _find_end(self, descriptor: int) -> list[dict[str, t.Any]]:
        """Learn head and end of the file; cut off what a crash left unfinished, and say so."""
        size = os.fstat(descriptor).st_size
        if size == self._end:
            return []
        line, end = _last_line(descriptor, size)
        repairs: list[dict[str, t.Any]] = []
        self._head = Head()
        if line:
            try:
                record = parse(line)
                self._head = Head(record["seq"], record["hash"])
            except NotARecord as exc:
                repairs.append({"why": f"the line before this one cannot be continued: {exc}", "lost": True})
        if end < size:
            torn = os.pread(descriptor, size - end, end).decode("ascii", "replace")
            repairs.append({"why": "a record was torn by a crash, and was cut off", "lost": True, "torn": torn})
            os.ftruncate(descriptor, end)
        self._end = end
        return repairs


@contextlib.contextmanager
def _locked(descriptor: int) -> t.Iterator[None]:
    """Hold the lock of the file. Raises OSError when another process keeps it: a stop must not wait for it."""
    for _attempt in poll(Deadline(_LOCK_BUDGET), first=0.002, longest=0.05):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            continue
    else:
        raise OSError(errno.EAGAIN, f"locked by another process for more than {_LOCK_BUDGET:g} s")
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, data: bytes, end: int) -> None:
    """Write all of ``data`` or nothing of it."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _identity(path: pathlib.Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


def _last_line(descriptor: int, size: int) -> tuple[bytes, int]:
    """Return the last complete line (without its end) and the offset behind it."""
    tail, start = b"", size
    while start > 0 and tail.count(b"\n") < 2:
        length = min(_BLOCK, start)
        start -= length
        tail = os.pread(descriptor, length, start) + tail
    complete = tail.rfind(b"\n") + 1
    return tail[:complete].rstrip(b"\n").rpartition(b"\n")[2], start + complete
