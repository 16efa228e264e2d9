# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The health of a site: read its checks, compose a verdict, and hold it against a gate. Nothing is ever sent."""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
import typing as t

from .._common.errors import InputError
from .._common.outcome import Object, Seen
from .._common.typed import Data
from .._common.waiter import SHORTEST_LOOK, Deadline
from .._platform.verbs.run import Run
from . import outputs
from .asked import Asked
from .checks import Group, Maintenance, Platform, parse_checks, parse_groups, parse_maintenance
from .hysteresis import Retries
from .probes.table import prepare
from .rounds import Watch, read_all
from .statistics import summarise, thinned
from .thresholds import LEVELS, Level, rank
from .verdict import Result, Verdict, compose

_PAUSE = 1.0  # s between two rounds, less where the gate is shorter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """At least ``at_least`` for ``for`` seconds without a break, within ``within`` seconds."""

    at_least: t.Literal["pass", "warn"] = "pass"
    for_: float = 0.0
    within: t.Optional[float] = None

    def check(self) -> t.Any:
        if self.for_ < 0:
            return ("for",), f"{self.for_:g} is not 0 or more seconds"
        if self.within is not None and not self.for_ < self.within <= 86400:
            return ("within",), f"{self.within:g} must be more than for ({self.for_:g}) and at most 86400 seconds"
        return None

    def good(self, level: Level) -> bool:
        return rank(level) <= rank(self.at_least)

    def __str__(self) -> str:
        return f"{self.at_least} for {self.for_:g} s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watching:
    """To be looked at again every ``every`` seconds, for ``for`` seconds, or ``until`` the verdict is that bad."""

    for_: float
    every: float = 1.0
    until: t.Literal["never", "warn", "fail"] = "never"

    def check(self) -> t.Any:
        if not 0 < self.every <= self.for_ <= 86400:
            return ("for",), f"{self.for_:g} must be at least every ({self.every:g}), that more than 0, at most 86400"
        return None

    def enough(self, level: Level) -> bool:
        return self.until != "never" and rank(level) >= rank(self.until)


@dataclasses.dataclass
class Watched:
    """What was seen of a site: the verdict of the first round and of the last one. ``cut``: that of one more, which was
    worse, and which the end of the time cut short."""

    first: Verdict
    last: Verdict
    results: list[Result]
    rounds: int
    held: float = 0.0
    cut: Verdict | None = None

    def __str__(self) -> str:
        more = f". A last round, which the end of the time cut short, found {_said(self.cut)}" if self.cut else ""
        return f"{_said(self.last)}{more}"


class Health:
    """The checks of one site, ready to be read."""

    def __init__(self, run: Run, given: t.Mapping[str, t.Any]) -> None:
        site = run.site.name
        self._run = run
        self._given = given
        self._site = site
        checks = parse_checks(site, given["checks"]) or [Platform(name="platform", kind="platform")]
        self._groups: list[Group] = parse_groups(site, given["groups"], checks)
        self.maintenance: Maintenance | None = parse_maintenance(site, given["maintenance"], checks)
        retries = Data(given["retries"] or {}, f"{site}: retries").read(Retries)
        for check in checks:
            prepare(check, Asked(run.site, given, run.deadline))
        self.watches = [Watch(check, check.retries or retries) for check in checks]

    def look(self, deadline: Deadline) -> tuple[Verdict, list[Result]]:
        """Read every check once and return the verdict."""
        read_all(self.watches, self._run.site, self._given, deadline)
        now = datetime.datetime.now(datetime.UTC)
        results = [watch.result(self.maintenance, now) for watch in self.watches]
        verdict = compose(results, self._groups, self.maintenance)
        if not self._run.gate.check_mode:
            outputs.write(self._site, self._given["output"] or {}, self._tell(verdict, results, now))
        return verdict, results

    def _tell(self, verdict: Verdict, results: list[Result], now: datetime.datetime) -> outputs.Told:
        clean = self._run.site.redactor.clean
        return outputs.Told(
            site=self._site,
            verdict=verdict.level,
            state=clean(verdict.state),
            explain=clean(verdict.explain),
            checks=clean([_row(result) for result in results]),
            at=now.isoformat(timespec="seconds"),
            unix=round(now.timestamp(), 3),
        )

    def keep_watching(self, watching: Watching, deadline: Deadline) -> Watched:
        """Read again and again, at even intervals, until the time is over."""
        began = time.monotonic()
        verdict, results = self.look(deadline)
        seen = Watched(verdict, verdict, results, 1)
        while (turn := seen.rounds * watching.every) < watching.for_ and not watching.enough(seen.last.level):
            deadline.pause(max(0.0, began + turn - time.monotonic()))
            if deadline.over:
                break
            seen.last, seen.results = self.look(deadline)
            seen.rounds += 1
        return seen

    def watch(self, gate: Gate | None, deadline: Deadline) -> Watched:
        """Read once, or until the gate is passed or its time is over."""
        began = time.monotonic()
        verdict, results = self.look(deadline)
        took = time.monotonic() - began
        seen = Watched(verdict, verdict, results, 1)
        if gate is None:
            return seen
        since = time.monotonic() if gate.good(verdict.level) else None
        pause = min(_PAUSE, max(gate.for_ / 4, 0.05))
        while True:
            seen.held = time.monotonic() - since if since is not None else 0.0
            # A round that the end of the time would cut short would find silence where there is none.
            if (since is not None and seen.held >= gate.for_) or deadline.remaining <= pause + took:
                return seen
            deadline.pause(pause)
            began = time.monotonic()
            verdict, results = self.look(deadline)
            if deadline.remaining < SHORTEST_LOOK and rank(verdict.level) > rank(seen.last.level):
                seen.cut = verdict
                return seen
            seen.last, seen.results = verdict, results
            took = time.monotonic() - began
            seen.rounds += 1
            if not gate.good(seen.last.level):
                since = None
            elif since is None:
                since = time.monotonic()


def ensure_health(run: Run, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Read the health of a site; with a gate, fail unless it is as good as asked for as long as asked. Reads only."""
    gate = Data(given["gate"], f"{run.site.name}: gate").read(Gate) if given["gate"] else None
    within = gate.within if gate and gate.within else given["wait_timeout"]
    if gate and gate.for_ >= within:
        raise InputError(
            f"{run.site.name}: gate: for ({gate.for_:g} s) does not fit into {within:g} s; give more in gate.within."
        )
    watching = Data(given["watch"], f"{run.site.name}: watch").read(Watching) if given["watch"] else None
    health = Health(run, given)
    # The last round of a watch has the time that it needs.
    run.deadline.seconds = watching.for_ + given["wait_timeout"] if watching else within
    seen = health.keep_watching(watching, run.deadline) if watching else health.watch(gate, run.deadline)
    result = _report(run, gate, health.maintenance, seen)
    if watching:
        result["statistics"] = {watch.check.name: _statistics(watch) for watch in health.watches}
        result["after"]["series"] = {watch.check.name: _series(watch) for watch in health.watches if watch.values}
    return result


def _statistics(watch: Watch) -> dict[str, t.Any] | None:
    values = [value for _at, value in watch.values]
    found = summarise(values, unread=watch.taken - len(values), violations=watch.violations)
    return {"name": watch.check.name, "unit": watch.check.unit, **dataclasses.asdict(found)} if found else None


def _series(watch: Watch) -> dict[str, t.Any]:
    """Return what a chart of the readings needs: seconds since the first one, and the thresholds that are numbers."""
    start = watch.values[0][0]
    limits = [found.end for found in (watch.check.warning, watch.check.critical) if found and not math.isinf(found.end)]
    points = [[round(at - start, 2), value] for at, value in thinned(watch.values)]
    return {"unit": watch.check.unit, "points": points, "limits": limits}


def _said(verdict: Verdict) -> str:
    return f"{verdict.level}: {'; '.join(verdict.explain)}"


def _report(run: Run, gate: Gate | None, maintenance: Maintenance | None, seen: Watched) -> dict[str, t.Any]:
    verdict, least = seen.last, gate or Gate(at_least="warn")
    problem = ""
    if not least.good(verdict.level) or (gate and seen.held < gate.for_):
        problem = (
            f"health was {gate.at_least} or better for {seen.held:.1f} of {gate.for_:g} s; last seen: {seen}"
            if gate
            else str(seen)
        )
    run.site.seen = [_seen(result) for result in seen.results]
    counts = [(level, sum(result.level == level for result in seen.results)) for level in LEVELS]
    summary = ", ".join(f"{count} {level}" for level, count in counts if count)
    if maintenance:
        run.gate.note(_remark(maintenance))
    outcome = run.outcome(
        "health",
        str(gate) if gate else "to be read",
        before={"health": seen.first.level},
        after={"health": verdict.level, "state": verdict.state, "held_seconds": round(seen.held, 1)},
        objects=[_object(result) for result in seen.results],
        problem=problem,
        summary=f"{verdict.level}, {verdict.state}: {summary}; {seen.rounds} round{'' if seen.rounds == 1 else 's'}",
    )
    clean = run.site.redactor.clean
    told: dict[str, t.Any] = clean(
        {
            "verdict": verdict.level,
            "state": verdict.state,
            "decided_by": verdict.decided_by,
            "explain": verdict.explain,
            "checks": [_row(result) for result in seen.results],
        }
    )
    result = outcome.to_result() | told
    result["summary"] = {
        "site": run.site.name,
        "health": verdict.level,
        "state": told["state"],
        "checks": summary,
        "problem": "" if verdict.level == "pass" else "; ".join(told["explain"]),
    }
    if gate is None:
        # It was asked how the site is, not that it be healthy.
        result["failed"] = False
    return result


def _remark(maintenance: Maintenance) -> str:
    if maintenance.until.at <= datetime.datetime.now(datetime.UTC):
        return f"the maintenance by {maintenance.owner} ended at {maintenance.until} and counts no more"
    why = maintenance.reason or "no reason given"
    return f"in maintenance by {maintenance.owner} until {maintenance.until}: {why}"


def _row(result: Result) -> dict[str, t.Any]:
    check, newest = result.check, result.newest
    return {
        "name": check.name,
        "kind": check.kind,
        "level": result.level,
        "value": newest.value,
        "unit": check.unit,
        "warning": str(check.warning) if check.warning is not None else None,
        "critical": str(check.critical) if check.critical is not None else None,
        "why": newest.why,
        "source": newest.source,
        "at": _time(newest.at),
        "seconds": round(newest.seconds, 4),
        "criticality": check.criticality,
        "flapping": result.flaps,
        "maintenance": result.maintained,
    }


def _seen(result: Result) -> Seen:
    newest = result.newest
    saw = newest.why if newest.value is None else newest.value
    return Seen(result.check.name, "READ", newest.source, _time(newest.at), saw)


def _object(result: Result) -> Object:
    value = result.newest.value
    shown = value if value is None else f"{value:g} {result.check.unit}".strip() if isinstance(value, float) else value
    return Object(result.check.name, result.check.kind, None, shown, result.level, result.newest.why)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
