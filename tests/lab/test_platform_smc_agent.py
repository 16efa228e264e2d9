# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMC Trading Agent: sessions in Redis, a separate emergency token, graceful shutdown, safe mode."""

from __future__ import annotations

import typing as t

import pytest
from profiled import Profiled
from simulator_ground import Ground
from simulator_ground import ground as lab

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused

SITE = "smc-agent-primary"
LOGIN, REFRESH = "/api/auth/login", "/api/auth/refresh"
fixture = lab(SITE)


@pytest.fixture
def site(ground: Ground) -> t.Iterator[Profiled]:
    ground.fresh(SITE)
    with Profiled(ground, SITE) as site:
        yield site


def sign_in(site: Profiled) -> dict[str, t.Any]:
    secrets = {key: site.plan["secrets"][key] for key in ("username", "password")}
    return t.cast("dict[str, t.Any]", site.call("POST", LOGIN, secrets, token=None).json)


def sent(site: Profiled) -> list[tuple[str, int]]:
    return [(entry["path"], entry["status"]) for entry in site.ground.requests(SITE)]


# -- signing in ------------------------------------------------------------------------------------------------------


def test_a_session_is_really_in_redis_and_holds_no_token(site: Profiled) -> None:
    assert site.state == "active"
    assert sent(site)[0] == (LOGIN, 200)
    tokens = sign_in(site)
    store = site.redis()
    keys = sorted(key.decode() for key in t.cast("list[bytes]", store.keys("*")))
    assert [key.split(":")[0] for key in keys] == ["refresh", "refresh", "session", "session"]
    assert 0 < store.ttl(keys[-1]) <= tokens["expires_in"] == 900
    kept = b"".join([*(key.encode() for key in keys), *(t.cast(bytes, store.get(key)) for key in keys)])
    assert tokens["access_token"].encode() not in kept
    assert tokens["refresh_token"].encode() not in kept
    store.delete(*keys)
    assert site.call("GET", "/api/trading/status", token=tokens["access_token"]).status == 401


def test_signing_in_once_is_enough(site: Profiled) -> None:
    assert [site.state, site.state, site.mode] == ["active", "active", "disabled"]
    assert [path for path, _status in sent(site)].count(LOGIN) == 1


def test_a_refresh_token_is_good_once(site: Profiled) -> None:
    old = sign_in(site)
    answer = site.call("POST", REFRESH, {"refresh_token": old["refresh_token"]}, token=None)
    new = answer.json
    assert (answer.status, new["access_token"] != old["access_token"]) == (200, True)
    assert site.call("GET", "/api/trading/status", token=new["access_token"]).status == 200
    again = site.call("POST", REFRESH, {"refresh_token": old["refresh_token"]}, token=None)
    assert (again.status, again.json["error"]["type"]) == (401, "invalid_refresh_token")


def test_an_expired_session_is_refreshed_without_the_password(site: Profiled) -> None:
    assert site.state == "active"
    site.ground.faults(SITE, {"kind": "expire_token"})
    assert site.state == "active"
    paths = [path for path, _status in sent(site)]
    assert (paths.count(LOGIN), paths.count(REFRESH)) == (1, 1)


def test_when_the_refresh_token_is_gone_too_the_password_signs_in_again(site: Profiled) -> None:
    assert site.state == "active"
    site.redis().flushdb()
    assert site.state == "active"
    assert [path for path, _status in sent(site)].count(LOGIN) == 2


@pytest.mark.parametrize("wrong", [{"password": "no"}, {"username": "no"}])
def test_wrong_credentials_are_denied(site: Profiled, wrong: dict[str, str]) -> None:
    secrets = {key: site.plan["secrets"][key] for key in ("username", "password")}
    answer = site.call("POST", LOGIN, secrets | wrong, token=None)
    assert (answer.status, answer.json["error"]["type"]) == (401, "invalid_credentials")
    assert not site.redis().keys()


@pytest.mark.parametrize(
    "path", ["/api/trading/emergency-stop", "/api/orders/cancel-all", "/api/positions/emergency-close"]
)
def test_emergency_calls_want_the_emergency_token(site: Profiled, path: str) -> None:
    before = site.truth
    access = sign_in(site)["access_token"]
    assert [site.call("POST", path, token=token).status for token in (None, "wrong", access)] == [401, 403, 403]
    assert {**site.truth, "in_flight": 0} == {**before, "in_flight": 0}


def test_the_emergency_token_opens_nothing_else(site: Profiled) -> None:
    assert site.call("POST", "/api/trading/start", token="emergency_token").status == 401


def test_the_wrong_emergency_token_is_told_as_denied(site: Profiled) -> None:
    secrets = {**site.plan["secrets"], "emergency_token": "wrong"}
    site.ground.lab["sites"][SITE]["secrets"], kept = secrets, site.plan["secrets"]
    try:
        with Profiled(site.ground, SITE) as other, pytest.raises(Denied):
            other.move("halted")
    finally:
        site.ground.lab["sites"][SITE]["secrets"] = kept
    assert site.state == "active"


def test_the_emergency_stop_needs_no_sign_in(site: Profiled) -> None:
    site.move("halted")
    assert sent(site) == [("/api/trading/emergency-stop", 200)]


# -- trading state ---------------------------------------------------------------------------------------------------


def test_the_emergency_stop_leaves_orders_and_positions(site: Profiled) -> None:
    before = site.truth
    site.move("halted")
    assert site.state == "halted"
    after = site.truth
    assert (after["open_orders"], after["positions"]) == (before["open_orders"], before["positions"])
    assert site.settings()["trading"] == "halted"


def test_a_pause_only_lets_positions_shrink(site: Profiled) -> None:
    before = {symbol: abs(quantity) for symbol, quantity in site.truth["positions"].items()}
    site.move("reducing")
    assert site.state == "reducing"
    accepted = site.marker
    site.ground.control("POST", f"/sites/{SITE}/market", {"enabled": True, "rate": 50})
    site.ground.until(lambda: site.marker > accepted + 5)
    placed = site.ground.sql(SITE, "SELECT reduce_only FROM orders ORDER BY placed_at DESC LIMIT 5")
    assert [row["reduce_only"] for row in placed] == [True] * 5
    assert all(abs(quantity) <= before[symbol] for symbol, quantity in site.truth["venue_positions"].items())


def test_a_pause_never_loosens_an_emergency_stop(site: Profiled) -> None:
    site.move("halted")
    with pytest.raises(Refused, match="not running: emergency_stopped"):
        site.move("reducing")
    assert site.state == "halted"


def test_a_graceful_shutdown_ends_when_nothing_is_held(site: Profiled) -> None:
    site.ground.faults(SITE, {"kind": "market_closed"})  # so that closing waits
    site.move("stopped")
    assert site.state == "reducing"
    assert site.call("GET", "/health", service="root", token=None).json["trading"] == "shutting_down"
    assert (site.truth["open_orders"], len(site.truth["positions"])) == (5, 5)  # the closing orders wait
    assert site.able.orders
    site.send(site.able.orders.cancel_all)
    site.move("stopped")  # asking again closes again
    assert (site.state, site.truth["open_orders"]) == ("reducing", 5)
    site.ground.faults(SITE)
    site.ground.until(lambda: site.state == "stopped")
    assert (site.truth["open_orders"], site.truth["positions"]) == (0, {})
    site.move("halted")
    assert site.state == "stopped"
    site.move("active")
    assert site.state == "active"


def test_a_shutdown_while_halted_is_refused_until_flat(site: Profiled) -> None:
    positions = site.able.positions
    assert positions
    site.move("halted")
    with pytest.raises(Refused, match="close them first"):
        site.move("stopped")
    assert (site.state, site.truth["open_orders"]) == ("halted", 40)
    site.send(positions.close_all)
    site.ground.until(lambda: not site.rows(positions.list))
    site.move("stopped")
    assert (site.state, site.truth["open_orders"]) == ("stopped", 0)


def test_safe_mode_pauses_and_leaving_it_does_not_start(site: Profiled) -> None:
    maintenance = site.able.maintenance
    assert maintenance
    site.send(maintenance.enable)
    assert (site.mode, site.state) == ("read_only", "reducing")
    with pytest.raises(Refused, match="safe mode is on"):
        site.move("active")
    site.send(maintenance.disable)
    assert (site.mode, site.state) == ("disabled", "reducing")
    site.move("active")
    assert site.state == "active"


def test_safe_mode_keeps_an_emergency_stop(site: Profiled) -> None:
    assert site.able.maintenance
    site.move("halted")
    site.send(site.able.maintenance.enable)
    site.send(site.able.maintenance.disable)
    assert site.state == "halted"


# -- orders, positions, risk -----------------------------------------------------------------------------------------


def test_orders_come_in_pages_and_every_one_once(site: Profiled) -> None:
    orders = site.able.orders
    assert orders
    site.ground.control("DELETE", f"/sites/{SITE}/requests")
    rows = site.rows(orders.list)
    assert (len(rows), len({row["id"] for row in rows})) == (40, 40)
    assert [path for path, _status in sent(site)].count("/api/orders") == 2


def test_a_scoped_cancel_by_exchange(site: Profiled) -> None:
    orders = site.able.orders
    assert orders
    site.send(orders.cancel_all, venue="binance")
    rows = site.rows(orders.list)
    assert {row["venue"] for row in rows} == {"bybit"}
    assert {row["id"] for row in site.rows(orders.witness)} == {row["id"] for row in rows}


def test_one_order_is_cancelled_by_the_operator(site: Profiled) -> None:
    orders = site.able.orders
    assert orders
    key = site.rows(orders.list)[0]["id"]
    site.send(orders.cancel_one, id=key)
    (row,) = site.ground.sql(SITE, "SELECT status FROM orders WHERE id = $1", key)
    assert row["status"] == "cancelled"
    with pytest.raises(Refused, match="already cancelled"):
        site.send(orders.cancel_one, id=key)


def test_the_emergency_close_works_while_halted(site: Profiled) -> None:
    positions = site.able.positions
    assert positions
    site.move("halted")
    assert [item["ok"] for item in site.send(positions.close_all).items] == [True] * 5
    site.ground.until(lambda: not site.rows(positions.list) and not site.rows(positions.witness))
    assert site.call("GET", "/api/positions", token=sign_in(site)["access_token"]).json == []


def test_losses_and_exposure(site: Profiled) -> None:
    site.set(daily_pnl=-1_050.0, risk_utilization=81.0)
    metrics = site.able.metrics
    names = ("daily_loss_usd", "daily_pnl_usd", "risk_utilization_percent")
    assert [site.value(metrics[name]) for name in names] == [1_050.0, -1_050.0, 81.0]
    held = site.ground.sql(SITE, "SELECT sum(abs(quantity) * price)::float8 AS worth FROM positions")[0]["worth"]
    assert site.value(metrics["total_exposure_usd"]) == pytest.approx(held, abs=0.01)


def test_a_limit_is_set_by_name(site: Profiled) -> None:
    limits = site.able.risk_limits
    assert limits
    site.send(limits.set, id="max_daily_loss", value=800)
    assert {row["id"]: row["value"] for row in site.rows(limits.list)}["max_daily_loss"] == 800


def test_health_needs_no_sign_in(site: Profiled) -> None:
    assert site.able.health
    site.set(health="degraded")
    assert site.read(site.able.health).value == "warn"
    assert sent(site) == [("/health", 200)]


def test_what_the_manual_reads_is_answered(site: Profiled) -> None:
    token = sign_in(site)["access_token"]
    paths = (
        "trades/recent",
        "risk/summary",
        "risk/current",
        "positions",
        "market-data/BTCUSDT",
        "exchanges/rate-limits",
    )
    answers = {path: site.call("GET", f"/api/{path}", token=token) for path in paths}
    assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(paths, 200)
    assert isinstance(answers["trades/recent"].json, list)
    assert set(answers["risk/summary"].json) >= {
        "total_exposure",
        "daily_pnl",
        "max_drawdown",
        "open_positions",
        "risk_score",
    }
