# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set for which a site is halted: begun before the halt, captured, ended after the resume."""

from __future__ import annotations

import pathlib
import typing as t

import pyrage
import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.verbs import backup
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground

Phase = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def phase(ground: Ground, tmp_path: pathlib.Path) -> Phase:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "limits.yml").write_text("max: 1\n", encoding="utf-8")

    def run(name: str, **options: t.Any) -> dict[str, t.Any]:
        given = {
            "components": [{"name": "config", "engine": "files", "paths": [str(tmp_path / "config")]}],
            "recipients": [str(pyrage.x25519.Identity.generate().to_public())],
            "operation": "op-1",
            **options,
        }
        return ground.run("backup", phase=name, **given)

    return run


def stored(ground: Ground) -> set[str]:
    folder = ground.path / "local" / "here"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_mark_is_there_as_long_as_somebody_has_to_resume_the_site(ground: Ground, phase: Phase) -> None:
    begun = phase("begin", halted_from="active")
    assert (begun["result"], begun["left_halted"]) == ("proven", []), begun
    set_id = begun["backup_id"]
    assert stored(ground) == {f"{set_id}/running.json"}
    made = phase("capture", id=set_id)
    assert (made["result"], made["backup_id"]) == ("proven", set_id), made
    whole = {f"{set_id}/manifest.json", f"{set_id}/config/files.tar.zst.age"}
    assert stored(ground) == {*whole, f"{set_id}/running.json"}
    assert phase("end", id=set_id)["result"] == "proven"
    assert stored(ground) == whole


def test_a_capture_that_fails_leaves_the_mark_and_its_end_leaves_nothing(ground: Ground, phase: Phase) -> None:
    set_id = phase("begin", halted_from="active")["backup_id"]
    failed = phase(
        "capture", id=set_id, components=[{"name": "config", "engine": "files", "paths": ["/nowhere/at/all"]}]
    )
    assert failed["failed"] and stored(ground) == {f"{set_id}/running.json"}, failed
    assert phase("end", id=set_id)["result"] == "proven"
    assert stored(ground) == set()


def test_a_mark_that_cannot_be_read_back_halts_nothing_and_goes(
    ground: Ground, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "read_running", lambda *_where: None)
    begun = phase("begin", halted_from="active")
    assert begun["result"] == "unproven" and "it should be there, and is: gone" in begun["msg"], begun
    assert stored(ground) == set()


def test_in_check_mode_nothing_is_marked(ground: Ground, phase: Phase) -> None:
    for store in ground.stores:
        store.root.mkdir()
    for name in ("begin", "capture", "end"):
        assert phase(name, check=True)["result"] == "planned"
    assert stored(ground) == set()


@pytest.mark.parametrize("name", ["capture", "end"])
@pytest.mark.parametrize("set_id", [None, "", "../other"])
def test_what_was_begun_has_to_be_named(phase: Phase, name: str, set_id: str | None) -> None:
    refused = phase(name, id=set_id)
    assert (refused["result"], refused["changed"]) == ("refused", False)
    assert f"in the phase {name} give the id that the phase begin has returned" in refused["msg"]
