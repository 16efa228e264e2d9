# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and ending processes, whatever has become of them."""

from __future__ import annotations

import asyncio
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from tradeops_lab import processes
from tradeops_lab.errors import LabError
from tradeops_lab.folder import Folder
from tradeops_lab.waiting import NotYet, wait_for

STUBBORN = 'trap "" TERM; while :; do sleep 60; done'


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Folder:
    made = Folder(tmp_path / "lab")
    made.create()
    made.furnish()
    return made


def start(folder: Folder, part: str, *argv: str) -> subprocess.Popen[bytes]:
    command = processes.Command(list(argv), folder.run, processes.plain_environment())
    return processes.start(command, folder.logs / f"{part}.log")


def stop(folder: Folder, part: str, budget: float) -> list[str]:
    return asyncio.run(processes.stop(folder, {part: signal.SIGTERM}, {part: budget}))


def test_a_process_is_found_by_its_log_and_ended(folder: Folder) -> None:
    process = start(folder, "redis", "sleep", "60")
    assert {part: [one.pid for one in found] for part, found in processes.find(folder).items()} == {
        "redis": [process.pid]
    }
    assert stop(folder, "redis", 30) == ["redis"]
    assert process.wait() == -signal.SIGTERM
    assert processes.find(folder) == {}
    assert stop(folder, "redis", 30) == []


def test_what_ignores_the_signal_is_killed_with_its_children(folder: Folder) -> None:
    process = start(folder, "s3", "sh", "-c", STUBBORN)

    async def with_child() -> list[processes.Process]:
        found = processes.find(folder).get("s3", [])
        if len(found) < 2:
            raise NotYet(f"{len(found)} processes")
        return found

    found = asyncio.run(wait_for(with_child, 30, "a child"))
    assert [one.pid for one in found if one.leads] == [process.pid] == [processes.leader(found)]
    began = time.monotonic()
    assert stop(folder, "s3", 0.3) == ["s3"]
    assert 0.3 <= time.monotonic() - began < 20
    assert process.wait() == -signal.SIGKILL
    assert processes.find(folder) == {}


def test_children_of_a_dead_leader_are_found(folder: Folder) -> None:
    leader = start(folder, "postgresql", "sh", "-c", "sleep 60 & exec sleep 61")
    while len(processes.find(folder).get("postgresql", [])) < 2:
        assert leader.poll() is None
    leader.kill()
    leader.wait()
    (orphan,) = processes.find(folder)["postgresql"]
    assert orphan.leads
    assert stop(folder, "postgresql", 30) == ["postgresql"]
    assert processes.find(folder) == {}


def test_processes_are_found_after_the_folder_was_removed(folder: Folder) -> None:
    process = start(folder, "redis", "sleep", "60")
    shutil.rmtree(folder.path)
    assert stop(folder, "redis", 30) == ["redis"]
    process.wait()


def test_a_stranger_with_the_same_id_gets_no_signal(folder: Folder) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        processes._send(folder, processes.Process(stranger.pid, "redis", leads=True), signal.SIGKILL)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_servers_do_not_get_our_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-pass-on")
    monkeypatch.setenv("PGPASSWORD", "do-not-pass-on")
    assert "do-not-pass-on" not in processes.plain_environment().values()
    assert processes.plain_environment()["PATH"] == os.environ["PATH"]


def test_a_wait_in_vain_says_what_was_seen() -> None:
    async def never() -> None:
        raise NotYet("port 5 is closed")

    with pytest.raises(LabError, match=r"redis: not within 0 s; last seen: port 5 is closed"):
        asyncio.run(wait_for(never, 0.2, "redis"))


def test_a_wait_cuts_off_a_look_that_hangs() -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(LabError, match="no answer"):
        asyncio.run(wait_for(hang, 0.2, "redis"))
    assert time.monotonic() - began < 20
