# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From profile texts to requests, and from answers to values."""

from __future__ import annotations

import datetime
import email.message
import email.utils
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._platform import wire
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import Reply
from ansible_collections.tradeops.core.plugins.module_utils._platform.profile import Action, Request

VALUES = {"id": "a/b ü", "value": 1.5, "reason": "loss", "none": None, "empty": ""}


def reply(body: bytes) -> Reply:
    headers: t.Any = email.message.Message()
    return Reply(200, headers, body, datetime.datetime.now(datetime.UTC))


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{value}", 1.5),
        ("at {value}!", "at 1.5!"),
        ({"a": ["{id}", 3, None, True], "b": {"c": "{reason}"}}, {"a": ["a/b ü", 3, None, True], "b": {"c": "loss"}}),
        ("{empty}", ""),
        ("no braces", "no braces"),
        ("{not a name}", "{not a name}"),
    ],
)
def test_fill(template: t.Any, filled: t.Any) -> None:
    assert wire.fill(template, VALUES) == filled


@pytest.mark.parametrize("template", ["{none}", "{unheard}", {"a": ["x {none}"]}])
def test_a_hole_is_never_sent(template: t.Any) -> None:
    with pytest.raises(wire.Unfilled):
        wire.fill(template, VALUES)


def test_fill_path_quotes() -> None:
    assert wire.fill_path("/orders/{id}/x", VALUES) == "/orders/a%2Fb%20%C3%BC/x"


@pytest.mark.parametrize("given", [{}, {"id": None}, {"id": ""}, {"id": "."}, {"id": ".."}])
def test_a_path_with_a_hole_would_name_all_orders(given: dict[str, t.Any]) -> None:
    with pytest.raises(wire.Unfilled):
        wire.fill_path("/orders/{id}", given)
    assert wire.shown_path("/orders/{id}", given) == "/orders/{id}"


def test_scopes_go_where_the_profile_says() -> None:
    scopes: t.Any = {"symbol": "query.pair", "venue": "body.exchange", "account": "body.account"}
    action = Action(request=Request(path="/x", query={"a": 1}, body=None), scopes=scopes)
    request = wire.scoped(action, {"symbol": "BTC", "venue": "V", "account": None, "other": 1})
    assert (request.query, request.body) == ({"a": 1, "pair": "BTC"}, {"exchange": "V"})
    assert action.request.query == {"a": 1}


@pytest.mark.parametrize(
    ("content", "encoding", "body", "kind"),
    [
        (None, "json", None, None),
        ({"a": 1, "b": None}, "json", b'{"a": 1, "b": null}', "application/json"),
        ([], "json", b"[]", "application/json"),
        ({"a": "x y", "b": True}, "form", b"a=x+y&b=true", "application/x-www-form-urlencoded"),
    ],
)
def test_encode(content: t.Any, encoding: str, body: bytes | None, kind: str | None) -> None:
    assert wire.encode(content, encoding) == (body, {"Content-Type": kind} if kind else {})


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b"", (None, True)),
        (b"  \n", (None, True)),
        (b'{"a": [1]}', ({"a": [1]}, True)),
        (b'{"a": NaN, "b": -Infinity}', ({"a": None, "b": None}, True)),
        (b"<html>", (None, False)),
        (b'{"a": ', (None, False)),
        (b"\xff\xfe\xfa", (None, False)),
        (b"[" * 100_000, (None, False)),
    ],
)
def test_parse(body: bytes, parsed: t.Any) -> None:
    assert wire.parse(reply(body)) == parsed


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0.0),
        ("-1.5", -1.5),
        ("0.00", 0.0),
        (True, None),
        (None, None),
        ("", None),
        ("nan", None),
        ("inf", None),
        (float("nan"), None),
        (10**400, None),
        ([1], None),
    ],
)
def test_number(value: t.Any, number: float | None) -> None:
    assert wire.number(value) == number


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("2026-11-21T03:00:00Z", 1795230000.0),
        ("2026-11-21T03:00:00.123456789Z", 1795230000.123456),
        ("2026-11-21T04:00:00+01:00", 1795230000.0),
        ("2026-11-21 03:00:00", 1795230000.0),
        ("Sat, 21 Nov 2026 03:00:00 GMT", 1795230000.0),
        ("Sat, 21 Nov 2026 03:00:00 -0000", 1795230000.0),
        (1795230000, 1795230000.0),
        ("1795230000.5", 1795230000.5),
        (1795230000123, 1795230000.123),
        (1795230000123456, 1795230000.123456),
        (1795230000123456789, 1795230000.1234567),
        (float("nan"), None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        ({}, None),
    ],
)
def test_moments_of_all_kinds_are_utc(stamp: t.Any, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert wire.moment(stamp) == pytest.approx(seconds)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_retry_after_in_both_forms() -> None:
    assert wire.retry_after("3") == 3.0
    assert wire.retry_after("-1") == 0.0
    assert wire.retry_after("Sat, 21 Nov 1998 03:00:00 GMT") == 0.0
    soon = wire.retry_after(email.utils.formatdate(time.time() + 30, usegmt=True))
    assert soon is not None
    assert 28 <= soon <= 31
    assert [wire.retry_after(given) for given in (None, "", "nan", "later")] == [None] * 4


def test_mapped_looks_up_the_json_text() -> None:
    names = {"true": "open", "12": "dozen", "null": "none", "1.5": "half"}
    assert [wire.mapped(raw, names) for raw in (True, 12, None, 1.5, "true", "x")] == [
        "open", "dozen", "none", "half", "open", None,
    ]  # fmt: skip


def test_an_excerpt_is_one_short_line() -> None:
    assert wire.excerpt(" a\n  b ") == "a b"
    assert len(wire.excerpt("x" * 1000)) == 163
