# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A dump of PostgreSQL as a stream: its contents, and loading it while it is read.

A dump that was piped does not say where in it the rows of a table are. It is read once, from its begin to its end, or
it is a file in which every job looks for its own. What comes after the rows (indexes, constraints, grants) is in its
table of contents, which lies before them.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import typing as t

from .._backup import programs
from .._common.errors import Damaged, Refused, TradeopsError

# What reading a dump into a file takes (fetching, decrypting, decompressing, writing), in parts of what one job takes
# to load it.
_READING = 0.3
_WORDS = {"LC_MESSAGES": "C"}
# ``123; 1259 16385 TABLE public orders tradeops`` of pg_restore --list
_ENTRY = re.compile(r"^(\d+); \d+ \d+ .* (\S+)$")
# Grants come last, as pg_restore has them: they may take from an owner what loading needs.
_ROWS = ("--section=pre-data", "--section=data", "--no-privileges")


def in_one_pass(rows: t.Mapping[str, int], *, jobs: int, processors: int | None) -> bool:
    """Whether it is faster to load a dump while it is read than to have ``jobs`` load it from a file afterwards.

    ``rows`` are those of each table: jobs share out whole tables, so that of the largest is never faster than by one.
    ``processors`` are those that the jobs have, None where nobody knows: one of them reads and decrypts.
    """
    total = sum(rows.values())
    alone = max(rows.values()) / total if total else 1.0
    at_once = jobs if processors is None else min(jobs, max(1, processors - 1))
    return _READING + max(alone, 1 / at_once) >= 1


def owners(contents: str) -> set[str]:
    """Return who owns something of a dump."""
    return {found[2] for line in contents.splitlines() if (found := _ENTRY.match(line))} - {"-"}


def left(contents: str, loaded: str) -> list[str]:
    """Return what of a table of contents is in no other one, as pg_restore takes a list, in the order of the first."""
    entries = {found[1] for line in loaded.splitlines() if (found := _ENTRY.match(line))}
    return [line for line in contents.splitlines() if (found := _ENTRY.match(line)) and found[1] not in entries]


class Dump:
    """``file`` is where the dump lies, or its first bytes once it was loaded while it was read; ``what`` names it."""

    def __init__(self, tool: str, file: pathlib.Path, what: str, clean: t.Callable[[str], str]) -> None:
        self.tool = tool
        self.file = file
        self.what = what
        self.clean = clean
        self._head = 0  # bytes from the begin in which the whole table of contents is

    def contents(self, *options: str) -> str:
        """List what ``file`` has. Raises Refused."""
        lines: list[bytes] = []
        self._run([*options, "--list", str(self.file)], _Lines(lines))
        return b"".join(lines).decode(errors="replace")

    def peek(self, pieces: t.Iterable[bytes]) -> str:
        """List what a dump has, which is read only as far as that takes. Raises Refused and what ``pieces`` raises."""
        lines: list[bytes] = []
        counted = self._counted(pieces)
        with _cause(counted):
            self._run(["--list"], _Lines(lines), source=counted)
        return b"".join(lines).decode(errors="replace")

    def load(self, *options: str, env: t.Mapping[str, str]) -> None:
        """Load what lies in ``file``. Raises Refused."""
        self._run([*options, str(self.file)], None, env=env)

    def load_while_read(self, pieces: t.Iterable[bytes], *options: str, jobs: int, env: t.Mapping[str, str]) -> None:
        """Load a dump while it is read, and read it to its end; what comes after the rows is made by ``jobs``.

        ``peek`` was there before. Raises Refused, what ``pieces`` raises, and Damaged where that is why it was refused.
        """
        # Jobs need a file, and none of them looks for rows in this one.
        kept = self._kept(pieces) if jobs > 1 else iter(pieces)
        with _cause(kept):
            self._run([*options, *(_ROWS if jobs > 1 else ())], None, env=env, source=kept)
        _drain(kept)
        rest = left(self.contents(), self.contents(*_ROWS)) if jobs > 1 else []
        if rest:
            wanted = self.file.with_name(f"{self.file.name}.rest")
            with _on_disk(wanted):
                wanted.write_text("\n".join(rest) + "\n", encoding="utf-8")
            self.load(*options, f"--jobs={jobs}", f"--use-list={wanted}", env=env)

    def _counted(self, pieces: t.Iterable[bytes]) -> t.Iterator[bytes]:
        self._head = 0
        for piece in pieces:
            self._head += len(piece)
            yield piece

    def _kept(self, pieces: t.Iterable[bytes]) -> t.Iterator[bytes]:
        """Give the pieces, and keep in ``file`` what has the table of contents."""
        size = 0
        with _on_disk(self.file), self.file.open("xb", buffering=0) as file:
            for piece in pieces:
                if size < self._head:
                    file.write(piece)
                    size += len(piece)
                yield piece

    def _run(
        self,
        options: t.Sequence[str],
        output: programs.Output | None,
        *,
        env: t.Mapping[str, str] | None = None,
        source: t.Iterable[bytes] | None = None,
    ) -> None:
        argv = [self.tool, *options]
        programs.run(argv, output, env=env or _WORDS, what=self.what, source=source, clean=self.clean)


class _Lines:
    """Keeps what a program writes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def write(self, data: bytes) -> int:
        self._pieces.append(data)
        return len(data)


@contextlib.contextmanager
def _on_disk(file: pathlib.Path) -> t.Iterator[None]:
    try:
        yield
    except OSError as exc:
        text = f"{file.name} cannot be put on disk in {file.parent}: {exc.strerror}"
        raise Refused(text, method="write", path=str(file), sent=False) from exc


@contextlib.contextmanager
def _cause(pieces: t.Iterator[bytes]) -> t.Iterator[None]:
    """Wrong bytes are refused by who reads them, too; only their end tells that they are wrong. Raises Damaged then."""
    try:
        yield
    except Refused as exc:
        try:
            _drain(pieces)
        except Damaged:
            raise
        except TradeopsError:  # what happened afterwards
            raise exc from None
        raise


def _drain(pieces: t.Iterator[bytes]) -> None:
    for _piece in pieces:
        pass
