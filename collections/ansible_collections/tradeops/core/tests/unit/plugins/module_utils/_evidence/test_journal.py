# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal is one valid chain whatever happens, and never stops the one who writes it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import stat
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._evidence import journal as journals
from ansible_collections.tradeops.core.plugins.module_utils._evidence.chain import verify
from ansible_collections.tradeops.core.plugins.module_utils._evidence.journal import Journal

_COLLECTIONS = pathlib.Path(journals.__file__).parents[6]
_WRITER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.tradeops.core.plugins.module_utils._evidence.journal import Journal
journal = Journal(pathlib.Path(sys.argv[2]), "op")
journal.append("operation_start")
for number in range(int(sys.argv[3])):
    journal.append("task_result", number=number, text="x" * (number % 900))
sys.exit(not journal.close())
"""


def kinds(path: pathlib.Path) -> list[str]:
    return [json.loads(line)["kind"] for line in path.read_bytes().splitlines()]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_RETRY_AFTER", 0.0)
    monkeypatch.setattr(journals, "_LOCK_BUDGET", 0.05)


def test_only_the_owner_can_read_it(tmp_path: pathlib.Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal", "op")
    assert journal.append("operation_start")
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700


def test_a_link_in_its_place_is_not_followed(tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "op.jsonl").symlink_to(victim)
    journal = Journal(tmp_path, "op")
    assert not journal.append("operation_start")
    assert victim.read_text() == "mine"


def test_a_second_process_continues_the_chain(tmp_path: pathlib.Path) -> None:
    for _process in range(3):
        journal = Journal(tmp_path, "op")
        assert journal.append("operation_start")
        assert journal.append("operation_end", durable=True)
        assert journal.close()
    assert verify(journal.path).records == 6


def test_long_records_are_continued(tmp_path: pathlib.Path) -> None:
    first = Journal(tmp_path, "op")
    first.append("operation_start", text="x" * 300_000)
    first.close()
    second = Journal(tmp_path, "op")
    second.append("task_result", text="y" * 70_000)
    assert verify(second.path).records == 2


def test_two_that_write_by_turns_share_one_chain(tmp_path: pathlib.Path) -> None:
    one, two = Journal(tmp_path, "op"), Journal(tmp_path, "op")
    one.append("operation_start")
    for _turn in range(5):
        one.append("task_result")
        two.append("task_result")
    assert verify(one.path).records == 11


def test_processes_at_once_share_one_chain(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(_COLLECTIONS), str(tmp_path), "300"]
    writers = [subprocess.Popen(command) for _number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    found = verify(tmp_path / "op.jsonl")
    assert (found.valid, found.records) == (True, 4 * 301)


def test_a_torn_record_is_cut_off_and_told(small: t.Any) -> None:
    small.journal.close()
    whole = small.path.read_bytes()
    small.path.write_bytes(whole[:-40])
    small.next_run()
    small.start(["a"])
    found = verify(small.path)
    assert (found.valid, found.records) == (True, 8)
    recovery = json.loads(small.path.read_bytes().splitlines()[5])
    assert (recovery["kind"], recovery["lost"]) == ("recovery", True)
    assert recovery["torn"].startswith('{"at":')


def test_what_cannot_be_written_is_kept_and_written_later(
    small: t.Any, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, size = os.write, small.path.stat().st_size
    monkeypatch.setattr(os, "write", _Full(real))
    for _record in range(3):
        assert not small.journal.append("task_result")
    assert (small.journal.pending, "No space left" in small.journal.problem) == (3, True)
    assert small.path.stat().st_size == size, "nothing of a record that does not fit is left behind"

    monkeypatch.setattr(os, "write", real)
    assert small.journal.append("operation_end")
    assert (small.journal.pending, small.journal.problem) == (0, "")
    assert verify(small.path).records == 6 + 5
    recovery = json.loads(small.path.read_bytes().splitlines()[6])
    assert (recovery["kind"], recovery["lost"]) == ("recovery", False)
    assert "written late" in recovery["why"]


class _Full:
    """A disk that takes 30 more bytes of each record."""

    def __init__(self, write: t.Callable[[int, bytes], int]) -> None:
        self.write = write
        self.took = False

    def __call__(self, descriptor: int, data: t.Any) -> int:
        self.took = not self.took
        if self.took:
            return self.write(descriptor, bytes(data[:30]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_lock_that_is_held_stops_nobody(small: t.Any, impatient: None) -> None:
    with small.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not small.journal.append("task_result")
        assert "locked by another process" in small.journal.problem
    assert small.journal.append("task_result")
    assert verify(small.path).valid


def test_it_is_not_tried_again_at_every_record(small: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def refuse(*_arguments: t.Any) -> int:
        attempts.append(1)
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "write", refuse)
    for _record in range(20):
        small.journal.append("task_result")
    assert len(attempts) == 1
    assert not small.journal.close()
    assert (len(attempts), small.journal.pending) == (2, 20)


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "journal", "op")
    assert not journal.append("operation_start")
    assert not journal.close()
    assert (journal.pending, "Not a directory" in journal.problem) == (1, True)


def test_a_journal_that_disappears_shows(small: t.Any) -> None:
    small.path.unlink()
    small.journal.append("task_result")
    assert kinds(small.path) == ["recovery", "task_result"]
    assert "its head was 6:" in json.loads(small.path.read_bytes().splitlines()[0])["why"]
    assert "its beginning is missing" in verify(small.path).problem


def test_a_last_line_that_cannot_be_continued_loses_no_record(small: t.Any) -> None:
    with small.path.open("ab") as handle:
        handle.write(b"junk\n")
    small.next_run()
    small.start(["a"])
    assert kinds_after_junk(small.path) == ["recovery", "operation_start", "play_start"]
    assert verify(small.path).first_bad == 7


def kinds_after_junk(path: pathlib.Path) -> list[str]:
    return [json.loads(line)["kind"] for line in path.read_bytes().splitlines()[7:]]


def test_times_have_microseconds_and_say_utc() -> None:
    assert len(journals.now()) == len("2026-11-21T03:04:05.000000Z")
