# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Files from their archive: unpacked beside, made whole with what is there and not in it, then exchanged in one step.

Nothing that an archive does not mention is destroyed, and nothing in it may lead out of the folders that it is for.
"""

from __future__ import annotations

import contextlib
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
from ..places import Place
from ..plan import Target

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

    def streamed(self) -> list[Artefact]:
        return []

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


class _Place(Place):
    """One source of an archive."""

    def unpack(self, archive: tarfile.TarFile, top: str, members: list[tarfile.TarInfo]) -> None:
        """Unpack members so that ``top`` becomes ``beside``; Python's filter refuses what leads out, once more."""
        self.begin()
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
        self.ready()


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


def _existing(path: pathlib.Path) -> pathlib.Path:
    while not path.is_dir():
        path = path.parent
    return path


def _count(path: pathlib.Path) -> int:
    return sum(len(files) for _folder, _folders, files in os.walk(path)) if path.is_dir() else 1
