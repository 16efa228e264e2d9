# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Read the records of a journal into what happened: runs, and on every site the steps that were taken."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import typing as t

from .chain import NotARecord, parse, read

OURS = "tradeops."
# The words of a module result, the worst first. The worst word of its steps is the word of a site.
WORDS = ("unreachable", "unproven", "refused", "ordered", "planned", "proven", "unchanged")
GOOD = frozenset({"proven", "unchanged"})
BAD = frozenset({"unreachable", "unproven", "refused"})

_EVIDENCE = "tradeops.core.evidence_"
# Parameters that may differ between two attempts at the same thing.
_CIRCUMSTANCES = frozenset(
    (
        *("block_only", "lease_dir", "lease_ttl", "on_failure", "operation", "operator", "reason"),
        *("request_timeout", "wait_timeout"),
    )
)
_INFO = "tradeops.core.trading_info"
_NOTIFY = "tradeops.core.notify"
Record = dict[str, t.Any]


@dataclasses.dataclass
class Run:
    """One playbook run of the operation. ``start`` is the decision; ``end`` is None when it was never closed."""

    id: str
    record: Record
    start: datetime.datetime
    last: datetime.datetime
    end: Record | None = None
    hosts: dict[int, list[str]] = dataclasses.field(default_factory=dict)
    tasks: list[Record] = dataclasses.field(default_factory=list)
    reported: set[tuple[str, str]] = dataclasses.field(default_factory=set)

    @property
    def check(self) -> bool:
        return bool(self.record.get("check"))

    @property
    def interrupted(self) -> bool:
        return self.end is not None and self.end.get("exit") == "interrupted"


@dataclasses.dataclass(eq=False)
class Step:
    """One thing that was done, or failed to be done, on one site. Times are in seconds from the start of its run."""

    site: str
    word: str
    capability: str
    wanted: str
    action: str
    task: str
    message: str
    record: Record
    run: Run
    begin: float
    finish: float
    ours: bool = True
    replaced: bool = False

    def replaces(self, other: Step) -> bool:
        """Whether this later step wants of the same site all that ``other`` wanted, and so counts in its place.

        A flag may have been added, such as cancelling orders beside halting; everything else has to be the same.
        """
        if (self.site, _family(self.action)) != (other.site, _family(other.action)):
            return False
        mine, theirs = _demands(self), _demands(other)
        if not mine or not theirs:
            return mine == theirs and (self.wanted, self.record.get("item")) == (other.wanted, other.record.get("item"))
        return all(
            mine.get(key) == value or (value is False and mine.get(key) is True) for key, value in theirs.items()
        )

    @property
    def tried(self) -> bool:
        """Whether this was a trial in check mode, in which nothing is sent."""
        return self.word == "planned" or self.run.check

    @property
    def notification(self) -> bool:
        return self.action == _NOTIFY

    def mapping(self, name: str) -> dict[str, t.Any]:
        """Return a part of the recorded result that is a mapping; whatever else is there stands under ``value``."""
        found = self.record.get(name)
        return found if isinstance(found, dict) else {} if found in (None, "", []) else {"value": found}

    def rows(self, name: str) -> list[t.Any]:
        """Return a part of the recorded result that is a list, empty when it has none."""
        found = self.record.get(name)
        return found if isinstance(found, list) else []

    @property
    def objects(self) -> list[dict[str, t.Any]]:
        """Return what became of every order, position, breaker ..."""
        found = self.mapping("proof").get("objects")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def load(path: pathlib.Path) -> list[Record]:
    """Return the records of a journal; lines that are none are left out (``verify`` names them)."""
    records = []
    for _number, line, complete in read(path):
        try:
            if complete:
                records.append(parse(line))
        except NotARecord:
            continue
    return records


def is_of_ours(record: Record) -> bool:
    """Whether this is the result of a module of ours that does something to a site."""
    action = str(record.get("action", ""))
    return record["kind"] == "task_result" and action.startswith(OURS) and not action.startswith(_EVIDENCE)


def runs_of(records: t.Iterable[Record]) -> list[Run]:
    """Return the runs of a journal in the order of their beginnings."""
    runs: dict[str, Run] = {}
    for record in records:
        at = moment(record["at"])
        run = runs.get(record.get("run", ""))
        if record["kind"] == "operation_start":
            run = runs[record["run"]] = Run(record["run"], record, at, at)
        if run is None:
            continue
        run.last = max(run.last, at)
        if record["kind"] == "play_start":
            run.hosts[record["play_number"]] = record["hosts"]
        elif record["kind"] == "task_start":
            run.tasks.append(record)
        elif record["kind"] == "task_result":
            run.reported.add((record["host"], record["task_id"]))
        elif record["kind"] == "operation_end":
            run.end = record
    return list(runs.values())


def steps_of(records: t.Iterable[Record], runs: t.Sequence[Run], current: str = "") -> list[Step]:
    """Return what was done on the sites, in the order in which it ended.

    A failure of any task counts: a step that never came cannot be shown. So does a task of ours that an interrupted run
    left without a result; a run without an end was interrupted, unless it is ``current``, the one that asks.
    """
    by_id = {run.id: run for run in runs}
    steps: list[Step] = []
    done: dict[tuple[str, str, str], int] = {}
    for record in records:
        run = by_id.get(record.get("run", ""))
        if record["kind"] != "task_result" or run is None or record["action"].startswith(_EVIDENCE):
            continue
        if record["status"] in ("ok", "changed"):
            done[_task_on_host(record)] = record["seq"]
        step = _step(record, run)
        if step is not None:
            steps.append(step)
    for run in runs:
        if run.interrupted or (run.end is None and run.id != current):
            steps += _unfinished(run)
    _mark_replaced(steps, done)
    return steps


def _step(record: Record, run: Run) -> Step | None:
    ours = str(record["action"]).startswith(OURS)
    if record["action"] == _INFO and record["status"] in ("rescued", "ignored"):
        return None  # a look that the playbook could do without
    failed = record["status"] in ("failed", "unreachable") or (ours and record["status"] in ("rescued", "ignored"))
    if ours and isinstance(record.get("result"), str):
        # A word that is not known here proves nothing.
        word = record["result"] if record["result"] in WORDS else "unproven"
    elif failed and not {"items", "sites"} & record.keys():  # a sum repeats what its parts said
        word = "unreachable" if record["status"] == "unreachable" else "unproven"
        ours = False
    else:
        return None
    begin = max(0.0, (moment(record["began"]) - run.start).total_seconds())
    return Step(
        site=str(record.get("site") or record["host"]),
        word=word,
        capability=str(record.get("capability") or ""),
        wanted=str(record.get("wanted") or ""),
        action=record["action"],
        task=record["task"],
        message=_message(record, ours=ours).removeprefix(f"{record.get('site')}: "),
        record=record,
        run=run,
        begin=begin,
        finish=begin + record["duration"],
        ours=ours,
    )


def _message(record: Record, *, ours: bool) -> str:
    said = str(record.get("msg") or "")
    if not ours:
        return f"the task {record['task']!r} failed: {said or 'it said nothing'}"
    proof = record.get("proof") or {}
    return said or (str(proof.get("summary") or "") if isinstance(proof, dict) else "")


def _unfinished(run: Run) -> list[Step]:
    """Return a step without proof for every task of ours that began and left no result."""
    finish = (run.last - run.start).total_seconds()
    return [
        Step(
            site=host,
            word="unproven",
            capability="",
            wanted="",
            action=task["action"],
            task=task["task"],
            message=f"the task {task['task']!r} began, and the run ended without a result of it",
            record={**task, "host": host, "status": "missing"},
            run=run,
            begin=(moment(task["at"]) - run.start).total_seconds(),
            finish=finish,
            ours=False,
        )
        for task in run.tasks
        if task["action"].startswith(OURS) and not task["action"].startswith(_EVIDENCE)
        for host in run.hosts.get(task["play_number"], [])
        if (host, task["task_id"]) not in run.reported
    ]


def _mark_replaced(steps: list[Step], done: dict[tuple[str, str, str], int]) -> None:
    """Mark the steps that a later one made good, and the plans of sites where something was really done."""
    real: dict[str, list[Step]] = {}
    for step in steps:
        if not step.tried:
            real.setdefault(step.site, []).append(step)
    for step in steps:
        if step.tried:
            step.replaced = step.site in real
        elif step.ours:
            later = real[step.site][real[step.site].index(step) + 1 :]
            step.replaced = any(other.ours and other.replaces(step) for other in later)
        else:
            step.replaced = done.get(_task_on_host(step.record), 0) > step.record["seq"]


def _task_on_host(record: Record) -> tuple[str, str, str]:
    return record["host"], record["action"], record["task"]


def _family(action: str) -> str:
    """An order to a whole fleet is followed by the same order to each site."""
    return action.removesuffix("_fleet")


def _demands(step: Step) -> dict[str, t.Any]:
    return {key: value for key, value in step.mapping("parameters").items() if key not in _CIRCUMSTANCES}


def moment(text: str) -> datetime.datetime:
    """Return the time of a record."""
    return datetime.datetime.fromisoformat(text)
