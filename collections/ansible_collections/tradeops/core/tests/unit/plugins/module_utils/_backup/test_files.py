# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in an archive: under every name, as they were at one moment, or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import tarfile
import threading
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import files
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.files import Files
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Refused


class Kept:
    """A capture that keeps its artefact."""

    site = "site"
    given: t.ClassVar[dict[str, t.Any]] = {}

    def __init__(self) -> None:
        self.data = io.BytesIO()
        self.notes: list[str] = []

    @contextlib.contextmanager
    def artefact(self, name: str, *, compress: bool = True) -> t.Iterator[t.Any]:
        assert name == "files.tar" and compress
        yield self.data

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, text: str) -> None: ...

    def unpacked(self, into: pathlib.Path) -> pathlib.Path:
        self.data.seek(0)
        with tarfile.open(fileobj=self.data, mode="r|") as archive:
            archive.extractall(into, filter="tar")
        return into


def capture(*paths: pathlib.Path, **options: t.Any) -> tuple[Component, Kept]:
    kept, engine = Kept(), Files()
    given = {"paths": [str(path) for path in paths], **options}
    engine.check("site", given, {})
    return engine.capture("models", given, kept), kept  # type: ignore[arg-type]


def test_names_links_modes_and_times_come_back(tmp_path: pathlib.Path) -> None:
    models = tmp_path / "models"
    (models / "deep er/empty").mkdir(parents=True)
    names = ["a b", "new\nline", "ü€.bin", "-rf", "deep er/x", os.fsdecode(b"not-\xff-utf8")]
    for name in names:
        (models / name).write_bytes(name.encode(errors="surrogateescape"))
    (models / "a b").chmod(0o640)
    os.utime(models / "a b", (1e9, 1e9 + 0.25))
    (models / "latest").symlink_to("a b")
    (models / "outside").symlink_to("/etc/passwd")
    os.link(models / "a b", models / "second name")
    component, kept = capture(models)
    there = kept.unpacked(tmp_path / "there") / "models"
    for name in names:
        assert (there / name).read_bytes() == name.encode(errors="surrogateescape")
    assert (there / "second name").read_bytes() == b"a b"
    assert (there / "a b").stat().st_mode & 0o777 == 0o640
    assert (there / "a b").stat().st_mtime == 1e9 + 0.25
    assert os.readlink(there / "latest") == "a b" and os.readlink(there / "outside") == "/etc/passwd"
    assert (there / "deep er/empty").is_dir()
    assert component.facts["files"] == len(names) + 1
    (source,) = component.facts["sources"]
    assert (source["path"], source["name"], source["kind"]) == (str(models), "models", "folder")


def test_several_sources_keep_apart(tmp_path: pathlib.Path) -> None:
    for folder in ("one/config", "two/config"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a").write_text(folder)
    (tmp_path / "agent.ini").write_text("file")
    component, kept = capture(tmp_path / "one/config", tmp_path / "two/config", tmp_path / "agent.ini")
    there = kept.unpacked(tmp_path / "there")
    assert [(there / name / "a").read_text() for name in ("config", "config-2")] == ["one/config", "two/config"]
    assert (there / "agent.ini").read_text() == "file"
    assert [source["kind"] for source in component.facts["sources"]] == ["folder", "folder", "file"]


def test_only_what_is_of_the_period_is_taken(tmp_path: pathlib.Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, hours in (("today.log", 1), ("yesterday.log", 23), ("old.log", 25)):
        (logs / name).write_text(name)
        os.utime(logs / name, (time.time() - hours * 3600,) * 2)
    component, kept = capture(logs, newer_than="24h")
    assert sorted(path.name for path in kept.unpacked(tmp_path / "there").rglob("*.log")) == [
        "today.log",
        "yesterday.log",
    ]
    assert component.facts["since"] and component.facts["newer_than"] == "24h"


def test_what_is_excluded_and_what_is_no_file_is_left_out(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "s"
    (source / ".git").mkdir(parents=True)
    for name in (".git/x", "a.tmp", "b"):
        (source / name).write_text(name)
    os.mkfifo(source / "pipe")
    component, kept = capture(source, exclude=["*.tmp", ".git"])
    assert [path.name for path in (kept.unpacked(tmp_path / "there") / "s").iterdir()] == ["b"]
    assert component.facts["files"] == 1
    assert kept.notes == [f"{source}/pipe is no file and is left out"]


class Busy:
    """Somebody who adds to a file for as long as the block lasts."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.over = path, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.over.is_set():
            with self.path.open("ab") as file:
                file.write(b"line\n")

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("size", [3 << 20, 20 << 20])
def test_a_file_that_keeps_changing_fails_the_capture(
    tmp_path: pathlib.Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(size))
    same = files._Archive._same

    def changes(archive: t.Any, *facts: t.Any) -> bool:
        with path.open("r+b") as file:
            file.write(os.urandom(8))
        return bool(same(archive, *facts))

    monkeypatch.setattr(files._Archive, "_same", changes)
    monkeypatch.setattr(files, "_PAUSE", 0.01)
    with pytest.raises(Refused, match=r"model.bin changed while it was read, 2 times"):
        capture(path, attempts=2)


def test_a_file_that_changes_once_is_read_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old" * (6 << 20))
    new = b"new" * (6 << 20)
    same = files._Archive._same
    seen: list[t.Any] = []

    def changes(archive: t.Any, *facts: t.Any) -> bool:
        if not seen:
            path.write_bytes(new)
        seen.append(facts)
        return bool(same(archive, *facts))

    monkeypatch.setattr(files._Archive, "_same", changes)
    monkeypatch.setattr(files, "_PAUSE", 0.05)
    component, kept = capture(path)
    assert len(seen) == 2 and component.facts["files"] == 1
    assert (kept.unpacked(tmp_path / "there") / "model.bin").read_bytes() == new, "of two members the later counts"


def test_a_log_that_grows_is_taken_as_it_was(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"line\n" * 2_000_000)
    with Busy(path):
        component, kept = capture(path, growing=True)
    taken = (kept.unpacked(tmp_path / "there") / "app.log").read_bytes()
    assert component.facts["bytes"] == len(taken) >= 10_000_000
    assert taken == (b"line\n" * (len(taken) // 5 + 1))[: len(taken)]


def test_a_log_that_grows_before_its_header_is_made(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"line\n" * 10)
    real = tarfile.TarFile.gettarinfo

    def grown(archive: tarfile.TarFile, *given: t.Any, **named: t.Any) -> tarfile.TarInfo:
        with path.open("ab") as file:
            file.write(b"line\n")
        return real(archive, *given, **named)

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", grown)
    component, kept = capture(path, growing=True)
    assert component.facts["bytes"] == 50
    assert (kept.unpacked(tmp_path / "there") / "app.log").read_bytes() == b"line\n" * 10


def test_what_cannot_be_used_is_one_sentence(tmp_path: pathlib.Path) -> None:
    for options, said in (
        ({"paths": []}, "paths: name at least one"),
        ({"paths": ["models"]}, "depends on where it is run"),
        ({"paths": [str(tmp_path / "no")]}, "there is no .*/no, which tradeops_backup_components names"),
        ({"paths": [str(tmp_path)], "newer_than": "a day"}, "'a day' is no period"),
        ({"paths": [str(tmp_path)], "attempts": 0}, "give 1 to 10"),
        ({"paths": [str(tmp_path)], "newer": "24h"}, "unknown key"),
    ):
        with pytest.raises(InputError, match=said):
            Files().check("site", options, {})
    component, kept = capture(tmp_path / "no", optional=True)
    assert component.facts["files"] == 0 and kept.notes == [f"models: there is no {tmp_path}/no"]


def test_a_file_that_goes_away_is_not_passed_over(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a").write_text("a")
    real = files._Archive._file

    def gone(archive: t.Any, source: t.Any, path: str, name: str) -> None:
        os.unlink(path)
        real(archive, source, path, name)

    monkeypatch.setattr(files._Archive, "_file", gone)
    with pytest.raises(Refused, match="s/a went away while the files were read"):
        capture(tmp_path / "s")
    (tmp_path / "s/a").write_text("a")
    component, kept = capture(tmp_path / "s", growing=True)
    assert component.facts["files"] == 0 and kept.notes[0].endswith("s/a went away while the files were read")
