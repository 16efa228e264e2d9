# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module workloads on a real API server: planned without a write, done in truth, done once, and never a lie."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

import pytest
from clustered import SITE, Cluster

USUAL = {"strategic-marl": 2, "tactical-marl": 3, "risk-management": 2, "execution-engine": 2, "data-handler": 3}
FACTS: list[dict[str, t.Any]] = [
    {"name": "data-handler", "stage": 1, "replicas": 3},
    {"name": "strategic-marl", "stage": 2, "replicas": 2},
    {"name": "tactical-marl", "stage": 2, "replicas": 3},
]
NAMES = [fact["name"] for fact in FACTS]


def settled(cluster: Cluster, **numbers: int) -> bool:
    seen = cluster.numbers()
    wanted = {name.replace("_", "-"): number for name, number in numbers.items()}
    return all(seen[name] == (number, number) for name, number in wanted.items())


@pytest.mark.parametrize(
    ("state", "options", "after"),
    [
        ("scaled", {"names": ["data-handler"], "replicas": {"data-handler": 5}}, {"data_handler": 5}),
        ("scaled", {"names": ["tactical-marl"], "replicas": {"tactical-marl": 1}}, {"tactical_marl": 1}),
        ("stopped", {}, {"data_handler": 0, "strategic_marl": 0, "tactical_marl": 0}),
    ],
)
def test_planned_done_and_left_alone(
    cluster: Cluster, state: str, options: dict[str, t.Any], after: dict[str, int]
) -> None:
    planned = cluster.run("workloads", state=state, workloads=FACTS, check_mode=True, **options)
    assert (planned["result"], planned["changed"], cluster.writes()) == ("planned", True, [])
    done = cluster.run("workloads", state=state, workloads=FACTS, **options)
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert settled(cluster, **after)
    writes = cluster.writes()
    assert sorted(writes) == sorted(f"{step['method']} {step['path']}" for step in done["plan"])
    # Those of one stage are sent together, one stage after the other.
    stages = [next(fact["stage"] for fact in FACTS if write.endswith(f"/{fact['name']}")) for write in writes]
    assert stages == sorted(stages, reverse=True)
    cluster.ground.forget(SITE)
    again = cluster.run("workloads", state=state, workloads=FACTS, **options)
    assert (again["result"], again["changed"], cluster.writes()) == ("unchanged", False, [])


def test_a_start_brings_back_what_a_stop_found(cluster: Cluster) -> None:
    assert cluster.work("scaled", "tactical-marl", replicas={"tactical-marl": 4})["result"] == "proven"
    assert cluster.run("workloads", state="stopped", workloads=FACTS)["result"] == "proven"
    done = cluster.run("workloads", state="started", workloads=FACTS)
    assert done["result"] == "proven", done["msg"]
    assert settled(cluster, data_handler=3, strategic_marl=2, tactical_marl=4)
    assert cluster.run("workloads", state="started", workloads=FACTS)["result"] == "unchanged"


def test_a_restart_replaces_every_pod_and_leaves_enough(cluster: Cluster) -> None:
    before = cluster.uids("tactical-marl")
    done = cluster.work("restarted", "tactical-marl")
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert not before & cluster.uids("tactical-marl")
    assert settled(cluster, tactical_marl=3)


def test_deleted_pods_are_gone_and_replaced(cluster: Cluster) -> None:
    before = cluster.uids("strategic-marl")
    done = cluster.work("deleted", "strategic-marl")
    assert (done["result"], done["changed"]) == ("proven", True), done["msg"]
    assert {item["before"] for item in done["proof"]["objects"]} == before
    assert cluster.work("started", "strategic-marl")["result"] == "unchanged"
    assert not before & cluster.uids("strategic-marl")


@pytest.mark.parametrize(("fault", "said"), [("crash-loop", "CrashLoopBackOff"), ("image-missing", "ImagePullBackOff")])
def test_pods_that_will_never_be_ready_are_given_up_early(cluster: Cluster, fault: str, said: str) -> None:
    cluster.work("stopped", "data-handler")
    cluster.suffer("data-handler", fault=fault)
    result = cluster.work("started", "data-handler", wait_timeout=300.0, patience=2.0)
    assert (result["result"], result["failed"]) == ("unproven", True)
    assert said in result["msg"]
    assert result["proof"]["elapsed"] < 200


def test_pods_that_do_not_get_ready_use_up_the_budget_and_no_more(cluster: Cluster) -> None:
    cluster.work("stopped", "data-handler")
    cluster.suffer("data-handler", fault="never-ready")
    result = cluster.work("started", "data-handler", wait_timeout=4.0)
    assert result["result"] == "unproven"
    assert "data-handler 0 of 3 ready" in result["msg"]
    assert 3.0 <= result["proof"]["elapsed"] < 30


def test_a_pod_that_takes_its_time_to_end_is_not_stopped(cluster: Cluster) -> None:
    cluster.suffer("data-handler", terminates_after="300")
    cluster.ground.until(lambda: cluster.work("started", "data-handler")["result"] == "unchanged", 180)
    result = cluster.work("stopped", "data-handler", wait_timeout=8.0)
    assert result["result"] == "unproven"
    assert "data-handler 0 of 0 ready, 3 pods more still run" in result["msg"]
    assert cluster.work("deleted", "data-handler")["result"] == "proven"
    assert cluster.work("stopped", "data-handler")["result"] == "unchanged"


def test_a_quota_is_told(cluster: Cluster) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "17"}}}
    assert cluster.ground.kubernetes(SITE, "POST", "api/v1 resourcequotas", quota).status == 201
    try:
        result = cluster.work("scaled", "data-handler", replicas={"data-handler": 9}, patience=2.0)
    finally:
        cluster.ground.kubernetes(SITE, "DELETE", "api/v1 resourcequotas/few")
    assert result["result"] == "unproven"
    assert "exceeded quota" in result["msg"]
    assert result["proof"]["elapsed"] < 150


@pytest.mark.parametrize("status", [409, 410, 429, 503])
def test_answers_that_say_try_again_are_tried_again(cluster: Cluster, status: int) -> None:
    cluster.fault("error_before", status=status, times=2)
    done = cluster.work("scaled", "data-handler", replicas={"data-handler": 4})
    assert done["result"] == "proven", done["msg"]
    assert settled(cluster, data_handler=4)


@pytest.mark.parametrize("kind", ["reset", "error_after", "hang"])
def test_a_write_of_unknown_fate_is_read_back(cluster: Cluster, kind: str) -> None:
    cluster.fault(kind, "PATCH", times=1, seconds=1.0)
    done = cluster.work("stopped", "data-handler", request_timeout=1.5)
    assert done["result"] == "proven", done["msg"]
    assert settled(cluster, data_handler=0)


def test_a_server_that_says_yes_and_does_nothing_is_not_believed(cluster: Cluster) -> None:
    cluster.fault("lie", "PATCH")
    result = cluster.work("stopped", "data-handler", wait_timeout=3.0)
    assert result["result"] == "unproven"
    assert "data-handler is set to 3, not 0" in result["msg"]
    assert settled(cluster, data_handler=3)


def test_a_server_that_is_gone_is_unreachable(cluster: Cluster) -> None:
    cluster.fault("dead")
    result = cluster.work("stopped", "data-handler", wait_timeout=2.0)
    assert (result["result"], result["changed"]) == ("unreachable", False)


def test_a_server_that_goes_away_in_the_middle_is_unproven(cluster: Cluster) -> None:
    cluster.suffer("data-handler", ready_after="5")
    cluster.ground.until(lambda: cluster.work("started", "data-handler")["result"] == "unchanged", 180)
    cluster.ground.forget(SITE)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        going = pool.submit(
            cluster.work, "scaled", "data-handler", replicas={"data-handler": 5}, wait_timeout=6.0, request_timeout=1.0
        )
        # The write has its answer, so that it is the reading that fails.
        cluster.ground.until(lambda: cluster.numbers()["data-handler"][0] == 5, 30)
        cluster.fault("dead")
        result = going.result()
    assert result["result"] == "unproven"
    assert "the cluster cannot be read" in result["msg"]


def test_a_slow_server_only_takes_longer(cluster: Cluster) -> None:
    cluster.fault("slow", seconds=0.4)
    assert cluster.work("scaled", "data-handler", replicas={"data-handler": 4})["result"] == "proven"


def test_trading_is_stopped_and_started_by_pods(cluster: Cluster) -> None:
    planned = cluster.run("trading_state", state="halted", check_mode=True)
    assert (planned["result"], cluster.writes()) == ("planned", [])
    done = cluster.run("trading_state", state="halted")
    assert done["result"] == "proven", done["msg"]
    assert cluster.ground.truth(SITE)["state"] == "stopped"
    accepted = cluster.ground.truth(SITE)["orders_accepted"]
    time.sleep(0.6)  # a market that went on would have placed some orders
    assert cluster.ground.truth(SITE)["orders_accepted"] == accepted
    assert cluster.run("trading_state", state="halted")["result"] == "unchanged"
    back = cluster.run("trading_state", state="active")
    assert back["result"] == "proven", back["msg"]
    assert cluster.ground.truth(SITE)["state"] == "active"


def test_trading_is_flat_before_the_engine_is_gone(cluster: Cluster) -> None:
    done = cluster.run("trading_state", state="flat")
    assert done["result"] == "proven", done["msg"]
    truth = cluster.ground.truth(SITE)
    assert (truth["state"], truth["venue_open_orders"], truth["venue_positions"]) == ("stopped", 0, {})


def test_scaling_that_is_only_promised_is_no_stop(cluster: Cluster) -> None:
    cluster.fault("lie", "PATCH")
    result = cluster.run("trading_state", state="halted", wait_timeout=4.0)
    assert result["result"] == "unproven"
    assert cluster.ground.truth(SITE)["state"] == "active"


def test_pods_that_outlive_their_stop_are_no_stop(cluster: Cluster) -> None:
    cluster.suffer("execution-engine", terminates_after="300")
    cluster.ground.until(lambda: cluster.work("started", "execution-engine")["result"] == "unchanged", 180)
    result = cluster.run("trading_state", state="halted", wait_timeout=8.0)
    assert result["result"] == "unproven"
    assert "execution-engine 0 of 0 ready, 2 pods more still run" in result["msg"]
    assert cluster.work("deleted", "execution-engine")["result"] == "proven"
    assert cluster.run("trading_state", state="halted")["result"] in ("proven", "unchanged")


def test_usual_numbers_are_those_of_the_seed(cluster: Cluster) -> None:
    assert {name: number for name, (number, _ready) in cluster.numbers().items() if name in USUAL} == USUAL
