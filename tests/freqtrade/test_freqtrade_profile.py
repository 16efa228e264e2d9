# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile of freqtrade against a real freqtrade in a dry run, with the traps of its API.

The first run installs freqtrade into the cache (770 MB, about a minute and a half).
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import pathlib
import shutil
import tempfile
import types
import typing as t

import pytest
from profiled import Profiled
from simulator_ground import Ground, request

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform.door import execute
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import HttpTransport, Reply
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS
from ansible_collections.tradeops.core.plugins.module_utils._platform.site import Site
from tradeops_lab.folder import Folder
from tradeops_lab.freqtrade import bot

BUDGET = 60.0  # s; the bot's loop makes a round in a second, and longer while it enters or the machine is busy
FILLS, RESTS = "LTC/USDT", "BTC/USDT"  # a pair whose entries fill at once, and one whose entries stay open


class Bot(Profiled):
    """The real bot through its profile, and past it."""

    def __init__(self, site: dict[str, t.Any]) -> None:
        super().__init__(t.cast(Ground, types.SimpleNamespace(lab={"sites": {bot.SITE: site}})), bot.SITE)

    def plain(self, method: str, path: str, body: t.Any = None) -> tuple[int, t.Any]:
        secrets = self.plan["secrets"]
        pair = base64.b64encode(f"{secrets['username']}:{secrets['password']}".encode()).decode("ascii")
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/json"}
        answer = request(self.plan["services"]["api"], method, f"/api/v1{path}", body, headers, BUDGET)
        return answer.status, answer.json

    def until_state(self, wanted: str) -> list[str]:
        """Read until the state is ``wanted``; return what was read before."""
        seen: list[str] = []

        def reached() -> bool:
            seen.append(self.state)
            return seen[-1] == wanted

        Ground.until(reached, BUDGET)
        return seen[:-1]

    def start(self) -> None:
        """Start the bot and wait until its loop has followed."""
        self.plain("POST", "/start")
        self.until_state("active")
        Ground.until(lambda: self._loop().endswith(" RUNNING"), BUDGET)

    def _loop(self) -> str:
        lines = [line[4] for line in self.plain("GET", "/logs")[1]["logs"] if line[4].startswith("Changing state")]
        return str(lines[-1])

    def enter(self, *pairs: str) -> list[dict[str, t.Any]]:
        """Have open trades in ``pairs``, and the bot paused, so that nothing happens by itself. Return the trades."""
        for _attempt in range(3):
            self.start()
            self.plain("POST", "/forceexit", {"tradeid": "all"})  # makes room
            for pair in pairs:
                self.plain("POST", "/forceenter", {"pair": pair, "side": "long"})
            self.plain("POST", "/pause")
            self.until_state("reducing")
            trades = {row["pair"]: row for row in self.plain("GET", "/status")[1]}
            if all(pair in trades and trades[pair]["has_open_orders"] == (pair == RESTS) for pair in pairs):
                return [trades[pair] for pair in pairs]
        raise AssertionError(f"no such trades; there are: {', '.join(trades) or 'none'}")


@pytest.fixture(scope="module")
def site() -> t.Iterator[dict[str, t.Any]]:
    base = pathlib.Path(tempfile.mkdtemp(prefix="tradeops-test-", dir="/var/tmp"))
    folder = Folder(base / "lab")
    try:
        yield asyncio.run(bot.up(folder, print))[0]
    finally:
        asyncio.run(bot.down(folder, print))
        shutil.rmtree(base)


@pytest.fixture
def freqtrade(site: dict[str, t.Any]) -> t.Iterator[Bot]:
    running = Bot(site)
    running.start()
    yield running
    running.site.close()


# -- signing in --------------------------------------------------------------------------------------------------------


class Recorder(HttpTransport):
    def __init__(self) -> None:
        super().__init__(timeout=BUDGET)
        self.paths: list[str] = []

    def exchange(self, method: str, url: str, *arguments: t.Any, **options: t.Any) -> Reply:
        self.paths.append(url.partition("/api/v1")[2])
        return super().exchange(method, url, *arguments, **options)


def test_a_session_is_refreshed_with_the_refresh_token(freqtrade: Bot) -> None:
    auth = {"operator": dataclasses.replace(freqtrade.profile.auth["operator"], lifetime=0.0)}
    profile = dataclasses.replace(freqtrade.profile, auth=auth)
    recorder = Recorder()
    site = Site(
        name="s",
        profile=profile,
        urls=freqtrade.plan["services"],
        secrets=freqtrade.plan["secrets"],
        transport=recorder,
    )
    assert freqtrade.able.positions
    for _turn in range(2):
        site.get(freqtrade.able.positions.list.request, Deadline(BUDGET))
    site.close()
    assert recorder.paths == ["/token/login", "/status", "/token/refresh", "/status"]


def test_a_wrong_password_is_denied(freqtrade: Bot) -> None:
    secrets = {**freqtrade.plan["secrets"], "password": "of-another-bot"}
    site = Site(
        name="s",
        profile=freqtrade.profile,
        urls=freqtrade.plan["services"],
        secrets=secrets,
        transport=HttpTransport(timeout=BUDGET),
    )
    assert freqtrade.able.positions
    with pytest.raises(Denied, match="answered 401"):
        site.get(freqtrade.able.positions.list.request, Deadline(BUDGET))
    site.close()


# -- states ------------------------------------------------------------------------------------------------------------


def test_the_states_and_the_ways_between_them(freqtrade: Bot) -> None:
    freqtrade.move("reducing")
    assert set(freqtrade.until_state("reducing")) <= {"active"}
    freqtrade.move("stopped")
    # A flag that the loop has not followed is no state yet.
    assert set(freqtrade.until_state("stopped")) <= {"unknown"}
    assert freqtrade.move("stopped").status == 200
    assert freqtrade.plain("POST", "/stop") == (200, {"status": "already stopped"})
    assert freqtrade.state == "stopped"
    freqtrade.move("active")
    assert freqtrade.until_state("active") == []


def test_pause_starts_a_stopped_bot_so_only_a_resume_may_send_it(freqtrade: Bot) -> None:
    assert freqtrade.able.trading
    freqtrade.move("stopped")
    freqtrade.until_state("stopped")
    status, said = freqtrade.plain("POST", "/pause")
    assert status == 200
    assert said["status"].startswith("starting bot")
    freqtrade.until_state("reducing")
    pauses = [step for step in freqtrade.able.trading.transitions if step.request.path == "/pause"]
    assert [(step.from_, step.blind) for step in pauses] == [(["active"], False), (["stopped"], False)]


def test_a_stopped_bot_neither_cancels_nor_exits(freqtrade: Bot) -> None:
    assert freqtrade.able.orders
    assert freqtrade.able.positions
    (trade,) = freqtrade.enter(FILLS)
    freqtrade.move("stopped")
    freqtrade.until_state("stopped")
    assert freqtrade.plain("POST", "/forceexit", {"tradeid": "all"})[0] == 502
    for action, values in (
        (freqtrade.able.positions.close_all, {}),
        (freqtrade.able.positions.close_one, {"trade_id": trade["trade_id"]}),
        (freqtrade.able.orders.cancel_one, {"id": trade["trade_id"]}),
    ):
        assert action
        assert action.requires == ["active", "reducing"]
        with pytest.raises(Refused, match="the bot is stopped"):
            freqtrade.send(action, **values)
    # What is held is still told.
    assert FILLS in {row["id"] for row in freqtrade.rows(freqtrade.able.positions.list)}


def test_the_marker_moves_with_an_entry_and_stands_still_when_stopped(freqtrade: Bot) -> None:
    before = freqtrade.marker
    freqtrade.enter(FILLS)
    assert freqtrade.marker != before
    freqtrade.move("stopped")
    freqtrade.until_state("stopped")
    stopped = freqtrade.marker
    freqtrade.plain("GET", "/status")
    assert freqtrade.marker == stopped


# -- orders and positions ----------------------------------------------------------------------------------------------


def test_cancelling_an_entry_that_has_not_filled_answers_502_and_is_done(freqtrade: Bot) -> None:
    orders = freqtrade.able.orders
    assert orders
    key = str(freqtrade.enter(RESTS)[0]["trade_id"])
    row = next(row for row in freqtrade.rows(orders.list) if row["id"] == key)
    assert (row["symbol"], row["side"], row["status"]) == (RESTS, "buy", "open")
    assert row["quantity"] > 0
    assert orders.lookup
    assert freqtrade.look_up(orders.lookup, key) == "open"
    ack = freqtrade.send(orders.cancel_one, id=key)
    assert (ack.status, ack.say) == (502, "the entry had not filled, so its trade went with it")
    assert key not in {row["id"] for row in freqtrade.rows(orders.list)}
    with pytest.raises(Refused, match="the trade is closed"):
        freqtrade.send(orders.cancel_one, id=key)


def test_cancelling_what_has_no_open_order_is_refused(freqtrade: Bot) -> None:
    assert freqtrade.able.orders
    (trade,) = freqtrade.enter(FILLS)
    with pytest.raises(Refused, match="no order of it is open"):
        freqtrade.send(freqtrade.able.orders.cancel_one, id=trade["trade_id"])


def test_one_position_is_closed_by_its_trade(freqtrade: Bot) -> None:
    positions = freqtrade.able.positions
    assert positions
    freqtrade.enter(FILLS)
    row = next(row for row in freqtrade.rows(positions.list) if row["id"] == FILLS)
    assert freqtrade.send(positions.close_one, **row).status == 200
    Ground.until(lambda: FILLS not in {row["id"] for row in freqtrade.rows(positions.list)}, BUDGET)
    with pytest.raises(Refused, match="the trade is closed"):
        freqtrade.send(positions.close_one, **row)


def test_everything_is_closed_and_the_wallet_agrees(freqtrade: Bot) -> None:
    orders, positions = freqtrade.able.orders, freqtrade.able.positions
    assert orders
    assert positions
    freqtrade.enter(RESTS, FILLS)
    Ground.until(lambda: _book(freqtrade, "list") == _book(freqtrade, "witness") != {}, BUDGET)
    freqtrade.send(positions.close_all)
    Ground.until(lambda: not freqtrade.rows(positions.list) and not freqtrade.rows(orders.list), BUDGET)
    assert _book(freqtrade, "witness") == {}
    # An empty list is an answer of its own: the count agrees.
    assert freqtrade.plain("GET", "/count")[1]["current"] == 0


def _book(freqtrade: Bot, name: t.Literal["list", "witness"]) -> dict[str, float]:
    return {row["id"]: row["quantity"] for row in freqtrade.rows(getattr(freqtrade.able.positions, name))}


# -- health and metrics ------------------------------------------------------------------------------------------------


def test_health_is_fresh_also_when_stopped(freqtrade: Bot) -> None:
    Ground.until(lambda: freqtrade.read(t.cast(t.Any, freqtrade.able.health)).value == "pass", BUDGET)
    freqtrade.move("stopped")
    freqtrade.until_state("stopped")
    assert freqtrade.value(freqtrade.able.health) == "pass"
    for name, read in freqtrade.able.metrics.items():
        assert isinstance(freqtrade.value(read), (int, float)), name


# -- the levels, as an operator asks for them --------------------------------------------------------------------------


def trading_state(freqtrade: Bot, leases: pathlib.Path, state: str, **options: t.Any) -> dict[str, t.Any]:
    given = {
        "site": bot.SITE,
        "profile": "freqtrade",
        "urls": freqtrade.plan["services"],
        "secrets": freqtrade.plan["secrets"],
        "lease_dir": str(leases),
        "state": state,
        **options,
    }
    return execute("trading_state", VERBS["trading_state"].spec.validate(bot.SITE, given), check_mode=False)


def test_halted_cancels_before_it_stops_for_a_stopped_bot_cannot(freqtrade: Bot, tmp_path: pathlib.Path) -> None:
    freqtrade.enter(RESTS)
    result = trading_state(freqtrade, tmp_path, "halted", cancel_orders=True)
    assert (result["result"], result["after"]["state"], result["after"]["open_orders"]) == ("proven", "stopped", 0)
    # One for each attempt to enter: on a busy machine there may be more.
    assert {item["result"] for item in result["proof"]["objects"]} == {"cancelled"}


def test_flat_exits_before_it_stops(freqtrade: Bot, tmp_path: pathlib.Path) -> None:
    freqtrade.enter(FILLS)
    result = trading_state(freqtrade, tmp_path, "flat")
    assert (result["result"], result["after"]["state"], result["after"]["positions"]) == ("proven", "stopped", 0)


def test_reducing_never_starts_a_stopped_bot_unless_it_is_meant_exactly(freqtrade: Bot, tmp_path: pathlib.Path) -> None:
    freqtrade.plain("POST", "/stop")
    freqtrade.until_state("stopped")
    assert trading_state(freqtrade, tmp_path, "reducing")["result"] == "unchanged"
    assert freqtrade.state == "stopped"
    assert trading_state(freqtrade, tmp_path, "reducing", exact=True)["result"] == "proven"
    assert freqtrade.state == "reducing"
