# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A path that is replaced by one made beside it, in one step: it is never gone, and what was there is kept."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pathlib
import shutil
import typing as t

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


class Place:
    """One path, the new one beside it, and a note which of the two is the new one: after a kill nobody could tell."""

    def __init__(self, path: pathlib.Path, set_id: str) -> None:
        self.path = path
        self.beside = path.with_name(f"{path.name}.restoring-{set_id}")
        self.before = _free(path.with_name(f"{path.name}.before-{set_id}"))

    @property
    def _note(self) -> pathlib.Path:
        return self.path.with_name(f".{self.beside.name}.json")

    def sweep(self) -> list[str]:
        """Remove what a killed restore was making; what it had exchanged already becomes a copy of before."""
        said = []
        for note in sorted(self.path.parent.glob(f".{_escaped(self.path.name)}.restoring-*.json")):
            beside = note.with_name(note.name.removeprefix(".").removesuffix(".json"))
            try:
                new = json.loads(note.read_text(encoding="utf-8")).get("inode")
            except ValueError:
                new = None
            if os.path.lexists(beside) and new is not None and os.lstat(beside).st_ino != new:
                kept = _free(self.path.with_name(beside.name.replace(".restoring-", ".before-")))
                os.rename(beside, kept)
                said.append(f"a restore that was killed had replaced {self.path}; what was there before is {kept}")
            elif os.path.lexists(beside):
                _remove(beside)
                said.append(f"what a restore that was killed had left is removed: {beside}")
            note.unlink()
        self.before = _free(self.before)
        return said

    def begin(self) -> None:
        """Note that something is made beside, and is not ready."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write_note(None)

    def ready(self) -> None:
        """Note which of the two is the new one."""
        self._write_note(os.lstat(self.beside).st_ino)

    def switch(self) -> None:
        if os.path.lexists(self.path):
            exchange(self.beside, self.path)
            os.rename(self.beside, self.before)
        else:
            os.rename(self.beside, self.path)
        sync(self.path.parent)
        self._note.unlink()

    def undo(self) -> None:
        if os.path.lexists(self.before):
            self._write_note(os.lstat(self.path).st_ino)
            exchange(self.before, self.path)
            os.rename(self.before, self.beside)
        else:
            os.rename(self.path, self.beside)
        sync(self.path.parent)

    def discard(self) -> None:
        if os.path.lexists(self.beside):
            _remove(self.beside)
        self._note.unlink(missing_ok=True)

    def _write_note(self, inode: int | None) -> None:
        put_note(self._note, {"inode": inode})


def put_note(path: pathlib.Path, note: dict[str, t.Any]) -> None:
    """Write a small note so that it is there whole or not at all, whatever happens."""
    scratch = path.with_suffix(".new")
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    sync(path.parent)


def sync(folder: pathlib.Path) -> None:
    """Let the names in a folder survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(one: pathlib.Path, other: pathlib.Path) -> None:
    """Exchange two names in one step, so that there is never a moment without the path."""
    done = _LIBC.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done:
        number = ctypes.get_errno()
        more = ": this file system cannot exchange two names" if number in (errno.EINVAL, errno.ENOSYS) else ""
        raise OSError(number, f"{os.strerror(number)}{more}", str(other))


def _free(path: pathlib.Path) -> pathlib.Path:
    """Return a name that is not there yet: a copy of before is never replaced by a later one."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}_{number}")
    return found


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _escaped(name: str) -> str:
    """Return a name for a pattern that means just it."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
