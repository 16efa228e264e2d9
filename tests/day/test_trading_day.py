# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trading day of GrandModel: what keeps it from starting, and an end that leaves nothing unreported."""

from __future__ import annotations

import json
import os
import time
import typing as t

import pytest
from playing import Controller, Played
from simulator_ground import Ground

GM = "grandmodel-primary"
START = ("playbooks/trading_day_start.yml", "-l", GM, "-e", f"tradeops_confirm={GM}")
END = ("playbooks/trading_day_end.yml", "-l", GM)
MORNING = ("-e", "trading_day_at=2026-11-24T07:05")  # a Tuesday, 55 minutes before the desk opens
FIRST = ["Market hours", "Account margin", "Model files"]
Row = dict[str, t.Any]


def rows(played: Played, site: str = GM) -> dict[str, Row]:
    """The steps of the checklist at a site, as its journal has them, in their order."""
    found = [
        record
        for record in played.records
        if record["kind"] == "task_result" and record["action"] == "tradeops.core.checklist" and record["host"] == site
    ]
    return {item["id"]: item for item in found[-1]["proof"]["objects"]}


def words(played: Played, site: str = GM) -> dict[str, str]:
    return {name: row["result"] for name, row in rows(played, site).items()}


def writes(ground: Ground) -> list[str]:
    return [write for write in ground.writes(GM) if "/authentication" not in write]


def replicas(ground: Ground) -> dict[str, int]:
    answer = ground.kubernetes(GM, "GET", "apis/apps/v1 deployments")
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in answer.json["items"]}


def scale(ground: Ground, **numbers: int) -> None:
    """Bring the workloads to where a night leaves them, or to any other numbers."""
    for name, number in numbers.items():
        change = {"spec": {"replicas": number}}
        path = f"apis/apps/v1 deployments/{name.replace('_', '-')}"
        assert ground.kubernetes(GM, "PATCH", path, change, kind="merge-patch").status == 200


def at_night(ground: Ground) -> None:
    """Nothing is held, the engine is down, one pod of each agent is kept warm."""
    scale(ground, strategic_marl=1, tactical_marl=1, risk_management=1, execution_engine=0)
    ground.until(lambda: ground.truth(GM)["state"] == "halted")
    ground.forget(GM)


def refused(played: Played, ground: Ground, step: str, word: str, *, before: dict[str, int]) -> str:
    """Check that the start ended at ``step``, told people, and started nothing that trades; return what it said."""
    found = words(played)
    names = list(found)
    assert found[step] == word, str(played)
    assert {found[name] for name in names[names.index(step) + 1 :]} == {"not reached"}
    assert replicas(ground)["execution-engine"] == before["execution-engine"]
    assert ground.truth(GM)["state"] == "halted"
    return str(rows(played)[step]["after"])


def test_a_day_from_its_start_to_its_end(ground: Ground, controller: Controller) -> None:
    ended = controller.play(*END)
    truth = ground.truth(GM)
    assert (truth["state"], truth["venue_open_orders"], truth["positions"], truth["venue_positions"]) == (
        *("halted", 0, {}, {}),
    )
    agents = {"strategic-marl": 1, "tactical-marl": 1, "risk-management": 1, "execution-engine": 0}
    assert agents.items() <= replicas(ground).items()
    assert rows(ended)["Positions closed"]["after"].startswith("state reducing -> halted")
    assert words(ended)["Backup of the day"] == "proven"
    assert "Backup of the day" in ended.page

    started = controller.play(*START, *MORNING)
    assert set(words(started).values()) <= {"pass", "proven", "unchanged"}
    before = ground.truth(GM)["orders_accepted"]
    ground.until(lambda: ground.truth(GM)["orders_accepted"] > before)
    assert {"strategic-marl": 2, "tactical-marl": 3, "execution-engine": 2}.items() <= replicas(ground).items()
    told = [message["body"]["text"] for message in controller.messages("slack")]
    assert any("End of the trading day" in text and "passed" in text for text in told)
    assert any("Start of the trading day" in text and "passed" in text for text in told)
    assert controller.leaks(started) == controller.leaks(ended) == []


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-28T10:00", "2026-11-28 is no trading day"),
        ("2026-12-25T07:05", "2026-12-25 is no trading day"),
        ("2026-11-24T03:00", "at most 120 minutes before it opens"),
        ("2026-11-24T17:00", "closed since 2026-11-24T16:00:00-05:00"),
    ],
    ids=["weekend", "holiday", "too-early", "after-the-close"],
)
def test_outside_of_its_hours_nothing_starts(ground: Ground, controller: Controller, at: str, said: str) -> None:
    at_night(ground)
    before = replicas(ground)
    played = controller.play(*START, "-e", f"trading_day_at={at}", status=2)
    assert said in refused(played, ground, "Market hours", "fail", before=before)
    assert (writes(ground), replicas(ground)) == ([], before)
    assert "start of the trading day: 10 of 10 steps did not pass: Market hours (fail)" in played.text
    assert controller.messages("jira"), "a start that failed is a matter for a person"


def test_an_early_close_is_told_and_a_day_of_ones_own_is_kept(ground: Ground, controller: Controller) -> None:
    at_night(ground)
    early = controller.play(*START, "-e", "trading_day_at=2026-11-27T07:05", "--check")
    assert "closes" not in words(early)
    assert "an early close" in rows(early)["Market hours"]["after"]
    assert writes(ground) == []
    market = {
        "calendar": "CMES",
        "timezone": "America/New_York",
        "hours": {"opens": "08:00", "closes": "16:00"},
        "holidays": ["2026-11-24"],
    }
    own = controller.play(*START, *MORNING, "-e", json.dumps({"checklist_market": market}), status=2)
    assert "2026-11-24 is no trading day" in rows(own)["Market hours"]["after"]


@pytest.mark.parametrize(
    ("spoil", "step", "word", "said"),
    [
        (
            lambda ground: os.utime(models(ground) / "tactical.onnx", (time.time() - 50 * 3600,) * 2),
            *("Model files", "unproven", "tactical.onnx: not fresh, 50.0 h old, at most 36 h"),
        ),
        (
            lambda ground: (models(ground) / "risk.onnx").write_bytes(b"another model"),
            *("Model files", "unproven", "risk.onnx: not the same"),
        ),
        (
            lambda ground: (models(ground) / "SHA256SUMS").unlink(),
            *("Model files", "fail", "SHA256SUMS cannot be read"),
        ),
        (
            lambda ground: ground.control("PUT", f"/sites/{GM}/settings", {"margin_available": 12_000.0}),
            *("Account margin", "unproven", "margin is warn"),
        ),
        (
            lambda ground: ground.faults(GM, {"kind": "html", "path": "/account"}),
            *("Account margin", "unknown", "margin"),
        ),
    ],
    ids=["stale-model", "changed-model", "no-manifest", "margin-too-low", "margin-unreadable"],
)
def test_a_gate_that_fails_starts_nothing(
    ground: Ground, controller: Controller, spoil: t.Callable[[Ground], t.Any], step: str, word: str, said: str
) -> None:
    at_night(ground)
    spoil(ground)
    before = replicas(ground)
    played = controller.play(*START, *MORNING, status=2)
    assert said in refused(played, ground, step, word, before=before)
    assert (writes(ground), replicas(ground)) == ([], before)
    assert [name for name in words(played) if words(played)[name] != "not reached"] == FIRST[: FIRST.index(step) + 1]


def models(ground: Ground) -> t.Any:
    return ground.folder / "run" / "models" / GM


def test_an_agent_that_never_gets_ready_keeps_the_engine_down(ground: Ground, controller: Controller) -> None:
    at_night(ground)
    change = {"spec": {"template": {"metadata": {"annotations": {"tradeops.lab/fault": "never-ready"}}}}}
    answer = ground.kubernetes(
        *(GM, "PATCH", "apis/apps/v1 deployments/tactical-marl", change), kind="strategic-merge-patch"
    )
    assert answer.status == 200, answer.body
    before = replicas(ground)
    patience = [
        {"name": name, "replicas": number, "budget": 12 if name == "tactical-marl" else 120}
        for name, number in {
            "data-handler": 3,
            "strategic-marl": 2,
            "tactical-marl": 3,
            "risk-management": 2,
            "execution-engine": 2,
        }.items()
    ]
    played = controller.play(*START, *MORNING, "-e", json.dumps({"tradeops_workloads": patience}), status=2)
    said = refused(played, ground, "Agents", "unproven", before=before)
    assert "tactical-marl" in said
    assert replicas(ground)["strategic-marl"] == 2, (
        "what the agents got before is left, and sends no order without engine"
    )


def test_an_agent_that_nobody_hears_keeps_the_engine_down(ground: Ground, controller: Controller) -> None:
    at_night(ground)
    ground.control("PUT", f"/sites/{GM}/settings", {"silent_agents": ["strategic-marl"]})
    before = replicas(ground)
    played = controller.play(*START, *MORNING, status=2)
    assert "agent-links" in refused(played, ground, "Agents hear each other", "fail", before=before)


def test_without_a_confirmation_nothing_is_sent(ground: Ground, controller: Controller) -> None:
    played = controller.play("playbooks/trading_day_start.yml", "-l", GM, *MORNING, status=2)
    assert f"Say -e tradeops_confirm={GM}" in played.text
    assert writes(ground) == []


def test_positions_that_cannot_be_closed_are_named_and_keep_their_engine(
    ground: Ground, controller: Controller
) -> None:
    held = set(ground.truth(GM)["positions"])
    ground.faults(GM, {"kind": "error_before", "method": "POST", "path": "/positions/close-all", "status": 409})
    played = controller.play(*END, status=2)
    found = words(played)
    assert found["Positions closed"] in ("refused", "unproven"), str(played)
    assert found["Agents to one each"] == "not reached"
    assert rows(played)["Agents to one each"]["after"] == "left out, because this did not pass: Positions closed"
    # Nothing hides the next: the report is there, and what is held is said once more.
    assert found["Daily report"] in ("proven", "unchanged")
    assert found["Nothing is held"] == "fail"
    assert "at most 0" in rows(played)["Nothing is held"]["after"]
    truth = ground.truth(GM)
    assert (truth["state"], truth["venue_open_orders"]) == ("reducing", 0)
    assert set(truth["positions"]) <= held
    assert truth["positions"]
    assert replicas(ground)["execution-engine"] == 2, "without its engine nobody could close them"
    assert any("NOT passed" in message["body"]["text"] for message in controller.messages("slack"))

    ground.faults(GM)
    controller.play(*END)
    assert (ground.truth(GM)["state"], ground.truth(GM)["positions"]) == ("halted", {})
