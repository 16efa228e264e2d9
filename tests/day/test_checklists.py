# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checklists and reports of the day: every step of every site, in its order, whatever becomes of the others."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from playing import ROOT, Controller, Played
from simulator_ground import Ground

PRIMARY, DR = "smc-agent-primary", "smc-agent-dr"
MORNING = ("playbooks/daily_checklist.yml", "-l", "smc_agent", "-e", "daily_checklist_name=morning")
DAY = yaml.safe_load((ROOT / "inventories/shared/group_vars/smc_agent/day.yml").read_text(encoding="utf-8"))
STEPS = [step["name"] for step in DAY["daily_checklists"]["morning"]]


def words(played: Played, site: str) -> dict[str, str]:
    (found,) = [
        record
        for record in played.records
        if record["kind"] == "task_result" and record["action"] == "tradeops.core.checklist" and record["host"] == site
    ]
    return {item["id"]: item["result"] for item in found["proof"]["objects"]}


def test_a_step_that_fails_hides_none_of_the_next(ground: Ground, controller: Controller) -> None:
    ground.faults(PRIMARY, {"kind": "html", "path": "/trades/recent"}, {"kind": "html", "path": "/positions"})
    played = controller.play(*MORNING, status=2)
    # Both sites have the same steps, and each keeps their order.
    assert list(words(played, PRIMARY)) == list(words(played, DR)) == STEPS
    found = words(played, PRIMARY)
    assert (found["Trading"], found["Risk and positions"], found["Performance"]) == ("unknown", "unknown", "pass")
    assert set(words(played, DR).values()) <= {"pass", "warn", "planned"}
    assert f"{PRIMARY}: daily checklist morning: 2 of 6 steps did not pass: Trading (unknown)" in played.text
    assert f"{DR}: daily checklist morning" not in played.text
    for step in STEPS:
        assert step in played.page
    assert ground.writes(PRIMARY) == ground.writes(DR) == []
    assert controller.messages("jira")


def test_stale_market_data_is_red_and_a_day_without_trouble_tells_nobody(
    ground: Ground, controller: Controller
) -> None:
    ground.control("PUT", f"/sites/{PRIMARY}/settings", {"market_data_age": 90.0})
    stale = controller.play(*MORNING[:2], PRIMARY, *MORNING[3:], status=2)
    assert words(stale, PRIMARY)["Market data"] == "fail"
    controller.forget_messages()
    ground.control("PUT", f"/sites/{PRIMARY}/settings", {"market_data_age": 2.0})
    controller.play(*MORNING[:2], PRIMARY, *MORNING[3:])
    assert controller.messages() == []


def test_a_site_that_is_dead_delays_and_hides_no_other(ground: Ground, controller: Controller) -> None:
    ground.faults(DR, {"kind": "dead"})
    played = controller.play(*MORNING, status=2)
    assert not {"pass", "proven", "unchanged"} & set(words(played, DR).values())
    assert set(words(played, PRIMARY).values()) <= {"pass", "warn"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (MORNING[:3], "daily_checklist_name is ''"),
        ((*MORNING[:3], "-e", "daily_checklist_name=mornin"), "the site has morning, evening. Nothing was read."),
        (
            (*MORNING, "-e", json.dumps({"daily_checklists": {"morning": [{"name": "A", "do": "dance"}]}})),
            "value of do must be one of",
        ),
        ((*MORNING, "-e", json.dumps({"daily_checklists": {"morning": [{"do": "health"}]}})), "name"),
        (("playbooks/trading_day_start.yml", "-l", "smc_agent"), "the inventory has no trading_day_start_steps for it"),
    ],
    ids=["no-name", "unknown-name", "unknown-step", "step-without-name", "no-start"],
)
def test_bad_input_is_one_message_and_no_request(
    ground: Ground, controller: Controller, command: tuple[str, ...], said: str
) -> None:
    played = controller.play(*command, status=2)
    assert said in played.text
    assert ground.requests(PRIMARY) == []


def test_the_wait_for_the_end_of_the_day_is_bounded(ground: Ground, controller: Controller) -> None:
    ground.faults(PRIMARY, {"kind": "market_closed"})  # nothing is filled, so no position is closed
    steps = [{**step, "budget": 6} if step["do"] == "trading" else step for step in DAY["trading_day_end_steps"]]
    more = ("-e", json.dumps({"trading_day_end_steps": steps}))
    played = controller.play("playbooks/trading_day_end.yml", "-l", PRIMARY, *more, status=2)
    found = words(played, PRIMARY)
    assert found["Trading is shut down"] == "unproven"
    assert found["Nothing is held"] == "fail"
    assert found["Daily report"] == "proven"
    assert ground.truth(PRIMARY)["positions"]
    assert played.seconds < 240


def test_reports_of_two_days(ground: Ground, controller: Controller) -> None:
    report = ("playbooks/daily_report.yml", "-l", PRIMARY)
    controller.play(*report, "-e", "checklist_report_day=2026-11-23")
    ground.control("PUT", f"/sites/{PRIMARY}/settings", {"max_drawdown": 14.5})
    controller.play(*report, "-e", "checklist_report_day=2026-11-24")
    folder = controller.state / "reports"
    first, second = (
        json.loads((folder / f"{PRIMARY}-2026-11-{day}.json").read_text(encoding="utf-8")) for day in (23, 24)
    )
    assert first["figures"]["max_drawdown_percent"]["result"] == "met"
    assert second["figures"]["max_drawdown_percent"] | {"name": ""} == {
        "name": "",
        "value": 14.5,
        "unit": "%",
        "result": "missed",
    }
    assert second["recommendations"] == ["lower the risk of a position"]
    page = (folder / f"{PRIMARY}-2026-11-24.html").read_text(encoding="utf-8")
    assert "lower the risk of a position" in page
    assert page.count("<polyline") == len(second["figures"])

    ground.faults(PRIMARY, {"kind": "html", "path": "/risk/summary"})
    failed = controller.play(*report, "-e", "checklist_report_day=2026-11-25", status=2)
    assert words(failed, PRIMARY) == {"Daily report": "unproven"}
    assert "could not be read" in (folder / f"{PRIMARY}-2026-11-25.html").read_text(encoding="utf-8")


def test_notes_of_a_day_hold_no_secret(ground: Ground, controller: Controller) -> None:
    played: t.Any = controller.play(
        "playbooks/daily_checklist.yml", "-l", PRIMARY, "-e", "daily_checklist_name=evening"
    )
    assert controller.leaks(played) == []
