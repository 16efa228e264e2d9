# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every misbehaviour of a platform: the word of the result, and how often a write was sent."""

from __future__ import annotations

import itertools
import json
import time
import types
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common import waiter
from ansible_collections.tradeops.core.plugins.module_utils._platform import caller, signin
from ansible_collections.tradeops.core.tests.unit import fake_platform
from ansible_collections.tradeops.core.tests.unit.fake_platform import (
    LOGIN_PROFILE,
    PASSWORD,
    PROFILE,
    SECRETS,
    Platform,
)

Do = t.Callable[..., dict[str, t.Any]]

SIGN_IN = ("POST /login", "POST /refresh")


class Clock:
    """A time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# The halt of this platform must not be sent twice.
ONCE = PROFILE.replace("        blind: true\n        repeatable: true\n", "        blind: true\n", 1)


@pytest.mark.parametrize(
    ("kind", "more", "word", "sent"),
    [
        ("none", {}, "proven", 1),
        ("lie", {}, "unproven", 1),
        ("delay", {"seconds": 0.4}, "proven", 1),
        ("delay", {"seconds": 5.0}, "unproven", 1),
        ("hang", {}, "unproven", 0),
        ("hang", {"times": 1}, "proven", 2),
        ("reset", {"times": 1}, "proven", 2),
        ("reset_after", {"times": 1}, "proven", 1),
        ("error_before", {"times": 1}, "proven", 2),
        ("error_before", {}, "unproven", 0),
        ("error_after", {"times": 1}, "proven", 1),
        ("truncate", {"times": 1}, "proven", 1),
        ("html", {"times": 1}, "proven", 2),
        ("answer", {"status": 400, "body": {"error": "wrong phrase"}}, "refused", 1),
        ("answer", {"status": 302, "headers": {"Location": "/elsewhere"}}, "refused", 1),
        ("answer", {"status": 401, "body": {"error": "who?"}}, "refused", 1),
        ("answer", {"status": 403, "body": {"error": "you?"}}, "refused", 1),
        ("answer", {"status": 429, "headers": {"Retry-After": "0.1"}, "times": 2}, "proven", 3),
        ("answer", {"status": 429, "headers": {"Retry-After": "60"}}, "refused", 1),
        ("answer", {"status": 429}, "refused", 0),
        ("answer", {"status": 200, "body": []}, "unproven", 1),
        ("drip", {"seconds": 0.1, "times": 1}, "proven", 1),
    ],
)  # fmt: skip
def test_a_halt_under_every_fault(
    do: Do, platform: Platform, kind: str, more: dict[str, t.Any], word: str, sent: int
) -> None:
    platform.fault(kind, "POST", "/halt", **more)
    began = time.monotonic()
    wait = 10.0 if word == "proven" else 1.0
    result = do("trading_state", state="halted", request_timeout=0.3, wait_timeout=wait)
    assert time.monotonic() - began < 8.0
    assert result["result"] == word, result["msg"]
    # 0: as often as the budget allows, which is more than once and never without an end.
    assert len(platform.writes) == sent or (sent == 0 and 2 <= len(platform.writes) <= 3)
    assert result["failed"] is (word != "proven")
    assert result["changed"] is (word == "proven")
    assert bool(result["msg"]) is result["failed"]


@pytest.mark.parametrize("kind", ["hang", "reset", "error_before", "html", "drip_headers"])
def test_a_write_of_unknown_fate_is_not_repeated_unless_it_may_be(do: Do, platform: Platform, kind: str) -> None:
    platform.fault(kind, "POST", "/halt", times=1, seconds=0.1)
    result = do("trading_state", state="halted", profile_text=ONCE, wait_timeout=1.0, request_timeout=0.3)
    assert platform.writes == ["POST /halt"]
    if kind == "drip_headers":  # it landed, and only the answer was lost
        assert result["result"] == "proven"
    else:
        assert result["result"] == "unproven"
        assert "it was not sent again, for it may still take effect" in result["msg"]


def test_a_write_that_provably_did_not_leave_is_repeated(do: Do, platform: Platform) -> None:
    platform.fault("answer", "POST", "/halt", status=429, times=1)
    assert do("trading_state", state="halted", profile_text=ONCE)["result"] == "proven"
    assert platform.writes == ["POST /halt"] * 2


def test_a_dead_site_is_unreachable_at_once_and_unchanged(do: Do, platform: Platform) -> None:
    platform.close()
    began = time.monotonic()
    result = do("trading_state", state="halted", wait_timeout=30.0)
    assert time.monotonic() - began < 15.0
    assert (result["result"], result["changed"]) == ("unreachable", False)
    assert "connection refused" in result["msg"]
    assert "nothing was changed" in result["msg"]


@pytest.mark.parametrize("verb", ["trading_state", "open_orders", "open_positions", "maintenance_mode", "trading_info"])
def test_a_hung_site_is_reported_within_the_budget(do: Do, platform: Platform, verb: str) -> None:
    platform.fault("hang")
    wish: dict[str, dict[str, t.Any]] = {
        "trading_state": {"state": "flat"},
        "open_orders": {"all": True},
        "open_positions": {"all": True},
        "maintenance_mode": {"state": "enabled"},
    }
    began = time.monotonic()
    result = do(verb, wait_timeout=1.0, **wish.get(verb, {}))
    assert time.monotonic() - began < 5.0
    if verb == "trading_info":
        assert result["trading"] == {"state": "unknown"}
        assert "no answer" in result["problems"]["trading"]
    else:
        assert result["result"] in ("unproven", "unreachable")


def test_a_stop_of_a_hung_site_is_no_unreachable_once_the_order_may_have_arrived(do: Do, platform: Platform) -> None:
    platform.fault("hang")
    result = do("trading_state", state="halted", wait_timeout=1.0)
    assert "POST /halt" in platform.writes
    assert result["result"] == "unproven"


@pytest.mark.parametrize("as_of", ["2020-01-01T00:00:00Z", 1.0, None, "soon", float("nan"), 4102444800])
def test_a_reading_that_is_stale_or_has_no_time_is_unknown(do: Do, platform: Platform, as_of: t.Any) -> None:
    platform.state = "HALT"
    platform.as_of = "" if as_of is None else as_of
    result = do("trading_state", state="halted", wait_timeout=0.6)
    assert result["result"] == "unproven"
    assert result["after"]["state"] == "unknown"


@pytest.mark.parametrize("body", [{}, [], None, "HALT", {"state": None}, {"state": ["HALT"]}, {"status": "HALT"}])
def test_an_answer_without_a_state_is_unknown(do: Do, platform: Platform, body: t.Any) -> None:
    platform.fault("answer", "GET", "/status", status=200, body=body)
    text = PROFILE.replace("      as_of: status.as_of\n", "")
    result = do("trading_state", state="halted", wait_timeout=0.6, profile_text=text)
    assert result["result"] == "unproven"


def test_reads_are_repeated(do: Do, platform: Platform) -> None:
    for kind in ("error_before", "reset"):
        platform.fault(kind, "GET", "/orders", times=1)
    platform.fault("answer", "GET", "/orders", status=429, headers={"Retry-After": "0.05"}, times=1)
    assert do("open_orders", all=True)["result"] == "proven"


# -- signing in -------------------------------------------------------------------------------------------------


def login(platform: Platform, **more: t.Any) -> dict[str, t.Any]:
    platform.static_tokens = False
    return {"profile_text": LOGIN_PROFILE, **more}


def test_one_login_serves_a_whole_verb(do: Do, platform: Platform) -> None:
    assert do("trading_state", state="halted", **login(platform))["result"] == "proven"
    assert platform.calls.count("POST /login") == 1
    assert platform.calls[:3] == ["POST /login", "GET /status", "POST /halt"]


def test_an_expired_token_is_refreshed_and_the_request_sent_again(do: Do, platform: Platform) -> None:
    platform.fault("answer", "DELETE", "/orders", status=401, times=1)
    assert do("open_orders", all=True, **login(platform))["result"] == "proven"
    assert platform.calls.count("POST /login") == 1
    assert platform.calls.count("POST /refresh") == 1
    assert platform.writes == ["DELETE /orders"] * 2


@pytest.mark.parametrize("kind", ["error_before", "reset", "html"])
def test_a_refresh_that_fails_falls_back_to_the_password(do: Do, platform: Platform, kind: str) -> None:
    platform.fault("answer", "GET", "/orders", status=401, times=1)
    platform.fault(kind, "POST", "/refresh")
    assert do("open_orders", all=True, **login(platform))["result"] == "proven"
    assert platform.calls.count("POST /login") == 2


def test_a_token_is_renewed_before_it_ends(do: Do, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request takes a second; a token of three counts as over after 2.7, so that each serves three requests."""

    def seconds() -> float:
        return float(sum(call not in SIGN_IN for call in platform.calls))

    monkeypatch.setattr(signin, "time", types.SimpleNamespace(monotonic=seconds))
    text = LOGIN_PROFILE.replace("access: access,", "access: access, lifetime: 3,")
    assert do("trading_state", state="flat", **login(platform, profile_text=text))["result"] == "proven"
    calls = platform.calls
    signed = [number for number, call in enumerate(calls) if call in SIGN_IN]
    assert [calls[number] for number in signed] == ["POST /login"] + ["POST /refresh"] * (len(signed) - 1)
    assert signed == list(range(0, len(calls), 4))
    assert len(signed) > 3


def test_a_login_that_hangs_has_sent_no_write(do: Do, platform: Platform) -> None:
    """The write did not leave, so it is sent once the login works, though it must not be repeated."""
    text = LOGIN_PROFILE.replace("/halt, auth: emergency", "/halt").replace("        repeatable: true\n", "", 1)
    platform.fault("hang", "POST", "/login", times=2)
    result = do("trading_state", state="halted", request_timeout=0.3, **login(platform, profile_text=text))
    assert (result["result"], platform.writes) == ("proven", ["POST /halt"]), result["msg"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"status": 401, "body": {"error": f"no user with {PASSWORD}"}}, "POST /login answered 401"),
        ({"status": 200, "body": {"token": "x"}}, "the answer holds no token"),
        ({"status": 200, "body": {"access": ""}}, "the answer holds no token"),
    ],
)
def test_a_login_that_is_refused_is_told(do: Do, platform: Platform, fault: dict[str, t.Any], text: str) -> None:
    platform.fault("answer", "POST", "/login", **fault)
    result = do("open_orders", all=True, **login(platform))
    assert (result["result"], platform.writes) == ("refused", [])
    assert text in result["msg"]
    assert PASSWORD not in json.dumps(result)


def test_the_other_kinds_of_credentials(do: Do, platform: Platform) -> None:
    for auth, seen in (
        ("{kind: none}", ""),
        ("{kind: basic, username: username, password: password}", "Basic "),
        ("{kind: headers, fields: {X-Key: token}}", ""),
        ("{kind: body, fields: {key: token}}", ""),
    ):
        platform.requests.clear()
        text = PROFILE.replace("operator: {kind: bearer, token: token}", f"operator: {auth}")
        do("open_orders", all=True, profile_text=text)
        request = platform.requests[0]
        assert request.headers.get("authorization", "").startswith(seen)
        assert (request.headers.get("x-key") == SECRETS["token"]) is ("X-Key" in auth)
        assert ((request.body or {}).get("key") == SECRETS["token"]) is ("body" in auth)


@pytest.mark.parametrize("token", ["two\nlines", "tab\there", "ends ", "naïve", ""])
def test_a_secret_that_no_header_can_carry_is_told_without_showing_it(do: Do, platform: Platform, token: str) -> None:
    result = do("trading_state", state="halted", secrets=SECRETS | {"token": token})
    assert (result["result"], platform.requests) == ("refused", [])
    assert "the secret 'token'" in result["msg"]
    assert not token or token not in json.dumps(result)


# -- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "path"),
    [(PROFILE, path) for path in ("/status", "/orders", "/halt", "/metrics", "/venue/*")]
    + [(LOGIN_PROFILE, path) for path in ("/status", "/login", "/orders")],
)
@pytest.mark.parametrize("kind", ["error_before", "html", "echo"])
def test_what_the_platform_echoes_never_shows_a_secret(
    do: Do, platform: Platform, profile: str, path: str, kind: str
) -> None:
    secrets = [SECRETS["token"], SECRETS["emergency_token"], PASSWORD, "access-token-1", "refresh-token-1"]
    if kind == "echo":
        padding = "x" * 150  # an excerpt ends in the middle of the secret
        body = {"error": f"{padding}{' '.join(secrets)}", "pw": PASSWORD, "orders": [{"id": SECRETS["token"]}]}
        platform.fault("answer", path=path, status=400, body=body)
    else:
        platform.fault(kind, path=path)
    platform.static_tokens = profile is PROFILE
    for verb, wish in (("trading_state", {"state": "flat"}), ("trading_info", {"gather": ["trading", "orders"]})):
        text = json.dumps(do(verb, wait_timeout=0.6, request_timeout=0.3, profile_text=profile, **wish))
        for secret in secrets:
            assert secret not in text
            assert secret[:8] not in text
            assert json.dumps(secret)[1:-1] not in text


# -- rate -------------------------------------------------------------------------------------------------------


def test_the_rate_of_the_platform_is_kept(do: Do, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (caller, waiter, fake_platform):
        monkeypatch.setattr(module, "time", clock)
    text = PROFILE.replace("title: Bench platform", "title: Bench platform\nrequests_per_second: 25")
    assert do("trading_state", state="halted", profile_text=text)["result"] == "proven"
    # The clock stands still while a request is under way, so nothing but the pace makes these pauses.
    pauses = [after.at - before.at for before, after in itertools.pairwise(platform.requests)]
    assert len(pauses) > 3
    assert pauses == [pytest.approx(0.04)] * len(pauses)
