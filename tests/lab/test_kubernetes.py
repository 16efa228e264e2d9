# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the lab: a real API server whose pods and answers can be told to misbehave, and which sites obey."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
import typing as t
import urllib.parse

import pytest
from simulator_ground import BUDGET, Ground, ground

GRAND, FLASH = "grandmodel-primary", "flashmm-primary"
TRADING = ("strategic-marl", "tactical-marl", "execution-engine")
ground = ground(GRAND, FLASH, kubernetes=True)


@pytest.fixture(autouse=True)
def _back_to_the_start(ground: Ground) -> None:
    for site in (GRAND, FLASH):
        ground.fresh(site, market=True)


def until(check: t.Callable[[], t.Any]) -> None:
    """Pods take turns for the processors, so they get more time than an answer does."""
    Ground.until(check, 90.0)


def deployment(ground: Ground, name: str, site: str = GRAND) -> dict[str, t.Any]:
    answer = ground.kubernetes(site, "GET", f"apis/apps/v1 deployments/{name}")
    assert answer.status == 200, answer.body
    return t.cast("dict[str, t.Any]", answer.json)


def patch(ground: Ground, name: str, change: t.Any, site: str = GRAND) -> None:
    kind = "strategic-merge-patch"
    answer = ground.kubernetes(site, "PATCH", f"apis/apps/v1 deployments/{name}", change, kind=kind)
    assert answer.status == 200, answer.body


def scale(ground: Ground, name: str, replicas: int, site: str = GRAND) -> None:
    patch(ground, name, {"spec": {"replicas": replicas}}, site)


def suffer(ground: Ground, name: str, **annotations: str) -> None:
    named = {f"tradeops.lab/{key.replace('_', '-')}": value for key, value in annotations.items()}
    patch(
        ground,
        name,
        {
            "spec": {
                "strategy": {"type": "Recreate", "rollingUpdate": None},
                "template": {"metadata": {"annotations": named}},
            }
        },
    )


def pods(ground: Ground, name: str, site: str = GRAND) -> list[dict[str, t.Any]]:
    answer = ground.kubernetes(site, "GET", f"api/v1 pods?labelSelector=app%3D{name}")
    return t.cast("list[dict[str, t.Any]]", answer.json["items"])


def is_ready(pod: dict[str, t.Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def readiness(ground: Ground, name: str) -> list[bool]:
    return [is_ready(pod) for pod in pods(ground, name)]


def states(ground: Ground, name: str) -> list[dict[str, t.Any]]:
    return [status for pod in pods(ground, name) for status in pod["status"].get("containerStatuses", [])]


def waiting(ground: Ground, name: str) -> set[str]:
    return {status["state"].get("waiting", {}).get("reason", "") for status in states(ground, name)}


# -- what is there -----------------------------------------------------------------------------------------------------


def test_every_workload_of_the_sources_is_there_and_ready(ground: Ground) -> None:
    items = ground.kubernetes(GRAND, "GET", "apis/apps/v1 deployments").json["items"]
    ready = {item["metadata"]["name"]: item["status"].get("readyReplicas") for item in items}
    expected = {"strategic-marl": 2, "tactical-marl": 3, "risk-management": 2, "execution-engine": 2}
    assert ready == {**expected, "data-handler": 3, "api-gateway": 2, "auth-service": 2}
    assert deployment(ground, "flashmm-app", FLASH)["status"]["readyReplicas"] == 3
    for path in ("api/v1 services/postgresql", "api/v1 configmaps/redis-config", "api/v1 secrets/flashmm-secrets"):
        assert ground.kubernetes(FLASH, "GET", path).status == 200, path
    scaler = ground.kubernetes(FLASH, "GET", "apis/autoscaling/v2 horizontalpodautoscalers/flashmm-hpa").json
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 20)


def test_a_token_is_good_for_the_namespace_of_its_site_alone(ground: Ground) -> None:
    path = f"/api/v1/namespaces/{FLASH}/pods"
    assert ground.kubernetes(FLASH, "GET", path).status == 200
    assert ground.kubernetes(GRAND, "GET", path).status == 403
    assert ground.kubernetes(GRAND, "GET", "/api/v1/nodes").status == 403
    assert ground.kubernetes(GRAND, "GET", path, token="made-up").status == 401


# -- sites obey --------------------------------------------------------------------------------------------------------


def test_grandmodel_stops_with_its_pods_and_starts_with_them(ground: Ground) -> None:
    assert ground.truth(GRAND)["state"] == "active"
    for name in TRADING:
        scale(ground, name, 0)
    until(lambda: ground.truth(GRAND)["state"] == "stopped")
    accepted = ground.truth(GRAND)["orders_accepted"]
    time.sleep(0.6)  # at five orders a second one would have come
    assert ground.truth(GRAND)["orders_accepted"] == accepted
    agents = {agent["name"]: agent["status"] for agent in ground.call(GRAND, "GET", "/v1/agents/status").json["agents"]}
    assert agents["strategic-marl"] == "scaled_to_zero"
    for name, replicas in zip(TRADING, (2, 3, 2), strict=True):
        scale(ground, name, replicas)
    until(lambda: ground.truth(GRAND)["orders_accepted"] > accepted)


def test_a_pod_that_takes_its_time_to_end_trades_on(ground: Ground) -> None:
    suffer(ground, "execution-engine", terminates_after="300")
    slow = "tradeops.lab/terminates-after"
    until(lambda: all(slow in pod["metadata"].get("annotations", {}) for pod in pods(ground, "execution-engine")))
    until(lambda: readiness(ground, "execution-engine") == [True, True])
    for name in TRADING:
        scale(ground, name, 0)
    until(lambda: deployment(ground, "execution-engine")["status"].get("replicas", 0) == 0)
    # The API server says that there is none, and the pods are still at work.
    assert len(pods(ground, "execution-engine")) == 2
    until(lambda: ground.truth(GRAND)["state"] == "reducing")
    assert readiness(ground, "execution-engine") == [True, True]
    for pod in pods(ground, "execution-engine"):
        path = f"api/v1 pods/{pod['metadata']['name']}?gracePeriodSeconds=0"
        assert ground.kubernetes(GRAND, "DELETE", path).status == 200
    until(lambda: ground.truth(GRAND)["state"] == "stopped")


def test_flashmm_neither_answers_nor_trades_without_pods(ground: Ground) -> None:
    scale(ground, "flashmm-app", 0, FLASH)
    until(lambda: ground.call(FLASH, "GET", "/api/v1/trading/status").status == 503)
    until(lambda: ground.truth(FLASH)["workloads"]["running"]["flashmm-app"] == 0)
    accepted = ground.truth(FLASH)["orders_accepted"]
    time.sleep(0.6)
    assert ground.truth(FLASH)["orders_accepted"] == accepted
    scale(ground, "flashmm-app", 3, FLASH)
    until(lambda: ground.call(FLASH, "GET", "/api/v1/trading/status").status == 200)
    until(lambda: ground.truth(FLASH)["orders_accepted"] > accepted)


def test_reset_puts_everything_back(ground: Ground) -> None:
    scale(ground, "strategic-marl", 5)
    suffer(ground, "tactical-marl", fault="crash-loop")
    patch(ground, "risk-management", {"metadata": {"annotations": {"kept": "7"}}})
    green = deployment(ground, "data-handler")
    labels = {"app": "data-handler", "deployment": "green"}
    template = {"metadata": {"labels": labels}, "spec": green["spec"]["template"]["spec"]}
    green = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "data-handler-green"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    assert ground.kubernetes(GRAND, "POST", "apis/apps/v1 deployments", green).status == 201
    assert ground.kubernetes(GRAND, "DELETE", "api/v1 services/api-gateway").status == 200
    until(lambda: "CrashLoopBackOff" in waiting(ground, "tactical-marl"))
    workloads = ground.fresh(GRAND)["workloads"]
    assert workloads["replicas"] == workloads["ready"] == workloads["running"]
    assert workloads["replicas"]["strategic-marl"] == 2
    assert workloads["replicas"]["data-handler"] == 3
    assert "kept" not in deployment(ground, "risk-management")["metadata"].get("annotations", {})
    assert ground.kubernetes(GRAND, "GET", "apis/apps/v1 deployments/data-handler-green").status == 404
    assert ground.kubernetes(GRAND, "GET", "api/v1 services/api-gateway").status == 200
    assert readiness(ground, "tactical-marl") == [True, True, True]


# -- pods that suffer --------------------------------------------------------------------------------------------------


def test_a_pod_that_never_gets_ready(ground: Ground) -> None:
    suffer(ground, "strategic-marl", fault="never-ready")
    until(lambda: readiness(ground, "strategic-marl") == [False, False])
    until(lambda: all("running" in status["state"] for status in states(ground, "strategic-marl")))
    time.sleep(0.5)
    assert readiness(ground, "strategic-marl") == [False, False]
    until(lambda: ground.truth(GRAND)["state"] == "halted")


def test_a_pod_that_crashes_again_and_again(ground: Ground) -> None:
    suffer(ground, "strategic-marl", fault="crash-loop")
    until(lambda: waiting(ground, "strategic-marl") == {"CrashLoopBackOff"})
    until(lambda: min(status["restartCount"] for status in states(ground, "strategic-marl")) >= 2)
    assert readiness(ground, "strategic-marl") == [False, False]


def test_an_image_that_is_missing_is_told_by_its_tag(ground: Ground) -> None:
    container = {"name": "strategic-marl", "image": "grandmodel/strategic-marl:image-missing"}
    patch(ground, "strategic-marl", {"spec": {"template": {"spec": {"containers": [container]}}}})
    until(lambda: "ImagePullBackOff" in waiting(ground, "strategic-marl"))
    # A rolling update keeps the old pods while the new ones are not ready.
    assert deployment(ground, "strategic-marl")["status"]["readyReplicas"] == 2


def test_a_pod_that_is_ready_later(ground: Ground) -> None:
    suffer(ground, "strategic-marl", ready_after="2")
    until(lambda: readiness(ground, "strategic-marl") == [False, False])
    began = time.monotonic()
    until(lambda: readiness(ground, "strategic-marl") == [True, True])
    assert time.monotonic() - began > 1


# -- an API server that misbehaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (410, "Expired"), (503, "ServiceUnavailable")])
def test_an_error_before_acting(ground: Ground, status: int, reason: str) -> None:
    ground.faults(GRAND, {"kind": "error_before", "service": "kubernetes", "method": "PATCH", "status": status})
    path, change = "apis/apps/v1 deployments/strategic-marl", {"spec": {"replicas": 0}}
    answer = ground.kubernetes(GRAND, "PATCH", path, change, kind="merge-patch")
    assert (answer.status, answer.json["kind"], answer.json["reason"]) == (status, "Status", reason)
    assert deployment(ground, "strategic-marl")["spec"]["replicas"] == 2
    (entry,) = [row for row in ground.requests(GRAND) if row["method"] == "PATCH"]
    assert (entry["service"], entry["status"], entry["write"]) == ("kubernetes", status, True)
    assert entry["fault"] == "error_before"


def test_an_error_after_acting(ground: Ground) -> None:
    ground.faults(GRAND, {"kind": "error_after", "service": "kubernetes", "method": "PATCH", "status": 504, "times": 1})
    path, change = "apis/apps/v1 deployments/strategic-marl", {"spec": {"replicas": 0}}
    assert ground.kubernetes(GRAND, "PATCH", path, change, kind="merge-patch").status == 504
    assert deployment(ground, "strategic-marl")["spec"]["replicas"] == 0


def test_a_lie_and_a_promise_that_is_kept_later(ground: Ground) -> None:
    path, change = "apis/apps/v1 deployments/strategic-marl", {"spec": {"replicas": 0}}
    ground.faults(GRAND, {"kind": "lie", "service": "kubernetes"})
    answer = ground.kubernetes(GRAND, "PATCH", path, change, kind="merge-patch")
    assert (answer.status, answer.json["spec"]["replicas"]) == (200, 0)
    assert deployment(ground, "strategic-marl")["spec"]["replicas"] == 2
    ground.faults(GRAND, {"kind": "delay", "service": "kubernetes", "seconds": 2})
    answer = ground.kubernetes(GRAND, "PATCH", path, change, kind="merge-patch")
    assert (answer.status, answer.json["spec"]["replicas"]) == (200, 0)
    assert deployment(ground, "strategic-marl")["spec"]["replicas"] == 2
    until(lambda: deployment(ground, "strategic-marl")["spec"]["replicas"] == 0)


def test_slow_limited_and_half(ground: Ground) -> None:
    path = "apis/apps/v1 deployments/strategic-marl"
    ground.faults(GRAND, {"kind": "slow", "service": "kubernetes", "seconds": 0.4, "times": 1})
    began = time.monotonic()
    assert ground.kubernetes(GRAND, "GET", path).status == 200
    assert time.monotonic() - began > 0.4
    ground.faults(GRAND, {"kind": "rate_limit", "service": "kubernetes", "seconds": 2, "times": 1})
    answer = ground.kubernetes(GRAND, "GET", path)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
    ground.faults(GRAND, {"kind": "truncate", "service": "kubernetes", "times": 1})
    with pytest.raises(http.client.IncompleteRead):
        ground.kubernetes(GRAND, "GET", path)
    ground.faults(GRAND, {"kind": "expire_token", "service": "kubernetes", "times": 1})
    assert ground.kubernetes(GRAND, "GET", path).status == 401
    assert ground.kubernetes(GRAND, "GET", path).status == 200


def test_nobody_is_there_and_the_platform_goes_on(ground: Ground) -> None:
    ground.faults(GRAND, {"kind": "reset", "service": "kubernetes", "times": 1})
    with pytest.raises(ConnectionResetError):
        ground.kubernetes(GRAND, "GET", "api/v1 pods")
    ground.faults(GRAND, {"kind": "dead", "service": "kubernetes"})
    with pytest.raises(ConnectionRefusedError):
        ground.kubernetes(GRAND, "GET", "api/v1 pods")
    assert ground.call(GRAND, "GET", "/v1/system/status").status == 200
    assert ground.kubernetes(FLASH, "GET", "api/v1 pods").status == 200
    ground.faults(GRAND)
    assert ground.kubernetes(GRAND, "GET", "api/v1 pods").status == 200


def test_a_watch_goes_through_and_can_be_cut(ground: Ground) -> None:
    with _watch(ground) as events:
        scale(ground, "strategic-marl", 3)
        assert json.loads(events.readline())["type"] == "ADDED"
    ground.faults(GRAND, {"kind": "cut_watch", "service": "kubernetes", "seconds": 0.3})
    with _watch(ground) as events:
        began = time.monotonic()
        with pytest.raises(http.client.IncompleteRead):
            events.read()
        assert time.monotonic() - began < BUDGET
    assert ground.kubernetes(GRAND, "GET", "api/v1 pods").status == 200


@contextlib.contextmanager
def _watch(ground: Ground) -> t.Iterator[http.client.HTTPResponse]:
    """An open watch of the pods of GrandModel, from now on."""
    version = ground.kubernetes(GRAND, "GET", "api/v1 pods").json["metadata"]["resourceVersion"]
    plan = ground.lab["sites"][GRAND]
    parts = urllib.parse.urlsplit(plan["services"]["kubernetes"])
    context = ssl.create_default_context(cafile=f"{ground.lab['kubernetes']['folder']}/ca.crt")
    connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=BUDGET, context=context)
    headers = {"Authorization": f"Bearer {plan['secrets']['kubernetes_token']}"}
    connection.request("GET", f"/api/v1/namespaces/{GRAND}/pods?watch=1&resourceVersion={version}", headers=headers)
    with contextlib.closing(connection), connection.getresponse() as response:
        yield response
