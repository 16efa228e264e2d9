# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the lab against a client that believes status codes, and against ours."""

from __future__ import annotations

import contextlib
import http.client
import time
import typing as t

import pytest
from operating import Operator
from simulator_ground import Ground

SITE = "flashmm-primary"
STOP = ("POST", "/api/v1/admin/emergency-stop", {"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "test"})
CANCEL = ("DELETE", "/api/v1/trading/orders", None)
STATUS = "/api/v1/trading/status"
WRITE = {"method": "POST"}


@pytest.fixture(autouse=True)
def _fresh(ground: Ground) -> None:
    ground.fresh(SITE)


def naive(ground: Ground, method: str, path: str, body: t.Any) -> bool:
    """Whether a client that looks at the status code calls it done."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ground.call(SITE, method, path, body, token="emergency_token").status < 300
    return False


def stop(operator: Operator, **options: t.Any) -> dict[str, t.Any]:
    return operator.run("trading_state", SITE, state="halted", **options)


# -- answers that claim more than what was done: the naive client is green, ours is red --------------------------------


@pytest.mark.parametrize("kind", [{"kind": "lie"}, {"kind": "delay", "seconds": 60}])
def test_a_success_that_does_nothing_is_unproven(ground: Ground, operator: Operator, kind: dict[str, t.Any]) -> None:
    ground.faults(SITE, {**kind, **WRITE})
    assert naive(ground, *STOP)
    result = stop(operator, wait_timeout=3)
    assert (result["result"], result["failed"]) == ("unproven", True)
    assert "still says active" in result["msg"]
    assert result["after"]["state"] == "active" == ground.truth(SITE)["state"]


def test_a_lie_about_cancelling_names_the_orders_that_are_open(ground: Ground, operator: Operator) -> None:
    stop(operator)
    ground.faults(SITE, {"kind": "lie", "method": "DELETE"})
    assert naive(ground, *CANCEL)
    result = operator.run("open_orders", SITE, all=True, wait_timeout=3)
    left = [item for item in result["proof"]["objects"] if item["after"] == "open"]
    assert result["result"] == "unproven"
    assert len(left) == result["before"]["open_orders"] == ground.truth(SITE)["open_orders"] > 0


def test_single_refusals_are_told_by_order(ground: Ground, operator: Operator) -> None:
    stop(operator)
    ground.faults(SITE, {"kind": "refuse_orders", "ids": 2})
    assert naive(ground, *CANCEL)
    result = operator.run("open_orders", SITE, all=True)
    kept = [item for item in result["proof"]["objects"] if item["result"] == "not cancelled"]
    assert (result["result"], len(kept), result["after"]) == ("refused", 2, {"open_orders": 2})
    assert all(item["why"] for item in kept)


def test_orders_that_come_back_are_found_and_cancelled_again(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "reopen", "seconds": 0.2, "times": 1})
    result = stop(operator, cancel_orders=True)
    assert result["result"] == "proven"
    assert any("opened again" in note for note in result["notes"])
    assert ground.truth(SITE)["open_orders"] == 0


def test_orders_that_always_come_back_are_unproven(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "reopen", "seconds": 0.1})
    assert naive(ground, *STOP)
    assert naive(ground, *CANCEL)
    result = stop(operator, cancel_orders=True, wait_timeout=4)
    assert result["result"] == "unproven"
    assert "open" in result["msg"]


def test_a_stale_answer_that_says_halted_is_not_believed(ground: Ground, operator: Operator) -> None:
    stop(operator)
    ground.faults(SITE, {"kind": "stale", "path": STATUS})
    ground.call(SITE, "GET", STATUS)
    ground.control("POST", f"/sites/{SITE}/state", {"trading": "active"})
    ground.control("POST", f"/sites/{SITE}/market", {"enabled": True, "rate": 20})
    assert ground.call(SITE, "GET", STATUS).json["state"] == "HALTED"
    result = stop(operator, wait_timeout=4)
    # Its own status lies about the state; what is proven comes from the witness, or is not proven.
    assert result["result"] in ("proven", "unproven")
    assert (ground.truth(SITE)["state"] == "halted") is (result["result"] == "proven")
    assert result["changed"] or result["failed"]


@pytest.mark.parametrize("kind", ["html", "truncate"])
def test_a_state_that_cannot_be_read_is_unknown_and_does_not_pass(
    ground: Ground, operator: Operator, kind: str
) -> None:
    ground.faults(SITE, {"kind": kind, "path": STATUS})
    assert naive(ground, *STOP)
    result = stop(operator, wait_timeout=3)
    assert (result["result"], result["after"]["state"]) == ("unproven", "unknown")


def test_a_closed_market_defers_and_is_not_flat(ground: Ground, operator: Operator) -> None:
    site = "practice-sim"
    ground.fresh(site)
    ground.faults(site, {"kind": "market_closed"})
    refused = operator.run("open_positions", site, all=True)
    assert (refused["result"], operator.writes(site)) == ("refused", [])
    assert "closed" in refused["msg"]
    operator.run("trading_state", site, state="halted", cancel_orders=True)  # open orders hold the positions
    queued = operator.run("open_positions", site, all=True, when_closed="queue", wait_timeout=3)
    assert queued["result"] == "unproven"
    assert ground.truth(site)["positions"]


def test_books_that_differ_are_not_clean(ground: Ground, operator: Operator) -> None:
    stop(operator, cancel_orders=True)
    ground.settled(SITE)
    assert operator.run("trading_info", SITE, gather=["reconciliation"])["reconciliation"]["clean"] is True
    ground.faults(SITE, {"kind": "drift"})
    books = operator.run("trading_info", SITE, gather=["reconciliation"])["reconciliation"]
    assert books["clean"] is False
    assert {item["kind"] for item in books["differences"]} == {"orders", "positions"}


# -- failures that say less than what was done: the naive client is red, ours looks ------------------------------------


def test_an_error_after_acting_is_proven_and_not_sent_again(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "error_after", **WRITE})
    result = stop(operator)
    assert (result["result"], operator.writes(SITE)) == ("proven", ["POST /api/v1/admin/emergency-stop"])
    ground.fresh(SITE)
    ground.faults(SITE, {"kind": "error_after", **WRITE})
    assert not naive(ground, *STOP)


def test_a_truncated_answer_to_a_write_is_looked_up(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "truncate", **WRITE})
    result = stop(operator)
    assert (result["result"], len(operator.writes(SITE))) == ("proven", 1)


@pytest.mark.parametrize("kind", ["error_before", "reset", "hang"])
def test_a_write_that_was_lost_once_is_given_again(ground: Ground, operator: Operator, kind: str) -> None:
    ground.faults(SITE, {"kind": kind, "times": 1, **WRITE})
    result = stop(operator, request_timeout=1.5)
    assert (result["result"], ground.truth(SITE)["state"]) == ("proven", "halted")


@pytest.mark.parametrize("kind", ["error_before", "reset", "hang"])
def test_a_write_that_is_always_lost_is_unproven_in_time(ground: Ground, operator: Operator, kind: str) -> None:
    ground.faults(SITE, {"kind": kind, **WRITE})
    began = time.monotonic()
    result = stop(operator, wait_timeout=4)
    assert (result["result"], ground.truth(SITE)["state"]) == ("unproven", "active")
    assert time.monotonic() - began < 20


def test_a_position_is_never_closed_twice(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "error_before", **WRITE})
    result = operator.run("open_positions", SITE, all=True)
    assert (result["result"], len(operator.writes(SITE))) == ("unproven", 1)


def test_a_rate_limit_is_waited_for(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "rate_limit", "seconds": 1, "times": 1, **WRITE})
    result = stop(operator)
    assert result["result"] == "proven"
    assert result["proof"]["elapsed"] > 1


def test_a_site_that_hangs_altogether_is_reported_in_time(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "hang"})
    began = time.monotonic()
    result = stop(operator, wait_timeout=3)
    assert result["failed"]
    assert time.monotonic() - began < 20
    # The order to stop was given although nothing could be read.
    assert operator.writes(SITE)


def test_a_dead_site_is_unreachable(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "dead"})
    result = stop(operator, wait_timeout=3)
    assert result["result"] == "unreachable"
    ground.faults(SITE)


def test_a_token_that_is_over_is_refused_by_name(ground: Ground, operator: Operator) -> None:
    ground.faults(SITE, {"kind": "expire_token"})
    result = stop(operator, wait_timeout=3)
    assert result["failed"]
    assert "401" in result["msg"]
    assert "tradeops_secrets" in result["msg"]


def test_a_session_that_is_over_is_opened_again(ground: Ground, operator: Operator) -> None:
    site = "smc-agent-primary"
    ground.fresh(site)
    ground.faults(site, {"kind": "expire_token", "times": 1})
    assert operator.run("trading_state", site, state="reducing")["result"] == "proven"
