# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GrandModel: trading lives and dies with the replicas of three workloads; the API shows, cancels and closes."""

from __future__ import annotations

import subprocess
import time
import typing as t

import pytest
from simulator_ground import Ground
from simulator_ground import ground as lab

from tradeops_lab import platforms

SITE = "grandmodel-primary"
REPLICAS = {"strategic-marl": 2, "tactical-marl": 3, "risk-management": 2, "execution-engine": 2, "data-handler": 3}
fixture = lab(SITE)


@pytest.fixture(autouse=True)
def _fresh(ground: Ground) -> None:
    ground.fresh(SITE)


def get(ground: Ground, path: str) -> t.Any:
    answer = ground.call(SITE, "GET", f"/v1{path}")
    assert answer.status == 200, answer.body
    return answer.json


def scale(ground: Ground, **replicas: int) -> None:
    changed = {name.replace("_", "-"): number for name, number in replicas.items()}
    ground.control("PUT", f"/sites/{SITE}/settings", {"replicas": REPLICAS | changed})


@pytest.mark.parametrize(
    ("replicas", "word", "state"),
    [
        ({}, "ACTIVE", "active"),
        ({"risk_management": 0, "data_handler": 0}, "ACTIVE", "active"),
        ({"strategic_marl": 0}, "HALTED", "halted"),
        ({"tactical_marl": 0}, "HALTED", "halted"),
        ({"execution_engine": 0}, "HALTED", "halted"),
        ({"strategic_marl": 0, "tactical_marl": 0}, "REDUCING", "reducing"),
        ({"strategic_marl": 0, "tactical_marl": 0, "execution_engine": 0}, "STOPPED", "stopped"),
    ],
)
def test_the_trading_state_follows_the_replicas(
    ground: Ground, replicas: dict[str, int], word: str, state: str
) -> None:
    scale(ground, **replicas)
    assert get(ground, "/system/status")["trading"] == word
    assert ground.truth(SITE)["state"] == state


def test_no_order_enters_while_one_trading_workload_is_missing(ground: Ground) -> None:
    def accepted() -> int:
        return int(get(ground, "/performance/metrics?timeframe=1d")["orders_accepted_total"])

    ground.control("POST", f"/sites/{SITE}/market", {"enabled": True, "rate": 50})
    ground.until(lambda: accepted() > 45)
    scale(ground, execution_engine=0)
    halted = accepted()
    time.sleep(0.3)  # some fifteen orders, if they still entered
    assert accepted() == halted
    scale(ground)
    ground.until(lambda: accepted() > halted)


def test_agents_tell_their_replicas(ground: Ground) -> None:
    ground.control("PUT", f"/sites/{SITE}/settings", {"ready": {"tactical-marl": 1}})
    scale(ground, data_handler=0)
    agents = {
        agent["name"]: (agent["replicas"], agent["ready"], agent["status"])
        for agent in get(ground, "/agents/status")["agents"]
    }
    assert agents["tactical-marl"] == (3, 1, "degraded")
    assert agents["data-handler"] == (0, 0, "scaled_to_zero")
    assert agents["strategic-marl"] == (2, 2, "healthy")
    assert get(ground, "/system/status")["status"] == "degraded"


def test_orders_and_positions_are_those_of_the_database(ground: Ground) -> None:
    orders = {row["order_id"] for row in get(ground, "/orders")["orders"]}
    assert orders == {row["id"] for row in ground.sql(SITE, "SELECT id FROM orders WHERE status = 'open'")}
    positions = {row["instrument"]: row["quantity"] for row in get(ground, "/positions")["positions"]}
    assert positions == ground.truth(SITE)["positions"]


def post(ground: Ground, path: str) -> tuple[int, t.Any]:
    answer = ground.call(SITE, "POST", f"/v1{path}", {"reason": "test"})
    return answer.status, answer.json


def test_the_engine_alone_cancels_and_closes(ground: Ground) -> None:
    scale(ground, strategic_marl=0, tactical_marl=0)
    status, answer = post(ground, "/orders/cancel-all")
    assert (status, {row["status"] for row in answer["results"]}) == (200, {"cancelled"})
    status, answer = post(ground, "/positions/close-all")
    assert (status, {row["status"] for row in answer["results"]}) == (200, {"submitted"})
    ground.until(lambda: ground.truth(SITE)["positions"] == {} == ground.truth(SITE)["venue_positions"])
    assert get(ground, "/broker/orders")["orders"] == get(ground, "/broker/positions")["positions"] == []


def test_without_the_engine_nothing_reaches_the_broker(ground: Ground) -> None:
    before = ground.truth(SITE)
    scale(ground, execution_engine=0)
    for path in ("/orders/cancel-all", "/positions/close-all"):
        status, answer = post(ground, path)
        assert (status, answer["error"]) == (409, "no_engine")
    after = ground.truth(SITE)
    assert (after["open_orders"], after["positions"]) == (before["open_orders"], before["positions"])


def test_no_api_call_changes_the_trading_state(ground: Ground) -> None:
    writes = {route.path for route in platforms.load("grandmodel").routes if route.writes}
    assert writes == {"/orders/cancel-all", "/positions/close-all"}


def test_account_links_and_feeds_follow_the_agents(ground: Ground) -> None:
    assert get(ground, "/account")["margin_available_usd"] == 620_000
    assert {link["status"] for link in get(ground, "/agents/communication")["links"]} == {"ok"}
    assert get(ground, "/data/feeds")["feeds"][0]["age_seconds"] == 0.4
    scale(ground, data_handler=0)
    assert get(ground, "/data/feeds")["feeds"] == [{"name": "rithmic", "connected": False, "age_seconds": None}]
    links = {link["from"]: link["status"] for link in get(ground, "/agents/communication")["links"]}
    assert links == {"data-handler": "idle", "strategic-marl": "ok", "tactical-marl": "ok"}
    scale(ground)
    ground.control("PUT", f"/sites/{SITE}/settings", {"silent_agents": ["tactical-marl"]})
    links = {link["from"]: link["status"] for link in get(ground, "/agents/communication")["links"]}
    assert links == {"data-handler": "ok", "strategic-marl": "ok", "tactical-marl": "silent"}


def test_model_files_are_real_and_come_back(ground: Ground) -> None:
    models = ground.folder / "run" / "models" / SITE
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=models, check=False).returncode == 0
    (models / "tactical.onnx").write_bytes(b"damaged")
    assert subprocess.run(command, cwd=models, check=False, capture_output=True).returncode == 1
    ground.fresh(SITE)
    assert subprocess.run(command, cwd=models, check=False).returncode == 0


@pytest.mark.parametrize("path", ["/system/status", "/agents/status", "/performance/metrics", "/orders", "/positions"])
def test_without_the_token_nothing_is_told(ground: Ground, path: str) -> None:
    assert [ground.call(SITE, "GET", f"/v1{path}", token=token).status for token in (None, "wrong")] == [401, 401]
