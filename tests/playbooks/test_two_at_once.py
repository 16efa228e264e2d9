# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operations at once on one site: the second is refused, but a stop takes over, and the first writes no more."""

from __future__ import annotations

import pytest
import simulator_ground
from playing import Controller
from simulator_ground import Ground

pytestmark = pytest.mark.usefixtures("_fresh")
SITE = "flashmm-primary"
ground = simulator_ground.ground(SITE)


def test_a_second_is_refused_and_a_stop_takes_over(ground: Ground, controller: Controller) -> None:
    ground.control("POST", f"/sites/{SITE}/state", {"trading": "halted"})
    ground.settled(SITE)
    first = controller.start(
        *("playbooks/emergency_resume.yml", "-l", SITE, "-e", f"tradeops_confirm={SITE}"),
        *("-e", "emergency_resume_health_hold=2"),
    )
    # It holds the lease since its first write, and now waits at its second gate until the health is good again.
    Ground.until(lambda: "POST /admin/trading/reduce-only" in shortened(ground), 60)
    ground.control("PUT", f"/sites/{SITE}/settings", {"health": "unhealthy"})

    second = controller.play(
        "playbooks/maintenance_mode.yml", "-l", SITE, "-e", "maintenance_mode_state=enabled", status=2
    )
    assert f"{SITE}: held by operation {first.operation} of maria" in second.text
    assert "Wait until it ends; only what stops trading takes it over" in second.text
    assert "POST /admin/maintenance/enable" not in shortened(ground)

    stop = controller.play("playbooks/emergency_stop.yml", "-l", SITE)
    assert f"took the lease over from operation {first.operation} of maria" in stop.text
    written = ground.writes(SITE)
    assert ground.truth(SITE)["state"] == "halted"

    ground.control("PUT", f"/sites/{SITE}/settings", {"health": "healthy"})
    ended = first.end()
    assert ended.code == 2
    assert "this operation was taken over by a stop; nothing more is done in it" in ended.text
    assert ground.writes(SITE) == written
    assert ground.truth(SITE)["state"] == "halted"


def shortened(ground: Ground) -> list[str]:
    return [write.replace("/api/v1", "") for write in ground.writes(SITE)]
