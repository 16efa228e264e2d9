# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny API server with Deployments and pods, and the controllers behind it, which misbehave on command."""

from __future__ import annotations

import copy
import itertools
import typing as t

from ansible_collections.tradeops.core.tests.unit.fake_platform import Platform, Request

TOKEN = "sa-77c1e0-token"
NAMESPACE = "bench"
_APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_PODS = f"/v1/namespaces/{NAMESPACE}/pods"  # the server takes /api off
_SCALERS = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"

Object = dict[str, t.Any]


class Cluster(Platform):
    """Every read is a turn of the controllers. ``dead``: they do nothing. ``lingering``: pods that leave stay as long
    as this many turns. ``surge``: how many new pods a turn makes ready. ``trouble``: Deployment -> reason why its new
    pods do not start."""

    def __init__(self, **numbers: int) -> None:
        super().__init__()
        self.deployments: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.scalers: list[Object] = []
        self.dead = False
        self.lingering = 0
        self.surge = 100
        self.trouble: dict[str, str] = {}
        self.careless = False
        self._numbers = itertools.count(1)
        for name, number in numbers.items():
            self.add(name.replace("_", "-"), number)
        self.turn()

    def add(self, name: str, number: int) -> None:
        labels = {"app": name}
        self.deployments[name] = {
            "metadata": {"name": name, "generation": 1, "annotations": {}},
            "spec": {
                "replicas": number,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "template": {
                    "metadata": {"labels": labels, "annotations": {}},
                    "spec": {"containers": [{"name": name, "image": f"{name}:1"}]},
                },
            },
            "status": {"observedGeneration": 0},
        }

    def numbers(self) -> dict[str, int]:
        return {name: item["spec"]["replicas"] for name, item in self.deployments.items()}

    def of(self, name: str) -> list[Object]:
        return [pod for pod in self.pods.values() if pod["metadata"]["labels"]["app"] == name]

    # -- the API -------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[int, t.Any]:
        with self.lock:
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return 401, _no("Unauthorized", "Unauthorized")
            if request.method == "GET":
                self.turn()
                found = {_APPS: self.deployments.values(), _PODS: self.pods.values(), _SCALERS: self.scalers}
                if request.path in found:
                    return 200, copy.deepcopy({"kind": "List", "items": list(found[request.path])})
            path, _slash, name = request.path.removesuffix("/scale").rpartition("/")
            if request.method == "PATCH" and path == _APPS and name in self.deployments:
                if request.headers.get("content-type") != "application/merge-patch+json":
                    return 415, _no("UnsupportedMediaType", "what is this?")
                before = copy.deepcopy(self.deployments[name]["spec"])
                _merge(self.deployments[name], request.body)
                if self.deployments[name]["spec"] != before:
                    self.deployments[name]["metadata"]["generation"] += 1
                return 200, copy.deepcopy(self.deployments[name])
            if request.method == "DELETE" and path == _PODS and name in self.pods:
                if request.body["preconditions"]["uid"] != self.pods[name]["metadata"]["uid"]:
                    return 409, _no("Conflict", "the uid is another")
                del self.pods[name]
                return 200, {"kind": "Status", "status": "Success"}
            return 404, _no("NotFound", f'"{name}" not found')

    # -- the controllers -----------------------------------------------------------------------------------------

    def turn(self) -> None:
        for name in [key for key, pod in self.pods.items() if pod["turns"] is not None]:
            self.pods[name]["turns"] -= 1
            if self.pods[name]["turns"] < 0 and not self.dead:
                del self.pods[name]
        if not self.dead:
            for name, item in self.deployments.items():
                self._control(name, item)

    def _control(self, name: str, item: Object) -> None:
        wanted, template = item["spec"]["replicas"], _hash(item)
        staying = [pod for pod in self.of(name) if pod["turns"] is None]
        new = [pod for pod in staying if pod["metadata"]["labels"]["pod-template-hash"] == template]
        old = [pod for pod in staying if pod not in new]
        for pod in new[wanted:] + (old if self.careless else old[: max(0, len(staying) - wanted)]):
            self._leave(pod)
        ready = [pod for pod in new if _ready(pod)]
        for _one in range(min(wanted - len(new), self.surge)):
            self._start(name, template)
        for pod in old[: len(ready)]:
            self._leave(pod)
        staying = [pod for pod in self.of(name) if pod["turns"] is None]
        new = [pod for pod in staying if pod["metadata"]["labels"]["pod-template-hash"] == template]
        item["status"] = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(staying),
            "updatedReplicas": len(new),
            "availableReplicas": sum(map(_ready, staying)),
            "conditions": item["status"].get("conditions", []),
        }

    def _leave(self, pod: Object) -> None:
        if pod["turns"] is None:
            pod["turns"] = self.lingering
            pod["metadata"]["deletionTimestamp"] = "2026-11-25T00:00:00Z"
            if not self.lingering:
                self.pods.pop(pod["metadata"]["name"], None)

    def _start(self, name: str, template: str) -> None:
        key = f"{name}-{template}-{next(self._numbers)}"
        reason = self.trouble.get(name, "")
        waiting = {"waiting": {"reason": reason, "message": f"{name} does not start"}} if reason else {"running": {}}
        self.pods[key] = {
            "metadata": {"name": key, "uid": f"uid-{key}", "labels": {"app": name, "pod-template-hash": template}},
            "status": {
                "phase": "Pending" if reason else "Running",
                "conditions": [{"type": "Ready", "status": "False" if reason else "True"}],
                "containerStatuses": [{"name": name, "restartCount": 3 if reason else 0, "state": waiting}],
            },
            "turns": None,
        }


def _ready(pod: Object) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


def _hash(item: Object) -> str:
    template = item["spec"]["template"]
    return f"{abs(hash(str([template['metadata']['annotations'], template['spec']]))) % 10**8:08d}"


def _merge(target: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _no(reason: str, message: str) -> Object:
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
