# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version that is bad goes back by itself: before it serves, and while it is watched. A rollback that fails stays halted."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from clustered import SITE, Cluster
from playing import Controller
from simulator_ground import Ground

AGENTS = ("strategic-marl", "tactical-marl")
CONFIRM = ("-e", "tradeops_confirm=grandmodel", "-l", "grandmodel")


@pytest.fixture
def controller(ground: Ground, tmp_path: pathlib.Path) -> Controller:
    return Controller(ground, tmp_path)


def images(cluster: Cluster) -> dict[str, str]:
    items = cluster.ground.kubernetes(SITE, "GET", "apis/apps/v1 deployments").json["items"]
    return {item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"] for item in items}


def serves(cluster: Cluster) -> t.Any:
    service = cluster.ground.kubernetes(SITE, "GET", "api/v1 services/strategic-marl-service").json
    return service["spec"]["selector"]["deployment"]


def untouched(cluster: Cluster) -> bool:
    seen = images(cluster)
    pods = cluster.ground.kubernetes(SITE, "GET", "api/v1 pods?labelSelector=deployment%3Dgreen").json["items"]
    return (
        all(seen[name].endswith(":1.0.0") for name in AGENTS)
        and not any(name.endswith("-green") for name in seen)
        and not pods
        and serves(cluster) == "blue"
    )


def test_a_version_whose_pods_do_not_start_never_serves(cluster: Cluster, controller: Controller) -> None:
    played = controller.play("playbooks/deploy.yml", *CONFIRM, "-e", "deploy_version=image-missing", status=2)
    assert "version image-missing was not deployed" in played.text
    assert "ImagePullBackOff" in played.text
    assert untouched(cluster)
    assert cluster.ground.truth(SITE)["state"] == "active"


def test_a_version_that_is_not_healthy_goes_back_by_itself(cluster: Cluster, controller: Controller) -> None:
    run = controller.start("playbooks/deploy.yml", *CONFIRM, "-e", "deploy_version=1.1.0", "-e", "deploy_watch=20")
    Ground.until(lambda: serves(cluster) == "green", 200)
    cluster.ground.control("PUT", f"/sites/{SITE}/settings", {"silent_agents": ["strategic-marl"]})
    played = run.end()
    assert played.code != 0, str(played)
    assert "version 1.1.0 was not deployed, and the version of before serves" in played.text
    assert untouched(cluster)


def test_a_rollback_that_cannot_start_stays_halted(cluster: Cluster, controller: Controller) -> None:
    played = controller.play(
        "playbooks/rollback.yml",
        *CONFIRM,
        "-e",
        "rollback_version=never-ready",
        "-e",
        "rollback_wait_timeout=25",
        status=2,
    )
    assert "not gone back to never-ready" in played.text
    assert "Trading is halted." in played.text
    assert cluster.ground.truth(SITE)["state"] == "stopped"
