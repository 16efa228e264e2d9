# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recovered goes to the disk while it comes, and what the disk did not take is told."""

from __future__ import annotations

import pathlib
import threading

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import recovery
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused, Unproven


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """One event for each turn that is to come, set when it has; the last turn finds that a write was lost."""
    due = [threading.Event(), threading.Event()]
    left = list(due)

    def sync(_folder: pathlib.Path) -> None:
        turn = left.pop(0)
        turn.set()
        if not left:
            raise Unproven("the data cannot be brought to its disk: Input/output error")

    monkeypatch.setattr(recovery, "synced", sync)
    monkeypatch.setattr(recovery, "_SYNCED", 0.001)
    return due


def during(folder: pathlib.Path, turns: list[threading.Event], ends: Refused | None = None) -> None:
    with recovery.synced_meanwhile(folder):
        assert all(turn.wait(10) for turn in turns)
        if ends:
            raise ends


def test_a_write_that_is_lost_is_told(tmp_path: pathlib.Path, turns: list[threading.Event]) -> None:
    with pytest.raises(Unproven, match="Input/output error"):
        during(tmp_path, turns)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sync ")]


def test_what_fails_by_itself_is_told_as_it_is(tmp_path: pathlib.Path, turns: list[threading.Event]) -> None:
    with pytest.raises(Refused, match="the bucket is gone"):
        during(tmp_path, turns, Refused("the bucket is gone", method="read", path="x", sent=True))


def test_a_folder_is_brought_to_its_disk(tmp_path: pathlib.Path) -> None:
    recovery.synced(tmp_path)
    with pytest.raises(FileNotFoundError):
        recovery.synced(tmp_path / "no")
