# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""emergency_resume.yml: what does not pass a gate sends nothing, and what fails after it loosened is halted again."""

from __future__ import annotations

import json

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

pytestmark = pytest.mark.usefixtures("_fresh")
RESUME = "playbooks/emergency_resume.yml"
QUICK = ("-e", "emergency_resume_health_hold=0.5")
SITES = ("flashmm-primary", "flashmm-dr", "adaptive-order-book-primary", "ai-trading-primary", "smc-agent-primary")
FIVE = ("-l", "trading_sites:!grandmodel")
ground = simulator_ground.ground(*SITES)


@pytest.fixture(autouse=True)
def _halted(ground: Ground, _fresh: None) -> None:
    for site in SITES:
        ground.control("POST", f"/sites/{site}/state", {"trading": "halted"})
        ground.settled(site)
        ground.forget(site)


def test_every_site_passes_its_own_gates(ground: Ground, controller: Controller) -> None:
    """Five sites in one run: each fails at another gate, but for one, which trades again."""
    ground.control("PUT", "/sites/adaptive-order-book-primary/settings", {"health": "unhealthy"})
    ground.faults("flashmm-primary", {"kind": "drift"})
    ground.faults("ai-trading-primary", {"kind": "lie", "path": "/trading/resume"})
    ground.faults(
        "flashmm-dr", *({"kind": "lie", "path": path} for path in ("/admin/trading/resume", "/admin/emergency-stop"))
    )
    # Those that have to fail wait for little.
    ill, lying = ["adaptive-order-book-primary"], ["ai-trading-primary", "flashmm-dr"]
    patience = {
        "emergency_resume_health_within": f"{{{{ 15 if inventory_hostname in {ill} else 120 }}}}",
        "emergency_resume_wait_timeout": f"{{{{ 8 if inventory_hostname in {lying} else 60 }}}}",
    }
    words = ("-e", "tradeops_confirm=trading_sites", "-e", json.dumps(patience))
    done = controller.play(RESUME, *FIVE, *words, *QUICK, status=2)

    assert ground.writes("adaptive-order-book-primary") == ground.writes("flashmm-primary") == []
    assert {site: ground.truth(site)["state"] for site in SITES} == {
        "adaptive-order-book-primary": "halted",
        "flashmm-primary": "halted",
        "ai-trading-primary": "halted",
        "flashmm-dr": "reducing",
        "smc-agent-primary": "active",
    }
    assert "adaptive-order-book-primary: health: wanted warn for 0.5 s" in done.text
    assert "flashmm-primary: gate reconciliation: the books of the platform and of the venue differ" in done.text
    assert "ai-trading-primary: trading: wanted active" in done.text
    assert "Not resumed; halted again." in done.text
    assert "IT COULD NOT BE HALTED AGAIN: flashmm-dr" in done.text
    good = {name for name, site in done.sites.items() if site["result"] == "proven"}
    assert good == {"smc-agent-primary"}
    told = {message["channel"]: str(message["body"]) for message in controller.messages()}
    assert told.keys() == {"slack", "jira"}
    assert "Trading resumed at smc-agent-primary, NOT at" in told["slack"]


@pytest.mark.parametrize("confirm", [(), ("-e", "tradeops_confirm=flashmm-dr")], ids=["none", "another"])
def test_nothing_is_sent_without_the_right_confirmation(
    ground: Ground, controller: Controller, confirm: tuple[str, ...]
) -> None:
    done = controller.play(RESUME, "-l", "flashmm", *confirm, *QUICK, status=2)
    assert "flashmm-primary: refused, tradeops_confirm is" in done.text
    assert "Say -e tradeops_confirm=flashmm-primary" in done.text
    # Also not at the site that was named: the operator does not mean what he says.
    assert ground.writes("flashmm-primary") == ground.writes("flashmm-dr") == []


def test_an_override_leaves_a_gate_out_and_is_recorded(ground: Ground, controller: Controller) -> None:
    ground.faults("flashmm-primary", {"kind": "drift"})
    words = (
        "-e",
        "tradeops_confirm=flashmm-primary",
        "-e",
        '{"emergency_resume_override": ["reconciliation"]}',
        *QUICK,
    )
    done = controller.play(RESUME, "-l", "flashmm-primary", *words)
    assert ground.truth("flashmm-primary")["state"] == "active"
    (record,) = done.results("Gates left out on purpose", "flashmm-primary")
    assert record["msg"] == "flashmm-primary: left out on purpose: reconciliation"
    (message,) = controller.messages()
    assert "active  reconciliation" in message["body"]["text"]


def test_open_breakers_of_an_active_site_are_not_a_resumed_site(ground: Ground, controller: Controller) -> None:
    site = "adaptive-order-book-primary"
    ground.control("POST", f"/sites/{site}/state", {"trading": "active"})
    ground.control("POST", f"/sites/{site}/market", {"enabled": False})
    ground.call(site, "POST", "/admin/circuit-breaker/activate-all", {"reason": "test"})
    ground.settled(site)
    controller.play(RESUME, "-l", site, "-e", f"tradeops_confirm={site}", *QUICK)
    truth = ground.truth(site)
    assert (truth["state"], set(truth["breakers"].values())) == ("active", {False})
