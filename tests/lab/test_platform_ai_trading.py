# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AI Trading System: one state spread over three services, form-encoded calls, and an executor that can stop alone."""

from __future__ import annotations

import time
import typing as t

import pytest
from profiled import Profiled
from simulator_ground import Ground
from simulator_ground import ground as lab

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused
from tradeops_lab import web

SITE = "ai-trading-primary"
HEALTH = ("data_collector", "strategy_engine", "risk_manager", "trade_executor", "scheduler", "export", "maintenance")
fixture = lab(SITE)


@pytest.fixture
def site(ground: Ground) -> t.Iterator[Profiled]:
    ground.fresh(SITE)
    with Profiled(ground, SITE) as site:
        yield site


def words(site: Profiled) -> list[str]:
    """What each of the three services says by itself."""
    executor = site.call("GET", "/status", service="trade_executor").json["state"]
    scheduler = site.call("GET", "/status", service="scheduler").json["state"]
    return [executor, scheduler, site.call("GET", "/maintenance/status", service="maintenance").json["mode"]]


# -- trading state ---------------------------------------------------------------------------------------------------


def test_the_halt_reaches_every_service_and_leaves_orders_and_positions(site: Profiled) -> None:
    before = site.truth
    site.move("halted")
    assert words(site) == ["halted", "paused", "off"]
    assert site.state == "halted"
    after = site.truth
    assert (after["state"], after["open_orders"]) == ("halted", before["open_orders"])
    assert after["positions"] == before["positions"]
    assert site.settings()["trading"] == "halted"


def test_the_executors_own_stop_makes_the_services_disagree(site: Profiled) -> None:
    site.call("POST", "/trading/emergency-stop", service="trade_executor")
    assert words(site) == ["halted", "running", "off"]
    assert site.able.trading
    reading = site.read(site.able.trading.read)
    assert not reading.known
    assert "halted/running/off" in reading.problem
    site.move("halted")
    assert site.state == "halted"


def test_an_executor_that_stopped_alone_takes_no_orders(site: Profiled) -> None:
    site.call("POST", "/trading/emergency-stop", service="trade_executor")
    site.ground.control("POST", f"/sites/{SITE}/market", {"enabled": True, "rate": 50})
    accepted = site.marker
    time.sleep(0.3)  # some fifteen orders, if it took them
    assert (site.truth["state"], site.marker) == ("halted", accepted)


def test_reduce_only_and_resume(site: Profiled) -> None:
    for state, seen in (("reducing", "reduce_only"), ("halted", "halted"), ("reducing", "reduce_only")):
        site.move(state)
        assert (site.state, words(site)[0]) == (state, seen)
    site.move("active")
    assert (site.state, words(site)) == ("active", ["running", "running", "off"])


def test_a_shut_down_system_cancels_but_neither_closes_nor_starts(site: Profiled) -> None:
    site.move("stopped")
    assert words(site) == ["stopped", "stopped", "maintenance"]
    assert site.state == "stopped"
    assert site.able.positions
    assert site.able.orders
    for state in ("active", "reducing"):
        with pytest.raises(Refused, match="have to be started first"):
            site.move(state)
    with pytest.raises(Refused, match="have to be started first"):
        site.send(site.able.positions.close_all)
    site.move("halted")
    assert site.state == "stopped"
    assert all(item["ok"] for item in site.send(site.able.orders.cancel_all).items)
    assert site.truth["venue_open_orders"] == 0


# -- maintenance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["maintenance", "read_only"])
def test_maintenance_halts_drains_and_does_not_resume_by_itself(site: Profiled, mode: str) -> None:
    maintenance = site.able.maintenance
    assert maintenance
    site.send(maintenance.enable, mode=mode)
    assert (site.mode, site.state) == (mode, "halted")
    site.ground.until(lambda: site.value(maintenance.in_flight) == 0)
    with pytest.raises(Refused, match=f"maintenance mode is on: {mode}"):
        site.move("active")
    site.send(maintenance.disable)
    assert (site.mode, site.state) == ("disabled", "halted")
    site.move("active")
    assert site.state == "active"


def test_a_form_as_curl_sends_it_is_understood(site: Profiled) -> None:
    headers = {"Authorization": f"Bearer {site.plan['secrets']['token']}"}
    body = b"mode=read_only&reason=Data+corruption+detected"
    answer = web.call("POST", f"{site.plan['services']['maintenance']}/maintenance/enter", body, headers)
    assert answer.status == 200
    assert site.mode == "read_only"
    (row,) = site.ground.sql(SITE, "SELECT detail ->> 'reason' AS reason FROM audit WHERE action = 'maintenance'")
    assert row["reason"] == "Data corruption detected"


def test_an_unknown_mode_is_refused_and_changes_nothing(site: Profiled) -> None:
    answer = site.call("POST", "/maintenance/enter", {"mode": "holiday"}, service="maintenance")
    assert (answer.status, "holiday" in answer.json["detail"]) == (422, True)
    assert (site.mode, site.state) == ("disabled", "active")


# -- orders and positions --------------------------------------------------------------------------------------------


def test_a_scoped_cancel_leaves_the_orders_of_others(site: Profiled) -> None:
    orders = site.able.orders
    assert orders
    before = site.rows(orders.list)
    strategy = before[0]["strategy"]
    mine = {row["id"] for row in before if row["strategy"] == strategy}
    ack = site.send(orders.cancel_all, strategy=strategy)
    assert {item["id"] for item in ack.items} == mine
    assert {row["id"] for row in site.rows(orders.list)} == {row["id"] for row in before} - mine
    assert {row["id"] for row in site.rows(orders.witness)} == {row["id"] for row in before} - mine


def test_one_order_is_cancelled_and_looked_up(site: Profiled) -> None:
    orders = site.able.orders
    assert orders
    assert orders.lookup
    first, second = (row["id"] for row in site.rows(orders.list)[:2])
    site.send(orders.cancel_one, id=first)
    looked_up = [site.look_up(orders.lookup, key) for key in (first, second, "none")]
    assert looked_up == ["cancelled", "open", "unknown"]
    with pytest.raises(Refused, match="already cancelled"):
        site.send(orders.cancel_one, id=first)


def test_a_refused_cancel_is_told_for_that_order(site: Profiled) -> None:
    assert site.able.orders
    site.ground.faults(SITE, {"kind": "refuse_orders", "ids": 2})
    items = site.send(site.able.orders.cancel_all).items
    assert [item["why"] for item in items if not item["ok"]] == ["the venue refuses to cancel this order"] * 2
    assert len(site.rows(site.able.orders.list)) == 2


def test_the_emergency_close_passes_a_halt_and_the_ordinary_one_does_not(site: Profiled) -> None:
    positions = site.able.positions
    assert positions
    site.move("halted")
    ordinary = site.call("POST", "/positions/close-all", service="trade_executor")
    assert (ordinary.status, len(site.rows(positions.list))) == (409, 5)
    ack = site.send(positions.close_all)
    assert [item["ok"] for item in ack.items] == [True] * 5
    site.ground.until(lambda: not site.rows(positions.list) and not site.rows(positions.witness))
    assert site.state == "halted"


def test_a_closed_market_is_told_and_keeps_the_positions(site: Profiled) -> None:
    assert site.able.positions
    assert site.value(site.able.market) == "open"
    site.ground.faults(SITE, {"kind": "market_closed"})
    assert site.value(site.able.market) == "closed"
    site.send(site.able.positions.close_all)
    assert len(site.rows(site.able.positions.list)) == 5
    site.ground.faults(SITE)
    site.ground.until(lambda: not site.rows(site.able.positions.list) if site.able.positions else None)


# -- signing in, limits, health, what the runbook reads ---------------------------------------------------------------


def test_without_the_token_nothing_is_told(site: Profiled) -> None:
    for token in (None, "wrong"):
        answer = site.call("POST", "/emergency/halt", service="maintenance", token=token)
        assert (answer.status, set(answer.json)) == (401, {"detail", "code"})
    assert site.state == "active"


def test_a_revoked_token_is_denied(site: Profiled) -> None:
    site.ground.faults(SITE, {"kind": "expire_token"})
    with pytest.raises(Denied):
        site.move("halted")
    assert site.truth["state"] == "active"


def test_a_limit_is_set_by_name(site: Profiled) -> None:
    limits = site.able.risk_limits
    assert limits
    site.send(limits.set, id="max_open_orders", value=80)
    assert {row["id"]: row["value"] for row in site.rows(limits.list)}["max_open_orders"] == 80
    with pytest.raises(Refused, match="there is no limit max_fun"):
        site.send(limits.set, id="max_fun", value=1)


def test_a_setting_keeps_its_type_and_is_effective_at_once(site: Profiled) -> None:
    configuration = site.able.configuration
    assert configuration
    site.send(configuration.set, id="api_timeout_seconds", value=30)
    assert {row["id"]: row["value"] for row in site.rows(configuration.list)}["api_timeout_seconds"] == 30
    for name, value, said in (
        ("fun", 1, "there is no setting fun"),
        ("log_level", 1, "log_level must be of type str"),
        ("database_pool_size", 30, "database_pool_size is read when the services start"),
    ):
        with pytest.raises(Refused, match=said):
            site.send(configuration.set, id=name, value=value)


@pytest.mark.parametrize(
    ("services", "verdict"),
    [
        ({}, "pass"),
        ({"export": "degraded"}, "warn"),
        ({"export": "degraded", "scheduler": "unhealthy"}, "fail"),
        ({"risk_manager": "starting"}, "unknown"),
        ({"risk_manager": "starting", "scheduler": "unhealthy"}, "unknown"),
    ],
)
def test_health_is_that_of_the_worst_service(site: Profiled, services: dict[str, str], verdict: str) -> None:
    assert site.able.health
    site.set(service_health=services)
    assert site.read(site.able.health).value == verdict


def test_metrics_come_from_the_settings(site: Profiled) -> None:
    site.set(daily_pnl=-420.5, risk_utilization=96.5, health_score=91, market_data_age=120)
    metrics = site.able.metrics
    names = ("daily_pnl_usd", "risk_utilization_percent", "health_score", "market_data_age_seconds")
    assert [site.value(metrics[name]) for name in names] == [-420.5, 96.5, 91, 120]


@pytest.mark.parametrize(
    ("service", "path"),
    [
        *((service, "/health") for service in HEALTH),
        ("trade_executor", "/status"),
        ("trade_executor", "/broker/status"),
        ("risk_manager", "/risk/status"),
        ("risk_manager", "/risk/recent-decisions"),
        ("data_collector", "/data/status"),
    ],
)
def test_what_the_runbook_reads_is_answered(site: Profiled, service: str, path: str) -> None:
    assert site.call("GET", path, service=service).status == 200
