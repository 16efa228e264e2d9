# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breakers, migrations, limits, maintenance, dead man's switches, health: set once, read back, then unchanged."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.tests.unit.fake_platform import PROFILE, SETTINGS, Platform

Do = t.Callable[..., dict[str, t.Any]]


@pytest.mark.parametrize(
    ("verb", "wish", "writes"),
    [
        ("circuit_breaker", {"state": "open", "all": True}, ["POST /breakers"]),
        ("circuit_breaker", {"state": "open", "pairs": ["BTC"]}, ["POST /breakers"]),
        ("rollout", {"state": "stopped", "all": True}, ["POST /rollouts"]),
        ("rollout", {"state": "percentage", "percentage": 25, "pairs": ["BTC", "ETH"]}, ["POST /rollouts"] * 2),
        ("rollout", {"state": "percentage", "percentage": 25, "all": True}, ["POST /rollouts"] * 2),
        ("risk_limits", {"limits": {"size": 500, "loss": "-100"}}, ["PUT /limits/size", "PUT /limits/loss"]),
        (
            "configuration",
            {"settings": {"level": "DEBUG", "timeout": 30}, "schema": SETTINGS},
            ["PUT /settings/level", "PUT /settings/timeout"],
        ),
        ("maintenance_mode", {"state": "enabled", "mode": "read_only"}, ["POST /maintenance"]),
        ("dead_man_switch", {"state": "armed", "timeout": 60}, ["POST /switch"]),
    ],
)
def test_planned_then_proven_then_unchanged(
    do: Do, platform: Platform, verb: str, wish: dict[str, t.Any], writes: list[str]
) -> None:
    planned = do(verb, check=True, **wish)
    assert (planned["result"], planned["changed"], platform.writes) == ("planned", True, [])
    done = do(verb, **wish)
    assert (done["result"], done["changed"], platform.writes) == ("proven", True, writes), done["msg"]
    assert planned["plan"] == done["plan"]
    assert planned["before"] == done["before"]
    assert planned["after"] == done["after"] or verb == "maintenance_mode"
    for check in (False, True):
        again = do(verb, check=check, **wish)
        assert (again["result"], again["changed"], again["plan"]) == ("unchanged", False, [])
    assert platform.writes == writes


@pytest.mark.parametrize(
    ("verb", "wish", "path"),
    [
        ("circuit_breaker", {"state": "open", "all": True}, "/breakers"),
        ("rollout", {"state": "stopped", "all": True}, "/rollouts"),
        ("risk_limits", {"limits": {"size": 500}}, "/limits/size"),
        ("configuration", {"settings": {"timeout": 30}, "schema": SETTINGS}, "/settings/timeout"),
        ("maintenance_mode", {"state": "enabled"}, "/maintenance"),
        ("dead_man_switch", {"state": "armed"}, "/switch"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "word", "changed"),
    [
        ("lie", "unproven", False),
        ("refusal", "refused", False),
        ("error_after", "proven", True),
        ("hang", "unproven", False),
    ],
)
def test_what_is_not_seen_is_not_proven(
    do: Do, platform: Platform, verb: str, wish: dict[str, t.Any], path: str, kind: str, word: str, changed: bool
) -> None:
    for method in ("POST", "PUT"):
        if kind == "refusal":
            platform.fault("answer", method, path, status=409, body={"error": "locked"})
        else:
            platform.fault(kind, method, path)
    result = do(verb, wait_timeout=1.0, request_timeout=0.3, **wish)
    assert (result["result"], result["changed"]) == (word, changed), result["msg"]
    assert kind != "refusal" or "locked" in result["msg"]


@pytest.mark.parametrize(
    ("verb", "wish", "text"),
    [
        ("circuit_breaker", {"state": "open"}, "neither pairs nor all: true given"),
        ("circuit_breaker", {"state": "open", "all": True, "pairs": ["BTC"]}, "both pairs and all: true given"),
        (
            "circuit_breaker",
            {"state": "open", "pairs": ["XRP"]},
            "there is no circuit breaker XRP; Bench platform has BTC, ETH",
        ),
        ("circuit_breaker", {"state": "closed", "pairs": ["BTC"]}, "to all circuit breakers at once only, not to BTC"),
        ("rollout", {"state": "percentage", "percentage": 101, "all": True}, "percentage is 101; give 0 to 100"),
        ("rollout", {"state": "percentage", "percentage": float("nan"), "all": True}, "percentage is nan"),
        (
            "rollout",
            {"state": "percentage", "percentage": 5, "all": True, "emergency": True},
            "emergency goes with state stopped",
        ),
        ("risk_limits", {"limits": {"size": "big"}}, "limits: size is 'big', which is no number"),
        ("risk_limits", {"limits": {"siez": 5}}, "there is no risk limit siez; Bench platform has loss, size"),
        ("risk_limits", {"limits": {}}, "there is no risk limit"),
        ("risk_limits", {"reduce_by": 0}, "reduce_by is 0"),
        ("risk_limits", {"reduce_by": 120}, "reduce_by is 120"),
        ("risk_limits", {"reduce_by": -5}, "reduce_by is -5"),
        ("risk_limits", {"reduce_by": 20, "baseline": {"size": None}}, "baseline: size is None"),
        ("dead_man_switch", {"state": "armed", "timeout": 0}, "timeout is 0"),
        ("dead_man_switch", {"state": "armed", "timeout": float("inf")}, "timeout is inf"),
    ],
)
def test_a_wrong_wish_is_refused(do: Do, platform: Platform, verb: str, wish: dict[str, t.Any], text: str) -> None:
    closed = PROFILE
    if wish.get("state") == "closed":
        platform.breakers["BTC"] = True
    result = do(verb, profile_text=closed, **wish)
    assert (result["result"], result["changed"], platform.writes) == ("refused", False, [])
    assert text in result["msg"]


def test_one_refused_of_two_is_told(do: Do, platform: Platform) -> None:
    platform.fault("answer", "PUT", "/limits/size", status=409, body={"error": "frozen"})
    result = do("risk_limits", limits={"size": 500, "loss": -100}, wait_timeout=1.5)
    assert (result["result"], result["changed"]) == ("refused", True)
    assert result["after"] == {"size": 1000.0, "loss": -100.0}
    assert "size is 1000.0, not 500.0" in result["msg"]
    assert "frozen" in result["proof"]["objects"][0]["why"]


def test_a_reduction_makes_every_limit_smaller_and_never_raises_one(do: Do, platform: Platform) -> None:
    result = do("risk_limits", reduce_by=20)
    assert result["after"] == {"size": 800.0, "loss": -160.0}
    baseline = {"size": 1000, "loss": -200}
    assert do("risk_limits", reduce_by=20, baseline=baseline)["result"] == "unchanged"
    assert do("risk_limits", reduce_by=10, baseline=baseline)["result"] == "unchanged"
    assert platform.limits == {"size": 800.0, "loss": -160.0}


def test_a_limit_that_is_no_number_is_not_reduced(do: Do, platform: Platform) -> None:
    platform.limits["size"] = None
    result = do("risk_limits", reduce_by=20)
    assert (result["result"], platform.writes) == ("refused", [])
    assert "size is None" in result["msg"]


def test_the_rounding_of_a_platform_is_no_difference(do: Do, platform: Platform) -> None:
    platform.limits = {"size": "333.3333333"}
    assert do("risk_limits", limits={"size": 333.33333333})["result"] == "unchanged"


def test_one_pair_told_twice_and_differently_is_unknown(do: Do, platform: Platform) -> None:
    rows = [{"pair": "BTC", "open": True}, {"pair": "BTC", "open": False}]
    platform.fault("answer", "GET", "/breakers", status=200, body=rows)
    result = do("circuit_breaker", state="open", all=True, wait_timeout=1.0)
    assert (result["result"], result["before"]) == ("unproven", {"BTC": "unknown"})


@pytest.mark.parametrize("value", [1, "true", None, "open"])
def test_a_breaker_is_open_only_when_it_says_true(do: Do, platform: Platform, value: t.Any) -> None:
    platform.breakers = {"BTC": value}
    assert do("circuit_breaker", state="open", all=True, check=True)["result"] == "planned"


def test_nothing_there_is_unchanged_with_a_note(do: Do, platform: Platform) -> None:
    platform.rollouts = {}
    result = do("rollout", state="stopped", all=True)
    assert result["result"] == "unchanged"
    assert "the platform lists no migration at all" in result["notes"]


def test_an_emergency_stop_that_the_platform_lacks_is_said(do: Do) -> None:
    result = do("rollout", state="stopped", all=True, emergency=True)
    assert result["result"] == "proven"
    assert any("its ordinary stop is used" in note for note in result["notes"])


# -- maintenance ------------------------------------------------------------------------------------------------


def test_maintenance_waits_for_the_drain(do: Do, platform: Platform) -> None:
    platform.in_flight, platform.drains = 3, False
    threading.Timer(0.2, lambda: setattr(platform, "in_flight", 0)).start()
    result = do("maintenance_mode", state="enabled")
    assert (result["result"], result["after"]) == ("proven", {"mode": "maintenance", "in_flight": 0.0})


@pytest.mark.parametrize("in_flight", [2, None, "many", False, float("nan")])
def test_what_is_still_in_flight_or_not_known_is_not_drained(do: Do, platform: Platform, in_flight: t.Any) -> None:
    platform.in_flight, platform.drains = in_flight, False
    result = do("maintenance_mode", state="enabled", wait_timeout=0.6)
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert "still in flight" in result["msg"]
    assert do("maintenance_mode", state="enabled", drain=False)["result"] == "unchanged"


@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_from_a_mode_that_cannot_be_read_nothing_is_changed(do: Do, platform: Platform, state: str) -> None:
    platform.mode = "odd"
    result = do("maintenance_mode", state=state, wait_timeout=1.0)
    assert (result["result"], platform.writes) == ("unproven", [])
    assert "the value 'odd' has no meaning" in result["msg"]


def test_maintenance_ends_and_changes_its_mode(do: Do, platform: Platform) -> None:
    platform.mode = "full"
    assert do("maintenance_mode", state="enabled", mode="read_only")["after"]["mode"] == "read_only"
    assert do("maintenance_mode", state="disabled")["result"] == "proven"
    assert platform.mode == "normal"


def test_a_mode_that_the_platform_lacks(do: Do, platform: Platform) -> None:
    profile = PROFILE.replace("modes: {maintenance: full, read_only: ro}", "modes: {maintenance: full}")
    result = do("maintenance_mode", state="enabled", mode="read_only", profile_text=profile)
    assert (result["result"], platform.requests) == ("refused", [])


# -- the dead man's switch --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "word"),
    [
        (60, "unchanged"),
        (30, "unchanged"),
        (29, "proven"),
        (3600, "proven"),
        (0, "proven"),
        (None, "proven"),
        ("x", "proven"),
    ],
)
def test_a_switch_is_armed_as_asked_or_set_anew(do: Do, platform: Platform, left: t.Any, word: str) -> None:
    platform.switch = left
    assert do("dead_man_switch", state="armed", timeout=60)["result"] == word


@pytest.mark.parametrize(("left", "word"), [(0, "unchanged"), (None, "unchanged"), (5, "proven"), (False, "proven")])
def test_a_zero_and_a_null_are_disarmed(do: Do, platform: Platform, left: t.Any, word: str) -> None:
    platform.switch = left
    assert do("dead_man_switch", state="disarmed")["result"] == word


@pytest.mark.parametrize("body", [{}, {"error": "try later"}, [], None])
def test_a_key_that_is_missing_is_not_disarmed(do: Do, platform: Platform, body: t.Any) -> None:
    platform.fault("answer", "GET", "/switch", status=200, body=body)
    result = do("dead_man_switch", state="disarmed", wait_timeout=0.6)
    assert (result["result"], result["after"]) == ("unproven", {"seconds_left": "unknown"})


# -- what is there ----------------------------------------------------------------------------------------------


def test_info_reads_everything_and_writes_nothing(do: Do, platform: Platform) -> None:
    subsets = ["capabilities", "trading", "orders", "positions", "maintenance", "circuit_breakers", "rollout"]
    subsets += ["risk_limits", "dead_man_switch", "market", "health", "metrics", "reconciliation"]
    facts = do("trading_info", gather=subsets)
    assert (facts["changed"], facts["failed"], facts["problems"], platform.writes) == (False, False, {}, [])
    assert facts["trading"] == {"state": "active"}
    assert facts["metrics"] == {"pnl": 12.5}
    assert (facts["health"], facts["market"], facts["maintenance"]) == ("pass", "open", {"mode": "disabled"})
    assert facts["reconciliation"] == {"clean": True, "differences": []}
    assert facts["summary"] == {
        "site": "bench-1",
        "state": "active",
        "orders": 5,
        "positions": 2,
        "breakers": 0,
        "migrations": 1,
        "maintenance": "disabled",
        "health": "pass",
        "problem": None,
    }
    assert facts["capabilities"]["transitions"]["active"] == ["halted", "reducing"]


def test_what_cannot_be_read_is_unknown_and_does_not_hide_the_rest(do: Do, platform: Platform) -> None:
    platform.fault("error_before", "GET", "/orders")
    platform.pnl = float("nan")
    facts = do("trading_info", gather=["trading", "orders", "metrics"], metrics=["pnl", "pln"])
    assert (facts["orders"], facts["metrics"], facts["trading"]) == ("unknown", {"pnl": "unknown"}, {"state": "active"})
    assert set(facts["problems"]) == {"orders", "metrics.pnl", "metrics.pln"}


@pytest.mark.parametrize(
    ("orders", "positions", "clean"),
    [
        ({}, {}, True),
        ({"o9": {"id": "o9", "symbol": "BTC"}}, {}, False),
        ({"o9": {"id": None, "symbol": "BTC"}}, {}, False),
        ({}, {"quantity": 1.4}, False),
        ({}, {"quantity": None}, "unknown"),
        ({}, {"quantity": "1.500"}, True),
    ],
)
def test_reconciliation(
    do: Do, platform: Platform, orders: dict[str, t.Any], positions: dict[str, t.Any], clean: t.Any
) -> None:
    platform.venue_orders |= orders
    platform.venue_positions[0] |= positions
    assert do("trading_info", gather=["reconciliation"])["reconciliation"]["clean"] == clean


def test_what_moved_between_the_two_readings_is_no_difference(
    do: Do, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.venue_orders["o9"] = {"id": "o9", "symbol": "BTC"}
    looks: list[float] = []

    def arrives(_deadline: Deadline, seconds: float) -> None:
        looks.append(seconds)
        platform.venue_orders.pop("o9", None)

    monkeypatch.setattr(Deadline, "pause", arrives)
    assert do("trading_info", gather=["reconciliation"])["reconciliation"] == {"clean": True, "differences": []}
    assert len(looks) == 1


def test_accounts_of_one_symbol_add_up(do: Do, platform: Platform) -> None:
    platform.positions = [{"symbol": "BTC", "account": account, "quantity": 1} for account in ("a1", "a2")]
    platform.venue_positions = [{"symbol": "BTC", "quantity": 2}]
    assert do("trading_info", gather=["reconciliation"])["reconciliation"]["clean"] is True


def test_a_missing_secret_refuses_info(do: Do, platform: Platform) -> None:
    facts = do("trading_info", secrets={})
    assert (facts["failed"], platform.requests) == (True, [])
    assert "the secret 'token' is missing" in facts["msg"]


def test_health_holds_for_a_while_or_the_gate_stays_shut(do: Do, platform: Platform) -> None:
    assert do("health", gate={"at_least": "pass", "for": 0.1})["result"] == "unchanged"
    platform.health = "poor"
    assert do("health", gate={"at_least": "warn", "for": 0.1})["result"] == "unchanged"
    result = do("health", gate={"for": 0.1, "within": 0.3})
    assert (result["result"], result["after"]["health"]) == ("unproven", "warn")
    assert platform.writes == []
