# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._evidence import journal as journals
from ansible_collections.tradeops.core.plugins.module_utils._evidence.journal import Journal

START = datetime.datetime(2026, 11, 21, 3, 4, 5, tzinfo=datetime.UTC)


class Book:
    """Writes a journal with times of its own, as the callback would."""

    def __init__(self, folder: pathlib.Path, operation: str = "op-1") -> None:
        self.folder = folder
        self.operation = operation
        self.time = START
        self.journal = Journal(folder, operation)
        self.path = self.journal.path
        self.play = 0

    def at(self, seconds: float) -> str:
        return (START + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def add(self, seconds: float, kind: str, **fields: t.Any) -> None:
        self.time = START + datetime.timedelta(seconds=seconds)
        assert self.journal.append(kind, **fields), self.journal.problem

    def start(self, hosts: list[str], seconds: float = 0.0, **fields: t.Any) -> None:
        record = {
            "operation": self.operation,
            "operator": {"name": "maria", "source": "TRADEOPS_OPERATOR"},
            "login": "ops",
            "reason": "a drill",
            "playbook": "playbooks/emergency_stop.yml",
            "limit": None,
            "check": False,
            "arguments": {"tags": ["all"]},
            "inventory": ["inventories/lab"],
            "hosts": hosts,
            "job": {},
            "code": {"tradeops.core": "0.1.0", "commit": ""},
            "controller": "ops-1",
            "ansible": "2.19.14",
            "python": "3.11.7",
        }
        self.add(seconds, "operation_start", **record | fields)
        self.begin_play(hosts, seconds)

    def begin_play(self, hosts: list[str], seconds: float) -> None:
        self.play += 1
        self.add(seconds, "play_start", play="Stop", play_number=self.play, hosts=hosts, strategy="linear")

    def task(self, name: str, seconds: float, action: str = "tradeops.core.trading_state") -> None:
        self.add(
            seconds, "task_start", play="Stop", play_number=self.play, task=name, task_id=f"id {name}", action=action
        )

    def result(self, host: str, word: str, seconds: float = 1.0, **fields: t.Any) -> None:
        failed = word in ("refused", "unproven", "unreachable")
        record = {
            "play": "Stop",
            "play_number": self.play,
            "status": "failed" if failed else "changed",
            "began": self.at(max(0.0, seconds - 0.5)),
            "duration": 0.5,
            "host": host,
            "task": "Halt",
            "task_id": "id Halt",
            "action": "tradeops.core.trading_state",
            "changed": word == "proven",
            "parameters": {"state": "halted", "cancel_orders": False},
            "site": host,
            "capability": "trading",
            "wanted": "halted",
            "result": word,
            "before": {"state": "active", "open_orders": 3, "positions": None, "marker": 1},
            "after": {"state": "halted", "open_orders": 0, "positions": None, "marker": 1},
            "plan": [],
            "proof": {"summary": "3 cancelled", "sources": [], "objects": [], "witness": None, "elapsed": 0.4},
            "notes": [],
            "msg": f"{host}: halted: it says active" if failed else "",
        }
        self.add(seconds, "task_result", **record | fields)

    def other(self, host: str, status: str, seconds: float = 1.0, task: str = "Assert", msg: str = "no luck") -> None:
        self.add(
            seconds,
            "task_result",
            play="Stop",
            play_number=self.play,
            status=status,
            began=self.at(seconds),
            duration=0.0,
            host=host,
            task=task,
            task_id=f"id {task}",
            action="ansible.builtin.assert",
            changed=False,
            msg=msg,
        )

    def end(self, seconds: float = 2.0, how: str = "ok") -> None:
        self.add(seconds, "operation_end", exit=how, duration=seconds, stats={})

    def next_run(self) -> None:
        """Go on as another process of the same operation."""
        self.journal.close()
        self.journal = Journal(self.folder, self.operation)
        self.play = 0


@pytest.fixture
def book(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    made = Book(tmp_path / "journal")
    monkeypatch.setattr(journals, "now", lambda: made.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return made


@pytest.fixture
def small(book: Book) -> Book:
    """A journal of six records."""
    book.start(["a"])
    book.task("Halt", 0.1)
    book.result("a", "proven")
    book.other("a", "ok", 1.5)
    book.end()
    return book
