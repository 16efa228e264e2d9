# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the simulator, as a plain HTTP client sees it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import typing as t

import pytest
from simulator_ground import Answer, Ground, ground

SITE, SESSIONS, CLOCK = "flashmm-primary", "smc-agent-primary", "practice-sim"
STOP = ("POST", "/api/v1/admin/emergency-stop", {"confirmation": "EMERGENCY_STOP_CONFIRMED", "reason": "test"})
STATUS = ("GET", "/api/v1/trading/status")

fixture = ground(SITE, SESSIONS, CLOCK)


@pytest.fixture(autouse=True)
def _fresh(ground: Ground) -> None:
    for site in (SITE, CLOCK):
        ground.fresh(site)


def stop(ground: Ground) -> Answer:
    return ground.call(SITE, *STOP, token="emergency_token")


def test_a_lie_answers_what_a_success_answers_and_does_nothing(ground: Ground) -> None:
    before = ground.truth(SITE)
    ground.faults(SITE, {"kind": "lie"})
    lie = stop(ground)
    cancelled = ground.call(SITE, "DELETE", "/api/v1/trading/orders", token="emergency_token")
    assert [row["status"] for row in cancelled.json["results"]] == ["cancelled"] * 40
    after = ground.truth(SITE)
    assert after == {**before, "in_flight": after["in_flight"]}
    ground.faults(SITE)
    truth = stop(ground)
    assert (truth.status, truth.body) == (lie.status, lie.body)
    assert ground.truth(SITE)["state"] == "halted"


def test_a_lie_leaves_reads_alone(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "lie", "times": 1})
    assert ground.call(SITE, *STATUS).json["state"] == "RUNNING"
    assert ground.requests(SITE)[-1]["fault"] is None
    assert ground.control("GET", f"/sites/{SITE}/faults")["faults"][0]["hits"] == 0


def test_delay_answers_now_and_acts_later(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "delay", "seconds": 1.5})
    began = time.monotonic()
    assert stop(ground).json["state"] == "HALTED"
    assert ground.truth(SITE)["state"] == "active"
    ground.until(lambda: ground.truth(SITE)["state"] == "halted")
    assert time.monotonic() - began >= 1.5


def test_hang_blocks_nobody_else_and_does_nothing_for_a_client_that_left(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "hang", "path": "*/emergency-stop", "seconds": 0.8})
    with pytest.raises(TimeoutError):
        ground.call(SITE, *STOP, token="emergency_token", timeout=0.3)
    assert ground.call(SITE, *STATUS).json["state"] == "RUNNING"
    entry = ground.requests(SITE)[0]
    assert (entry["fault"], entry["status"], entry["write"]) == ("hang", None, True)
    time.sleep(0.9)  # past the hang: nothing must have come of it
    assert ground.truth(SITE)["state"] == "active"


def test_a_short_hang_is_a_late_answer(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "hang", "seconds": 0.2})
    began = time.monotonic()
    assert stop(ground).status == 200
    assert time.monotonic() - began >= 0.2


def test_slow_does_it_also_for_a_client_that_left(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "slow", "seconds": 0.4})
    began = time.monotonic()
    assert ground.call(SITE, *STATUS).json["state"] == "RUNNING"
    assert time.monotonic() - began >= 0.4
    with pytest.raises(TimeoutError):
        ground.call(SITE, *STOP, token="emergency_token", timeout=0.1)
    ground.until(lambda: ground.truth(SITE)["state"] == "halted")


def test_reset_is_a_tcp_reset(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "reset"})
    with pytest.raises(ConnectionResetError):
        stop(ground)
    assert ground.truth(SITE)["state"] == "active"
    entry = ground.requests(SITE)[-1]
    assert (entry["fault"], entry["status"], entry["path"]) == ("reset", None, STOP[1])


@pytest.mark.parametrize(("kind", "status", "state"), [("error_before", 503, "active"), ("error_after", 502, "halted")])
def test_errors_before_and_after_the_work(ground: Ground, kind: str, status: int, state: str) -> None:
    ground.faults(SITE, {"kind": kind, "times": 1})
    answer = stop(ground)
    assert answer.status == status
    assert set(answer.json["error"]) == {"code", "message"}
    assert ground.truth(SITE)["state"] == state
    assert ground.call(SITE, *STATUS).status == 200
    ground.faults(SITE, {"kind": kind, "status": 504})
    assert stop(ground).status == 504


def test_rate_limit_is_used_up(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "rate_limit", "times": 2, "seconds": 3})
    answers = [ground.call(SITE, *STATUS) for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"


def test_truncate_cuts_the_body_but_not_the_work(ground: Ground) -> None:
    whole = ground.call(SITE, "GET", "/api/v1/risk/limits").body
    ground.faults(SITE, {"kind": "truncate"})
    with pytest.raises(http.client.IncompleteRead) as cut:
        ground.call(SITE, "GET", "/api/v1/risk/limits")
    assert len(cut.value.partial) == len(whole) // 2
    assert len(cut.value.partial) + (cut.value.expected or 0) == len(whole)
    with pytest.raises(http.client.IncompleteRead):
        stop(ground)
    assert ground.truth(SITE)["state"] == "halted"


def test_html_comes_with_200_from_something_else(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "html"})
    answer = stop(ground)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert ground.truth(SITE)["state"] == "active"


def test_refused_orders_stay_refused_until_the_fault_is_gone(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "refuse_orders", "ids": 2})
    first = ground.call(SITE, "DELETE", "/api/v1/trading/orders", token="emergency_token")
    kept = [row["order_id"] for row in first.json["results"] if row["status"] == "rejected"]
    assert (first.status, len(first.json["results"]), len(kept)) == (207, 40, 2)
    one = ground.call(SITE, "DELETE", f"/api/v1/trading/orders/{kept[0]}", token="emergency_token")
    assert one.status == 409
    assert ground.truth(SITE)["open_orders"] == ground.truth(SITE)["venue_open_orders"] == 2
    ground.faults(SITE)
    assert ground.call(SITE, "DELETE", "/api/v1/trading/orders", token="emergency_token").status == 200
    assert ground.truth(SITE)["open_orders"] == 0


def test_cancelled_orders_come_back(ground: Ground) -> None:
    before = ground.truth(SITE)["orders_accepted"]
    ground.faults(SITE, {"kind": "reopen", "seconds": 1.5, "times": 1})
    ground.call(SITE, "DELETE", "/api/v1/trading/orders", token="emergency_token")
    assert ground.truth(SITE)["open_orders"] == 0
    ground.until(lambda: ground.truth(SITE)["open_orders"] == 40)
    assert ground.truth(SITE)["orders_accepted"] == before + 40
    ground.call(SITE, "DELETE", "/api/v1/trading/orders", token="emergency_token")
    assert ground.truth(SITE)["open_orders"] == 0
    assert ground.sql(SITE, "SELECT count(*) AS n FROM orders WHERE status = 'reopening'")[0]["n"] == 0


def test_stale_reads_keep_their_old_time(ground: Ground) -> None:
    old = ground.call(SITE, *STATUS).json
    ground.faults(SITE, {"kind": "stale", "path": "/trading/*"})
    stop(ground)
    seen = [ground.call(SITE, *STATUS).json for _ in range(2)]
    assert seen[0] == seen[1]
    assert seen[0]["state"] == old["state"] == "RUNNING"
    fresh = ground.call(SITE, "GET", "/api/v1/metrics/trading").json
    assert fresh["as_of"] > seen[0]["as_of"] > old["as_of"]
    ground.faults(SITE)
    assert ground.call(SITE, *STATUS).json["state"] == "HALTED"


def test_static_tokens_stay_expired(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "expire_token"})
    assert [ground.call(SITE, *STATUS).status for _ in range(2)] == [401, 401]
    assert ground.call(SITE, "GET", "/api/v1/health", token=None).status == 200
    assert stop(ground).status == 401
    assert ground.truth(SITE)["state"] == "active"


def test_a_session_expires_until_the_next_sign_in(ground: Ground) -> None:
    secrets = ground.lab["sites"][SESSIONS]["secrets"]
    name_and_password = {key: secrets[key] for key in ("username", "password")}

    def sign_in() -> str:
        answer = ground.call(SESSIONS, "POST", "/api/auth/login", name_and_password, token=None)
        return str(answer.json["access_token"])

    def status(token: str) -> int:
        return ground.call(SESSIONS, "GET", "/api/trading/status", token=token).status

    first = sign_in()
    assert status(first) == 200
    ground.faults(SESSIONS, {"kind": "expire_token"})
    assert status(first) == 401
    second = sign_in()
    assert (status(first), status(second)) == (401, 200)
    ground.faults(SESSIONS)


def test_a_closed_market_queues_what_closes_positions(ground: Ground) -> None:
    key = {"api_key": ground.lab["sites"][CLOCK]["secrets"]["api_key"]}

    def post(path: str) -> t.Any:
        return ground.call(CLOCK, "POST", f"/practice{path}", key, token=None).json

    post("/orders/cancel")
    ground.faults(CLOCK, {"kind": "market_closed", "seconds": 600})
    clock = post("/market/clock")
    assert clock["market"] == "closed"
    assert clock["next_open"] > clock["now"]
    assert post("/positions/close")["queued"] is True
    time.sleep(0.6)  # longer than an execution takes
    truth = ground.truth(CLOCK)
    assert (len(truth["positions"]), truth["open_orders"]) == (5, 5)
    ground.faults(CLOCK)
    ground.until(lambda: not ground.truth(CLOCK)["venue_positions"] and not ground.truth(CLOCK)["positions"])
    assert post("/market/clock")["next_open"] is None


def test_dead_closes_the_ports_and_gives_them_back(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "dead"})
    with pytest.raises(ConnectionRefusedError):
        stop(ground)
    assert ground.truth(SITE)["state"] == "active"
    ground.faults(SITE)
    assert stop(ground).status == 200
    ground.faults(SITE, {"kind": "dead", "seconds": 1.5})
    with pytest.raises(ConnectionRefusedError):
        ground.call(SITE, *STATUS)

    def back() -> bool:
        try:
            return ground.call(SITE, *STATUS).status == 200
        except ConnectionRefusedError:
            return False

    ground.until(back)


def test_dead_may_be_for_another_service(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "dead", "service": "other"})
    assert ground.call(SITE, *STATUS).status == 200
    ground.faults(SITE, {"kind": "dead", "service": "api"})
    with pytest.raises(ConnectionRefusedError):
        ground.call(SITE, *STATUS)
    ground.faults(SITE)
    assert ground.call(SITE, *STATUS).status == 200


def test_dead_drops_those_who_wait(ground: Ground) -> None:
    ground.faults(SITE, {"kind": "hang"})
    seen: list[BaseException] = []

    def wait() -> None:
        try:
            stop(ground)
        except (OSError, http.client.HTTPException) as exc:
            seen.append(exc)

    waiting = threading.Thread(target=wait)
    waiting.start()
    ground.until(lambda: ground.requests(SITE))
    ground.faults(SITE, {"kind": "dead"})
    waiting.join(timeout=30)
    assert seen
    assert not isinstance(seen[0], socket.timeout)


def test_drift_is_known_to_the_venue_only(ground: Ground) -> None:
    before = ground.truth(SITE)
    ground.faults(SITE, {"kind": "drift"})
    drifted = ground.truth(SITE)
    assert (drifted["open_orders"], drifted["venue_open_orders"]) == (40, 41)
    assert len(drifted["venue_positions"]) == len(drifted["positions"]) + 1
    shown = ground.call(SITE, "GET", "/api/v1/exchange/orders").json["open_orders"]
    own = ground.call(SITE, "GET", "/api/v1/trading/orders").json["orders"]
    assert len({row["client_order_id"] for row in shown} - {row["order_id"] for row in own}) == 1
    ground.faults(SITE)
    assert ground.truth(SITE)["venue_positions"] == before["venue_positions"]


def test_globs_choose_the_requests(ground: Ground) -> None:
    ground.faults(
        SITE,
        {"kind": "html", "service": "other"},
        {"kind": "error_before", "method": "post", "path": "/admin/*", "status": 500},
        {"kind": "rate_limit", "path": "/api/v1/risk/*"},
    )
    assert stop(ground).status == 500
    assert ground.call(SITE, "GET", "/api/v1/admin/maintenance").status == 200
    assert ground.call(SITE, "GET", "/api/v1/risk/limits").status == 429
    assert [entry["fault"] for entry in ground.requests(SITE)] == ["error_before", None, "rate_limit"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "lies"}, "kind 'lies' is not one of lie, "),
        ({"kind": "lie", "time": 1}, "lie: unknown key 'time'"),
        ({"kind": "delay", "seconds": "1"}, "delay: seconds cannot be '1'"),
        ("lie", "kind 'lie' is not one of"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(ground: Ground, fault: t.Any, said: str) -> None:
    with pytest.raises(AssertionError, match="error") as refusal:
        ground.control("PUT", f"/sites/{SITE}/faults", {"faults": [fault]})
    assert said.replace("lie, ", "") in str(refusal.value).replace("\\'", "'")
    assert ground.control("GET", f"/sites/{SITE}/faults") == {"faults": []}
