# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Files as one tar stream: configuration, models, parquet, logs of a period. None changed while it was read.

Each path of the component is a folder or a file at the top of the archive; ``sources`` of the facts tells which.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import fnmatch
import io
import os
import re
import stat
import tarfile
import time
import typing as t

from ..._common.errors import InputError, Refused
from ..._common.typed import Data
from ..engine import Capture
from ..manifest import Component
from ..sets import iso

ARCHIVE = "files.tar"
_PERIOD = re.compile(r"(\d+)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WHOLE = 16 << 20  # bytes of a file up to which it is read before it is written, so that a second look costs nothing
_PIECE = 1 << 20
_PAUSE = 0.2  # s before a file that changed is read again


@dataclasses.dataclass(frozen=True)
class Options:
    """``newer_than``: only files that were changed within that time, such as ``24h``. ``exclude``: patterns of names or
    of paths below the source. ``growing``: files that something is added to are taken as they were when opened.
    ``optional``: a path that is not there is only noted. ``attempts``: how often a file that changes is read."""

    paths: list[str]
    newer_than: str = ""
    exclude: tuple[str, ...] = ()
    growing: bool = False
    optional: bool = False
    attempts: int = 3

    def check(self) -> tuple[tuple[str, ...], str] | None:
        if not self.paths:
            return ("paths",), "name at least one folder or file"
        for path in self.paths:
            if not path.startswith("/"):
                return ("paths",), f"{path!r} depends on where it is run; give one that begins with /"
        if self.newer_than and not _PERIOD.fullmatch(self.newer_than):
            return ("newer_than",), f"{self.newer_than!r} is no period; give one such as 24h or 7d"
        return None if 1 <= self.attempts <= 10 else (("attempts",), "give 1 to 10")


@dataclasses.dataclass
class _Source:
    """One path of the component: ``name`` at the top of the archive."""

    path: str
    name: str
    kind: str
    files: int = 0
    bytes: int = 0


class Files:
    """The options of the component are those of ``Options``."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        facts = Data(options, f"{site}: tradeops_backup_components (files)").read(Options)
        for path in facts.paths:
            if not os.path.exists(path) and not facts.optional:
                raise InputError(
                    f"{site}: there is no {path}, which tradeops_backup_components names. Nothing was captured."
                )

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        facts = Data(options, f"{capture.site}: {name}").read(Options)
        moment, begun = iso(dt.datetime.now(dt.UTC)), time.time()
        since = begun - _seconds(facts.newer_than) if facts.newer_than else None
        sources: list[_Source] = []
        with (
            capture.artefact(ARCHIVE) as sink,
            _Archive(f"{capture.site}: {name}", sink, facts, since, capture.note) as archive,
        ):
            for path in facts.paths:
                if os.path.exists(path):
                    sources.append(_Source(path, _unused(path, sources), "folder" if os.path.isdir(path) else "file"))
                    capture.progress(f"{name}: reading {path}")
                    archive.add(sources[-1])
                elif facts.optional:
                    capture.note(f"{name}: there is no {path}")
                else:
                    raise Refused(f"{capture.site}: {name}: {path} went away.", method="read", path=path, sent=False)
        return Component(
            name,
            "files",
            moment,
            moment,
            iso(dt.datetime.now(dt.UTC)),
            facts={
                "sources": [dataclasses.asdict(source) for source in sources],
                "files": sum(source.files for source in sources),
                "bytes": sum(source.bytes for source in sources),
                "newer_than": facts.newer_than,
                "since": iso(dt.datetime.fromtimestamp(since, dt.UTC)) if since else "",
            },
        )


class _Archive:
    """A tar on its way into a sink."""

    def __init__(
        self, what: str, sink: t.Any, facts: Options, since: float | None, note: t.Callable[[str], None]
    ) -> None:
        self._what = what
        self._facts = facts
        self._since = since
        self._note = note
        self._into = _Into(sink)
        self._tar = tarfile.open(  # noqa: SIM115 -- closed with the block
            mode="w|", fileobj=t.cast(t.Any, self._into), format=tarfile.PAX_FORMAT, bufsize=_PIECE
        )

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, _trace: object) -> None:
        self._into.broken = exc is not None
        self._tar.close()

    def add(self, source: _Source) -> None:
        top = os.path.realpath(source.path)
        if source.kind == "file":
            self._file(source, top, source.name)
            return
        self._member(top, source.name)
        self._folder(source, top, source.name)

    def _folder(self, source: _Source, folder: str, name: str) -> None:
        with self._told(folder):
            found = sorted(os.scandir(folder), key=lambda item: item.name)
        for item in found:
            inside = f"{name}/{item.name}"
            below = inside.partition("/")[2]
            if any(fnmatch.fnmatch(item.name, each) or fnmatch.fnmatch(below, each) for each in self._facts.exclude):
                continue
            try:
                mode = item.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    self._member(item.path, inside)
                    self._folder(source, item.path, inside)
                elif stat.S_ISREG(mode):
                    self._file(source, item.path, inside)
                elif stat.S_ISLNK(mode):
                    self._member(item.path, inside)
                else:
                    self._note(f"{_shown(item.path)} is no file and is left out")
            except FileNotFoundError as exc:
                if not self._facts.growing:
                    raise self._refused(item.path, "went away while the files were read") from exc
                self._note(f"{_shown(item.path)} went away while the files were read")

    def _member(self, path: str, name: str) -> None:
        with self._told(path):
            self._tar.addfile(self._tar.gettarinfo(path, name))

    def _file(self, source: _Source, path: str, name: str) -> None:
        """Add one file as it was at one moment. Raises Refused when it keeps changing."""
        for attempt in range(self._facts.attempts):
            if attempt:
                time.sleep(_PAUSE)  # between bounded tries: whoever writes the file may finish
            with self._told(path), open(path, "rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                if self._since is not None and before.st_mtime < self._since:
                    return
                # What a hard link means is not asked: each name has its content.
                self._tar.inodes.clear()  # type: ignore[attr-defined]  # not in the stubs
                member = self._tar.gettarinfo(arcname=name, fileobj=file)
                member.size = before.st_size  # a file that grows may have grown since
                if before.st_size <= _WHOLE:
                    content = _exactly(file, before.st_size)
                    if self._same(before, file, path, len(content)):
                        self._tar.addfile(member, io.BytesIO(content))
                        source.files, source.bytes = source.files + 1, source.bytes + len(content)
                        return
                else:
                    padded = _Padded(file)
                    self._tar.addfile(member, t.cast(t.IO[bytes], padded))
                    if self._same(before, file, path, padded.size):
                        source.files, source.bytes = source.files + 1, source.bytes + padded.size
                        return
                    # What was written cannot be taken back; of two members of one name the later counts.
        times = self._facts.attempts
        raise self._refused(path, f"changed while it was read, {times} times; capture it quiesced, or when it rests")

    def _same(self, before: os.stat_result, file: t.Any, path: str, read: int) -> bool:
        """Whether what was read is one state of the file."""
        after, named = os.fstat(file.fileno()), os.stat(path)
        if read != before.st_size:
            return False
        if self._facts.growing:
            return after.st_size >= before.st_size
        kept = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")
        return all(getattr(before, each) == getattr(after, each) == getattr(named, each) for each in kept)

    def _refused(self, path: str, why: str) -> Refused:
        return Refused(f"{self._what}: {_shown(path)} {why}.", method="read", path=_shown(path), sent=False)

    def _told(self, path: str) -> _Told:
        return _Told(self, path)

    def unreadable(self, path: str, exc: OSError) -> Refused:
        return self._refused(path, f"cannot be read: {exc.strerror}")


class _Into:
    """The sink, as long as the archive is worth keeping: a tar that is given up would write its end all the same."""

    def __init__(self, sink: t.Any) -> None:
        self._sink = sink
        self.broken = False

    def write(self, data: bytes) -> int:
        return len(data) if self.broken else int(self._sink.write(data))


class _Told:
    """Tells what the system says of a file; one that went away is told apart."""

    def __init__(self, archive: _Archive, path: str) -> None:
        self._archive = archive
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _trace: object) -> None:
        if isinstance(exc, OSError) and not isinstance(exc, FileNotFoundError):
            raise self._archive.unreadable(self._path, exc) from exc


class _Padded:
    """A file to copy from that became shorter meanwhile: nothing but zeros then; ``size`` is what there really was."""

    def __init__(self, file: t.Any) -> None:
        self._file = file
        self.size = 0

    def read(self, size: int) -> bytes:
        data = t.cast(bytes, self._file.read(min(size, _PIECE)))
        self.size += len(data)
        while len(data) < size and (more := self._file.read(size - len(data))):
            self.size += len(more)
            data += more
        return data + bytes(size - len(data))


def _exactly(file: t.Any, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (piece := file.read(min(_PIECE, size - len(found)))):
        found += piece
    return bytes(found)


def _unused(path: str, sources: list[_Source]) -> str:
    """Return the last part of a path, with a number where another source has it."""
    wanted = os.path.basename(path.rstrip("/")) or "root"
    taken, name, number = {source.name for source in sources}, wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def _seconds(period: str) -> float:
    found = t.cast("re.Match[str]", _PERIOD.fullmatch(period))
    return float(found[1]) * _SECONDS[found[2]]


def _shown(path: str) -> str:
    """Return a path as a sentence can hold it."""
    return path if path.isprintable() else repr(path)
