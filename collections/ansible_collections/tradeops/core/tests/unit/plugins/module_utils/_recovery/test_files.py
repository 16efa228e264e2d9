# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import os
import pathlib
import tarfile
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Artefact, Component, Digest
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Refused
from ansible_collections.tradeops.core.plugins.module_utils._recovery import places
from ansible_collections.tradeops.core.plugins.module_utils._recovery.parts.files import Files

SET = "20261126T020000Z-daily-3fa9c1"


class Back:
    """As much of a restore as files need."""

    site = "here"
    set_id = SET

    def __init__(self, archive: pathlib.Path) -> None:
        self.archive = archive
        self.notes: list[str] = []

    def path(self, artefact: Artefact) -> pathlib.Path:
        return self.archive

    def note(self, text: str) -> None:
        self.notes.append(text)


class Ground:
    """A folder to restore, an archive, and restores of one into the other."""

    def __init__(self, place: pathlib.Path) -> None:
        self.root = place / "srv" / "models"
        self.archive = place / "files.tar"
        self.root.mkdir(parents=True)
        self.write("kept.txt", "not in the archive")
        self.write("sub/old.bin", "old")
        self.pack({"models/sub/old.bin": "of then", "models/name with\nnewline ü": "x", "models/new/deep": "y"})

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def pack(self, content: dict[str, str], *more: tarfile.TarInfo) -> None:
        with tarfile.open(self.archive, "w") as archive:
            for name, text in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
            for member in more:
                archive.addfile(member)

    def part(self, *, allowed: t.Sequence[str] | None = None) -> Files:
        digest = Digest(self.archive.stat().st_size, "")
        source = {"path": str(self.root), "name": "models", "kind": "folder"}
        component = Component(
            "models",
            "files",
            "",
            "",
            "",
            (Artefact("models/files.tar.zst.age", digest, digest),),
            {"sources": [source]},
        )
        paths = [str(self.root)] if allowed is None else allowed
        return Files(t.cast(t.Any, Back(self.archive)), component, {"paths": paths})

    def prepared(self) -> Files:
        part = self.part()
        part.look()
        assert part.inspect() == []
        part.sweep()
        part.prepare()
        return part

    def content(self, root: pathlib.Path | None = None) -> dict[str, str]:
        top = root or self.root
        return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}

    def beside(self) -> list[str]:
        return sorted(path.name for path in self.root.parent.iterdir() if path != self.root)


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


NOW = {"kept.txt": "not in the archive", "sub/old.bin": "old"}
THEN = {"kept.txt": "not in the archive", "sub/old.bin": "of then", "name with\nnewline ü": "x", "new/deep": "y"}


def test_files_are_exchanged_in_one_step_and_what_is_not_mentioned_stays(ground: Ground) -> None:
    part = ground.prepared()
    assert ground.content() == NOW
    part.switch()
    assert ground.content() == THEN
    assert ground.beside() == [f"models.before-{SET}"]
    assert ground.content(ground.root.with_name(f"models.before-{SET}")) == NOW
    (proved,) = part.prove()
    assert (proved.result, proved.after["files"]) == ("proven", 3)
    ground.write("sub/old.bin", "of then, and changed since")
    assert part.prove()[0].result == "unproven"


def test_a_folder_that_is_gone_is_made_again(ground: Ground) -> None:
    for path in (ground.root / "sub/old.bin", ground.root / "kept.txt"):
        path.unlink()
    (ground.root / "sub").rmdir()
    ground.root.rmdir()
    ground.prepared().switch()
    assert ground.content() == {name: text for name, text in THEN.items() if name != "kept.txt"}
    assert ground.beside() == []


def test_what_was_switched_can_be_taken_back(ground: Ground) -> None:
    part = ground.prepared()
    part.switch()
    part.undo()
    part.discard()
    assert (ground.content(), ground.beside()) == (NOW, [])


def test_a_second_restore_keeps_both_copies_of_before(ground: Ground) -> None:
    ground.prepared().switch()
    ground.prepared().switch()
    assert ground.beside() == [f"models.before-{SET}", f"models.before-{SET}_2"]
    assert ground.content(ground.root.with_name(f"models.before-{SET}")) == NOW


@pytest.mark.parametrize("name", ["../out", "/etc/out", "models/../../out", "other/file"])
def test_names_that_lead_out_are_refused(ground: Ground, name: str) -> None:
    ground.pack({name: "x"})
    assert len(ground.part().inspect()) == 1
    assert (ground.content(), ground.beside()) == (NOW, [])


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../../etc/passwd"),
        (tarfile.SYMTYPE, ".."),
        (tarfile.LNKTYPE, "models/kept.txt"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_that_lead_out_and_devices_are_refused(ground: Ground, kind: bytes, link: str) -> None:
    member = tarfile.TarInfo("models/thing")
    member.type, member.linkname = kind, link
    ground.pack({}, member)
    assert len(ground.part().inspect()) == 1


def test_a_link_that_stays_inside_comes_back_as_one(ground: Ground) -> None:
    member = tarfile.TarInfo("models/latest")
    member.type, member.linkname = tarfile.SYMTYPE, "sub/old.bin"
    ground.pack({"models/sub/old.bin": "of then"}, member)
    ground.prepared().switch()
    assert os.readlink(ground.root / "latest") == "sub/old.bin"
    assert (ground.root / "latest").read_text() == "of then"


def test_modes_and_times_come_back(ground: Ground) -> None:
    member = tarfile.TarInfo("models/run.sh")
    member.mode, member.mtime = 0o750, 1_700_000_000
    ground.pack({}, member)
    ground.prepared().switch()
    found = (ground.root / "run.sh").stat()
    assert (found.st_mode & 0o777, found.st_mtime) == (0o750, 1_700_000_000)


def test_an_archive_that_is_none_is_refused(ground: Ground) -> None:
    ground.archive.write_bytes(b"no archive at all" * 100)
    with pytest.raises(Exception, match="is no archive that can be read"):
        ground.part().inspect()


def test_a_manifest_does_not_say_where_something_is_written_to(ground: Ground) -> None:
    with pytest.raises(InputError, match="tradeops_backup_components has /somewhere for it"):
        ground.part(allowed=["/somewhere"])


def test_a_restore_that_is_killed_before_the_exchange_is_swept(ground: Ground) -> None:
    ground.prepared()
    assert ground.content() == NOW
    part = ground.prepared()
    assert "is removed" in t.cast(t.Any, part.back).notes[0]
    part.switch()
    assert (ground.content(), ground.beside()) == (THEN, [f"models.before-{SET}"])


def test_a_restore_that_is_killed_between_the_exchange_and_the_rename_loses_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_names: object) -> None:
        raise KeyboardInterrupt

    part = ground.prepared()
    with monkeypatch.context() as patched:
        patched.setattr("os.rename", killed)
        with pytest.raises(KeyboardInterrupt):
            part.switch()
    assert ground.content() == THEN
    part = ground.prepared()
    assert "what was there before is" in t.cast(t.Any, part.back).notes[0]
    part.switch()
    assert ground.content() == THEN
    copies = [ground.content(ground.root.with_name(name)) for name in ground.beside()]
    assert NOW in copies and len(copies) == 2


def test_a_file_system_that_says_no_is_told_with_the_path(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    part = ground.prepared()

    def full(*_names: object) -> None:
        raise OSError(28, "No space left on device", str(ground.root))

    monkeypatch.setattr(places, "exchange", full)
    with pytest.raises(Refused, match=r"models: .*No space left"):
        part.switch()
    part.discard()
    assert (ground.content(), ground.beside()) == (NOW, [])
