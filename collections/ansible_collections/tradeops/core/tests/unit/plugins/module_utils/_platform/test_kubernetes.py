# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trading states as numbers of pods: the pure functions, and a stop and a start through them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, ProfileError
from ansible_collections.tradeops.core.plugins.module_utils._platform import kubernetes, profiles
from ansible_collections.tradeops.core.tests.unit.fake_cluster import NAMESPACE, TOKEN, Cluster
from ansible_collections.tradeops.core.tests.unit.fake_platform import SECRETS, Platform

PROFILE = """
name: pods
title: A platform of pods
services:
  api: {path: /api}
auth:
  operator: {kind: bearer, token: token}
capabilities:
  trading_by_workloads:
    states:
      halted: {brain: 0, hands: 0}
      active: {brain: 2, hands: 3}
    witness:
      sources: {metrics: {path: /metrics}}
      marker: metrics.accepted
      quiet: 0.02
  orders:
    list: {request: {path: /orders}, select: orders, fields: {id: id, symbol: symbol}}
"""
Do = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def cluster() -> t.Iterator[Cluster]:
    served = Cluster(brain=2, hands=3, other=1)
    yield served
    served.close()


@pytest.fixture
def pods(do: Do, platform: Platform, cluster: Cluster) -> Do:
    """Run a verb on a site whose trading is made of pods, and whose API is that of the other fake platform."""
    platform.state = "HALT"  # nothing enters there by itself

    def execute(verb: str, **options: t.Any) -> dict[str, t.Any]:
        site = {
            "profile_text": PROFILE,
            "urls": {"api": platform.url, "kubernetes": cluster.url},
            "secrets": {**SECRETS, "kubernetes_token": TOKEN},
            "namespace": NAMESPACE,
        }
        return do(verb, **(site | options))

    return execute


def test_a_stop_scales_all_at_once_and_is_proven_by_the_pods(pods: Do, cluster: Cluster) -> None:
    planned = pods("trading_state", state="halted", check=True)
    assert (planned["result"], cluster.writes) == ("planned", [])
    scale = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{{}}/scale"
    assert [step["path"] for step in planned["plan"]] == [scale.format("brain"), scale.format("hands")]

    done = pods("trading_state", state="halted")
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert (done["before"]["state"], done["after"]["state"]) == ("active", "halted")
    assert cluster.numbers() == {"brain": 0, "hands": 0, "other": 1}
    assert sorted(cluster.writes) == sorted(f"PATCH {step['path']}" for step in planned["plan"])
    assert done["proof"]["witness"]["moved"] is False
    assert done["after"]["open_orders"] == 5
    assert "5 orders stay open: A platform of pods has no way to cancel them" in done["notes"][-1]

    again = pods("trading_state", state="halted")
    assert (again["result"], again["changed"], len(cluster.writes)) == ("unchanged", False, 2)


def test_a_start_takes_the_numbers_of_the_site(pods: Do, cluster: Cluster) -> None:
    pods("trading_state", state="halted")
    done = pods("trading_state", state="active", workloads=[{"name": "hands", "replicas": 5}])
    assert done["result"] == "proven", done["msg"]
    assert cluster.numbers() == {"brain": 2, "hands": 5, "other": 1}


def test_more_pods_than_usual_trade_too(pods: Do, cluster: Cluster) -> None:
    cluster.deployments["brain"]["spec"]["replicas"] = 4
    assert pods("trading_info", gather=["trading"])["trading"]["state"] == "active"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda cluster: cluster.pods.pop(cluster.of("hands")[0]["metadata"]["name"]),
            "brain 2 of 2 ready, hands 2 of 3 ready",
        ),
        (lambda cluster: cluster.deployments.pop("hands"), "brain 2 of 2 ready, there is no Deployment hands"),
        (
            lambda cluster: cluster.deployments["hands"]["spec"].update(replicas=0),
            "brain 2 of 2 ready, hands 3 of 0 ready, 3 pods more still run",
        ),
    ],
)
def test_anything_in_between_is_unknown_and_says_what(
    pods: Do, cluster: Cluster, spoil: t.Callable[[Cluster], t.Any], said: str
) -> None:
    cluster.dead = True
    spoil(cluster)
    found = pods("trading_info", gather=["trading"])
    assert (found["trading"]["state"], found["problems"]["trading"]) == ("unknown", said)


RESTING = PROFILE.replace("    witness:\n", "    resting: {halted: {hands: 0}}\n    witness:\n", 1)


def test_warm_pods_rest_while_nothing_comes_or_goes(pods: Do, cluster: Cluster) -> None:
    cluster.deployments["hands"]["spec"]["replicas"] = 0

    def state() -> str:
        return str(pods("trading_info", gather=["trading"], profile_text=RESTING)["trading"]["state"])

    assert state() == "halted"
    cluster.dead = True
    cluster.deployments["brain"]["spec"]["replicas"] = 0
    # What is at 0 and still has pods is on its way: the stop of all is not proven by the rest of it.
    assert state() == "unknown"


def test_resting_is_a_part_of_the_state() -> None:
    with pytest.raises(ProfileError, match=r"resting\.halted: must be a part of what states gives for halted"):
        profiles.parse(RESTING.replace("{hands: 0}}", "{hands: 1}}"), "pods.yml")


def test_a_controller_that_is_down_does_not_make_a_stop(pods: Do, cluster: Cluster) -> None:
    cluster.dead = True
    result = pods("trading_state", state="halted", wait_timeout=3)
    assert (result["result"], cluster.numbers()["hands"]) == ("unproven", 0)
    assert "hands 3 of 0 ready, 3 pods more still run" in result["msg"]


def test_pods_on_their_way_out_still_run(pods: Do, cluster: Cluster) -> None:
    cluster.lingering = 10**6
    result = pods("trading_state", state="halted", wait_timeout=1.0)
    assert result["result"] == "unproven"
    assert "brain 0 of 0 ready, 2 pods more still run" in result["msg"]
    cluster.lingering = 3
    for pod in cluster.pods.values():
        pod["turns"] = None if pod["turns"] is None else 3
    assert pods("trading_state", state="halted")["result"] == "proven"


def test_a_stop_is_sent_though_the_lists_cannot_be_read(pods: Do, cluster: Cluster) -> None:
    cluster.fault("answer", "GET", "/v1/*", status=503, times=2, body={})
    result = pods("trading_state", state="halted")
    assert result["result"] == "proven", result["msg"]
    assert len(cluster.writes) == 2


@pytest.mark.parametrize("kind", ["hang", "reset", "reset_after", "error_after"])
def test_a_write_that_is_lost_is_read_back_and_sent_again(pods: Do, cluster: Cluster, kind: str) -> None:
    cluster.fault(kind, "PATCH", "*/hands/scale", times=1, seconds=2.0)
    result = pods("trading_state", state="halted")
    assert result["result"] == "proven", result["msg"]
    assert cluster.numbers()["hands"] == 0


def test_a_conflict_is_sent_again(pods: Do, cluster: Cluster) -> None:
    body = {"kind": "Status", "reason": "Conflict", "message": "the object has been modified"}
    cluster.fault("answer", "PATCH", "*/hands/scale", times=1, status=409, body=body)
    assert pods("trading_state", state="halted")["result"] == "proven"


def test_what_may_not_be_scaled_is_told_and_the_rest_is_scaled(pods: Do, cluster: Cluster) -> None:
    body = {"kind": "Status", "reason": "Forbidden", "message": "deployments hands is forbidden"}
    cluster.fault("answer", "PATCH", "*/hands/scale", status=403, body=body)
    result = pods("trading_state", state="halted", wait_timeout=1.0)
    assert (result["result"], cluster.numbers()) == ("unproven", {"brain": 0, "hands": 3, "other": 1})
    assert "answered 403: deployments hands is forbidden" in result["msg"]


def test_orders_that_enter_all_the_same_are_seen(pods: Do, platform: Platform) -> None:
    platform.entering = True
    result = pods("trading_state", state="halted", wait_timeout=1.0)
    assert result["result"] == "unproven"
    assert "the witness moved" in result["msg"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"namespace": None}, "tradeops_namespace is not given"),
        ({"secrets": SECRETS}, "the secret 'kubernetes_token' is missing"),
        ({"urls": {"api": "http://127.0.0.1:1"}}, "tradeops_urls has no 'kubernetes'"),
        ({"ca_paths": {"kube": "/x"}}, "tradeops_ca_paths names kube; pods has the services api, kubernetes"),
        ({"workloads": [{"replicas": 1}]}, "tradeops_workloads: entry 1 has no name"),
        ({"workloads": [{"name": "a"}, {"name": "a"}]}, "entry 2 has the name 'a' once more"),
        ({"workloads": [{"name": "a", "replicas": -1}]}, "replicas of a is -1; give a number, 0 or more"),
        ({"workloads": [{"name": "a", "budget": 0}]}, "budget of a is 0; give a number, more than 0"),
    ],
)
def test_wrong_input_is_one_sentence(pods: Do, cluster: Cluster, options: dict[str, t.Any], text: str) -> None:
    result = pods("trading_state", state="halted", **options)
    assert (result["result"], cluster.requests) == ("refused", [])
    assert text in result["msg"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("halted: {brain: 0, hands: 0}", "halted: {brain: 1}", "one of the states must have all its Deployments at 0"),
        ("active: {brain: 2, hands: 3}", "active: {brain: 0}", "active with no pod is no trading"),
        ("halted: {brain: 0, hands: 0}", "halted: {brain: -1}", "each with a number of pods"),
        ("    witness:\n", "    levels: {reducing: flat}\n    witness:\n", "no transition leads to flat"),
    ],
)
def test_a_profile_of_pods_is_checked(old: str, new: str, problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        profiles.parse(PROFILE.replace(old, new), "pods.yml")


def test_orders_cannot_be_cancelled_where_they_are_only_listed(pods: Do, platform: Platform) -> None:
    result = pods("open_orders", all=True)
    assert (result["result"], platform.writes) == ("refused", [])
    assert "lists its orders and has no way to cancel them" in result["msg"]
    able = pods("trading_info", gather=["capabilities"])["capabilities"]
    assert (able["orders"], able["cancel_orders"], able["trading"]) == (True, False, True)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({"matchLabels": {"app": "x"}}, {"app": "x", "tier": "1"}, True),
        ({"matchLabels": {"app": "x"}}, {"app": "y"}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "y"]}]}, {"app": "y"}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}, {}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "t", "operator": "Exists"}]}, {"app": "x"}, False),
    ],
)
def test_selectors(selector: dict[str, t.Any], labels: dict[str, str], selected: bool) -> None:
    assert kubernetes.selects(selector, labels) is selected


@pytest.mark.parametrize(
    ("strategy", "wanted", "floor"),
    [
        ({}, 4, 3),
        ({}, 1, 1),
        ({"type": "Recreate"}, 4, None),
        ({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}, 3, 2),
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, 3, 2),
        ({"rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 1}}, 3, 2),
    ],
)
def test_how_few_pods_a_rolling_update_leaves(strategy: dict[str, t.Any], wanted: int, floor: int | None) -> None:
    assert kubernetes._floor(strategy, wanted) == floor


@pytest.mark.parametrize("body", [None, {}, {"items": 3}, {"items": [{"metadata": {}}]}, {"items": ["x"]}])
def test_lists_of_another_shape_are_no_state(body: t.Any) -> None:
    with pytest.raises(kubernetes.Misshapen):
        kubernetes.observe(body, {"items": []})


def test_facts_keep_their_order_and_other_keys_are_for_others() -> None:
    found = kubernetes.facts([{"name": "b", "port": 80}, {"name": "a", "stage": 2, "replicas": 0, "budget": 9}], "s")
    assert [(fact.name, fact.stage, fact.replicas, fact.budget) for fact in found] == [
        ("b", 1, None, None),
        ("a", 2, 0, 9),
    ]
    assert kubernetes.numbers(found) == {"a": 0}
    with pytest.raises(InputError):
        kubernetes.facts([{"name": "a", "stage": "one"}], "s")
