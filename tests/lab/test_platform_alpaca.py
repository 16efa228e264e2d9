# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alpaca in the lab: what its answers do not say, and what the profile makes of them."""

from __future__ import annotations

import typing as t

import pytest
from profiled import Profiled
from simulator_ground import BUDGET, Answer, Ground, request
from simulator_ground import ground as lab

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import HttpTransport
from ansible_collections.tradeops.core.plugins.module_utils._platform.site import Site

SITE = "alpaca-paper"
fixture = lab(SITE)


@pytest.fixture
def alpaca(ground: Ground) -> t.Iterator[Profiled]:
    ground.fresh(SITE)
    with Profiled(ground, SITE) as site:
        yield site


def call(alpaca: Profiled, method: str, path: str, body: t.Any = None) -> Answer:
    """One plain request with the keys of the account."""
    secrets = alpaca.plan["secrets"]
    headers = {"APCA-API-KEY-ID": secrets["key_id"], "APCA-API-SECRET-KEY": secrets["secret_key"]}
    return request(alpaca.plan["services"]["api"], method, f"/v2{path}", body, headers, BUDGET)


def orders(alpaca: Profiled) -> list[dict[str, t.Any]]:
    assert alpaca.able.orders
    return alpaca.rows(alpaca.able.orders.list)


def held(alpaca: Profiled) -> dict[str, float]:
    assert alpaca.able.positions
    return {row["id"]: row["quantity"] for row in alpaca.rows(alpaca.able.positions.list)}


# -- the account -------------------------------------------------------------------------------------------------------


def test_suspending_changes_one_setting_and_is_read_back_from_the_account(alpaca: Profiled) -> None:
    before = call(alpaca, "GET", "/account/configurations").json
    alpaca.move("halted")
    assert call(alpaca, "GET", "/account/configurations").json == {**before, "suspend_trade": True}
    assert call(alpaca, "GET", "/account").json["trade_suspended_by_user"] is True
    assert (alpaca.state, alpaca.truth["state"]) == ("halted", "halted")
    alpaca.move("active")
    assert call(alpaca, "GET", "/account/configurations").json == before
    assert alpaca.state == "active"


@pytest.mark.parametrize("flag", ["trading_blocked", "account_blocked"])
def test_a_block_by_alpaca_is_no_halt_of_ours(alpaca: Profiled, flag: str) -> None:
    account = alpaca.settings()["account"]
    alpaca.set(account={**account, flag: True})
    assert alpaca.state == "unknown"
    assert alpaca.value(alpaca.able.health) == "fail"
    alpaca.move("halted")
    assert alpaca.state == "halted"
    alpaca.move("active")
    assert alpaca.state == "unknown"


def test_an_account_that_is_being_updated_is_not_called_active(alpaca: Profiled) -> None:
    alpaca.set(account={**alpaca.settings()["account"], "status": "ACCOUNT_UPDATED"})
    assert alpaca.state == "unknown"
    assert alpaca.value(alpaca.able.health) == "warn"


def test_wrong_keys_are_denied(alpaca: Profiled) -> None:
    site = Site(
        name=SITE,
        profile=alpaca.profile,
        urls=alpaca.plan["services"],
        secrets={"key_id": "of-another-account", "secret_key": "of-another-account"},
        transport=HttpTransport(timeout=BUDGET),
    )
    assert alpaca.able.orders
    with pytest.raises(Denied, match=r"answered 401.*tradeops_secrets"):
        site.get(alpaca.able.orders.list.request, Deadline(BUDGET))
    site.close()


# -- orders ------------------------------------------------------------------------------------------------------------


def test_a_207_lists_requests_and_orders_stay_pending_for_a_while(alpaca: Profiled) -> None:
    assert alpaca.able.orders
    assert alpaca.able.orders.lookup
    alpaca.set(cancel_lag=0.5)
    asked = {row["id"] for row in orders(alpaca)}
    ack = alpaca.send(alpaca.able.orders.cancel_all)
    assert ack.status == 207
    assert {item["id"] for item in ack.items if item["ok"]} == asked
    left = orders(alpaca)
    assert {row["status"] for row in left} == {"pending_cancel"}
    assert {row["id"] for row in left} == asked
    one = asked.pop()
    assert alpaca.look_up(alpaca.able.orders.lookup, one) == "open"
    alpaca.ground.until(lambda: not orders(alpaca))
    assert alpaca.look_up(alpaca.able.orders.lookup, one) == "cancelled"


def test_orders_that_are_not_cancelable_say_so_one_by_one(alpaca: Profiled) -> None:
    assert alpaca.able.orders
    assert alpaca.able.orders.lookup
    alpaca.ground.faults(SITE, {"kind": "refuse_orders", "ids": 2})
    ack = alpaca.send(alpaca.able.orders.cancel_all)
    refused = {item["id"]: item["why"] for item in ack.items if not item["ok"]}
    assert list(refused.values()) == ["status 500"] * 2
    alpaca.ground.until(lambda: {row["id"] for row in orders(alpaca)} == set(refused))
    with pytest.raises(Refused, match="answered 422"):
        alpaca.send(alpaca.able.orders.cancel_one, id=next(iter(refused)))


def test_one_order_is_cancelled_without_a_body_and_only_once(alpaca: Profiled) -> None:
    assert alpaca.able.orders
    one = orders(alpaca)[0]["id"]
    assert alpaca.send(alpaca.able.orders.cancel_one, id=one).status == 204
    with pytest.raises(Refused, match="answered 422"):
        alpaca.send(alpaca.able.orders.cancel_one, id=one)
    with pytest.raises(Refused, match="answered 404"):
        alpaca.send(alpaca.able.orders.cancel_one, id="00000000-0000-0000-0000-000000000000")


def test_a_long_list_is_read_to_its_end(alpaca: Profiled) -> None:
    alpaca.ground.sql(
        SITE,
        "INSERT INTO orders"
        " (id, symbol, side, quantity, price, type, status, account, venue, strategy, owner, placed_at)"
        " SELECT gen_random_uuid(), 'SPY', 'buy', 1, 500, 'limit', 'open', 'a', 'v', 's', 'o',"
        " now() - n * interval '1 ms' FROM generate_series(1, 1100) AS n RETURNING id",
    )
    before = len(alpaca.ground.requests(SITE))
    assert len(orders(alpaca)) == 1140
    assert len(alpaca.ground.requests(SITE)) - before == 3


# -- positions ---------------------------------------------------------------------------------------------------------


def test_short_positions_are_negative(alpaca: Profiled) -> None:
    assert held(alpaca) == alpaca.truth["positions"]
    assert min(held(alpaca).values()) < 0 < max(held(alpaca).values())


def test_orders_hold_the_shares_of_a_position(alpaca: Profiled) -> None:
    assert alpaca.able.positions
    assert alpaca.able.orders
    with pytest.raises(Refused, match="open orders hold the shares"):
        alpaca.send(alpaca.able.positions.close_one, id="AAPL")
    bulk = call(alpaca, "DELETE", "/positions")
    assert bulk.status == 207
    assert {row["status"] for row in bulk.json} == {403}
    first = bulk.json[0]["body"]
    assert (first["code"], first["symbol"]) == (40310000, "AAPL")
    assert set(first["related_orders"]) <= {row["id"] for row in orders(alpaca)}
    # Also while they are being cancelled.
    alpaca.set(cancel_lag=0.4)
    alpaca.send(alpaca.able.orders.cancel_all)
    with pytest.raises(Refused, match="open orders hold the shares"):
        alpaca.send(alpaca.able.positions.close_one, id="AAPL")
    alpaca.ground.until(lambda: not orders(alpaca))
    assert alpaca.send(alpaca.able.positions.close_one, id="AAPL").status == 200
    alpaca.ground.until(lambda: "AAPL" not in held(alpaca))


def test_closing_is_a_request_too(alpaca: Profiled) -> None:
    assert alpaca.able.positions
    alpaca.move("halted")
    ack = alpaca.send(alpaca.able.positions.close_all)
    assert (ack.status, {item["ok"] for item in ack.items}) == (207, {True})
    assert len(held(alpaca)) == 5
    alpaca.ground.until(lambda: not held(alpaca) and not orders(alpaca))
    with pytest.raises(Refused, match="answered 404"):
        alpaca.send(alpaca.able.positions.close_one, id="AAPL")


def test_a_suspended_account_that_may_not_close_says_why(alpaca: Profiled) -> None:
    assert alpaca.able.positions
    alpaca.set(suspended_may_close=False)
    alpaca.move("halted")
    ack = alpaca.send(alpaca.able.positions.close_all)
    assert {(item["ok"], item["why"]) for item in ack.items} == {(False, "new orders are rejected by user request")}
    with pytest.raises(Refused, match="suspended"):
        alpaca.send(alpaca.able.positions.close_one, id="AAPL")
    assert len(held(alpaca)) == 5


def test_closing_orders_wait_while_the_market_is_closed(alpaca: Profiled) -> None:
    assert alpaca.able.positions
    assert alpaca.value(alpaca.able.market) == "open"
    alpaca.ground.faults(SITE, {"kind": "market_closed"})
    assert alpaca.value(alpaca.able.market) == "closed"
    alpaca.send(alpaca.able.positions.close_all)
    waiting = [row for row in orders(alpaca) if row["status"] == "accepted"]
    assert {row["symbol"] for row in waiting} == set(held(alpaca))
    alpaca.ground.faults(SITE)
    alpaca.ground.until(lambda: not held(alpaca))
