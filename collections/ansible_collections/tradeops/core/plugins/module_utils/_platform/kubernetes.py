# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Deployments and their pods, as every profile may use them. Pure functions: lists of the API server in, facts out.

The API is JSON over HTTPS, so our own transport speaks it: no kubectl and no client library stand between an order to
stop and the cluster. Lists are read whole and anew each time: there is no watch that could be closed or fall behind.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from .._common.errors import InputError
from .._common.typed import Expression
from .profile import Answer, Auth, Profile, Read, Request, Service, State, Trading, TradingByWorkloads, Transition
from .states import STRICTNESS

NAME = "kubernetes"
# Every profile has this service and this auth, unless it describes them by itself.
SERVICE = Service(description="API server of the cluster")
AUTH = Auth(kind="bearer", token="kubernetes_token")  # noqa: S106 - the name of a secret, not its value
# A conflict, and a list whose beginning is gone, were not processed; neither is a server that is too busy.
_AGAIN = [
    Answer(status=409, means="limited", when=Expression("reason == 'Conflict'")),
    Answer(status=410, means="limited"),
]
_FINISHED = ("Succeeded", "Failed")
_RUNS = ("Running", "Pending")
# Where the number of pods before a stop is kept, so that a start brings it back.
REMEMBERED = "tradeops.core/replicas"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# What does not get better by itself in the time that an operator waits.
HOPELESS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)

Body = dict[str, t.Any]


def request(path: str, method: t.Any = "GET", **more: t.Any) -> Request:
    """Return a request to the API server; ``path`` may hold {namespace}."""
    return Request(
        path=path, method=method, service=NAME, auth=NAME, answers=[*more.pop("answers", ()), *_AGAIN], **more
    )


_APPS = "/apis/apps/v1/namespaces/{namespace}/deployments"
DEPLOYMENTS = request(_APPS)
PODS = request("/api/v1/namespaces/{namespace}/pods")
AUTOSCALERS = request("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers")
# The scale is a part of a Deployment of its own: a token may be allowed to change this and nothing else.
SCALE = request(f"{_APPS}/{{id}}/scale", "PATCH", encoding="merge_patch", body={"spec": {"replicas": "{replicas}"}})
PATCH = request(f"{_APPS}/{{id}}", "PATCH", encoding="merge_patch", body="{patch}")
# A pod that is gone, or whose name another pod has by now, is what was asked for.
DELETE_POD = request(
    "/api/v1/namespaces/{namespace}/pods/{pod}",
    "DELETE",
    body={"gracePeriodSeconds": 0, "preconditions": {"uid": "{uid}"}},
    answers=[Answer(status=404, means="done"), Answer(status=409, means="done")],
)


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod that is not finished: also one that is on its way out still runs. ``trouble``: what keeps it from Ready."""

    name: str
    uid: str
    template: str
    ready: bool
    leaving: bool
    trouble: str = ""
    hopeless: bool = False


@dataclasses.dataclass(frozen=True)
class Workload:
    """A Deployment and its pods. ``wanted``: its own number; ``told``: whether its controller has seen what it says.

    ``floor``: how few ready pods a rolling update leaves; None when it replaces all at once. ``remembered``: the number
    before a stop.
    """

    name: str
    wanted: int
    told: bool
    updated: int
    total: int
    available: int
    paused: bool
    floor: int | None
    remembered: int | None
    pods: tuple[Pod, ...]
    restarted: str = ""
    trouble: str = ""
    hopeless: bool = False

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods)

    def settled(self, number: int) -> bool:
        """Whether it is at ``number``, of one template, with nothing coming or going, told by controller and pods."""
        counts = (self.wanted, self.updated, self.total, self.available, len(self.pods), self.ready)
        one_template = len({pod.template for pod in self.pods}) <= 1
        return self.told and one_template and all(count == number for count in counts)

    def describe(self) -> str:
        """Say in a few words how it stands."""
        said = f"{self.name} {self.ready} of {self.wanted} ready"
        left = len(self.pods) - self.wanted
        if left > 0:
            said += f", {left} pod{'s' * (left > 1)} more still run{'s' * (left == 1)}"
        return said

    def why(self) -> str:
        """Say what keeps it from getting ready, as the cluster says it, or return an empty text."""
        troubles = [self.trouble, *sorted({pod.trouble for pod in self.pods})]
        said = [text for text in troubles if text]
        if not self.told:
            said.append("its controller has not acted on it yet")
        return "; ".join(said)

    def to_dict(self) -> Body:
        templates = sorted({pod.template for pod in self.pods})
        return {"replicas": self.wanted, "ready": self.ready, "pods": len(self.pods), "templates": templates}


class Misshapen(Exception):
    """A list of the API server does not look like one."""


def observe(deployments: t.Any, pods: t.Any) -> dict[str, Workload]:
    """Return the Deployments of two lists by name, each with its pods. Raises Misshapen."""
    try:
        return {item["metadata"]["name"]: _workload(item, _items(pods)) for item in _items(deployments)}
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise Misshapen(f"the lists of the API server have another shape than expected: {exc!r}") from exc


def selects(selector: Body, labels: t.Mapping[str, str]) -> bool:
    """Whether a label selector selects an object with these labels."""
    for rule in selector.get("matchExpressions") or ():
        there, operator = rule["key"] in labels, rule["operator"]
        among = labels.get(rule["key"]) in (rule.get("values") or ())
        fits = {"In": among, "NotIn": not among, "Exists": there, "DoesNotExist": not there}
        if not fits.get(operator, False):
            return False
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


def autoscalers(body: t.Any) -> dict[str, Body]:
    """Return what scales Deployments by itself: name of the Deployment -> name, least and most. Raises Misshapen."""
    found = {}
    try:
        for item in _items(body):
            spec = item["spec"]
            if spec["scaleTargetRef"]["kind"] == "Deployment":
                least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
                name = item["metadata"]["name"]
                found[spec["scaleTargetRef"]["name"]] = {"name": name, "least": least, "most": most}
    except (KeyError, TypeError, AttributeError) as exc:
        raise Misshapen(f"the list of autoscalers has another shape than expected: {exc!r}") from exc
    return found


# -- trading states as numbers of pods -----------------------------------------------------------------------------


class Counted(Expression):
    """What two lists of the API server say of trading: one of the states, or a sentence that is none of them."""

    states: dict[State, dict[str, int]]
    resting: dict[State, dict[str, int]]

    @classmethod
    def of(cls, states: dict[State, dict[str, int]], resting: dict[State, dict[str, int]]) -> Counted:
        found = cls("pods of " + " and ".join(sorted({name for numbers in states.values() for name in numbers})))
        found.states, found.resting = states, resting
        return found

    def search(self, value: t.Any) -> str:
        try:
            seen = observe(value["deployments"], value["pods"])
        except Misshapen as exc:
            return str(exc)
        # The strictest that fits: what has all its pods at 0 is also what has some of them at 0.
        for state in sorted(self.states, key=STRICTNESS.__getitem__, reverse=True):
            if all(_at(seen.get(name), number) for name, number in self.states[state].items()):
                return state
        names = dict.fromkeys(name for numbers in self.states.values() for name in numbers)
        if all(name in seen and seen[name].settled(seen[name].wanted) for name in names):
            for state, numbers in self.resting.items():
                if all(_at(seen[name], number) for name, number in numbers.items()):
                    return state
        return ", ".join(seen[name].describe() if name in seen else f"there is no Deployment {name}" for name in names)


def _at(found: Workload | None, number: int) -> bool:
    if found is None:
        return False
    # More pods than usual, as an autoscaler makes them, are as good.
    return found.wanted == len(found.pods) == 0 if number == 0 else min(found.wanted, found.ready) >= number


def compiled(given: TradingByWorkloads, numbers: t.Mapping[str, int]) -> Trading:
    """Return the trading capability that the numbers of pods make; ``numbers`` of the site go before the profile's."""
    states: dict[State, dict[str, int]] = {
        state: {name: numbers.get(name, number) if number else 0 for name, number in pods.items()}
        for state, pods in given.states.items()
    }
    value = Counted.of(states, given.resting)
    return Trading(
        read=Read(
            sources={"deployments": DEPLOYMENTS, "pods": PODS},
            value=value,
            map={state: state for state in states},
            why=value,
        ),
        transitions=[
            Transition(
                request=SCALE,
                each=[{"id": name, "replicas": number} for name, number in pods.items()],
                to=state,
                from_=[other for other in states if other != state],
                repeatable=True,
                blind=max(pods.values()) == 0,
            )
            for state, pods in states.items()
        ],
        witness=given.witness,
        levels=given.levels,
    )


def equipped(profile: Profile, numbers: t.Mapping[str, int] | None = None) -> Profile:
    """Return a profile that knows the cluster, with its trading capability where that is made from numbers of pods."""
    able = profile.capabilities
    if able.trading_by_workloads:
        able = dataclasses.replace(able, trading=compiled(able.trading_by_workloads, numbers or {}))
    services, auth = {**profile.services}, {**profile.auth}
    services.setdefault(NAME, SERVICE)
    auth.setdefault(NAME, AUTH)
    return dataclasses.replace(profile, services=services, auth=auth, capabilities=able)


# -- what a site says of its workloads -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fact:
    """One entry of ``tradeops_workloads``. ``stops``: its place in stopping. ``replicas``: its usual number.
    ``budget``: seconds to be proven in."""

    name: str
    stage: int = 1
    stops: int = -1
    replicas: int | None = None
    budget: float | None = None


def facts(given: t.Iterable[t.Mapping[str, t.Any]], site: str) -> list[Fact]:
    """Return the workloads of a site as facts, in their order. Other keys are for other runtimes. Raises InputError."""
    found: dict[str, Fact] = {}
    for number, entry in enumerate(given, 1):
        name = entry.get("name")
        if not isinstance(name, str) or not name or name in found:
            problem = f"entry {number} has " + ("no name" if not name else f"the name {name!r} once more or as no text")
            raise InputError(f"{site}: tradeops_workloads: {problem}. Nothing was sent.")
        stage, replicas, budget = entry.get("stage", 1), entry.get("replicas"), entry.get("budget")
        stops = entry.get("stops")
        for key, value, kind in (
            ("stops", stops, int),
            ("stage", stage, int),
            ("replicas", replicas, int),
            ("budget", budget, (int, float)),
        ):
            fits = isinstance(value, kind) and not isinstance(value, bool) and 0 <= value < math.inf
            if value is not None and not (fits and (key != "budget" or value > 0)):
                raise InputError(
                    f"{site}: tradeops_workloads: {key} of {name} is {value!r}; give a number, "
                    f"{'more than 0' if key == 'budget' else '0 or more, without a fraction'}. Nothing was sent."
                )
        found[name] = Fact(name, stage, -stage if stops is None else stops, replicas, budget)
    return list(found.values())


def numbers(given: t.Iterable[Fact]) -> dict[str, int]:
    """Return the usual numbers of pods."""
    return {fact.name: fact.replicas for fact in given if fact.replicas is not None}


# -- from the objects of the API -----------------------------------------------------------------------------------


def _items(body: t.Any) -> list[t.Any]:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise Misshapen("the API server answered with no list")
    return items


def _workload(item: Body, pods: list[t.Any]) -> Workload:
    meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    wanted = spec.get("replicas", 1)
    own = tuple(
        _pod(pod) for pod in pods if selects(spec["selector"], pod["metadata"].get("labels") or {}) and _runs(pod)
    )
    told = status.get("observedGeneration", 0) >= meta.get("generation", 1)
    trouble, hopeless = _conditions(status.get("conditions") or ())
    kept = (meta.get("annotations") or {}).get(REMEMBERED, "")
    return Workload(
        name=meta["name"],
        wanted=wanted,
        told=told,
        updated=status.get("updatedReplicas", 0),
        total=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
        paused=bool(spec.get("paused", False)),
        floor=_floor(spec.get("strategy") or {}, wanted),
        remembered=int(kept) if kept.isdecimal() else None,
        pods=own,
        restarted=(spec["template"]["metadata"].get("annotations") or {}).get(RESTARTED, ""),
        trouble=trouble if told else "",
        hopeless=hopeless and told,
    )


def _runs(pod: Body) -> bool:
    return (pod.get("status") or {}).get("phase") not in _FINISHED


def _pod(item: Body) -> Pod:
    meta, status = item["metadata"], item.get("status") or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    ready = conditions.get("Ready", {}).get("status") == "True"
    trouble, hopeless = _pod_trouble(meta["name"], status, conditions)
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        template=(meta.get("labels") or {}).get("pod-template-hash", ""),
        ready=ready and not meta.get("deletionTimestamp"),
        leaving=bool(meta.get("deletionTimestamp")),
        trouble="" if ready else trouble,
        hopeless=hopeless and not ready,
    )


def _pod_trouble(name: str, status: Body, conditions: t.Mapping[str, Body]) -> tuple[str, bool]:
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in HOPELESS:
            restarts = f", {container['restartCount']} restarts" if container.get("restartCount") else ""
            ended = (container.get("lastState") or {}).get("terminated") or {}
            code = f", last ended with {ended['exitCode']}" if "exitCode" in ended else ""
            return f"{name}: {reason}{restarts}{code}{_said(waiting)}", True
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{name}: {scheduled.get('reason', 'not scheduled')}{_said(scheduled)}", False
    if status.get("phase") not in _RUNS:
        return f"{name}: phase {status.get('phase', 'unknown')}{_said(status)}", False
    return "", False


def _conditions(conditions: t.Iterable[Body]) -> tuple[str, bool]:
    """Return what the controller of a Deployment says is wrong, such as a quota that is used up."""
    for entry in conditions:
        failed = entry["type"] == "ReplicaFailure" and entry["status"] == "True"
        stuck = entry["type"] == "Progressing" and entry["status"] == "False"
        if failed or (stuck and entry.get("reason") == "ProgressDeadlineExceeded"):
            return f"{entry.get('reason', entry['type'])}{_said(entry)}", True
    return "", False


def _said(entry: Body) -> str:
    message = " ".join(str(entry.get("message") or "").split())
    return f" ({message})" if message else ""


def _floor(strategy: Body, wanted: int) -> int | None:
    """Return how many pods a rolling update leaves ready: percentages round in favour of what runs."""
    if strategy.get("type") == "Recreate":
        return None
    rolling = strategy.get("rollingUpdate") or {}
    gone = _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    more = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    return max(0, wanted - (gone or (0 if more else 1)))


def _share(value: t.Any, wanted: int, rounded: t.Callable[[float], int]) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return rounded(wanted * int(value[:-1]) / 100)
    return int(value)
