# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain types, and no secret."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.redact import HIDDEN
from ansible_collections.tradeops.core.plugins.module_utils._evidence.clean import (
    clean,
    clean_parameters,
    clean_text,
    is_secret_name,
    plain,
)

SECRET_NAMES = (
    *("password", "api_key", "token", "access-token", "refreshToken", "APIKey", "tradeops_secrets", "Authorization"),
    *("client_secret", "private_key", "key", "url_password", "Cookie", "X-Auth-Token", "passphrase", "pin"),
)


class Text(str):
    __slots__ = ()


class Mapping(dict[str, t.Any]):
    pass


def test_subclasses_become_plain() -> None:
    found = plain(Mapping({Text("a"): [Text("b"), (1, 2.5, None, True)], "c": {Text("d")}, "e": b"f", "g": object}))
    assert found.__class__ is dict
    assert all(key.__class__ is str for key in found)
    assert found["a"][0].__class__ is str
    assert found["a"][1] == [1, 2.5, None, True]
    assert (found["c"], found["e"], found["g"]) == (["d"], "f", "<class 'object'>")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: float("-inf")}, "\udc80"])
def test_everything_plain_can_be_written(value: t.Any) -> None:
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["monkey", "keyboard", "tokenizer", "state", "compass", "opinion", "symbol", "keyword"]
)
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


def test_parameters_lose_everything_under_the_name_of_a_secret() -> None:
    given = {
        "state": "halted",
        "secrets": {"operator": "hunter2"},
        "token": 1234,
        "rotate_token": True,
        "keys": ["a", "b"],
        "nothing": None,
        "urls": {"api": "https://bob:hunter2@host/x?api_key=hunter2&y=1"},
    }
    found = clean_parameters(given, ours=True)
    assert "hunter2" not in json.dumps(found)
    assert found == {
        "state": "halted",
        "secrets": HIDDEN,
        "token": HIDDEN,
        "rotate_token": True,
        "keys": HIDDEN,
        "urls": {"api": f"https://bob:{HIDDEN}@host/x?api_key={HIDDEN}&y=1"},
    }


def test_bulk_of_foreign_modules_is_left_out() -> None:
    given = {"url": "https://host", "body": {"a": "hunter2"}, "headers": {"X": "hunter2"}, "content": "hunter2"}
    assert clean_parameters(given, ours=False) == {"url": "https://host"}


def test_long_parameters_are_only_identified() -> None:
    assert clean_parameters({"profile_text": "x" * 2000}, ours=True)["profile_text"].startswith(
        "2000 characters, SHA-256 "
    )


def test_results_keep_counts_and_listings() -> None:
    given = {
        "tokens": 3,
        "keys": [{"id": "k1", "state": "revoked", "secret": "hunter2"}],
        "token": "hunter2",
        "key": "",
    }
    assert clean(given) == {
        "tokens": 3,
        "keys": [{"id": "k1", "state": "revoked", "secret": HIDDEN}],
        "token": HIDDEN,
        "key": "",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-ghi123", f"Authorization: Bearer {HIDDEN}"),
        ("GET /x?token=abc&y=2 was refused", f"GET /x?token={HIDDEN}&y=2 was refused"),
        ('{"password": "abc", "x": 1}', f'{{"password": "{HIDDEN}", "x": 1}}'),
        ("postgresql://ops:abc@db:5432/x", f"postgresql://ops:{HIDDEN}@db:5432/x"),
        ("the token may not stop trading", "the token may not stop trading"),
        ("http://127.0.0.1:8080/status", "http://127.0.0.1:8080/status"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert clean_text(text) == expected
