# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervised sites: a service is there exactly while its process runs under the real supervisord."""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

from simulator_ground import Ground, request
from simulator_ground import ground as ground_of

SITE = "ai-trading-primary"
ground = ground_of(SITE)


def supervisorctl(ground: Ground, *arguments: str) -> str:
    program = pathlib.Path(sys.executable).with_name("supervisorctl")
    argv = [str(program), "-c", str(ground.folder / "run" / "supervisord.conf"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300).stdout


def listens(ground: Ground, service: str) -> bool:
    try:
        request(ground.lab["sites"][SITE]["services"][service], "GET", "/health", None, {}, 2)
    except ConnectionError:
        return False
    return True


def comes(ground: Ground, service: str) -> None:
    ground.until(functools.partial(listens, ground, service))


def accepted(ground: Ground) -> int:
    return int(ground.truth(SITE)["orders_accepted"])


def test_a_stopped_service_closes_its_port_and_only_that(ground: Ground) -> None:
    assert "stopped" in supervisorctl(ground, "stop", f"{SITE}:export")
    assert not listens(ground, "export")
    assert listens(ground, "scheduler")
    assert "started" in supervisorctl(ground, "start", f"{SITE}:export")
    comes(ground, "export")


def test_nothing_is_traded_without_the_executor(ground: Ground) -> None:
    ground.fresh(SITE, market=True)
    supervisorctl(ground, "stop", f"{SITE}:trade_executor")
    before = accepted(ground)
    time.sleep(2)  # in which a market that went on would place several orders
    assert accepted(ground) == before
    supervisorctl(ground, "start", f"{SITE}:trade_executor")
    ground.until(lambda: accepted(ground) > before)


def test_a_killed_process_is_started_again_by_its_supervisor(ground: Ground) -> None:
    pid = int(supervisorctl(ground, "pid", f"{SITE}:risk_manager"))
    os.kill(pid, signal.SIGKILL)
    comes(ground, "risk_manager")
    assert int(supervisorctl(ground, "pid", f"{SITE}:risk_manager")) != pid


def test_a_service_that_crashes_is_never_there(ground: Ground) -> None:
    supervisorctl(ground, "stop", f"{SITE}:data_collector")
    ground.faults(SITE, {"kind": "crash", "service": "data_collector"})
    assert "ERROR" in supervisorctl(ground, "start", f"{SITE}:data_collector")
    assert not listens(ground, "data_collector")
    ground.faults(SITE)
    supervisorctl(ground, "start", f"{SITE}:data_collector")
    comes(ground, "data_collector")


def test_the_fault_dead_closes_ports_that_are_held(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "dead"})
    assert not listens(ground, "maintenance")
    supervisorctl(ground, "restart", f"{SITE}:maintenance")
    assert not listens(ground, "maintenance")
    ground.faults(SITE)
    comes(ground, "maintenance")
