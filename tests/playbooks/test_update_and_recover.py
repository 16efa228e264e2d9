# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""update.yml and recover.yml where something is wrong: gates that hold, a version that never gets ready, a dead application."""

from __future__ import annotations

import typing as t

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

SMC, FLASH = "smc-agent-primary", "flashmm-primary"
ground = simulator_ground.ground(SMC, FLASH, kubernetes=True)
UPDATE = ("playbooks/update.yml", "-l", SMC, "-e", f"tradeops_confirm={SMC}", "-e", "update_health_hold=0.5")
RECOVER = ("playbooks/recover.yml", "-l", FLASH, "-e", f"tradeops_confirm={FLASH}", "-e", "recover_health_hold=0.5")


@pytest.fixture(autouse=True)
def _seeded(ground: Ground) -> None:
    for site in (SMC, FLASH):
        ground.fresh(site, market=True)
        ground.settled(site)
        ground.forget(site)


def pods(ground: Ground, site: str, app: str) -> dict[str, bool]:
    """Pod by uid, and whether it is ready."""
    found = ground.kubernetes(site, "GET", f"api/v1 pods?labelSelector=app%3D{app}").json["items"]
    return {
        pod["metadata"]["uid"]: any(
            row["type"] == "Ready" and row["status"] == "True" for row in pod["status"].get("conditions", [])
        )
        for pod in found
    }


def break_pods(ground: Ground, site: str, app: str, number: int) -> set[str]:
    """Let pods say that they are not ready any more, as those of a hung application do. Returns their uids."""
    found = ground.kubernetes(site, "GET", f"api/v1 pods?labelSelector=app%3D{app}").json["items"][:number]
    for pod in found:
        conditions = [row | {"status": "False"} for row in pod["status"]["conditions"] if row["type"] != "Initialized"]
        change: dict[str, t.Any] = {"status": {"conditions": conditions}}
        path = f"api/v1 pods/{pod['metadata']['name']}/status"
        answer = ground.kubernetes(site, "PATCH", path, change, kind="strategic-merge-patch")
        assert answer.status == 200, answer.body
    ground.until(lambda: list(pods(ground, site, app).values()).count(False) == number)
    ground.forget(site)
    return {pod["metadata"]["uid"] for pod in found}


def test_open_positions_hold_an_update_back(ground: Ground, controller: Controller) -> None:
    done = controller.play(*UPDATE, "-e", "update_version=1.1.0", status=2)
    assert f"{SMC}: gate positions: 5 are open (ADAUSDT, BTCUSDT, DOTUSDT, ETHUSDT, SOLUSDT)" in done.text
    assert ground.writes(SMC) == []


def test_a_version_that_never_gets_ready_leaves_trading_halted(ground: Ground, controller: Controller) -> None:
    done = controller.play(
        *UPDATE,
        *("-e", "update_version=crash-loop", "-e", "update_positions=hold", "-e", "workloads_halt_timeout=2"),
        status=2,
    )
    assert "not updated to crash-loop" in done.text
    assert "Trading is halted by the cluster. Before the update it was smc-agent/smc-agent:1.0.0" in done.text
    truth = ground.truth(SMC)
    assert (truth["state"], truth["workloads"]["running"]["smc-agent"]) == ("halted", 0)


def test_only_what_has_failed_is_restarted(ground: Ground, controller: Controller) -> None:
    broken = break_pods(ground, FLASH, "flashmm-app", 1)
    done = controller.play(*RECOVER, "-e", "recover_type=partial")
    assert "active, health" in done.text and "failed: flashmm-app" in done.text
    now = pods(ground, FLASH, "flashmm-app")
    assert list(now.values()) == [True] * 3 and not broken & set(now)
    assert ground.truth(FLASH)["state"] == "active"


def test_an_application_that_does_not_answer_is_stopped_first(ground: Ground, controller: Controller) -> None:
    broken = break_pods(ground, FLASH, "flashmm-app", 3)
    # The lab's node of the network answers by the application, which does not.
    done = controller.play(*RECOVER, "-e", "workloads_halt_timeout=2", "-e", '{"recover_external": []}')
    assert "No pod may be left; open orders stay at the venue" in done.text
    assert not broken & set(pods(ground, FLASH, "flashmm-app"))
    assert done.results("No pod is left", FLASH)[0]["result"] == "proven", str(done)
    assert ground.truth(FLASH)["state"] == "active"


def test_nothing_is_touched_without_what_others_run(ground: Ground, controller: Controller) -> None:
    ground.control("PUT", f"/sites/{FLASH}/settings", {"trading": "halted"})
    ground.forget(FLASH)
    done = controller.play(*RECOVER, "-e", "sei_rpc_url=http://127.0.0.1:9", status=2)
    assert "sei-rpc: what others run does not pass its health check" in done.text
    assert ground.writes(FLASH) == []
    assert ground.truth(FLASH)["state"] == "halted"
