# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trading state: what is sent, in which order, and what counts as proof."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.tests.unit.fake_platform import PROFILE, SECRETS, Platform

Do = t.Callable[..., dict[str, t.Any]]

# As freqtrade: it has no halt, and while it is stopped it can neither cancel nor close.
STOPS_LAST = (
    PROFILE.replace("requires: [active, reducing, halted]", "requires: [active, reducing]")
    .replace("    transitions:\n", "    levels: {halted: stopped, flat: stopped}\n    transitions:\n")
    .replace("to: halted\n        from: [active, reducing]", "to: stopped\n        from: [active, reducing]")
    .replace("path: /halt, auth", "path: /stop, auth")
    .replace("      - {to: stopped, from: [halted], request: {method: POST, path: /stop}}\n", "")
    .replace(
        "from: [active, halted], request: {method: POST, path: /reduce",
        "from: [active], request: {method: POST, path: /reduce",
    )
)


def ids(result: dict[str, t.Any], fate: str) -> list[str]:
    return sorted(item["id"] for item in result["proof"]["objects"] if item["result"] == fate)


def test_a_halt_is_one_read_then_the_order_then_the_proof(do: Do, platform: Platform) -> None:
    result = do("trading_state", state="halted", reason="loss limit")
    assert (result["result"], result["changed"], result["failed"], result["msg"]) == ("proven", True, False, "")
    assert platform.calls == ["GET /status", "POST /halt", *["GET /status", "GET /metrics"] * 2]
    halt = platform.requests[1]
    assert halt.body == {"reason": "loss limit"}
    assert halt.headers["authorization"] == f"Bearer {SECRETS['emergency_token']}"
    assert result["before"]["state"] == "active"
    assert result["after"]["state"] == "halted"
    assert result["proof"]["witness"] == {"before": 102, "after": 102, "quiet_seconds": 0.02, "moved": False}
    assert result["plan"] == [
        {
            "action": "set trading state",
            "method": "POST",
            "path": "/halt",
            "service": "api",
            "why": "trading active -> halted",
        }
    ]


def test_a_second_halt_is_unchanged_after_one_look(do: Do, platform: Platform) -> None:
    do("trading_state", state="halted")
    platform.requests.clear()
    result = do("trading_state", state="halted")
    assert (result["result"], result["changed"], result["plan"]) == ("unchanged", False, [])
    assert platform.calls == ["GET /status", *["GET /status", "GET /metrics"] * 2]
    assert result["proof"]["witness"] is not None


def test_orders_are_cancelled_and_positions_closed_in_that_order(do: Do, platform: Platform) -> None:
    result = do("trading_state", state="flat")
    assert result["result"] == "proven", result["msg"]
    assert platform.writes == ["POST /halt", "DELETE /orders", "POST /positions/flatten"]
    assert result["before"] == {
        "state": "active",
        "open_orders": 5,
        "positions": 2,
        "marker": result["before"]["marker"],
    }
    assert (result["after"]["state"], result["after"]["open_orders"], result["after"]["positions"]) == ("halted", 0, 0)
    assert result["proof"]["summary"] == "5 cancelled, 2 closed"
    assert do("trading_state", state="flat")["result"] == "unchanged"


@pytest.mark.parametrize("state", ["halted", "flat", "reducing", "stopped"])
def test_check_mode_reads_predicts_and_sends_no_write(do: Do, platform: Platform, state: str) -> None:
    result = do("trading_state", state=state, check=True, cancel_orders=state != "reducing")
    assert (result["result"], result["changed"], result["failed"]) == ("planned", True, False)
    assert platform.writes == []
    planned = [f"{step['method']} {step['path']}" for step in result["plan"]]
    platform.requests.clear()
    done = do("trading_state", state=state, cancel_orders=state != "reducing")
    assert done["result"] == "proven", done["msg"]
    assert planned == platform.writes
    assert [done["plan"], done["after"]["state"]] == [result["plan"], result["after"]["state"]]


def test_check_mode_on_a_halted_site_plans_nothing(do: Do, platform: Platform) -> None:
    platform.state = "HALT"
    result = do("trading_state", state="halted", check=True)
    assert (result["result"], result["changed"], result["plan"], platform.writes) == ("unchanged", False, [], [])


def test_a_stop_takes_the_steps_of_the_platform_and_waits_for_each(do: Do, platform: Platform) -> None:
    platform.fault("delay", path="/halt", seconds=0.2)
    result = do("trading_state", state="stopped")
    assert result["result"] == "proven", result["msg"]
    assert platform.writes == ["POST /halt", "POST /stop"]
    halted = [request.at for request in platform.requests if request.writes]
    assert halted[1] - halted[0] >= 0.2


def test_orders_are_cancelled_before_a_state_that_cannot(do: Do, platform: Platform) -> None:
    result = do("trading_state", state="stopped", cancel_orders=True)
    assert result["result"] == "proven", result["msg"]
    assert platform.writes == ["POST /halt", "DELETE /orders", "POST /stop"]


def test_positions_are_closed_before_a_stop_that_could_not(do: Do, platform: Platform) -> None:
    result = do("trading_state", state="flat", profile_text=STOPS_LAST)
    assert result["result"] == "proven", result["msg"]
    assert platform.writes == ["POST /reduce", "DELETE /orders", "POST /positions/flatten", "POST /stop"]
    assert (platform.state, result["after"]["state"]) == ("STOP", "stopped")


def test_what_still_holds_positions_is_not_stopped(do: Do, platform: Platform) -> None:
    platform.fault("answer", path="/positions/flatten", status=422, body={"error": "no price"})
    result = do("trading_state", state="flat", profile_text=STOPS_LAST)
    assert result["result"] == "refused"
    assert "no price" in result["msg"]
    assert platform.state == "REDUCE"
    assert result["after"]["positions"] == 2


def test_a_stopped_bot_is_not_started_to_close_positions(do: Do, platform: Platform) -> None:
    platform.state = "STOP"
    result = do("trading_state", state="flat", profile_text=STOPS_LAST)
    assert (result["result"], platform.writes, platform.state) == ("refused", [], "STOP")
    assert "5 orders are open and Bench platform cannot do that while it is stopped" in result["msg"]
    assert "2 positions are held" in result["msg"]
    assert "it is not started for it" in result["msg"]


@pytest.mark.parametrize("state", ["reducing", "halted"])
def test_a_stopped_site_satisfies_a_lesser_stop(do: Do, platform: Platform, state: str) -> None:
    platform.state = "STOP"
    result = do("trading_state", state=state)
    assert (result["result"], platform.writes) == ("unchanged", [])


def test_a_level_that_the_platform_names_otherwise_is_said(do: Do, platform: Platform) -> None:
    result = do("trading_state", state="halted", profile_text=STOPS_LAST)
    assert (result["result"], platform.writes) == ("proven", ["POST /stop"])
    assert any("no state 'halted'; its profile names 'stopped'" in note for note in result["notes"])


# -- blind orders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hang", "reset", "error_before", "html", "truncate"])
def test_a_stop_is_sent_when_no_state_can_be_read(do: Do, platform: Platform, kind: str) -> None:
    platform.fault(kind, "GET")
    began = time.monotonic()
    result = do("trading_state", state="halted", wait_timeout=1.0)
    assert time.monotonic() - began < 5.0
    assert platform.calls[:2] == ["GET /status", "POST /halt"]
    assert platform.requests[1].at - platform.requests[0].at < 0.95
    assert (result["result"], platform.state) == ("unproven", "HALT")
    assert "the trading state is unknown" in result["msg"]


def test_a_hung_read_then_a_proof_is_proven(do: Do, platform: Platform) -> None:
    platform.fault("hang", "GET", times=1)
    result = do("trading_state", state="halted")
    assert result["result"] == "proven"
    assert result["before"]["state"] == "unknown"


def test_the_orders_are_cancelled_unseen_when_they_cannot_be_listed(do: Do, platform: Platform) -> None:
    platform.fault("error_before", "GET", "/orders")
    result = do("trading_state", state="halted", cancel_orders=True, wait_timeout=1.0)
    assert platform.writes[:2] == ["POST /halt", "DELETE /orders"]
    assert platform.orders == {}
    assert result["result"] == "unproven"
    assert "cannot be read back" in result["msg"]


def test_no_order_is_sent_blindly_that_might_loosen(do: Do, platform: Platform) -> None:
    text = PROFILE.replace("        blind: true\n", "")
    platform.fault("error_before", "GET", "/status")
    result = do("trading_state", state="halted", profile_text=text)
    assert (result["result"], platform.writes) == ("unreachable", [])


@pytest.mark.parametrize("wish", [{"state": "active"}, {"state": "reducing", "exact": True}])
def test_nothing_is_loosened_from_an_unknown_state(do: Do, platform: Platform, wish: dict[str, t.Any]) -> None:
    platform.state = "SOMETHING"
    result = do("trading_state", **wish)
    assert (result["result"], platform.writes, result["changed"]) == ("unproven", [], False)
    assert "nothing is loosened from there" in result["msg"]


def test_a_stop_of_a_state_that_has_no_meaning_is_blind(do: Do, platform: Platform) -> None:
    platform.state = "SOMETHING"
    assert do("trading_state", state="halted")["result"] == "proven"
    assert platform.writes == ["POST /halt"]


# -- the witness ------------------------------------------------------------------------------------------------


def test_a_halt_that_is_only_claimed_is_contradicted_and_ordered_again(do: Do, platform: Platform) -> None:
    platform.state, platform.entering = "HALT", True
    result = do("trading_state", state="halted", wait_timeout=1.0)
    assert platform.writes == ["POST /halt"]
    assert result["result"] == "unproven"
    assert "orders still enter (the witness moved)" in result["msg"]
    assert result["proof"]["witness"]["moved"] is True
    assert result["before"]["state"] == "unknown"


def test_a_contradiction_that_ends_is_proven(do: Do, platform: Platform) -> None:
    platform.state, platform.entering = "HALT", True
    threading.Timer(0.3, lambda: setattr(platform, "entering", False)).start()
    result = do("trading_state", state="halted")
    assert (result["result"], platform.writes) == ("proven", ["POST /halt"])


def test_a_contradiction_without_a_safe_order_is_unproven(do: Do, platform: Platform) -> None:
    platform.state, platform.entering = "HALT", True
    result = do("trading_state", state="halted", profile_text=PROFILE.replace("        blind: true\n", ""))
    assert (result["result"], platform.writes) == ("unproven", [])
    assert "cannot be relied on" in result["msg"]


@pytest.mark.parametrize("marker", [None, float("nan")])
def test_a_missing_marker_is_no_quiet_witness(do: Do, platform: Platform, marker: t.Any) -> None:
    platform.accepted = marker
    result = do("trading_state", state="halted", wait_timeout=1.0)
    assert result["result"] == "unproven"
    assert "the witness cannot be read" in result["msg"]
    platform.state = "HALT"
    assert do("trading_state", state="halted", wait_timeout=1.0)["result"] == "unproven"


def test_a_witness_that_hangs_is_no_quiet_witness(do: Do, platform: Platform) -> None:
    platform.fault("hang", path="/metrics")
    result = do("trading_state", state="halted", wait_timeout=1.0)
    assert result["result"] == "unproven"
    assert platform.writes == ["POST /halt"]


def test_the_quiet_time_is_not_cut_short_by_the_budget(do: Do, platform: Platform) -> None:
    text = PROFILE.replace("quiet: 0.02", "quiet: 30")
    assert do("trading_state", state="halted", profile_text=text, wait_timeout=1.0)["result"] == "unproven"


def test_without_a_witness_the_result_says_so(do: Do, platform: Platform) -> None:
    lines = PROFILE.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line == "    witness:\n")
    result = do("trading_state", state="halted", profile_text="".join(lines[:start] + lines[start + 4 :]))
    assert result["result"] == "proven"
    assert any("no witness" in note for note in result["notes"])


def test_orders_that_are_opened_again_are_cancelled_again(do: Do, platform: Platform) -> None:
    platform.fault("reopen", times=2, seconds=0.02)
    result = do("trading_state", state="halted", cancel_orders=True)
    assert result["result"] == "proven", result["msg"]
    assert platform.writes.count("DELETE /orders") >= 2
    assert platform.orders == {}


def test_orders_that_always_come_back_are_unproven(do: Do, platform: Platform) -> None:
    platform.fault("reopen", times=1000, seconds=0.02)
    result = do("trading_state", state="halted", cancel_orders=True, wait_timeout=1.0)
    assert result["result"] == "unproven"
    assert platform.writes.count("DELETE /orders") <= 12


def test_an_order_that_only_the_venue_knows_is_not_halted_away(do: Do, platform: Platform) -> None:
    platform.venue_orders["x"] = {"id": None, "symbol": "BTC"}
    result = do("trading_state", state="halted", cancel_orders=True, wait_timeout=1.5)
    assert result["result"] == "unproven"
    assert "1 are open that were not listed" in result["msg"]
    assert [item["id"] for item in result["proof"]["objects"] if item["result"] == "not cancelled"] == ["(no id) 1"]


def test_a_position_that_only_the_venue_knows_is_not_flat(do: Do, platform: Platform) -> None:
    platform.positions = []
    result = do("trading_state", state="flat", wait_timeout=1.5)
    assert result["result"] == "unproven"
    assert "2 positions are still held" in result["msg"]


def test_a_halt_that_ends_while_it_is_looked_at_is_ordered(do: Do, platform: Platform) -> None:
    """The first reading says halted, the next one active: the stop must not wait for a proof that cannot come."""
    platform.state = "HALT"
    platform.fault(
        "answer", "GET", "/status", status=200, body={"state": "RUN", "as_of": platform.now()}, skip=1, times=1
    )
    result = do("trading_state", state="halted")
    assert (result["result"], platform.writes) == ("proven", ["POST /halt"])


def test_the_last_step_is_sent_also_when_the_ones_before_used_up_their_time(do: Do, platform: Platform) -> None:
    platform.fault("lie", "DELETE", "/orders")
    result = do("trading_state", state="halted", cancel_orders=True, profile_text=STOPS_LAST, wait_timeout=1.0)
    assert (result["result"], platform.state, platform.writes[-1]) == ("unproven", "STOP", "POST /stop")
    assert "5 of 5 are still open" in result["msg"]


def test_an_exact_halt_is_ordered_when_the_state_is_unknown_and_the_order_is_safe(do: Do, platform: Platform) -> None:
    platform.fault("error_before", "GET", "/status", times=3)
    assert do("trading_state", state="halted", exact=True)["result"] == "proven"
    assert platform.writes == ["POST /halt"]


# -- resuming ---------------------------------------------------------------------------------------------------


def test_a_resume_takes_stages_and_is_exact(do: Do, platform: Platform) -> None:
    platform.state = "HALT"
    result = do("trading_state", state="reducing", exact=True)
    assert (result["result"], platform.writes, platform.state) == ("proven", ["POST /reduce"], "REDUCE")
    result = do("trading_state", state="active")
    assert (result["result"], platform.writes[-1], platform.state) == ("proven", "POST /resume", "RUN")
    assert do("trading_state", state="active")["result"] == "unchanged"


def test_a_resume_goes_over_the_states_between(do: Do, platform: Platform) -> None:
    platform.state = "HALT"
    assert do("trading_state", state="active")["result"] == "proven"
    assert platform.writes == ["POST /reduce", "POST /resume"]


def test_no_way_is_told(do: Do, platform: Platform) -> None:
    platform.state = "STOP"
    result = do("trading_state", state="active")
    assert (result["result"], platform.writes) == ("refused", [])
    assert "no way from stopped to active in the profile bench" in result["msg"]


def test_a_failed_resume_is_not_taken_for_the_halt_that_satisfies_reducing(do: Do, platform: Platform) -> None:
    platform.state = "HALT"
    platform.fault("error_before", path="/reduce", times=1)
    result = do("trading_state", state="reducing", exact=True, wait_timeout=1.0)
    assert platform.writes == ["POST /reduce"]
    assert result["result"] == "unproven"
    assert "it was not sent again" in result["msg"]


# -- block only -------------------------------------------------------------------------------------------------


def test_block_only_sends_the_first_order_and_proves_nothing(do: Do, platform: Platform) -> None:
    result = do("trading_state_fleet", state="flat", block_only=True)
    assert (result["result"], result["changed"], result["failed"]) == ("ordered", True, False)
    assert platform.calls == ["GET /status", "POST /halt"]
    again = do("trading_state_fleet", state="flat", block_only=True)
    assert (again["result"], again["changed"], platform.writes) == ("unchanged", False, ["POST /halt"])


def test_block_only_that_nobody_confirmed_is_unproven(do: Do, platform: Platform) -> None:
    platform.fault("error_before", path="/halt")
    result = do("trading_state_fleet", state="halted", block_only=True)
    assert result["result"] == "unproven"
    assert "did not confirm" in result["msg"]
    platform.faults.clear()
    platform.fault("error_after", path="/halt")
    assert do("trading_state_fleet", state="halted", block_only=True)["result"] == "ordered"


def test_block_only_needs_nothing_but_the_block(do: Do, platform: Platform) -> None:
    text = PROFILE[: PROFILE.index("  orders:\n")]
    result = do("trading_state_fleet", state="flat", block_only=True, profile_text=text)
    assert (result["result"], platform.writes) == ("ordered", ["POST /halt"])


# -- wrong wishes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"state": "halted", "scope": {"symbol": "BTC"}}, "cannot set its trading state by symbol, only as a whole"),
        ({"state": "halted", "scope": {"symbol": ""}}, "scope.symbol is ''"),
        ({"state": "halted", "scope": {"desk": "x"}}, "the scope names desk"),
        ({"state": "flat", "exact": True}, "exact does not go with state flat"),
        ({"state": "active", "cancel_orders": True}, "cancel_orders does not go with state active"),
        ({"state": "halted", "secrets": {"token": "t0ken"}}, "the secret 'emergency_token' is missing"),
        ({"state": "halted", "urls": {}}, "tradeops_urls has no 'api'"),
        ({"state": "halted", "urls": {"web": "http://x"}}, "tradeops_urls names web; bench has the services api"),
    ],
)
def test_what_cannot_work_is_refused_before_any_call(
    do: Do, platform: Platform, options: dict[str, t.Any], text: str
) -> None:
    result = do("trading_state", **options)
    assert (result["result"], result["changed"], result["failed"], platform.requests) == ("refused", False, True, [])
    assert text in result["msg"]
    assert result["msg"].startswith("bench-1: ")
    assert "othing was sent" in result["msg"]


def test_a_stop_of_one_symbol_stops_and_cancels_only_that(do: Do, platform: Platform) -> None:
    text = PROFILE.replace(
        "        blind: true\n", "        blind: true\n        scopes: {symbol: body.symbol}\n", 1
    ).replace("close_all:\n", "close_all:\n      scopes: {symbol: query.symbol}\n      repeatable: false\n")
    result = do("trading_state", state="halted", scope={"symbol": "BTC"}, cancel_orders=True, profile_text=text)
    assert result["result"] == "proven", result["msg"]
    assert platform.requests[1].body["symbol"] == "BTC"
    assert ids(result, "cancelled") == ["o1", "o3", "o5"]
    assert sorted(platform.orders) == ["o2", "o4"]
