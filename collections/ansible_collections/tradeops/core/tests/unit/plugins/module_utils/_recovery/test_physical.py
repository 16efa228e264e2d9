# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that are fewer after a recovery, deleted since or lost; and servers that a killed recovery had not stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import typing as t
from unittest import mock

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.physical import Server
from ansible_collections.tradeops.core.plugins.module_utils._backup.run import Run
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Unproven
from ansible_collections.tradeops.core.plugins.module_utils._common.gate import Gate
from ansible_collections.tradeops.core.plugins.module_utils._common.redact import Redactor
from ansible_collections.tradeops.core.plugins.module_utils._recovery.parts import physical
from ansible_collections.tradeops.core.plugins.module_utils._recovery.service import Service
from ansible_collections.tradeops.core.plugins.module_utils._recovery.stopped import Note


class Session:
    """Tells of deletions as a server does: some time after they happened."""

    def __init__(self, *told: dict[str, int]) -> None:
        self._told = list(told)

    def execute(self, _query: str) -> t.Any:
        return self

    def fetchall(self) -> list[dict[str, t.Any]]:
        now = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        return [{"name": name, "deleted": number} for name, number in now.items()]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physical, "_TOLD", 0.3)


def test_deleted_since_is_not_lost() -> None:
    session = Session({"public.orders": 0}, {"public.orders": 1})
    assert physical._unexplained(session, {"public.orders": (41, 40)}) == {}


def test_fewer_deletions_than_rows_that_are_missing() -> None:
    assert physical._unexplained(Session({"public.orders": 1}), {"public.orders": (41, 39)}) == {
        "public.orders": (41, 39)
    }


def test_a_table_that_is_gone_is_lost() -> None:
    lacks: dict[str, tuple[int, int | None]] = {"public.orders": (41, None), "public.empty": (0, None)}
    assert physical._unexplained(Session({}), lacks) == lacks


def test_a_server_that_was_stopped_before_a_killed_recovery_came_stays_stopped(tmp_path: pathlib.Path) -> None:
    """What runs the server fails when it is asked for anything."""
    data, control = tmp_path / "data", tmp_path / "supervisorctl"
    data.mkdir()
    control.write_text("#!/bin/sh\necho nobody asked >&2\nexit 1\n")
    control.chmod(0o755)
    server = {"data": str(data), "runtime": "supervisor", "service": "site:postgresql", "barman": {"server": "main"}}
    given = {"postgresql_server": {**server, "supervisor": {"supervisorctl": str(control)}}}
    note = Note(data)
    note.write("op-1", "20261126T020000Z-daily-3fa9c1", data.stat().st_ino + 1, ran=False)
    found = note.read()
    assert found and not found.ran
    note.path.write_text(json.dumps({**dataclasses.asdict(found), "born": "another"}))
    for check_mode in (True, False):
        run = Run("site", Gate(check_mode=check_mode), [], Redactor([]), print)
        assert not physical.bring_back(run, given, "barman")
        assert "had been stopped before the restore op-1 of" in run.gate.notes[0]
        assert (note.read() is not None) == check_mode


@pytest.mark.parametrize("gone", [True, False])
def test_a_stop_that_is_on_its_way_is_waited_for(tmp_path: pathlib.Path, gone: bool) -> None:
    """A killed recovery may have told the supervisor to stop the server, which still answers."""
    data, control = tmp_path / "data", tmp_path / "supervisorctl"
    data.mkdir()
    control.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/asked ] && {{ [ -e {tmp_path}/gone ] && rm -f {data}/postmaster.pid; "
        f'echo "$4 RUNNING"; exit 0; }}\ntouch {tmp_path}/asked\necho "$4 STOPPING"\nexit 3\n'
    )
    control.chmod(0o755)
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    if gone:
        (tmp_path / "gone").touch()
    server = {"data": str(data), "runtime": "supervisor", "service": "site:postgresql", "barman": {"server": "main"}}
    given = {"postgresql_server": {**server, "supervisor": {"supervisorctl": str(control)}}}
    there = Service("site", Server.of("site", given, "barman")).settled((data / "postmaster.pid").exists)
    assert there is not gone


def test_what_is_in_the_way_of_the_next_base_backup_is_told_and_keeps_nobody_from_restoring() -> None:
    asked = mock.Mock()
    asked.in_the_way.side_effect = ["", "pgBackRest would remove by repo1-retention-full=2", Unproven("no report")]
    free, ruled, silent = (physical.due(asked) for _time in range(3))
    assert len(free) == 1 and "a new base backup is due" in free[0]
    assert ruled[1:] == ["it will be refused: pgBackRest would remove by repo1-retention-full=2"]
    assert silent[1:] == ["whether it can be taken is not known: no report"]
