# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab lies, who holds it, and which ports it gets."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest

from tradeops_lab import ports
from tradeops_lab.errors import LabError
from tradeops_lab.folder import Folder, read_json, write_private


def silent(text: str) -> None:
    """Take a line of progress."""


def test_the_folder_comes_from_dir_then_name_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.setenv("TRADEOPS_LAB_DIR", "/labs/env")
    assert Folder.choose("named", "/labs/dir").path == pathlib.Path("/labs/dir")
    assert Folder.choose("named").path == pathlib.Path(f"/scratch/tradeops-lab-{os.getuid()}/named")
    assert Folder.choose().path == pathlib.Path("/labs/env")
    monkeypatch.delenv("TRADEOPS_LAB_DIR")
    monkeypatch.delenv("TMPDIR")
    assert Folder.choose().path == pathlib.Path("/var", "tmp", f"tradeops-lab-{os.getuid()}", "lab")


def test_a_name_cannot_lead_elsewhere() -> None:
    with pytest.raises(LabError, match="--name"):
        Folder.choose("../etc")


def test_a_folder_with_other_things_is_neither_used_nor_removed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(LabError, match="is not a lab"):
        Folder(tmp_path).create()


def test_purge_leaves_what_is_not_of_the_lab(tmp_path: pathlib.Path) -> None:
    folder = Folder(tmp_path / "lab")
    folder.create()
    folder.furnish()
    (folder.path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(LabError, match=r"stays: notes\.txt"):
        folder.purge()
    assert [entry.name for entry in folder.path.iterdir()] == ["notes.txt"]


def test_a_link_in_place_of_the_folder_is_followed_once_and_checked(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Folder(tmp_path / "link").path == tmp_path / "real"


def test_a_path_that_is_too_long_for_sockets_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(LabError, match="too long for UNIX sockets"):
        Folder(tmp_path / ("x" * 80)).create()


def test_one_at_a_time(tmp_path: pathlib.Path) -> None:
    folder = Folder(tmp_path / "lab")
    told: list[str] = []
    with folder.locked(5, silent, create=True) as exists:
        assert exists
        with pytest.raises(LabError, match="still runs after 0 s"), folder.locked(0.2, told.append, create=True):
            pytest.fail("two hold the lab")
    assert told == ["waiting for another up or down of this lab"]
    with folder.locked(5, silent, create=False) as exists:
        assert exists


def test_the_lock_says_when_there_is_no_lab(tmp_path: pathlib.Path) -> None:
    with Folder(tmp_path / "lab").locked(5, silent, create=False) as exists:
        assert not exists
    assert not (tmp_path / "lab").exists()


def test_descriptions_are_private_and_damage_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "lab.json"
    assert read_json(file) is None
    write_private(file, "{")
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LabError, match="is damaged"):
        read_json(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["lab.json"]


def test_a_claimed_block_is_taken_and_another_is_given() -> None:
    with ports.claim() as first:
        base = first.getsockname()[1]
        assert base % ports.BLOCK == 0
        assert not ports.is_free(base)
        assert ports.claim_again(base) is None
        with ports.claim(base) as second:
            assert second.getsockname()[1] != base
    with ports.claim(base) as again:
        assert again.getsockname()[1] == base


def test_a_block_with_a_stranger_in_it_is_passed_over() -> None:
    with ports.claim() as free:
        base = free.getsockname()[1]
    with socket.create_server((ports.HOST, base + 7)), ports.claim(base) as other:
        assert other.getsockname()[1] != base
