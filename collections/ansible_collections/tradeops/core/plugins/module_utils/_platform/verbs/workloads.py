# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Deployments of a site: scaled, started, stopped, restarted, their pods deleted; stage by stage, each proven."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import time
import typing as t

from ..._common.errors import CallError, InputError, Refused, TradeopsError, Unproven
from ..._common.outcome import Object, Outcome
from ..._common.waiter import poll
from .. import kubernetes
from ..kubernetes import Fact, Workload
from ..profile import Action, Request
from ..site import Rows
from .run import Run

# Seconds between two looks at the cluster, at most.
_LONGEST = 1.0


@dataclasses.dataclass(frozen=True)
class Wish:
    """``names``: which of the site's workloads, all if empty. ``replicas``: numbers that go before the usual ones.
    ``patience``: seconds after which what does not get better by itself is believed. ``fights``: autoscalers that would
    take a number back are only told."""

    state: str
    names: t.Sequence[str] = ()
    replicas: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    patience: float = 10.0
    fights: bool = False


@dataclasses.dataclass(frozen=True)
class Goal:
    """What one workload has to become. ``stamp``: the mark of its restart. ``gone``: the pods that may not stay."""

    fact: Fact
    before: Workload
    number: int
    stamp: str = ""
    gone: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.fact.name

    def reached(self, seen: Workload | None, state: str) -> bool:
        if seen is None:
            return False
        left = any(pod.uid in self.gone for pod in seen.pods)
        if state == "deleted":
            return not left
        return seen.settled(self.number) and not left and (not self.stamp or seen.restarted == self.stamp)


@dataclasses.dataclass
class Progress:
    """What was seen on the way: the last look, the fewest ready pods, since when something is hopeless, and what was
    said of it then."""

    seen: dict[str, Workload] = dataclasses.field(default_factory=dict)
    lowest: dict[str, int] = dataclasses.field(default_factory=dict)
    stuck: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)
    said: dict[str, str] = dataclasses.field(default_factory=dict)
    refusals: dict[str, str] = dataclasses.field(default_factory=dict)
    problem: str = ""
    error: TradeopsError | None = None

    def note(self, seen: dict[str, Workload], goals: t.Iterable[Goal]) -> None:
        self.seen, now = seen, time.monotonic()
        for goal in goals:
            found = seen.get(goal.name)
            ready = found.ready if found else 0
            self.lowest[goal.name] = min(ready, self.lowest.get(goal.name, ready))
            hopeless = found is None or found.hopeless or any(pod.hopeless for pod in found.pods)
            if found and hopeless:
                self.said[goal.name] = found.why()
            since, then = self.stuck.get(goal.name, (now, ready))
            # A crash loop shows now and then as running: only a pod more that is ready is better.
            if ready > then or (not hopeless and goal.name not in self.stuck):
                self.stuck.pop(goal.name, None)
                self.said.pop(goal.name, None)
            else:
                self.stuck[goal.name] = (since, then)

    def why(self, name: str) -> str:
        """Say what keeps a workload from its goal: a crash loop also in the moment in which it shows as running."""
        found = self.seen.get(name)
        return self.refusals.get(name) or (found.why() or self.said.get(name, "") if found else "gone")

    def hopeless(self, name: str, patience: float) -> bool:
        return name in self.refusals or (name in self.stuck and time.monotonic() - self.stuck[name][0] > patience)


def ensure_workloads(run: Run, wish: Wish, facts: t.Sequence[Fact]) -> Outcome:
    """Bring the workloads to the wished state in the order of their stages, each stage proven before the next."""
    if wish.patience < 0:
        raise InputError(f"{run.site.name}: patience is {wish.patience:g}; give seconds, 0 or more. Nothing was sent.")
    run.site.check(kubernetes.DEPLOYMENTS, kubernetes.PODS, kubernetes.PATCH, kubernetes.DELETE_POD)
    chosen = _chosen(run, wish, facts)
    before = look(run, [fact.name for fact in chosen])
    goals = _goals(run, wish, chosen, before)
    run.gate.stopping = wish.state in ("stopped", "deleted")
    if wish.state in ("scaled", "started"):
        _check_autoscalers(run, wish, goals)
    progress = Progress(seen=before)
    reached: list[Goal] = []
    for stage in _stages(goals, backwards=wish.state == "stopped"):
        budget = max(goal.fact.budget or run.whole_seconds for goal in stage)
        with run.afresh(budget):
            _take(run, wish, stage, progress)
        if progress.problem:
            break
        reached += stage
    return _verdict(run, wish, goals, reached, progress)


def look(run: Run, names: t.Iterable[str]) -> dict[str, Workload]:
    """Return the Deployments of the namespace with their pods; ``names`` are told in the proof. Raises CallError."""
    deployments = run.site.get(kubernetes.DEPLOYMENTS, run.deadline).body
    pods = run.site.get(kubernetes.PODS, run.deadline).body
    try:
        found = kubernetes.observe(deployments, pods)
    except kubernetes.Misshapen as exc:
        raise run.site.unusable(kubernetes.DEPLOYMENTS, str(exc)) from exc
    said = ", ".join(found[name].describe() if name in found else f"no {name}" for name in names)
    run.site.saw({"deployments": kubernetes.DEPLOYMENTS, "pods": kubernetes.PODS}, said)
    return found


def _chosen(run: Run, wish: Wish, facts: t.Sequence[Fact]) -> list[Fact]:
    known = {fact.name: fact for fact in facts}
    strange = sorted(set(wish.replicas) - set(wish.names or known))
    names = wish.names or list(known)
    if strange or not names:
        problem = f"replicas names {', '.join(strange)}, which are not asked for" if strange else "no workload is named"
        advice = "name them in names, or give the site tradeops_workloads"
        raise InputError(f"{run.site.name}: {problem}; {advice}. Nothing was sent.")
    for name, number in wish.replicas.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InputError(
                f"{run.site.name}: replicas of {name} is {number!r}; give a whole number, 0 or more. Nothing was sent."
            )
    return [known.get(name, Fact(name)) for name in dict.fromkeys(names)]


def _goals(run: Run, wish: Wish, chosen: t.Sequence[Fact], seen: t.Mapping[str, Workload]) -> list[Goal]:
    missing = [fact.name for fact in chosen if fact.name not in seen]
    if missing:
        raise InputError(
            f"{run.site.name}: the namespace has no Deployment {', '.join(missing)}; it has "
            f"{', '.join(sorted(seen)) or 'none'}. Nothing was sent."
        )
    stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    resting = [fact.name for fact in chosen if not seen[fact.name].wanted]
    if wish.state == "restarted" and resting and not wish.names:
        # What was stopped, such as by a halt of trading, starts anew by itself when it is started.
        run.gate.note(f"without pods, and left so: {', '.join(resting)}")
        chosen = [fact for fact in chosen if fact.name not in resting]
    return [_goal(run, wish, fact, seen[fact.name], stamp) for fact in chosen]


def _goal(run: Run, wish: Wish, fact: Fact, seen: Workload, stamp: str) -> Goal:
    if wish.state in ("restarted", "deleted"):
        gone = frozenset(pod.uid for pod in seen.pods)
        if wish.state == "deleted":
            return Goal(fact, seen, seen.wanted, gone=gone)
        if not seen.wanted or seen.paused:
            problem = "is paused" if seen.paused else "has no pods to restart; start it"
            raise InputError(f"{run.site.name}: {fact.name} {problem}. Nothing was sent.")
        if seen.floor is None:
            run.gate.note(f"{fact.name} replaces all its pods at once (strategy Recreate): it is away meanwhile")
        return Goal(fact, seen, seen.wanted, stamp, gone)
    number: int | None = 0
    if wish.state == "scaled":
        number = wish.replicas.get(fact.name, fact.replicas)
    elif wish.state == "started":
        number = wish.replicas.get(fact.name) or seen.wanted or seen.remembered or fact.replicas
    if number is None:
        raise InputError(
            f"{run.site.name}: how many pods {fact.name} shall have is said nowhere; give replicas, here or in "
            "tradeops_workloads. Nothing was sent."
        )
    return Goal(fact, seen, number)


def _check_autoscalers(run: Run, wish: Wish, goals: t.Iterable[Goal]) -> None:
    """Refuse a number that an autoscaler would take back at once."""
    up = [goal for goal in goals if goal.number]
    if not up:
        return
    try:
        scalers = kubernetes.autoscalers(run.site.get(kubernetes.AUTOSCALERS, run.deadline).body)
    except (CallError, kubernetes.Misshapen) as exc:
        run.gate.note(f"whether something scales the workloads by itself cannot be read: {exc}")
        return
    for goal in up:
        scaler = scalers.get(goal.name)
        if scaler and not wish.fights and not scaler["least"] <= goal.number <= scaler["most"]:
            raise InputError(
                f"{run.site.name}: {goal.name} cannot be at {goal.number}: the autoscaler {scaler['name']} keeps it "
                f"between {scaler['least']} and {scaler['most']}. Change or remove that first; nothing was sent."
            )
        if scaler:
            run.gate.note(f"the autoscaler {scaler['name']} may change the number of {goal.name} again")


def _stages(goals: t.Sequence[Goal], *, backwards: bool) -> list[list[Goal]]:
    def place(goal: Goal) -> int:
        return goal.fact.stops if backwards else goal.fact.stage

    return [list(stage) for _number, stage in itertools.groupby(sorted(goals, key=place), key=place)]


def _take(run: Run, wish: Wish, stage: t.Sequence[Goal], progress: Progress) -> None:
    """Send what a stage needs, all at once, and watch until it is as wished, or hopeless, or out of time."""
    request, entries = _writes(wish, stage)
    try:
        if entries:
            action = Action(request=request, repeatable=True, each=entries)
            ack = run.act(action, f"workloads {wish.state}", wish.state, {}, lambda: _landed(run, wish, stage))
            progress.refusals |= {} if ack is None else ack.refusals()
    except TradeopsError as exc:
        if not run.gate.sent and not isinstance(exc, CallError):
            raise
        progress.problem, progress.error = str(exc), exc
        return
    if run.gate.check_mode:
        return
    unread = ""
    for _attempt in poll(run.deadline, longest=_LONGEST):
        try:
            progress.note(look(run, [goal.name for goal in stage]), stage)
        except CallError as exc:
            unread, progress.error = str(exc), exc
            continue
        unread, progress.error = "", None
        left = [goal for goal in stage if not goal.reached(progress.seen.get(goal.name), wish.state)]
        if not left or all(progress.hopeless(goal.name, wish.patience) for goal in left):
            break
    progress.problem = f"the cluster cannot be read: {unread}" if unread else _trouble(run, wish, stage, progress)


def _writes(wish: Wish, stage: t.Sequence[Goal]) -> tuple[Request, Rows]:
    if wish.state == "deleted":
        pods = [(goal, pod) for goal in stage for pod in goal.before.pods]
        return kubernetes.DELETE_POD, [
            {"id": pod.name, "pod": pod.name, "uid": pod.uid, "why": f"{goal.name}: pod {pod.name} without grace"}
            for goal, pod in pods
        ]
    return kubernetes.PATCH, [_patch(goal) for goal in stage if goal.stamp or goal.before.wanted != goal.number]


def _patch(goal: Goal) -> dict[str, t.Any]:
    if goal.stamp:
        annotations = {kubernetes.RESTARTED: goal.stamp}
        patch: dict[str, t.Any] = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        return {"id": goal.name, "patch": patch, "why": f"{goal.name}: a rolling restart"}
    before = goal.before.wanted
    patch = {"spec": {"replicas": goal.number}}
    if goal.number == 0:
        patch["metadata"] = {"annotations": {kubernetes.REMEMBERED: str(before)}}
    elif goal.before.remembered is not None:
        patch["metadata"] = {"annotations": {kubernetes.REMEMBERED: None}}
    return {"id": goal.name, "patch": patch, "why": f"{goal.name}: {before} -> {goal.number}"}


def _landed(run: Run, wish: Wish, stage: t.Sequence[Goal]) -> bool:
    """Whether what was sent is written down in the cluster; it need not have taken effect."""
    seen = look(run, [goal.name for goal in stage])
    for goal in stage:
        found = seen.get(goal.name)
        if found is None:
            return False
        told = found.restarted == goal.stamp if goal.stamp else found.wanted == goal.number
        if not (goal.reached(found, wish.state) if wish.state == "deleted" else told):
            return False
    return True


def _trouble(run: Run, wish: Wish, stage: t.Sequence[Goal], progress: Progress) -> str:
    """Say what a stage lacks, or return an empty text."""
    said = []
    for goal in stage:
        found = progress.seen.get(goal.name)
        if found is None:
            said.append(f"the Deployment {goal.name} is gone")
        elif not goal.reached(found, wish.state):
            said.append(_short(goal, found, wish, progress.why(goal.name), run))
        elif goal.stamp and goal.before.floor is not None:
            floor, lowest = min(goal.before.floor, goal.before.ready), progress.lowest.get(goal.name, found.ready)
            if lowest < floor:
                said.append(f"{goal.name} was down to {lowest} ready pods, at least {floor} were to stay")
    return "; ".join(said)


def _short(goal: Goal, found: Workload, wish: Wish, why: str, run: Run) -> str:
    if wish.state == "deleted":
        left = sum(pod.uid in goal.gone for pod in found.pods)
        return f"{goal.name}: {left} of {len(goal.gone)} pods are still there" + (f": {why}" if why else "")
    if found.wanted != goal.number:
        what = f"{goal.name} is set to {found.wanted}, not {goal.number}"
    else:
        what = found.describe()
        old = sum(pod.uid in goal.gone for pod in found.pods)
        what += f", {old} of them as before the restart" if old else ""
    return f"{what} after {run.deadline.elapsed:.0f} s" + (f": {why}" if why else "")


def _verdict(run: Run, wish: Wish, goals: t.Sequence[Goal], reached: t.Sequence[Goal], progress: Progress) -> Outcome:
    objects = [item for goal in goals for item in _objects(run, wish, goal, reached, progress)]
    before = {goal.name: goal.before.to_dict() for goal in goals}
    after = {goal.name: _after(run, goal, progress) for goal in goals}
    refused = bool(progress.problem) and isinstance(progress.error, Refused) and not progress.refusals
    return run.outcome(
        "workloads",
        wish.state,
        before=before,
        after=after,
        objects=objects,
        problem=progress.problem,
        refused=refused,
        error=progress.error or (Unproven(progress.problem) if progress.problem else None),
    )


def _after(run: Run, goal: Goal, progress: Progress) -> dict[str, t.Any]:
    if run.gate.check_mode:
        return goal.before.to_dict() | {"replicas": goal.number, "ready": goal.number, "pods": goal.number}
    found = progress.seen.get(goal.name)
    return found.to_dict() if found else {"replicas": None, "ready": None, "pods": None, "templates": None}


def _objects(run: Run, wish: Wish, goal: Goal, reached: t.Sequence[Goal], progress: Progress) -> t.Iterator[Object]:
    _request, entries = _writes(wish, [goal])
    found = progress.seen.get(goal.name)
    done = goal in reached
    if run.gate.check_mode:
        word = f"would be {wish.state}" if entries else "unchanged"
    elif done:
        word = wish.state if entries else "unchanged"
    else:
        word = f"not {wish.state}"
    why = "" if done or run.gate.check_mode else progress.why(goal.name)
    if wish.state == "deleted" and not run.gate.check_mode:
        there = {pod.uid for pod in found.pods} if found else set()
        for pod in goal.before.pods:
            left = pod.uid in there
            yield Object(pod.name, "pod", pod.uid, pod.uid if left else None, "not deleted" if left else "deleted", why)
        return
    yield Object(goal.name, "workload", _shown(goal.before), _shown(found), word, why)


def _shown(found: Workload | None) -> str | None:
    return None if found is None else found.describe().partition(" ")[2]
