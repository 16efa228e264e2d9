# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the journal of every operation."""

from __future__ import annotations

DOCUMENTATION = r"""
name: journal
type: aggregate
short_description: Write a hash-chained journal of every operation
version_added: 0.1.0
author:
  - tradeops contributors (@tradeops)
description:
  - Writes one file per operation, V(<operation id>.jsonl), with who decided what and why, every task that began, every
    result, and of the modules of this collection their whole proof.
  - Each record carries the hash of the record before, so that an edit, a deletion, an insertion or a new order of the
    records shows. See the module M(tradeops.core.evidence_verify).
  - The operation id is taken from the environment variable E(TRADEOPS_OPERATION_ID). Without it one is made and put
    there, so that tasks see it with P(ansible.builtin.env#lookup). A second playbook with the same id continues the
    journal.
  - The operator is the user that AWX names, else E(TRADEOPS_OPERATOR), else the login name. The reason is the extra
    variable C(tradeops_reason).
  - A journal that cannot be written never stops an operation. The callback says so, keeps the records in memory, tries
    again, and tells at the end what is missing.
  - Module parameters are recorded as Ansible cleaned them, without anything that is named like a secret. Of a task with
    C(no_log) nothing is recorded but that it ran.
options:
  journal_dir:
    description:
      - The folder of the journals. It is made, readable for its owner only, when it does not exist.
      - Put it on a local disk, for every result is written at once.
      - When it is not given, it is C(journal) in E(TRADEOPS_STATE_DIR), which is C(~/.local/state/tradeops) by default.
    type: path
    env:
      - name: TRADEOPS_JOURNAL_DIR
    ini:
      - section: tradeops
        key: journal_dir
requirements:
  - enable it in the configuration with C(callbacks_enabled = tradeops.core.journal)
"""

import atexit
import os
import pathlib
import time
import typing as t

from ansible import context
from ansible.plugins.callback import CallbackBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts
from ansible_collections.tradeops.core.plugins.module_utils._evidence.journal import Journal, now
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence import observed

_Key = tuple[str, str]


class _Moment(t.NamedTuple):
    """A point in time, to say it and to measure from it."""

    at: str
    clock: float

    @classmethod
    def now(cls) -> _Moment:
        return cls(now(), time.monotonic())

    def until(self, later: _Moment) -> dict[str, t.Any]:
        return {"began": self.at, "duration": round(later.clock - self.clock, 6)}


class _Play(t.NamedTuple):
    """The play that runs. Its number tells batches of one play apart."""

    name: str = ""
    number: int = 0

    def named(self) -> dict[str, t.Any]:
        return {"play": self.name, "play_number": self.number}


class CallbackModule(CallbackBase):
    """Turns what Ansible tells into records. Ansible calls one method at a time, always in the controlling process."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "tradeops.core.journal"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._journal: Journal | None = None
        self._pid = os.getpid()
        self._began = 0.0
        self._play = _Play()
        self._started: dict[_Key, _Moment] = {}
        self._items: dict[_Key, tuple[int, _Moment]] = {}
        self._tasks_begun: set[tuple[int, str]] = set()
        self._warned = False
        atexit.register(self._interrupted)

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._began = time.monotonic()
        self._play = _Play()
        operation = self._operation_id()
        folder = pathlib.Path(str(self.get_option("journal_dir") or facts.journal_dir(os.environ))).expanduser()
        self._journal = Journal(folder, operation)
        os.environ[facts.ENV_OPERATION] = operation
        os.environ[facts.ENV_JOURNAL_DIR] = str(folder)
        os.environ[facts.ENV_RUN] = self._journal.run
        self._record("operation_start", durable=True, operation=operation, **observed.start(playbook, context.CLIARGS))

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._play = _Play(observed.text(play.get_name()), self._play.number + 1)
        self._record(
            "play_start", **self._play.named(), hosts=observed.batch(play), strategy=observed.text(play.strategy)
        )

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._task_begins(task)

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self._task_begins(task, handler=True)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        key = (host.get_name(), task._uuid)
        self._started[key] = _Moment.now()
        self._items.pop(key, None)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._ended(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._ended(result, _failure(result.task, ignored=ignore_errors))

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._ended(result, "ignored" if result.task.ignore_unreachable else "unreachable")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._ended(result, "skipped")

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._item_ended(result, "changed" if result.is_changed() else "ok")

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._item_ended(result, _failure(result.task, ignored=bool(result.task.ignore_errors)))

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._item_ended(result, "skipped")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        hosts = {observed.text(host): dict(stats.summarize(host)) for host in sorted(stats.processed)}
        failed = any(count["failures"] or count["unreachable"] for count in hosts.values())
        self._close("failed" if failed else "ok", hosts)

    def _operation_id(self) -> str:
        given = os.environ.get(facts.ENV_OPERATION)
        if not given:
            return facts.new_operation_id()
        try:
            return facts.check_operation_id(given)
        except InputError as exc:
            made = facts.new_operation_id()
            self._display.warning(f"{facts.ENV_OPERATION}: {exc} This operation goes on as {made}.")
            return made

    def _task_begins(self, task: t.Any, handler: bool = False) -> None:
        # The free strategy tells it once for every host.
        key = (self._play.number, task._uuid)
        if key in self._tasks_begun:
            return
        self._tasks_begun.add(key)
        self._record(
            "task_start",
            **self._play.named(),
            task=observed.text(task.get_name()),
            task_id=task._uuid,
            action=observed.action(task),
            **({"handler": True} if handler else {}),
        )

    def _item_ended(self, result: t.Any, status: str) -> None:
        key = (result.host.get_name(), result.task._uuid)
        ended = _Moment.now()
        number, began = self._items.get(key, (0, self._started.get(key, ended)))
        self._items[key] = (number + 1, ended)
        self._record_result(result, status, **began.until(ended), item=number + 1)

    def _ended(self, result: t.Any, status: str) -> None:
        key = (result.host.get_name(), result.task._uuid)
        ended = _Moment.now()
        number, _began = self._items.pop(key, (0, ended))
        extra = {"items": number} if number else {}
        self._record_result(result, status, **self._started.pop(key, ended).until(ended), **extra)

    def _record_result(self, result: t.Any, status: str, **extra: t.Any) -> None:
        for record in observed.results(result, {**self._play.named(), "status": status, **extra}):
            durable = record["changed"] and record["action"].startswith(observed.OURS)
            self._record("task_result", durable=bool(durable), **record)

    def _record(self, kind: str, *, durable: bool = False, **fields: t.Any) -> None:
        journal = self._journal
        if journal is None:
            return
        journal.append(kind, durable=durable, **fields)
        self._tell(journal)

    def _tell(self, journal: Journal) -> None:
        """Let the operator and the tasks that are still to come know that the journal is incomplete, or whole again."""
        if not journal.problem:
            os.environ.pop(facts.ENV_PROBLEM, None)
            return
        os.environ[facts.ENV_PROBLEM] = journal.problem
        if not self._warned:
            self._warned = True
            self._display.error(
                f"The journal of this operation cannot be written: {journal.problem}. The operation goes on; the "
                "records are kept in memory and tried again until it ends."
            )

    def _close(self, verdict: str, hosts: dict[str, dict[str, int]]) -> None:
        journal, self._journal = self._journal, None
        if journal is None:
            return
        duration = round(time.monotonic() - self._began, 6)
        journal.append("operation_end", durable=True, exit=verdict, duration=duration, stats=hosts)
        if not journal.close():
            self._display.error(
                f"The evidence of this operation is incomplete: {journal.pending} records are not in its journal: "
                f"{journal.problem}."
            )

    def _interrupted(self) -> None:
        # Without statistics Ansible was interrupted or failed by itself. Workers inherit this and must not act.
        if os.getpid() == self._pid:
            self._close("interrupted", {})


def _failure(task: t.Any, *, ignored: bool) -> str:
    return "ignored" if ignored else "rescued" if observed.is_rescued(task) else "failed"
