# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files against their manifest: what is missing, changed, old or of another time is named."""

from __future__ import annotations

import hashlib
import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Outcome
from ansible_collections.tradeops.core.plugins.module_utils._files.manifest import SPEC, read, verify

NAMES = ("strategic.onnx", "tactical/v2.onnx", "risk model.onnx")


@pytest.fixture
def models(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "tactical").mkdir()
    lines = []
    for name in NAMES:
        (tmp_path / name).write_bytes(name.encode() * 100)
        lines.append(f"{hashlib.sha256(name.encode() * 100).hexdigest()}  {name}\n")
    (tmp_path / "SHA256SUMS").write_text("# made by the training\n\n" + "".join(lines), encoding="utf-8")
    return tmp_path


def found(folder: pathlib.Path, **options: t.Any) -> Outcome:
    return verify(SPEC.validate("gm", {"site": "gm", "dir": str(folder), **options}), time.time())


def results(outcome: Outcome) -> dict[str, str]:
    return {item.id: item.result for item in outcome.proof.objects}


def test_files_that_are_as_the_manifest_says(models: pathlib.Path) -> None:
    outcome = found(models, max_age_hours=1)
    assert (outcome.result, outcome.after, outcome.msg) == ("unchanged", {"files": 3, "whole": 3}, "")
    assert set(results(outcome)) == set(NAMES)
    assert outcome.proof.summary == "3 whole"


def test_what_is_wrong_is_named_file_by_file(models: pathlib.Path) -> None:
    (models / NAMES[0]).unlink()
    (models / NAMES[1]).write_bytes(b"another model")
    old = time.time() - 50 * 3600
    os.utime(models / NAMES[2], (old, old))
    outcome = found(models, max_age_hours=36)
    assert results(outcome) == {NAMES[0]: "not there", NAMES[1]: "not the same", NAMES[2]: "not fresh"}
    assert (outcome.result, outcome.failed) == ("unproven", True)
    assert "3 of 3 files" in outcome.msg
    assert "50.0 h old, at most 36 h" in outcome.msg


def test_without_a_limit_any_age_will_do(models: pathlib.Path) -> None:
    os.utime(models / NAMES[0], (1, 1))
    assert found(models).result == "unchanged"


def test_the_age_of_a_file_from_the_future_is_not_known(models: pathlib.Path) -> None:
    ahead = time.time() + 7200
    os.utime(models / NAMES[0], (ahead, ahead))
    assert results(found(models))[NAMES[0]] == "not known"


def test_a_manifest_that_cannot_be_read_says_where(models: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"gm: .*/OTHER cannot be read: No such file"):
        found(models, manifest="OTHER")
    (models / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="it is not text"):
        found(models)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc  model\n", r"m:1: 'abc  model' is no line of sha256sum"),
        ("# nothing\n", "names no file"),
        (f"{'0' * 64}  ../../etc/passwd\n", "leads out of the folder"),
        (f"{'0' * 64}  /etc/passwd\n", "leads out of the folder"),
    ],
)
def test_a_manifest_that_is_none(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(text, "m")


def test_binary_marks_are_understood() -> None:
    assert read(f"{'A' * 64} *model.bin\n", "m") == {"model.bin": "a" * 64}
