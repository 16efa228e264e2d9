# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""status.yml reads only and shows a dead site beside the others; and no secret gets out, however much is shown."""

from __future__ import annotations

import pytest
from playing import Controller, Played
from simulator_ground import Ground

pytestmark = pytest.mark.usefixtures("_fresh")


def test_status_shows_a_dead_site_and_writes_nothing(ground: Ground, controller: Controller) -> None:
    ground.faults("smc-agent-primary", {"kind": "dead"})
    ground.call("adaptive-order-book-primary", "POST", "/admin/circuit-breaker/activate-all", {"reason": "test"})
    ground.forget(*ground.sites)
    done = controller.play("playbooks/status.yml")
    table = done.output.partition("TASK [Show]")[2].partition("PLAY RECAP")[0]
    rows = {words[0]: words[1:] for line in table.splitlines() if (words := line.split()) and words[0] in ground.sites}
    assert rows.keys() == set(ground.sites)
    assert rows["flashmm-primary"][0] == "active"
    assert rows["adaptive-order-book-primary"][3] == "5", "five breakers are open"
    assert rows["smc-agent-primary"][0] == "unknown"
    assert "no connection" in " ".join(rows["smc-agent-primary"])
    assert [site for site in ground.sites if ground.writes(site)] == []


def test_no_secret_is_shown_or_written_at_the_highest_verbosity(controller: Controller) -> None:
    # SMC signs in, FlashMM has a second token; play() itself fails on a secret.
    done = controller.play("playbooks/emergency_stop.yml", "-l", "flashmm-primary,smc-agent-primary", "-vvvv", "--diff")
    assert "tradeops_secrets" not in done.journal.read_text(encoding="utf-8")


def test_a_secret_that_got_out_would_be_found(controller: Controller, ground: Ground) -> None:
    token = ground.lab["sites"]["flashmm-primary"]["secrets"]["token"]
    played = Played(0, f"Authorization: Bearer {token}", "none", 0.0, controller.state)
    assert controller.leaks(played) == ["flashmm-primary.token in its output"]
    assert len(controller.secrets) > 10
