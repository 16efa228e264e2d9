# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""loss_guard.yml: what it reads decides, and what it cannot read fails."""

from __future__ import annotations

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

pytestmark = pytest.mark.usefixtures("_fresh")
GUARD = "playbooks/loss_guard.yml"
ground = simulator_ground.ground("flashmm-primary", "flashmm-dr")


def test_a_loss_within_the_limit_changes_nothing(ground: Ground, controller: Controller) -> None:
    ground.control("PUT", "/sites/flashmm-primary/settings", {"daily_pnl": -150.0, "risk_utilization": 99.0})
    done = controller.play(GUARD, "-l", "flashmm-primary")
    assert (ground.writes("flashmm-primary"), ground.truth("flashmm-primary")["state"]) == ([], "active")
    assert (done.incident, controller.messages()) == (None, [])


def test_one_over_its_limit_and_one_that_cannot_be_read(ground: Ground, controller: Controller) -> None:
    ground.control("PUT", "/sites/flashmm-primary/settings", {"daily_pnl": -250.0, "risk_utilization": 40.0})
    ground.faults("flashmm-dr", {"kind": "html", "path": "/metrics/trading"})
    done = controller.play(GUARD, "-l", "flashmm", status=2)

    truth = ground.truth("flashmm-primary")
    assert (truth["state"], truth["venue_open_orders"], truth["limits"]["max_position"]) == ("halted", 0, 200_000)
    assert truth["positions"], "positions are closed only when the risk budget is used up"
    assert "flashmm-dr: the metric daily_pnl_usdc is unknown" in done.text
    assert ground.writes("flashmm-dr") == []
    assert done.incident
    assert (done.incident["reason"], [row["site"] for row in done.incident["sites"]]) == (
        *("the loss of the day is over its limit", ["flashmm-primary"]),
    )
    (page,) = controller.messages("pagerduty")
    assert page["body"]["payload"]["summary"] == "Loss guard, emergency stop: the loss of the day is over its limit"
    assert page["body"]["dedup_key"].startswith("loss-guard-")


def test_a_limit_that_cannot_be_cut_fails_after_the_stop(ground: Ground, controller: Controller) -> None:
    ground.control("PUT", "/sites/flashmm-primary/settings", {"daily_pnl": -250.0, "risk_utilization": 40.0})
    ground.faults("flashmm-primary", {"kind": "error_before", "method": "PUT", "status": 403})
    done = controller.play(GUARD, "-l", "flashmm-primary", status=2)
    assert ground.truth("flashmm-primary")["state"] == "halted"
    assert "risk_limits" in done.sites["flashmm-primary"]["msg"] or "403" in done.sites["flashmm-primary"]["msg"]
    assert done.incident
    assert controller.messages("pagerduty")
