# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has stopped a server to exchange its folder, as a note beside the folder says it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused
from ansible_collections.tradeops.core.plugins.module_utils._recovery import guard
from ansible_collections.tradeops.core.plugins.module_utils._recovery.stopped import Note


def test_a_note_tells_who_and_whether_that_lives(tmp_path: pathlib.Path) -> None:
    note = Note(tmp_path / "data")
    assert note.read() is None
    note.write("op-1", "20261126T020000Z-daily-3fa9c1", 7)
    found = note.read()
    assert found and (found.operation, found.inode, found.pid, found.alive) == ("op-1", 7, os.getpid(), True)
    assert "the restore op-1 of 20261126T020000Z-daily-3fa9c1" in str(found)
    note.path.write_text(json.dumps({**dataclasses.asdict(found), "born": "another"}))
    left = note.read()
    assert left and not left.alive
    note.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"pid": 1}'])
def test_a_damaged_note_is_of_a_restore_that_nobody_knows_and_that_is_dead(tmp_path: pathlib.Path, text: str) -> None:
    note = Note(tmp_path / "data")
    note.path.write_text(text)
    found = note.read()
    assert found and not found.alive and "damaged" in str(found)


def test_who_was_without_a_database_gets_time_and_who_trades_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["unknown", "unknown", "halted", "unknown", "active"]

    def ask(verb: str, *_arguments: object) -> guard.Said:
        return {"trading": {"state": said.pop(0)}}

    monkeypatch.setattr(guard, "_ask", ask)
    given: dict[str, object] = {"urls": {}}
    assert guard.ensure_quiet_again("here", given, 5.0) == "halted"
    with pytest.raises(Refused, match="it is active"):
        guard.ensure_quiet_again("here", given, 5.0)
    said[:] = ["unknown"] * 50
    with pytest.raises(guard.Unknown, match="whether it trades is unknown"):
        guard.ensure_quiet_again("here", given, 0.2)
