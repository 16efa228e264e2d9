# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the simulated platforms behave when nothing is wrong, and that what they say is really in PostgreSQL."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import signal
import threading
import time
import typing as t

import pytest
from simulator_ground import Answer, Ground, ground

MM, BOOK, PRACTICE = "flashmm-primary", "adaptive-order-book-primary", "practice-sim"
PHRASE = {"confirmation": "EMERGENCY_STOP_CONFIRMED"}

fixture = ground(MM, BOOK, PRACTICE)


def mm(ground: Ground, method: str, path: str, body: t.Any = None, token: str | None = "emergency_token") -> Answer:
    return ground.call(MM, method, f"/api/v1{path}", body, token=token)


def practice(ground: Ground, path: str, **body: t.Any) -> Answer:
    key = ground.lab["sites"][PRACTICE]["secrets"]["api_key"]
    return ground.call(PRACTICE, "POST", f"/practice{path}", {"api_key": key, **body}, token=None)


def test_orders_are_really_in_postgresql(ground: Ground) -> None:
    truth = ground.fresh(MM)
    rows = mm(ground, "GET", "/trading/orders", token="token").json["orders"]
    stored = ground.sql(MM, "SELECT id FROM orders WHERE status = 'open'")
    venue = ground.sql(MM, "SELECT order_id FROM venue_orders WHERE status = 'open'")
    assert {row["order_id"] for row in rows} == {row["id"] for row in stored} == {row["order_id"] for row in venue}
    assert truth["open_orders"] == len(rows) == 40
    assert len(truth["positions"]) == len(truth["breakers"]) == 5
    ids = sorted(row["id"] for row in stored)
    ground.sql(MM, "UPDATE orders SET status = 'rejected' WHERE id = $1", ids[0])
    assert mm(ground, "GET", f"/trading/orders/{ids[0]}", token="token").json["status"] == "REJECTED"
    assert mm(ground, "DELETE", f"/trading/orders/{ids[1]}").json["status"] == "cancelled"
    assert ground.sql(MM, "SELECT status FROM orders WHERE id = $1", ids[1]) == [{"status": "cancelled"}]
    actions = ground.sql(MM, "SELECT actor, action FROM audit WHERE object = $1", ids[1])
    assert {"actor": "emergency_token", "action": "order_cancelled"} in actions


def test_secrets_are_kept_as_hashes_and_can_be_revoked(ground: Ground) -> None:
    ground.fresh(MM)
    secret = ground.lab["sites"][MM]["secrets"]["token"]
    digest = hashlib.sha256(secret.encode()).hexdigest()
    assert ground.sql(MM, "SELECT name FROM tokens WHERE hash = $1", digest) == [{"name": "token"}]
    ground.sql(MM, "UPDATE tokens SET revoked = true WHERE hash = $1", digest)
    assert mm(ground, "GET", "/trading/status", token="token").status == 401
    successor = hashlib.sha256(b"successor").hexdigest()
    ground.sql(MM, "INSERT INTO tokens (hash, name) VALUES ($1, 'token')", successor)
    assert mm(ground, "GET", "/trading/status", token="successor").status == 200


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        (None, PHRASE, 401),
        ("token", PHRASE, 403),
        ("made-up", PHRASE, 403),
        ("emergency_token", {}, 400),
        ("emergency_token", {"confirmation": "yes"}, 400),
    ],
)
def test_the_emergency_stop_wants_its_token_and_its_phrase(
    ground: Ground, token: str | None, body: dict[str, str], status: int
) -> None:
    before = ground.fresh(MM)
    answer = mm(ground, "POST", "/admin/emergency-stop", body, token)
    assert answer.status == status
    assert answer.json["error"]["message"]
    after = ground.truth(MM)
    assert (after["state"], after["audit"]) == ("active", before["audit"])


def test_trading_goes_on_until_it_is_halted(ground: Ground) -> None:
    start = ground.fresh(MM, market=True)
    ground.control("POST", f"/sites/{MM}/market", {"rate": 50})
    moved = ground.until(lambda: (now := ground.truth(MM))["orders_accepted"] > start["orders_accepted"] + 20 and now)
    assert moved["in_flight"] > 0
    assert moved["audit"] > start["audit"] + 20
    ground.until(lambda: ground.truth(MM)["positions"] != start["positions"])
    pnl = mm(ground, "GET", "/metrics/trading", token="token").json["summary"]["daily_pnl_usdc"]
    assert pnl != 1250.0
    mm(ground, "POST", "/admin/emergency-stop", PHRASE)
    halted = ground.truth(MM)
    ground.until(lambda: ground.truth(MM)["in_flight"] == 0)
    ground.settled(MM)
    after = ground.truth(MM)
    assert after["orders_accepted"] == halted["orders_accepted"]
    assert after["open_orders"] > 20  # a halt does not cancel
    mm(ground, "POST", "/admin/trading/resume")
    assert mm(ground, "POST", "/admin/trading/resume", token="token").status == 200
    ground.until(lambda: ground.truth(MM)["orders_accepted"] > after["orders_accepted"])


def test_reducing_only_reduces(ground: Ground) -> None:
    start = ground.fresh(MM)
    mm(ground, "POST", "/admin/trading/reduce-only", token="token")
    ground.control("POST", f"/sites/{MM}/market", {"enabled": True, "rate": 100})

    def exposure(truth: dict[str, t.Any]) -> float:
        return sum(abs(quantity) for quantity in truth["positions"].values())

    ground.until(lambda: exposure(ground.truth(MM)) < exposure(start))
    for symbol, quantity in ground.truth(MM)["positions"].items():
        assert 0 < quantity / start["positions"][symbol] <= 1
    entered = ground.sql(
        MM, "SELECT count(*) AS n FROM orders WHERE NOT reduce_only AND placed_at > now() - interval '30 seconds'"
    )
    assert entered == [{"n": 0}]


def test_maintenance_takes_no_new_orders(ground: Ground) -> None:
    ground.fresh(BOOK, market=True)
    ground.control("POST", f"/sites/{BOOK}/market", {"rate": 50})
    assert ground.call(BOOK, "POST", "/admin/maintenance/enable", {"mode": "read_only"}).status == 200
    accepted = ground.truth(BOOK)["orders_accepted"]
    ground.until(lambda: ground.call(BOOK, "GET", "/admin/maintenance/status").json["in_flight"] == 0)
    assert ground.truth(BOOK)["orders_accepted"] == accepted
    assert ground.call(BOOK, "POST", "/admin/maintenance/enable", {"mode": "naps"}).status == 400


def test_an_order_that_fills_meanwhile_is_not_cancelled(ground: Ground) -> None:
    ground.fresh(MM)
    ground.control("PUT", f"/sites/{MM}/settings", {"fill_lag": 60})
    ground.control("POST", f"/sites/{MM}/market", {"enabled": True, "rate": 100})
    ground.until(lambda: ground.truth(MM)["venue_open_orders"] < ground.truth(MM)["open_orders"])
    mm(ground, "POST", "/admin/emergency-stop", PHRASE)
    answer = mm(ground, "DELETE", "/trading/orders")
    refused = [row for row in answer.json["results"] if row["status"] == "rejected"]
    assert answer.status == 207
    assert {row["message"] for row in refused} == {"already filled"}
    assert ground.truth(MM)["open_orders"] == len(refused) < len(answer.json["results"])
    one = mm(ground, "DELETE", f"/trading/orders/{refused[0]['order_id']}")
    assert (one.status, one.json["error"]["message"]) == (409, "already filled")
    assert mm(ground, "DELETE", "/trading/orders/none").status == 404


def test_closing_takes_a_moment_and_reduces_only(ground: Ground) -> None:
    ground.fresh(MM)
    mm(ground, "POST", "/admin/emergency-stop", PHRASE)
    mm(ground, "DELETE", "/trading/orders")
    first = mm(ground, "POST", "/trading/positions/flatten")
    again = mm(ground, "POST", "/trading/positions/flatten")
    assert [row["status"] for row in first.json["results"]] == ["submitted"] * 5
    ground.until(lambda: not ground.truth(MM)["positions"])
    ground.until(lambda: ground.truth(MM)["open_orders"] == 0)
    assert ground.truth(MM)["venue_positions"] == {}  # the second order had nothing left to reduce
    assert len(again.json["results"]) == 5
    assert ground.truth(MM)["state"] == "halted"


def test_open_breakers_block_their_pair(ground: Ground) -> None:
    ground.fresh(BOOK)
    ground.call(BOOK, "POST", "/admin/circuit-breaker/activate-all", {"reason": "test"})
    ground.call(BOOK, "POST", "/admin/circuit-breaker/reset/SOLUSDT")
    status = ground.call(BOOK, "GET", "/admin/circuit-breaker/status").json
    assert [row["pair"] for row in status if not row["open"]] == ["SOLUSDT"]
    start = ground.truth(BOOK)["orders_accepted"]
    ground.control("POST", f"/sites/{BOOK}/market", {"enabled": True, "rate": 100})
    ground.until(lambda: ground.truth(BOOK)["orders_accepted"] > start + 10)
    placed = ground.sql(BOOK, "SELECT DISTINCT symbol FROM orders WHERE placed_at > now() - interval '30 seconds'")
    assert placed == [{"symbol": "SOLUSDT"}]
    assert ground.call(BOOK, "POST", "/admin/circuit-breaker/activate/NONE").status == 404
    ground.call(BOOK, "POST", "/admin/circuit-breaker/reset-all")
    assert not any(ground.truth(BOOK)["breakers"].values())


def test_migrations_and_limits_are_set_and_stopped(ground: Ground) -> None:
    ground.fresh(BOOK)

    def percentage(**body: t.Any) -> int:
        return ground.call(BOOK, "POST", "/admin/migration/percentage", body).status

    assert percentage(pair="BTCUSDT", percentage=35.0) == 200
    assert ground.truth(BOOK)["rollouts"]["BTCUSDT"] == 35
    assert percentage(pair="BTCUSDT", percentage=101) == percentage(pair="BTCUSDT") == 400
    assert percentage(pair="NONE", percentage=1) == 404
    assert percentage(pair="all", percentage=5) == 200
    assert set(ground.truth(BOOK)["rollouts"].values()) == {5}
    ground.call(BOOK, "POST", "/admin/migration/emergency-stop")
    assert set(ground.truth(BOOK)["rollouts"].values()) == {0}
    ground.fresh(MM)
    assert mm(ground, "PUT", "/risk/limits/max_leverage", {"value": 1.5}, "token").json["value"] == 1.5
    assert mm(ground, "PUT", "/risk/limits/none", {"value": 1.5}, "token").status == 404
    assert ground.truth(MM)["limits"]["max_leverage"] == 1.5


def test_listings_come_in_pages(ground: Ground) -> None:
    ground.fresh(BOOK)
    seen: list[str] = []
    query = "?status=open"
    while query:
        answer = ground.call(BOOK, "GET", f"/admin/orders{query}").json
        seen += [row["id"] for row in answer["orders"]]
        query = f"?cursor={answer['next_cursor']}" if answer["next_cursor"] else ""
    assert len(seen) == len(set(seen)) == 40
    ground.fresh(PRACTICE)
    sizes = [len(practice(ground, "/orders/list", page=number).json["rows"]) for number in (1, 2, 3, 4)]
    assert sizes == [15, 15, 10, 0]


def test_a_result_per_item(ground: Ground) -> None:
    ground.fresh(BOOK)
    ground.faults(BOOK, {"kind": "refuse_orders"})
    answer = ground.call(BOOK, "DELETE", "/admin/orders?pair=BTCUSDT")
    assert answer.status == 207
    assert sorted(row["code"] for row in answer.json["items"]) == [200] * 7 + [409]
    assert ground.truth(BOOK)["open_orders"] == 33


@pytest.mark.parametrize("scope", ["account", "venue", "strategy", "symbol", "owner"])
def test_practice_cancels_only_what_is_in_the_scope(ground: Ground, scope: str) -> None:
    ground.fresh(PRACTICE)
    value = ground.sql(PRACTICE, f"SELECT {scope} AS value FROM orders ORDER BY id LIMIT 1")[0]["value"]
    foreign = ground.sql(PRACTICE, f"SELECT id FROM orders WHERE {scope} <> $1", value)
    results = practice(ground, "/orders/cancel", **{scope: value}).json["results"]
    assert len(results) == 40 - len(foreign) > 0
    left = ground.sql(PRACTICE, "SELECT id FROM orders WHERE status = 'open'")
    assert {row["id"] for row in left} == {row["id"] for row in foreign}


def test_practice_has_a_key_in_the_body_and_a_state_stopped(ground: Ground) -> None:
    ground.fresh(PRACTICE)
    assert ground.call(PRACTICE, "POST", "/practice/engine/status", {}, token=None).status == 401
    assert ground.call(PRACTICE, "POST", "/practice/engine/status", {"api_key": "x"}, token=None).status == 403
    held = practice(ground, "/positions/close").json["results"]
    assert {row["outcome"] for row in held} == {"kept"}
    assert practice(ground, "/engine/stop").json["state"] == "off"
    assert practice(ground, "/orders/cancel").status == practice(ground, "/positions/close").status == 409
    practice(ground, "/engine/hold")
    assert ground.truth(PRACTICE)["state"] == "stopped"
    assert [entry["write"] for entry in ground.requests(PRACTICE)][-2:] == [True, True]
    practice(ground, "/engine/start")
    assert practice(ground, "/engine/status").json["state"] == "running"
    assert ground.requests(PRACTICE)[-1]["write"] is False


def test_the_dead_man_switch_cancels_all_orders(ground: Ground) -> None:
    ground.fresh(PRACTICE)
    assert practice(ground, "/dead-man-switch", timeout=60).json["seconds_left"] == 60
    assert 45 < ground.truth(PRACTICE)["dead_man_switch"] <= 60
    practice(ground, "/dead-man-switch", timeout=0)
    assert ground.truth(PRACTICE)["dead_man_switch"] is None
    practice(ground, "/dead-man-switch", timeout=2)
    assert ground.truth(PRACTICE)["open_orders"] == 40
    ground.until(lambda: ground.truth(PRACTICE)["open_orders"] == 0)
    assert ground.truth(PRACTICE)["dead_man_switch"] is None


def test_what_is_not_served_is_said_in_the_platforms_words(ground: Ground) -> None:
    ground.fresh(MM)
    assert mm(ground, "GET", "/nothing").json["error"]["code"] == "not_found"
    assert mm(ground, "PATCH", "/trading/orders").status == 405
    assert [entry["write"] for entry in ground.requests(MM)] == [False, True]
    with pytest.raises(AssertionError, match="there is no site"):
        ground.control("GET", "/sites/none/truth")


def test_state_survives_a_restart_and_sigterm_ends_what_hangs(ground: Ground) -> None:
    ground.fresh(MM, market=True)
    ground.fresh(BOOK)
    mm(ground, "POST", "/admin/emergency-stop", PHRASE)
    ground.call(BOOK, "POST", "/admin/circuit-breaker/activate/SOLUSDT", {"reason": "test"})
    ground.settled(MM)
    before = {site: ground.truth(site) for site in (MM, BOOK)}
    ground.faults(PRACTICE, {"kind": "hang"})
    waiting = threading.Thread(target=lambda: _ignore(lambda: practice(ground, "/engine/status")), daemon=True)
    waiting.start()
    ground.until(lambda: ground.requests(PRACTICE))
    began = time.monotonic()
    os.kill(ground.lab["pids"]["simulator"], signal.SIGTERM)
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    ground.until(lambda: _refused(ground))
    assert time.monotonic() - began < 20
    ground.up()
    for site, truth in before.items():
        after = ground.truth(site)
        assert after == {**truth, "in_flight": after["in_flight"]}
    assert mm(ground, "GET", "/trading/status", token="token").json["state"] == "HALTED"


def test_a_database_that_was_away_is_found_again(ground: Ground) -> None:
    ground.fresh(MM)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    ground.sql(MM, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    ground.until(lambda: mm(ground, "GET", "/trading/status", token="token").status == 200)
    ground.sql(MM, "ALTER TABLE settings RENAME TO settings_away")
    answer = mm(ground, "GET", "/trading/status", token="token")
    assert (answer.status, answer.json["error"]["code"]) == (503, "database_unavailable")
    ground.sql(MM, "ALTER TABLE settings_away RENAME TO settings")
    assert mm(ground, "GET", "/trading/status", token="token").status == 200


def test_settings_of_another_kind_are_refused(ground: Ground) -> None:
    ground.fresh(MM)
    assert ground.control("PUT", f"/sites/{MM}/settings", {"daily_pnl": -6000}) == {"daily_pnl": -6000}
    pnl = mm(ground, "GET", "/metrics/trading", token="token").json["summary"]["daily_pnl_usdc"]
    assert pnl == -6000
    with pytest.raises(AssertionError, match="daily_pnl must be a number"):
        ground.control("PUT", f"/sites/{MM}/settings", {"daily_pnl": "low"})
    with pytest.raises(AssertionError, match="trading must be one of active"):
        ground.control("POST", f"/sites/{MM}/state", {"trading": "asleep"})


def _ignore(work: t.Callable[[], t.Any]) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        work()


def _refused(ground: Ground) -> bool:
    try:
        mm(ground, "GET", "/trading/status", token="token")
    except ConnectionRefusedError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return False
