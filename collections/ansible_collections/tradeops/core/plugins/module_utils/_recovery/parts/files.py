# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Files from their archive: unpacked beside, made whole with what is there and not in it, then exchanged in one step.

Nothing that an archive does not mention is destroyed, and nothing in it may lead out of the folders that it is for.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import shutil
import tarfile
import typing as t

from ..._backup.engines.files import ARCHIVE
from ..._backup.manifest import Artefact, Component
from ..._common.errors import Damaged, InputError, Refused, TradeopsError
from ..._common.outcome import Object
from ..back import Back, room_of
from ..plan import Target

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)
_SHOWN = 5


class Files:
    """One component of the engine ``files``."""

    def __init__(self, back: Back, component: Component, options: t.Mapping[str, t.Any]) -> None:
        self.back = back
        self.component = component
        self._places: dict[str, _Place] = {}
        self._members: dict[str, list[tarfile.TarInfo]] = {}
        allowed = [str(path) for path in options.get("paths", [])]
        for source in component.facts.get("sources", []):
            # A manifest does not say where something is written to: the inventory does.
            if source["path"] not in allowed:
                raise InputError(
                    f"{back.site}: {component.name} of {back.set_id} is of {source['path']}, and "
                    f"tradeops_backup_components has {', '.join(allowed) or 'no paths'} for it. Nothing was touched."
                )
            self._places[source["name"]] = _Place(pathlib.Path(source["path"]), back.set_id)
            self._members[source["name"]] = []

    # -- look ----------------------------------------------------------------------------------------------------

    def look(self) -> Target:
        problems = []
        places = list(self._places.values())
        for path in (place.path for place in places):
            above = _existing(path.parent)
            if os.path.ismount(path):
                problems.append(f"{path} is where a disk is mounted, and cannot be renamed; name the folders in it")
            elif not os.access(above, os.W_OK | os.X_OK):
                problems.append(f"{above} cannot be written to by the user that restores")
        there = [place for place in places if os.path.lexists(place.path)]
        return Target(
            name=", ".join(str(place.path) for place in places),
            exists=bool(there),
            shown={
                "paths": [str(place.path) for place in there],
                "files": sum(_count(place.path) for place in there),
            },
            room=room_of(_existing(places[0].path.parent)) if places else None,
            needs=sum(item.plain.size for item in self.wanted()),
            way="unpacked beside, completed with what is there, then exchanged by one rename each",
            safety=", ".join(str(place.before) for place in there),
            problems=tuple(problems),
        )

    def wanted(self) -> list[Artefact]:
        found = [item for item in self.component.artefacts if item.name.startswith(f"{self.component.name}/{ARCHIVE}")]
        if not found:
            raise Damaged(f"{self.component.name} of {self.back.set_id} has no {ARCHIVE}. Nothing was touched.")
        return found

    def inspect(self) -> list[str]:
        """Every member belongs to one of the sources, and is a file, a folder or a link that stays there."""
        problems: list[str] = []
        with self._opened() as archive:
            for member in archive:
                top = member.name.partition("/")[0]
                why = self._refusal(member, top)
                if why:
                    problems.append(f"{member.name!r} {why}")
                else:
                    self._members[top].append(member)
        return problems[:_SHOWN] + (["and more"] if len(problems) > _SHOWN else [])

    def _refusal(self, member: tarfile.TarInfo, top: str) -> str:
        if member.name.startswith("/") or ".." in pathlib.PurePosixPath(member.name).parts:
            return "leads out of where it belongs"
        if top not in self._places:
            return "belongs to none of the sources in the manifest"
        if not (member.isreg() or member.isdir() or member.issym()):
            return "is a device, a pipe or a hard link"
        if member.issym():
            aim = os.path.normpath(pathlib.PurePosixPath(member.name).parent / member.linkname)
            if member.linkname.startswith("/") or pathlib.PurePosixPath(aim).parts[:1] != (top,):
                return f"is a link out of {self._places[top].path}"
        return ""

    # -- beside --------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        for place in self._places.values():
            with self._told(place):
                for note in place.sweep():
                    self.back.note(note)

    def prepare(self) -> None:
        with self._opened() as archive:
            for name, place in self._places.items():
                with self._told(place):
                    place.unpack(archive, name, self._members[name])
                    place.complete()

    # -- in place ------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        done: list[_Place] = []
        try:
            for place in self._places.values():
                with self._told(place):
                    place.switch()
                    done.append(place)
        except TradeopsError:
            for place in reversed(done):
                place.undo()
            raise

    def undo(self) -> None:
        for place in reversed(self._places.values()):
            with self._told(place):
                place.undo()

    def prove(self) -> list[Object]:
        """Compare every file at its place with the archive, byte for byte."""
        wrong: list[str] = []
        count = 0
        with self._opened() as archive:
            for name, place in self._places.items():
                # Of two members of one name the later counts.
                members = {member.name: member for member in self._members[name]}
                for member in (member for member in members.values() if member.isreg()):
                    count += 1
                    path = place.path / member.name[len(name) :].strip("/")
                    if not _same(path, t.cast("t.IO[bytes]", archive.extractfile(member))):
                        wrong.append(str(path))
        why = f"{len(wrong)} files are not as in the archive: {', '.join(wrong[:_SHOWN])}" if wrong else ""
        kept = [str(place.before) for place in self._places.values() if os.path.lexists(place.before)]
        after = {"files": count, "kept": kept}
        return [Object(self.component.name, "files", None, after, "unproven" if wrong else "proven", why)]

    def discard(self) -> None:
        for place in self._places.values():
            with self._told(place):
                place.discard()

    # -- small things --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self) -> t.Iterator[tarfile.TarFile]:
        artefact = self.wanted()[0]
        try:
            with tarfile.open(self.back.path(artefact)) as archive:
                yield archive
        except tarfile.TarError as exc:
            raise Damaged(f"{artefact.name} is no archive that can be read: {exc}. Nothing was touched.") from exc

    @contextlib.contextmanager
    def _told(self, place: _Place) -> t.Iterator[None]:
        try:
            yield
        except (OSError, shutil.Error) as exc:
            text = f"{self.component.name}: {place.path}: {exc}"
            raise Refused(text, method="rename", path=str(place.path), sent=False) from exc


class _Place:
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

    def unpack(self, archive: tarfile.TarFile, top: str, members: list[tarfile.TarInfo]) -> None:
        """Unpack members so that ``top`` becomes ``beside``; Python's filter refuses what leads out, once more."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write_note(None)
        for member in members:
            rest = member.name[len(top) :].strip("/")
            target = member.replace(name=f"{self.beside.name}/{rest}".rstrip("/"), deep=False)
            archive.extract(target, self.path.parent, filter=_kept, numeric_owner=True)

    def complete(self) -> None:
        """Link into the new folder what is there and not in the archive."""
        if not os.path.lexists(self.beside):
            self.beside.mkdir()  # a source of which nothing was young enough
        if self.path.is_dir() and not self.path.is_symlink() and self.beside.is_dir():
            _complete(self.path, self.beside)
        self._write_note(os.lstat(self.beside).st_ino)

    def switch(self) -> None:
        if os.path.lexists(self.path):
            _exchange(self.beside, self.path)
            os.rename(self.beside, self.before)
        else:
            os.rename(self.beside, self.path)
        self._sync()
        self._note.unlink()

    def undo(self) -> None:
        if os.path.lexists(self.before):
            self._write_note(os.lstat(self.path).st_ino)
            _exchange(self.before, self.path)
            os.rename(self.before, self.beside)
        else:
            os.rename(self.path, self.beside)
        self._sync()

    def discard(self) -> None:
        if os.path.lexists(self.beside):
            _remove(self.beside)
        self._note.unlink(missing_ok=True)

    def _write_note(self, inode: int | None) -> None:
        scratch = self._note.with_suffix(".new")
        scratch.write_text(json.dumps({"inode": inode}), encoding="utf-8")
        os.replace(scratch, self._note)
        self._sync()

    def _sync(self) -> None:
        handle = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _kept(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Refuse what Python's own filter refuses, and keep owners and modes, which it drops."""
    tarfile.data_filter(member, path)
    return member


def _complete(old: pathlib.Path, new: pathlib.Path) -> None:
    for entry in os.scandir(old):
        target = new / entry.name
        if entry.is_dir(follow_symlinks=False):
            if not os.path.lexists(target):
                target.mkdir()
                shutil.copystat(entry.path, target)
                _own(entry, target)
            if target.is_dir() and not target.is_symlink():
                _complete(pathlib.Path(entry.path), target)
        elif not os.path.lexists(target):
            os.link(entry.path, target, follow_symlinks=False)


def _own(entry: os.DirEntry[str], target: pathlib.Path) -> None:
    found = entry.stat(follow_symlinks=False)
    if os.geteuid() == 0:
        os.chown(target, found.st_uid, found.st_gid)


def _exchange(one: pathlib.Path, other: pathlib.Path) -> None:
    """Exchange two names in one step, so that there is never a moment without the path."""
    done = _LIBC.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done:
        number = ctypes.get_errno()
        more = ": this file system cannot exchange two names" if number in (errno.EINVAL, errno.ENOSYS) else ""
        raise OSError(number, f"{os.strerror(number)}{more}", str(other))


def _same(path: pathlib.Path, data: t.IO[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            while True:
                mine, other = file.read(1 << 20), data.read(1 << 20)
                if mine != other:
                    return False
                if not mine:
                    return True
    except OSError:
        return False


def _free(path: pathlib.Path) -> pathlib.Path:
    """Return a name that is not there yet: a copy of before is never replaced by a later one."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}_{number}")
    return found


def _existing(path: pathlib.Path) -> pathlib.Path:
    while not path.is_dir():
        path = path.parent
    return path


def _count(path: pathlib.Path) -> int:
    return sum(len(files) for _folder, _folders, files in os.walk(path)) if path.is_dir() else 1


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _escaped(name: str) -> str:
    """Return a name for a pattern that means just it."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
