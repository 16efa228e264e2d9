# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""emergency_stop.yml beside the straight road: what it leaves behind, sites that fail, calling it off, flags."""

from __future__ import annotations

import pathlib

import pytest
from playing import Controller
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._evidence.chain import parse_head, verify

pytestmark = pytest.mark.usefixtures("_fresh")
STOP = "playbooks/emergency_stop.yml"


def test_what_a_stop_leaves_behind(controller: Controller) -> None:
    done = controller.play(STOP, "-l", "flashmm-primary", "-e", "tradeops_reason='runaway quotes'")

    assert done.incident
    assert (done.incident["reason"], done.incident["status"]) == ("runaway quotes", "open")
    (row,) = done.incident["sites"]
    assert (row["site"], row["result"], row["state"], row["orders"], row["problems"]) == (
        *("flashmm-primary", "proven", "halted", 0, []),
    )
    path = controller.state / "incidents" / f"{done.incident['id']}.json"
    assert path.stat().st_mode & 0o777 == 0o600

    told = {message["channel"]: message["body"] for message in controller.messages()}
    assert told.keys() == {"pagerduty", "slack", "jira"}
    assert told["pagerduty"]["event_action"] == "trigger"
    for body in told.values():
        assert "Emergency stop (halted): runaway quotes" in str(body)
        assert "flashmm-primary  proven  halted" in str(body)

    summary = done.summary
    assert (summary["verdict"]["word"], summary["operator"]["name"]) == ("proven", "maria")
    assert (summary["reason"], summary["complete"]) == ("runaway quotes", True)
    assert str(done.journal.with_suffix(".html")) in done.output
    assert "flashmm-primary" in done.page
    assert verify(done.journal, parse_head(summary["journal"]["head"])).valid

    done.journal.with_suffix(".html").unlink()
    again = controller.play("playbooks/evidence_report.yml", "-e", f"tradeops_operation_id={done.operation}")
    assert "The site is proven" in again.output
    assert "flashmm-primary" in done.page


def test_level_reducing_leaves_what_exits_need(ground: Ground, controller: Controller) -> None:
    """Also where the inventory says that a halt enters maintenance, which would hold the exits up."""
    sites = ("flashmm-primary", "ai-trading-primary")
    controller.play(STOP, "-l", ",".join(sites), "-e", "emergency_stop_level=reducing")
    for truth in map(ground.truth, sites):
        assert (truth["state"], truth["maintenance"]) == ("reducing", "off")
        assert truth["venue_open_orders"]
        assert truth["positions"]


def test_a_dead_and_a_hung_site_hold_back_no_other(ground: Ground, controller: Controller) -> None:
    ground.faults("flashmm-dr", {"kind": "dead"})
    ground.faults("smc-agent-primary", {"kind": "hang"})
    done = controller.play(STOP, "-e", "emergency_stop_wait_timeout=8", status=2)

    others = ("flashmm-primary", "adaptive-order-book-primary", "ai-trading-primary", "grandmodel-primary")
    for site in others:
        # GrandModel says that it is halted by having no pod of its agents and its engine, which the lab calls stopped.
        halted = "stopped" if site == "grandmodel-primary" else "halted"
        assert (ground.truth(site)["state"], ground.truth(site)["venue_open_orders"]) == (halted, 0)
    sites = done.sites
    hung = max(step["finish"] for step in sites["smc-agent-primary"]["steps"] if step["capability"] == "trading")
    assert max(sites[site]["elapsed"] for site in others) < hung
    words = {name: site["result"] for name, site in sites.items()}
    assert words == {**dict.fromkeys(others, "proven"), "flashmm-dr": "unreachable", "smc-agent-primary": "unproven"}
    assert "2 of 6 sites not proven" in done.text
    assert "flashmm-dr: trading: wanted halted" in done.text
    assert "no connection" in done.text
    assert done.incident
    assert {row["site"]: row["failures"] for row in done.incident["sites"]} == {
        name: int(name not in others) for name in words
    }
    (page,) = controller.messages("pagerduty")
    assert "unreachable" in page["body"]["payload"]["custom_details"]["text"]


def test_one_unusable_site_does_not_keep_the_others_from_being_stopped(
    ground: Ground, controller: Controller, tmp_path: pathlib.Path
) -> None:
    inventory = tmp_path / "typo.yml"
    inventory.write_text("flashmm: {hosts: {flashmm-primary: {tradeops_profile: flasmm}}}", encoding="utf-8")
    done = controller.play(STOP, "-l", "flashmm", inventories=("inventories/lab", str(inventory)), status=2)
    assert ground.truth("flashmm-dr")["state"] == "halted"
    assert ground.writes("flashmm-primary") == []
    assert {name: site["result"] for name, site in done.sites.items()} == {
        "flashmm-dr": "proven",
        "flashmm-primary": "refused",
    }
    assert done.incident
    assert controller.messages()


def test_a_receiver_that_does_not_acknowledge_is_told(ground: Ground, controller: Controller) -> None:
    controller.break_channel("pagerduty")
    done = controller.play(STOP, "-l", "flashmm-primary", status=2)
    assert ground.truth("flashmm-primary")["state"] == "halted"
    assert "1 of 3 notifications were not delivered: pagerduty" in done.text
    assert {message["channel"] for message in controller.messages()} == {"slack", "jira"}
    assert done.incident
    assert [step["result"] for step in done.summary["notifications"]] == ["unproven"]


def test_it_is_called_off_by_a_file(ground: Ground, controller: Controller) -> None:
    going = controller.start(STOP, "-l", "flashmm-primary", "-e", "emergency_stop_abort_window=60")
    going.wait_for(f"abort-{going.operation}")
    (controller.state / f"abort-{going.operation}").touch()
    done = going.end()
    assert done.code == 2
    assert done.seconds < 40
    assert f"Called off by the file {controller.state}/abort-{going.operation}" in done.text
    assert ground.writes("flashmm-primary") == []
    assert ground.truth("flashmm-primary")["state"] == "active"
    assert (done.incident, controller.messages()) == (None, [])


def test_flags_are_understood_as_text(ground: Ground, controller: Controller) -> None:
    """Extra variables of the form name=value are texts, and the text false is true to a careless condition."""
    site = "ai-trading-primary"
    flags = {"level": "stopped", "flatten": "false", "cancel_orders": "no", "maintenance": "", "abort_window": "0"}
    words = [word for name, value in flags.items() for word in ("-e", f"emergency_stop_{name}={value}")]
    done = controller.play(STOP, "-l", site, *words)
    truth = ground.truth(site)
    assert truth["state"] == "stopped"
    assert truth["positions"]
    assert truth["venue_open_orders"]
    skipped = ("Positions are closed, for a stopped platform may not be able to", "Maintenance mode is on")
    assert {record["status"] for task in skipped for record in done.results(task, site)} == {"skipped"}


def test_what_still_holds_positions_is_not_stopped(ground: Ground, controller: Controller) -> None:
    site = "ai-trading-primary"
    ground.faults(site, {"kind": "lie", "path": "/emergency/close-all-positions"})
    words = (
        "-e",
        "emergency_stop_level=stopped",
        "-e",
        "emergency_stop_flatten=true",
        "-e",
        "emergency_stop_wait_timeout=5",
    )
    done = controller.play(STOP, "-l", site, *words, status=2)
    truth = ground.truth(site)
    assert (truth["state"], truth["venue_open_orders"]) == ("halted", 0)
    assert truth["positions"]
    assert "positions" in done.sites[site]["msg"]
    # The steps after the one that failed were taken.
    assert truth["maintenance"] == "maintenance"
