# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders and positions: the scope is kept, and the fate of every single one is told."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.tradeops.core.tests.unit.fake_platform import PROFILE, Platform

Do = t.Callable[..., dict[str, t.Any]]


def without(*paths: str) -> str:
    """Return the profile without some keys of its capabilities, such as ``orders.cancel_all``."""
    document = yaml.safe_load(PROFILE)
    for path in paths:
        *parents, last = path.split(".")
        place = document["capabilities"]
        for parent in parents:
            place = place[parent]
        del place[last]
    return yaml.safe_dump(document)


ONE_BY_ONE = without("orders.cancel_all", "positions.close_all")
ALL_ONLY = without("orders.cancel_one", "positions.close_one")
UNTOLD = without("orders.cancel_all.items")


def fates(result: dict[str, t.Any]) -> dict[str, tuple[str, str]]:
    return {item["id"]: (item["result"], item["why"]) for item in result["proof"]["objects"]}


def test_all_orders_are_cancelled_and_each_is_told(do: Do, platform: Platform) -> None:
    result = do("open_orders", all=True)
    assert (result["result"], result["changed"], result["proof"]["summary"]) == ("proven", True, "5 cancelled")
    assert result["before"] == {"open_orders": 5}
    assert result["after"] == {"open_orders": 0}
    assert platform.writes == ["DELETE /orders"]
    again = do("open_orders", all=True)
    assert (again["result"], again["changed"], again["plan"]) == ("unchanged", False, [])


def test_check_mode_tells_every_order_and_cancels_none(do: Do, platform: Platform) -> None:
    result = do("open_orders", all=True, check=True)
    assert (result["result"], result["proof"]["summary"], platform.writes) == ("planned", "5 would be cancelled", [])
    assert result["diff"] == {"before": {"open_orders": 5}, "after": {"open_orders": 0}}


@pytest.mark.parametrize(
    ("scope", "profile", "writes", "left"),
    [
        ({"symbol": "BTC"}, PROFILE, ["DELETE /orders"], ["o2", "o4"]),
        ({"symbol": "BTC"}, ONE_BY_ONE, ["DELETE /orders/o1", "DELETE /orders/o3", "DELETE /orders/o5"], ["o2", "o4"]),
        ({"strategy": "s0"}, PROFILE, ["DELETE /orders/o2", "DELETE /orders/o4"], ["o1", "o3", "o5"]),
        ({"strategy": "s0", "symbol": "BTC"}, PROFILE, [], ["o1", "o2", "o3", "o4", "o5"]),
    ],
)
def test_orders_out_of_the_scope_stay(
    do: Do, platform: Platform, scope: dict[str, str], profile: str, writes: list[str], left: list[str]
) -> None:
    result = do("open_orders", scope=scope, profile_text=profile)
    assert result["result"] == ("proven" if writes else "unchanged"), result["msg"]
    assert platform.writes == writes
    assert sorted(platform.orders) == left


@pytest.mark.parametrize(
    ("options", "profile", "text"),
    [
        ({}, PROFILE, "an empty scope; scope may name account, venue, strategy, symbol, owner, or say all: true"),
        ({"all": True, "scope": {"symbol": "BTC"}}, PROFILE, "both a scope and all: true"),
        ({"all": True, "scope": {"symbol": ""}}, PROFILE, "scope.symbol is ''"),
        ({"scope": {"symbol": None}}, PROFILE, "scope.symbol is None"),
        ({"scope": {"symbol": ["BTC"]}}, PROFILE, "scope.symbol is ['BTC']"),
        ({"scope": {"pair": "BTC"}}, PROFILE, "the scope names pair"),
        ({"scope": {"venue": "X"}}, PROFILE, "does not tell the venue of its /orders rows"),
        ({"all": True, "expected_count": 4}, PROFILE, "5 open orders are in the scope, 4 were expected"),
        ({"scope": {"strategy": "s0"}}, ALL_ONLY, "can only cancel all orders, not those of strategy"),
        ({"all": True}, without("orders"), "Bench platform has no orders"),
    ],
)
def test_a_scope_is_never_widened(
    do: Do, platform: Platform, options: dict[str, t.Any], profile: str, text: str
) -> None:
    for check in (False, True):
        result = do("open_orders", check=check, profile_text=profile, **options)
        assert (result["result"], result["changed"], platform.writes) == ("refused", False, [])
        assert text in result["msg"]
        assert "othing was sent" in result["msg"]


def test_the_expected_count_lets_through_what_was_meant(do: Do) -> None:
    assert do("open_orders", scope={"symbol": "BTC"}, expected_count=3)["result"] == "proven"
    assert do("open_orders", scope={"symbol": "BTC"}, expected_count=0)["result"] == "unchanged"


def test_an_order_that_was_filled_is_not_called_cancelled(do: Do, platform: Platform) -> None:
    platform.fault("filled", ids=("o1", "o2"))
    result = do("open_orders", all=True)
    assert result["result"] == "proven"
    assert result["proof"]["summary"] == "3 cancelled, 2 refused: already filled"


def test_without_results_per_order_the_fate_is_looked_up(do: Do, platform: Platform) -> None:
    platform.fault("filled", ids=("o1",))
    result = do("open_orders", all=True, profile_text=UNTOLD)
    assert result["proof"]["summary"] == "4 cancelled, 1 gone: already filled"


def test_what_nobody_tells_is_not_called_cancelled(do: Do, platform: Platform) -> None:
    result = do("open_orders", all=True, profile_text=without("orders.cancel_all.items", "orders.lookup"))
    assert result["result"] == "proven"
    assert result["proof"]["summary"] == "5 gone: cancelled or filled, the platform does not tell"


@pytest.mark.parametrize("profile", [PROFILE, ONE_BY_ONE])
def test_an_order_that_is_refused_is_told(do: Do, platform: Platform, profile: str) -> None:
    platform.fault("refuse", ids=("o3",))
    result = do("open_orders", all=True, profile_text=profile)
    assert (result["result"], result["changed"], result["after"]) == ("refused", True, {"open_orders": 1})
    assert "1 of 5 are still open" in result["msg"]
    assert fates(result)["o3"][0] == "not cancelled"
    assert "locked by the venue" in fates(result)["o3"][1]
    assert sum(fate == "cancelled" for fate, _why in fates(result).values()) == 4


def test_an_order_that_the_venue_still_has_is_open(do: Do, platform: Platform) -> None:
    platform.venue_orders["o9"] = platform.venue_orders["o1"] | {"id": "o9"}
    result = do("open_orders", all=True, wait_timeout=1.5)
    assert (result["result"], result["after"]) == ("unproven", {"open_orders": 1})
    assert fates(result)["o9"] == ("not cancelled", "the venue lists it as open")


def test_a_venue_that_cannot_tell_the_scope_is_asked_about_the_same_orders(do: Do, platform: Platform) -> None:
    platform.fault("lie", "DELETE", "/orders/o2")
    result = do("open_orders", scope={"strategy": "s0"}, wait_timeout=1.0)
    assert (result["result"], result["after"]) == ("unproven", {"open_orders": 1})


def test_a_platform_that_dies_on_the_way_tells_what_became_of_each(do: Do, platform: Platform) -> None:
    platform.fault("hang", "DELETE", "/orders/o3")
    result = do("open_orders", all=True, profile_text=ONE_BY_ONE, wait_timeout=1.5, request_timeout=0.3)
    assert result["result"] == "unproven"
    assert platform.writes.count("DELETE /orders/o3") == 1
    assert fates(result)["o1"] == ("cancelled", "")


def test_orders_that_cannot_be_read_back_are_unproven(do: Do, platform: Platform) -> None:
    platform.fault("error_before", "GET", "/orders", skip=1)
    result = do("open_orders", all=True, wait_timeout=1.0)
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert "cannot be read back" in result["msg"]


def test_a_wholesale_refusal_is_a_refusal(do: Do, platform: Platform) -> None:
    platform.fault("answer", "DELETE", "/orders", status=403, body={"error": "read only"})
    result = do("open_orders", all=True)
    assert (result["result"], result["changed"], platform.writes) == ("refused", False, ["DELETE /orders"])
    assert "read only" in result["msg"]


def test_a_stopped_platform_is_not_asked_to_cancel(do: Do, platform: Platform) -> None:
    platform.state = "STOP"
    result = do("open_orders", all=True)
    assert (result["result"], platform.writes) == ("refused", [])
    assert "can cancel orders only while it is active or reducing or halted, and it is stopped" in result["msg"]


# -- listings ---------------------------------------------------------------------------------------------------


def test_pages_are_read_to_the_end(do: Do, platform: Platform) -> None:
    platform.page = 2
    result = do("open_orders", all=True)
    assert (result["before"], result["result"]) == ({"open_orders": 5}, "proven")
    assert [request.query.get("cursor") for request in platform.requests[:3]] == [None, "2", "4"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"orders": [], "next": 7}, "the pages do not move on"),
        ({"orders": None}, "orders gives no list"),
        ({"error": "try later"}, "orders gives no list"),
        ([], "orders gives no list"),
        (None, "orders gives no list"),
    ],
)
def test_a_list_that_is_not_whole_is_no_list(do: Do, platform: Platform, body: t.Any, text: str) -> None:
    profile = without("orders.list.as_of")
    platform.fault("answer", "GET", "/orders", status=200, body=body)
    result = do("open_orders", all=True, profile_text=profile)
    assert (result["result"], platform.writes) == ("unreachable", [])
    assert text in result["msg"]


def test_pages_without_an_end_are_given_up(do: Do, platform: Platform) -> None:
    profile = PROFILE.replace("pages: {query: cursor, next: next}", "pages: {query: cursor, next: next, limit: 2}")
    platform.page = 1
    assert "not at its end after 2 pages" in do("open_orders", all=True, profile_text=profile)["msg"]


def test_a_row_on_two_pages_is_one_order(do: Do, platform: Platform) -> None:
    row = {"id": "o1", "symbol": "BTC", "account": "a1", "strategy": "s1"}
    for number in (0, 1):
        body = {"orders": [row], "next": None if number else 1, "as_of": platform.now()}
        platform.fault("answer", "GET", "/orders", status=200, body=body, times=1)
    assert do("open_orders", all=True, expected_count=1)["result"] == "proven"


def test_an_answer_that_means_empty_is_empty(do: Do, platform: Platform) -> None:
    profile = PROFILE.replace(
        "request: {path: /orders, query: {status: open}}",
        "request: {path: /orders, query: {status: open}, answers: [{status: 404, means: empty}]}",
    )
    platform.orders, platform.venue_orders = {}, {}
    platform.fault("answer", "GET", "/orders", status=404, body={"error": "no orders"})
    assert do("open_orders", all=True, profile_text=profile)["result"] == "unchanged"


def test_an_order_without_an_id_is_not_cancelled_by_one(do: Do, platform: Platform) -> None:
    platform.orders = {"x": {"id": None, "symbol": "BTC", "account": "a1", "strategy": "s1"}}
    result = do("open_orders", all=True, profile_text=ONE_BY_ONE, wait_timeout=1.0)
    assert platform.writes == []
    assert fates(result)["(no id) 1"] == ("not cancelled", "the platform gives it no id")
    assert result["failed"] is True


# -- positions --------------------------------------------------------------------------------------------------


def test_positions_are_closed_and_read_back(do: Do, platform: Platform) -> None:
    result = do("open_positions", all=True)
    assert (result["result"], result["before"], result["after"]) == (
        "proven",
        {"positions": {"BTC": 1.5, "ETH": -2.0}},
        {"positions": {}},
    )
    assert do("open_positions", all=True)["result"] == "unchanged"


def test_one_symbol_is_closed_alone(do: Do, platform: Platform) -> None:
    result = do("open_positions", scope={"symbol": "BTC"})
    assert (result["result"], platform.writes) == ("proven", ["DELETE /positions/BTC"])
    assert [row["symbol"] for row in platform.positions] == ["ETH"]


@pytest.mark.parametrize("quantity", [None, "", "n/a", float("nan"), "nan", True])
def test_a_quantity_that_is_no_number_is_held(do: Do, platform: Platform, quantity: t.Any) -> None:
    row = {"symbol": "BTC", "account": "a1", "quantity": quantity}
    platform.positions, platform.venue_positions = [row], []
    platform.fault("lie", "POST", "/positions/flatten")
    result = do("open_positions", all=True, wait_timeout=0.6)
    assert (result["result"], result["before"]) == ("unproven", {"positions": {"BTC": "no number"}})
    assert "limits.max_quantity" in do("open_positions", all=True, limits={"max_quantity": 1e9})["msg"]


def test_a_second_account_does_not_hide_the_first(do: Do, platform: Platform) -> None:
    rows = [{"symbol": "BTC", "account": account, "quantity": q} for account, q in (("a1", 1), ("a2", 0), ("a3", -1))]
    platform.positions, platform.venue_positions = rows, []
    platform.fault("lie", "POST", "/positions/flatten")
    result = do("open_positions", all=True, wait_timeout=0.6)
    assert (result["result"], result["before"]) == ("unproven", {"positions": {"BTC": "1, -1"}})
    assert "1 positions are still held" in result["msg"]


@pytest.mark.parametrize("quantity", [0, "0.00", -0.0])
def test_zero_is_no_position(do: Do, platform: Platform, quantity: t.Any) -> None:
    platform.positions = platform.venue_positions = [{"symbol": "BTC", "account": "a1", "quantity": quantity}]
    assert do("open_positions", all=True)["result"] == "unchanged"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_positions": 1}, "2 positions are held, limits.max_positions is 1"),
        ({"max_quantity": 1.9}, "the position ETH is -2.0, limits.max_quantity is 1.9"),
    ],
)
def test_limits_keep_a_larger_close_from_happening(
    do: Do, platform: Platform, limits: dict[str, t.Any], text: str
) -> None:
    result = do("open_positions", all=True, limits=limits)
    assert (result["result"], platform.writes) == ("refused", [])
    assert text in result["msg"]
    assert do("open_positions", all=True, limits={"max_positions": 2, "max_quantity": 2})["result"] == "proven"


@pytest.mark.parametrize("market_open", [False, None, "yes"])
def test_a_market_that_is_not_known_to_be_open_defers(do: Do, platform: Platform, market_open: t.Any) -> None:
    platform.market_open = market_open
    for check in (True, False):
        result = do("open_positions", all=True, check=check)
        assert (result["result"], platform.writes) == ("refused", [])
        assert "2 positions remain" in result["msg"]
    result = do("open_positions", all=True, when_closed="queue")
    assert (result["result"], platform.writes) == ("unproven", ["POST /positions/flatten"])
    assert "wait in the queue" in result["msg"]
    assert {item["result"] for item in result["proof"]["objects"]} == {"deferred"}


def test_a_position_of_the_venue_alone_is_held(do: Do, platform: Platform) -> None:
    platform.fault("answer", "POST", "/positions/flatten", status=200, body={})
    platform.positions = []
    result = do("open_positions", all=True, wait_timeout=1.0)
    assert (result["result"], platform.writes) == ("unproven", [])
    assert result["after"] == {"positions": {"BTC": 1.5, "ETH": -2.0}}


def test_a_close_of_unknown_fate_is_not_sent_again(do: Do, platform: Platform) -> None:
    platform.fault("error_after", "POST", "/positions/flatten")
    result = do("open_positions", all=True)
    assert (result["result"], platform.writes) == ("proven", ["POST /positions/flatten"])


def test_a_close_that_is_refused_leaves_the_others(do: Do, platform: Platform) -> None:
    platform.fault("answer", "DELETE", "/positions/BTC", status=422, body={"error": "no liquidity"})
    result = do("open_positions", all=True, profile_text=ONE_BY_ONE)
    assert (result["result"], result["after"]) == ("refused", {"positions": {"BTC": 1.5}})
    assert platform.writes == ["DELETE /positions/BTC", "DELETE /positions/ETH"]
    assert "no liquidity" in fates(result)["BTC"][1]
