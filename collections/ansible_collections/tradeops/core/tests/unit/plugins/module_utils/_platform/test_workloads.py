# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads of a site: each state planned, done, proven and done once; and what keeps it from being proven."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._platform import kubernetes
from ansible_collections.tradeops.core.tests.unit.fake_cluster import NAMESPACE, TOKEN, Cluster
from ansible_collections.tradeops.core.tests.unit.fake_platform import SECRETS

Do = t.Callable[..., dict[str, t.Any]]
FACTS = [
    {"name": "data", "stage": 1, "replicas": 3},
    {"name": "brain", "stage": 2, "replicas": 2},
    {"name": "hands", "stage": 2, "replicas": 2},
]


@pytest.fixture
def cluster() -> t.Iterator[Cluster]:
    served = Cluster(data=3, brain=2, hands=4)
    yield served
    served.close()


@pytest.fixture
def work(do: Do, cluster: Cluster) -> Do:
    def execute(state: str, **options: t.Any) -> dict[str, t.Any]:
        given = {
            "urls": {"kubernetes": cluster.url},
            "secrets": {**SECRETS, "kubernetes_token": TOKEN},
            "namespace": NAMESPACE,
            "workloads": FACTS,
            "wait_timeout": 10.0,
            "patience": 0.3,
        }
        return do("workloads", state=state, **(given | options))

    return execute


def writes(cluster: Cluster) -> list[str]:
    return [write.rpartition("/")[2] for write in cluster.writes]


@pytest.mark.parametrize(
    ("state", "options", "after"),
    [
        ("scaled", {}, {"data": 3, "brain": 2, "hands": 2}),
        ("scaled", {"replicas": {"brain": 5}}, {"data": 3, "brain": 5, "hands": 2}),
        ("scaled", {"names": ["data"], "replicas": {"data": 1}}, {"data": 1, "brain": 2, "hands": 4}),
        ("stopped", {}, {"data": 0, "brain": 0, "hands": 0}),
        ("stopped", {"names": ["brain"]}, {"data": 3, "brain": 0, "hands": 4}),
    ],
)
def test_planned_done_and_left_alone(
    work: Do, cluster: Cluster, state: str, options: dict[str, t.Any], after: dict[str, int]
) -> None:
    before = cluster.numbers()
    planned = work(state, check=True, **options)
    assert (planned["result"], planned["changed"], cluster.writes) == ("planned", True, [])

    done = work(state, **options)
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert cluster.numbers() == after
    assert len(cluster.writes) == len(planned["plan"]) == sum(before[name] != after[name] for name in after)
    assert {name: seen["ready"] for name, seen in done["after"].items()} == {
        name: after[name] for name in done["after"]
    }
    assert {name: seen["replicas"] for name, seen in planned["after"].items()} == {
        name: after[name] for name in planned["after"]
    }

    again = work(state, **options)
    assert (again["result"], again["changed"], len(cluster.writes)) == ("unchanged", False, len(planned["plan"]))
    assert {item["result"] for item in again["proof"]["objects"]} == {"unchanged"}
    assert again["proof"]["sources"][0]["source"] == "deployments"


def test_a_stop_goes_down_the_stages_and_a_start_up_to_what_was_there(work: Do, cluster: Cluster) -> None:
    assert work("stopped")["result"] == "proven"
    assert (sorted(writes(cluster)[:2]), writes(cluster)[2:]) == (["brain", "hands"], ["data"])
    cluster.requests.clear()
    done = work("started")
    assert done["result"] == "proven", done["msg"]
    assert cluster.numbers() == {"data": 3, "brain": 2, "hands": 4}  # and not the usual 2
    assert (writes(cluster)[0], sorted(writes(cluster)[1:])) == ("data", ["brain", "hands"])
    assert all(kubernetes.REMEMBERED not in item["metadata"]["annotations"] for item in cluster.deployments.values())
    assert work("started")["result"] == "unchanged"


def test_a_stage_is_proven_before_the_next_begins(work: Do, cluster: Cluster) -> None:
    cluster.lingering = 10**6
    result = work("stopped", wait_timeout=1.5)
    assert result["result"] == "unproven"
    assert cluster.numbers() == {"data": 3, "brain": 0, "hands": 0}
    assert "brain 0 of 0 ready, 2 pods more still run after" in result["msg"]
    fates = {item["id"]: item["result"] for item in result["proof"]["objects"]}
    assert fates == {"data": "not stopped", "brain": "not stopped", "hands": "not stopped"}


def test_the_budget_of_a_workload_goes_before_that_of_all(work: Do, cluster: Cluster) -> None:
    cluster.dead = True
    result = work("stopped", workloads=[{"name": "data", "budget": 1.5}], wait_timeout=60.0)
    assert result["result"] == "unproven"
    assert result["proof"]["elapsed"] < 30
    assert "its controller has not acted on it yet" in result["msg"]


def test_a_restart_replaces_every_pod_and_says_when_too_few_stayed(work: Do, cluster: Cluster) -> None:
    cluster.surge = 1
    before = set(cluster.pods)
    planned = work("restarted", check=True)
    assert (planned["result"], len(planned["plan"]), cluster.writes) == ("planned", 3, [])
    done = work("restarted")
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert not before & set(cluster.pods)
    assert cluster.numbers() == {"data": 3, "brain": 2, "hands": 4}

    cluster.careless = True
    result = work("restarted", names=["hands"])
    assert result["result"] == "unproven"
    assert "hands was down to" in result["msg"]
    assert "at least 3 were to stay" in result["msg"]


def test_deleted_pods_are_gone_by_their_uid(work: Do, cluster: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.of("hands")}
    assert work("deleted", names=["hands"], check=True)["result"] == "planned"
    done = work("deleted", names=["hands"])
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert [item["result"] for item in done["proof"]["objects"]] == ["deleted"] * 4
    assert len(cluster.of("hands")) == 4
    assert not before & {pod["metadata"]["uid"] for pod in cluster.of("hands")}
    deleted = next(request for request in cluster.requests if request.method == "DELETE")
    assert deleted.body["gracePeriodSeconds"] == 0


def test_pods_that_cannot_be_deleted_are_told(work: Do, cluster: Cluster) -> None:
    cluster.fault("lie", "DELETE", "*")
    result = work("deleted", names=["brain"], wait_timeout=1.5)
    assert result["result"] == "unproven"
    assert "brain: 2 of 2 pods are still there" in result["msg"]


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError"])
def test_what_does_not_get_better_is_given_up_early_and_says_why(work: Do, cluster: Cluster, reason: str) -> None:
    cluster.trouble["hands"] = reason
    result = work("scaled", names=["hands"], replicas={"hands": 6}, wait_timeout=60.0)
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert result["proof"]["elapsed"] < 30
    assert f"{reason}, 3 restarts (hands does not start)" in result["msg"]
    assert "hands 4 of 6 ready" in result["msg"]


def test_a_quota_that_is_used_up_is_told(work: Do, cluster: Cluster) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}
    cluster.deployments["hands"]["status"]["conditions"] = [failure]
    cluster.trouble["hands"] = "ContainerCreating"
    result = work("scaled", names=["hands"], replicas={"hands": 6}, wait_timeout=60.0)
    assert "FailedCreate (exceeded quota: pods)" in result["msg"]
    assert result["proof"]["elapsed"] < 30


def test_pods_that_are_only_slow_have_their_time(work: Do, cluster: Cluster) -> None:
    cluster.surge = 1
    assert work("scaled", names=["hands"], replicas={"hands": 9})["result"] == "proven"


@pytest.mark.parametrize("kind", ["hang", "reset", "reset_after", "error_after"])
def test_a_write_of_unknown_fate_is_read_back(work: Do, cluster: Cluster, kind: str) -> None:
    cluster.fault(kind, "PATCH", "*/hands", times=1)
    result = work("stopped", wait_timeout=15.0)
    assert result["result"] == "proven", result["msg"]
    assert cluster.numbers()["hands"] == 0


@pytest.mark.parametrize(("status", "body"), [(409, {"kind": "Status", "reason": "Conflict"}), (429, {})])
def test_what_was_not_processed_is_sent_again(work: Do, cluster: Cluster, status: int, body: dict[str, t.Any]) -> None:
    cluster.fault("answer", "PATCH", "*/hands", times=1, status=status, body=body)
    assert work("stopped")["result"] == "proven"


def test_lists_that_fail_for_a_while_do_not_end_the_wait(work: Do, cluster: Cluster) -> None:
    cluster.fault("answer", "GET", "/v1/*", skip=2, times=5, status=503, body={})
    cluster.fault("answer", "GET", "/apis/apps/*", skip=2, times=4, status=410, body={})
    assert work("stopped")["result"] == "proven"


def test_a_cluster_that_goes_away_is_not_proven(work: Do, cluster: Cluster) -> None:
    cluster.fault("reset", "GET", "*", skip=2)
    result = work("stopped", wait_timeout=1.5)
    assert result["result"] == "unproven"
    assert "the cluster cannot be read: GET" in result["msg"]


def test_a_cluster_that_is_gone_is_unreachable(work: Do, cluster: Cluster) -> None:
    cluster.fault("reset")
    result = work("stopped", wait_timeout=1.5)
    assert (result["result"], result["changed"]) == ("unreachable", False)


def test_a_refusal_is_told_and_what_was_changed_too(work: Do, cluster: Cluster) -> None:
    body = {"kind": "Status", "reason": "Forbidden", "message": "hands is forbidden"}
    cluster.fault("answer", "PATCH", "*/hands", status=403, body=body)
    result = work("stopped", wait_timeout=2.0)
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert "hands is forbidden" in result["msg"]
    refused = work("stopped", names=["hands"])
    assert (refused["result"], refused["changed"]) == ("refused", False)


def test_an_autoscaler_is_not_fought(work: Do, cluster: Cluster) -> None:
    target = {"kind": "Deployment", "name": "hands"}
    cluster.scalers = [
        {"metadata": {"name": "auto"}, "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 6}}
    ]
    result = work("scaled", names=["hands"], replicas={"hands": 2})
    assert (result["result"], cluster.writes) == ("refused", [])
    assert "the autoscaler auto keeps it between 3 and 6" in result["msg"]
    done = work("scaled", names=["hands"], replicas={"hands": 5})
    assert done["result"] == "proven"
    assert done["notes"] == ["the autoscaler auto may change the number of hands again"]
    assert work("stopped", names=["hands"])["result"] == "proven"  # at 0 an autoscaler rests


@pytest.mark.parametrize(
    ("state", "options", "text"),
    [
        ("stopped", {"names": ["nobody"]}, "the namespace has no Deployment nobody; it has brain, data, hands"),
        ("stopped", {"workloads": []}, "no workload is named"),
        ("scaled", {"names": ["hands"], "workloads": []}, "how many pods hands shall have is said nowhere"),
        ("scaled", {"names": ["hands"], "replicas": {"brain": 1}}, "replicas names brain, which are not asked for"),
        ("scaled", {"replicas": {"brain": -1}}, "replicas of brain is -1; give a whole number"),
        ("scaled", {"replicas": {"brain": "2"}}, "replicas of brain is '2'; give a whole number"),
        ("stopped", {"patience": -1.0}, "patience is -1"),
        ("stopped", {"namespace": None}, "tradeops_namespace is not given"),
    ],
)
def test_wrong_input_is_one_sentence(
    work: Do, cluster: Cluster, state: str, options: dict[str, t.Any], text: str
) -> None:
    result = work(state, **options)
    assert (result["result"], cluster.writes) == ("refused", [])
    assert text in result["msg"]


def test_what_cannot_be_restarted_is_refused(work: Do, cluster: Cluster) -> None:
    cluster.deployments["brain"]["spec"]["paused"] = True
    assert "brain is paused" in work("restarted", names=["brain"])["msg"]
    work("stopped", names=["hands"])
    assert "hands has no pods to restart; start it" in work("restarted", names=["hands"])["msg"]


def test_a_restart_of_all_leaves_alone_what_has_no_pods(work: Do, cluster: Cluster) -> None:
    assert work("stopped", names=["brain", "hands"])["result"] == "proven"
    done = work("restarted")
    assert (done["result"], sorted(done["after"])) == ("proven", ["data"]), done["msg"]
    assert "without pods, and left so: brain, hands" in done["notes"]
    assert cluster.numbers() == {"data": 3, "brain": 0, "hands": 0}


def test_one_look_serves_all(work: Do, cluster: Cluster) -> None:
    """The requests do not grow with the workloads."""
    for number in range(30):
        cluster.add(f"more-{number}", 1)
    cluster.turn()
    cluster.requests.clear()
    names = [f"more-{number}" for number in range(30)]
    assert work("stopped", names=names)["result"] == "proven"
    assert (len(cluster.writes), len(cluster.requests) - len(cluster.writes)) == (30, 4)
