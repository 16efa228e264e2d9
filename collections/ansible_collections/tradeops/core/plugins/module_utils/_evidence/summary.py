# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The verdict over an operation: what the report shows and what its JSON form says."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from .chain import Head, Verification, verify
from .history import BAD, GOOD, OURS, WORDS, Record, Run, Step, load, runs_of, steps_of


@dataclasses.dataclass
class Site:
    """What became of one site. ``elapsed``: seconds from the decision to the last proof, None without a proof."""

    name: str
    word: str
    message: str
    steps: list[Step]
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    elapsed: float | None

    @property
    def troubles(self) -> list[Step]:
        """The steps to read first. A task that failed only because of one of them is left to the details."""
        bad = [step for step in self.steps if step.word in BAD or (step.word == "ordered" and not step.replaced)]
        ours = [step for step in bad if step.ours]
        return bad if all(step.replaced for step in ours) else ours


@dataclasses.dataclass
class Verdict:
    """``word``: proven, not_proven, planned (nothing was sent), nothing (no step recorded) or invalid (tampering)."""

    word: str
    text: str
    counts: dict[str, int]


@dataclasses.dataclass
class Evidence:
    """All that a journal shows about one operation.

    :ivar gaps: why the evidence is incomplete, empty when it is not.
    :ivar remarks: what else has to be known about the journal.
    """

    operation: str
    path: pathlib.Path
    runs: list[Run]
    sites: list[Site]
    notifications: list[Step]
    verification: Verification
    verdict: Verdict
    gaps: list[str]
    remarks: list[str] = dataclasses.field(default_factory=list)

    @property
    def head(self) -> Head:
        return self.verification.head

    @property
    def check(self) -> bool:
        return bool(self.runs) and all(run.check for run in self.runs)

    @property
    def first(self) -> Record:
        """The first decision; an empty mapping when the journal does not hold it."""
        return self.runs[0].record if self.runs else {}


def gather(path: pathlib.Path, operation: str, *, current: str = "", problem: str = "") -> Evidence:
    """Read and check the journal ``path``.

    :param current: the run inside which this is asked: its end cannot be there yet.
    :param problem: why that run cannot write its journal, as its callback knows. Without it a missing journal is an
        InputError; with it the answer is that there is no evidence.
    """
    gaps = [f"the journal could not be written: {problem}"] if problem else []
    if problem and not path.exists():
        verification = Verification(False, 0, Head(), 0, "there is no journal")
        return Evidence(operation, path, [], [], [], verification, _verdict([], gaps), gaps)
    verification = verify(path)
    # What stands behind a bad line cannot be trusted, nor relied upon to have the form of a record.
    records = load(path)[: verification.records]
    runs = runs_of(records)
    steps = steps_of(records, runs, current)
    gaps += _gaps(records, runs, verification, current)
    remarks = [f"at {record['at']}: {record['why']}" for record in records if record["kind"] == "recovery"]
    sites = _sites([step for step in steps if not step.notification], runs)
    notifications = [step for step in steps if step.notification]
    verdict = _distrust(verification) if verification.first_bad else _verdict(sites, gaps, _broken_off(runs, current))
    return Evidence(operation, path, runs, sites, notifications, verification, verdict, gaps, remarks)


def _gaps(records: list[Record], runs: list[Run], verification: Verification, current: str) -> list[str]:
    if verification.first_bad:
        shown = f"only the {verification.records} records before are shown"
        return [f"the journal is not valid: {verification.problem}; {shown}"]
    gaps = [] if verification.valid else [f"the journal is not valid: {verification.problem}"]
    if verification.torn:
        gaps.append("the last record was torn when it was written: the machine or the process died")
    for run in runs:
        if run.end is None and run.id != current:
            gaps.append(
                f"the run of {run.record['playbook']} that began at {run.record['at']} was not closed: it was killed "
                f"or still goes on; nothing of it is known after {run.last:%H:%M:%S.%f} UTC"
            )
        elif run.interrupted:
            gaps.append(f"the run of {run.record['playbook']} that began at {run.record['at']} was interrupted")
    return gaps + [record["why"] for record in records if record["kind"] == "recovery" and record.get("lost")]


def _sites(steps: list[Step], runs: list[Run]) -> list[Site]:
    by_site: dict[str, list[Step]] = {}
    for name in _expected(steps, runs):
        by_site[name] = []
    for step in steps:
        by_site.setdefault(step.site, []).append(step)
    sites = [_site(name, found) for name, found in by_site.items()]
    return sorted(sites, key=lambda site: (site.word in GOOD, site.name))


def _expected(steps: list[Step], runs: list[Run]) -> list[str]:
    """Return the hosts of the plays in which our modules worked: each of them has to be shown."""
    plays = {(step.run.id, step.record.get("play_number")) for step in steps if step.action.startswith(OURS)}
    hosts = {
        host: None
        for run in runs
        for number, names in run.hosts.items()
        if (run.id, number) in plays
        for host in names
        # A host that stands for other sites (localhost, acting on each of them) is not one itself.
        if not any(step.record.get("host") == host and step.site != host for step in steps)
    }
    return list(hosts)


def _site(name: str, steps: list[Step]) -> Site:
    counting = [step for step in steps if not step.replaced]
    if not counting:
        return Site(name, "unproven", "nothing was done on this site", steps, {}, {}, None)
    worst = min(counting, key=lambda step: (WORDS.index(step.word), not step.ours, -step.finish))
    proven = [step.finish for step in counting if step.word in GOOD]
    said = [step.message for step in counting if step.message] if worst.word in (*GOOD, "planned") else [worst.message]
    return Site(
        name=name,
        word=worst.word,
        message="; ".join(dict.fromkeys(said)),
        steps=steps,
        before=_observed(steps, "before", newest=False),
        after=_observed(steps, "after", newest=True),
        elapsed=max(proven) if proven and worst.word in GOOD else None,
    )


def _observed(steps: list[Step], side: str, *, newest: bool) -> dict[str, t.Any]:
    """Return state, open_orders and positions as first seen before, or last seen after; None was not looked at."""
    seen: dict[str, t.Any] = {}
    tried = all(step.tried for step in steps)
    for step in steps:
        if step.tried and not tried:
            continue
        for key, value in step.mapping(side).items():
            if key in ("state", "open_orders", "positions") and value is not None and (newest or key not in seen):
                seen[key] = value
    return seen


def amount(value: t.Any) -> int | float | None:
    """Return how many: positions are recorded as a number or one by one. None when nobody looked."""
    if isinstance(value, (dict, list)):
        return len(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _broken_off(runs: list[Run], current: str) -> bool:
    """Whether a playbook was interrupted and not run again to its end: nobody knows which steps were still to come."""
    open_playbooks: dict[str, bool] = {}
    for run in runs:
        open_playbooks[run.record["playbook"]] = run.interrupted or (run.end is None and run.id != current)
    return any(open_playbooks.values())


def _verdict(sites: list[Site], gaps: list[str], broken_off: bool = False) -> Verdict:
    counts = {word: sum(site.word == word for site in sites) for word in WORDS}
    counts = {word: count for word, count in counts.items() if count}
    steps = [step for site in sites for step in site.steps]
    if not steps:
        return Verdict("nothing", "Nothing is proven: no trading step is recorded", counts)
    if all(step.tried for step in steps):
        what = {"planned": "to be changed", "unchanged": "already so"}
        said = ", ".join(f"{_sites_text(count)} {what.get(word, word)}" for word, count in counts.items())
        return Verdict("planned", f"Check mode, nothing was sent: {said}", counts)
    bad = sum(count for word, count in counts.items() if word not in GOOD)
    if bad:
        return Verdict("not_proven", f"{bad} of {_sites_text(len(sites))} not proven", counts)
    if broken_off:
        return Verdict("not_proven", "Broken off: the operation did not run to its end", counts)
    text = f"All {len(sites)} sites proven" if len(sites) > 1 else "The site is proven"
    return Verdict("proven", f"{text}, but the evidence is incomplete" if gaps else text, counts)


def _distrust(verification: Verification) -> Verdict:
    return Verdict("invalid", f"The journal was changed after it was written: {verification.problem}", {})


def _sites_text(count: int) -> str:
    return f"{count} site" if count == 1 else f"{count} sites"


def to_summary(evidence: Evidence) -> dict[str, t.Any]:
    """Return the machine-readable form: verdict, sites and chain head."""
    return {
        "operation": evidence.operation,
        "operator": evidence.first.get("operator"),
        "reason": evidence.first.get("reason"),
        "started": evidence.first.get("at"),
        "check": evidence.check,
        "verdict": dataclasses.asdict(evidence.verdict),
        "complete": not evidence.gaps,
        "gaps": evidence.gaps,
        "remarks": evidence.remarks,
        "sites": [
            {
                "site": site.name,
                "result": site.word,
                "msg": site.message,
                "before": site.before,
                "after": site.after,
                "elapsed": site.elapsed,
                "steps": [
                    {
                        "action": step.action,
                        "capability": step.capability,
                        "wanted": step.wanted,
                        "result": step.word,
                        "replaced": step.replaced,
                        "msg": step.message,
                        "begin": round(step.begin, 3),
                        "finish": round(step.finish, 3),
                    }
                    for step in site.steps
                ],
            }
            for site in evidence.sites
        ],
        "notifications": [
            {"site": step.site, "wanted": step.wanted, "result": step.word, "msg": step.message}
            for step in evidence.notifications
        ],
        "journal": {
            "path": str(evidence.path),
            "valid": evidence.verification.valid,
            "records": evidence.verification.records,
            "head": str(evidence.head),
        },
    }
