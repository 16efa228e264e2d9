# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into a verb: wrong input is one sentence, the lease is kept, and every result has the same keys."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.lease import Lease
from ansible_collections.tradeops.core.plugins.module_utils._platform import door
from ansible_collections.tradeops.core.tests.unit.fake_platform import PASSWORD, PROFILE, SECRETS, SETTINGS, Platform

Do = t.Callable[..., dict[str, t.Any]]
HEALTH = {"verdict", "state", "decided_by", "explain", "checks", "summary"}
KEYS = {
    *("site", "capability", "wanted", "result", "changed", "failed", "msg"),
    *("before", "after", "plan", "proof", "notes", "diff"),
}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"wait_timeout": -1}, "wait_timeout is -1; give seconds, more than 0 and at most 86400"),
        ({"wait_timeout": 0}, "wait_timeout is 0"),
        ({"wait_timeout": float("nan")}, "wait_timeout is nan"),
        ({"request_timeout": float("inf")}, "request_timeout is inf"),
        ({"lease_ttl": -3}, "lease_ttl is -3"),
        ({"urls": {"api": "ftp://x"}}, "tradeops_urls.api is 'ftp://x'; give http(s)://host[:port][/path]"),
        ({"urls": {"api": "http://"}}, "tradeops_urls.api is 'http://'"),
        ({"urls": {"api": "http://[::1"}}, "tradeops_urls.api is no URL"),
        ({"urls": {"api": "http://h:99999"}}, "tradeops_urls.api is no URL"),
        ({"urls": {"api": "http://h/?a=b"}}, "tradeops_urls.api is 'http://h/?a=b'"),
        ({"urls": {"api": "http://h /x"}}, "holds a blank"),
        ({"urls": {"api": "http://me:geheim@h"}}, "tradeops_urls.api holds credentials"),
        ({"profile_text": "", "profile": "flashm"}, "there is no profile 'flashm'"),
        ({"profile_text": "name: x\nnmae: y"}, "bench.yml:2: nmae: unknown key (did you mean 'name'?)"),
        ({"ca_path": "/no/such/file", "urls": {"api": "https://127.0.0.1:1"}}, "ca_path: /no/such/file cannot be read"),
    ],
)
def test_wrong_input_is_one_sentence_and_nothing_is_sent(
    do: Do, platform: Platform, options: dict[str, t.Any], text: str
) -> None:
    result = do("trading_state", state="halted", **options)
    assert set(result) == KEYS
    assert (result["result"], result["changed"], result["failed"], platform.requests) == ("refused", False, True, [])
    assert result["msg"].startswith("bench-1: ")
    assert text in result["msg"]
    assert "\n" not in result["msg"]
    assert "geheim" not in json.dumps(result)


def test_every_result_has_the_same_keys(do: Do, platform: Platform) -> None:
    wishes: dict[str, dict[str, t.Any]] = {
        "trading_state": {"state": "halted"},
        "open_orders": {"all": True},
        "open_positions": {"all": True},
        "maintenance_mode": {"state": "enabled"},
        "circuit_breaker": {"state": "open", "all": True},
        "rollout": {"state": "stopped", "all": True},
        "risk_limits": {"limits": {"size": 1}},
        "configuration": {"settings": {"level": "DEBUG"}, "schema": SETTINGS},
        "dead_man_switch": {"state": "armed"},
        "health": {"gate": {"for": 0.01}},
    }
    for verb, wish in wishes.items():
        for check in (True, False, False):
            result = do(verb, check=check, **wish)
            assert set(result) == KEYS | (HEALTH if verb == "health" else set())
            assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_capability_that_the_platform_lacks_is_refused_by_name(do: Do, platform: Platform) -> None:
    text = PROFILE[: PROFILE.index("  orders:\n")]
    for verb, wish, name in (
        ("open_orders", {"all": True}, "orders"),
        ("open_positions", {"all": True}, "positions"),
        ("maintenance_mode", {"state": "enabled"}, "maintenance"),
        ("circuit_breaker", {"state": "open", "all": True}, "circuit breakers"),
        ("rollout", {"state": "stopped", "all": True}, "rollout"),
        ("risk_limits", {"limits": {"size": 1}}, "risk limits"),
        ("configuration", {"schema": {}}, "configuration"),
        ("dead_man_switch", {"state": "armed"}, "dead man switch"),
        ("trading_state", {"state": "flat"}, "orders"),
    ):
        result = do(verb, profile_text=text, **wish)
        assert result["msg"] == f"bench-1: Bench platform has no {name} (profile bench); nothing was sent."
    assert platform.requests == []


def test_a_defect_of_ours_shows_no_secret() -> None:
    given = {"site": "bench-1", "secrets": SECRETS, "state": "halted"}
    result = door.failure("trading_state", given, ValueError(f"Invalid header value b'Bearer {PASSWORD}'"))
    assert (result["result"], result["failed"]) == ("unproven", True)
    assert "ValueError" in result["msg"]
    assert PASSWORD not in json.dumps(result)


def test_the_name_of_a_user_is_no_secret(do: Do, platform: Platform) -> None:
    platform.fault("answer", "DELETE", "/orders", status=400, body={"error": "operator may not cancel"})
    assert "operator may not cancel" in do("open_orders", all=True)["msg"]


def test_a_module_is_the_same_door(platform: Platform, tmp_path: pathlib.Path) -> None:
    options: dict[str, t.Any] = {
        "site": "bench-1",
        "state": "halted",
        "profile": "bench.yml",
        "profile_text": PROFILE,
        "urls": {"api": platform.url},
        "secrets": SECRETS,
        "lease_dir": str(tmp_path / "leases"),
    }
    name = "ansible_collections.tradeops.core.plugins.modules.trading_state"
    words = []
    for check in (True, False, False):
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", name],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": options | {"_ansible_check_mode": check}}),
            env={"PYTHONPATH": str(pathlib.Path(__file__).parents[8]), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        words.append(json.loads(ran.stdout)["result"])
        for secret in (SECRETS["token"], SECRETS["emergency_token"], PASSWORD):
            assert secret not in ran.stdout
    assert (words, platform.writes) == (["planned", "proven", "unchanged"], ["POST /halt"])


# -- leases -----------------------------------------------------------------------------------------------------


def hold(folder: pathlib.Path, operation: str, *, takeover: bool = False, pid: int = 0) -> None:
    lease = Lease(str(folder / "leases"), "bench-1", operation=operation, operator="bob", pid=pid)
    lease.acquire("resume", takeover=takeover)


def test_another_operation_is_refused_and_named(do: Do, platform: Platform, tmp_path: pathlib.Path) -> None:
    hold(tmp_path, "op-1")
    platform.state = "HALT"
    result = do("trading_state", state="reducing", exact=True, operation="op-2")
    assert (result["result"], platform.writes) == ("refused", [])
    assert "held by operation op-1 of bob (resume)" in result["msg"]
    result = do("open_orders", all=True, operation="op-2")
    assert (result["result"], result["changed"], platform.writes) == ("refused", False, [])


def test_a_stop_takes_over_and_says_so(do: Do, platform: Platform, tmp_path: pathlib.Path) -> None:
    hold(tmp_path, "op-1")
    result = do("trading_state", state="halted", operation="op-2", operator="ada", process=1)
    assert result["result"] == "proven"
    assert any("took the lease over from operation op-1 of bob" in note for note in result["notes"])
    again = do("trading_state", state="active", operation="op-1")
    assert (again["result"], platform.state) == ("refused", "HALT")
    assert "taken over by a stop" in again["msg"]


def test_an_operation_that_is_taken_over_on_its_way_writes_no_more(
    do: Do, platform: Platform, tmp_path: pathlib.Path
) -> None:
    platform.state = "HALT"
    real = platform.answer

    def answer(request: t.Any) -> tuple[int, t.Any]:
        if request.path == "/reduce":
            hold(tmp_path, "stop", takeover=True)
        return real(request)

    platform.answer = answer  # type: ignore[method-assign]
    result = do("trading_state", state="active", operation="op-1")
    assert platform.writes == ["POST /reduce"]
    assert (result["result"], result["changed"], result["after"]["state"]) == ("refused", True, "reducing")
    assert "taken over by a stop" in result["msg"]


def test_check_mode_and_reading_need_no_lease(do: Do, platform: Platform, tmp_path: pathlib.Path) -> None:
    hold(tmp_path, "op-1")
    platform.state = "HALT"
    assert do("trading_state", state="reducing", exact=True, check=True)["result"] == "planned"
    assert do("trading_info")["failed"] is False


def test_an_operation_keeps_its_lease_for_the_life_of_its_process(do: Do, tmp_path: pathlib.Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert do("open_orders", all=True, operation="op-1", process=process.pid)["result"] == "proven"
        assert do("risk_limits", limits={"size": 1}, operation="op-2")["result"] == "refused"
        process.kill()
    assert do("risk_limits", limits={"size": 1}, operation="op-2")["result"] == "proven"


def test_a_single_verb_gives_its_lease_back(do: Do, tmp_path: pathlib.Path) -> None:
    assert do("open_orders", all=True)["result"] == "proven"
    assert Lease(str(tmp_path / "leases"), "bench-1", operation="x", operator="y").holder() is None


@pytest.mark.parametrize("damage", ["unwritable", "damaged"])
def test_a_stop_goes_on_where_the_lease_cannot(do: Do, platform: Platform, tmp_path: pathlib.Path, damage: str) -> None:
    if damage == "unwritable":
        (tmp_path / "leases").write_text("", encoding="utf-8")
    else:
        hold(tmp_path, "op-1")
        (tmp_path / "leases" / "bench-1.json").write_text("{", encoding="utf-8")
    result = do("trading_state", state="halted", operation="op-2")
    assert (result["result"], platform.writes) == ("proven", ["POST /halt"])
    assert any("stopping without a lease" in note for note in result["notes"])
    refused = do("open_orders", all=True, operation="op-3")
    assert (refused["result"], platform.writes) == ("refused", ["POST /halt"])
