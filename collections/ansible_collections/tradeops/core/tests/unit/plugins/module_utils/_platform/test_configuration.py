# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: nothing is set unless all may be, and what is not mentioned stays."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._platform.verbs.configuration import parse_schema, problems
from ansible_collections.tradeops.core.tests.unit.fake_platform import SETTINGS, Platform

Do = t.Callable[..., dict[str, t.Any]]


def apply(do: Do, settings: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    return do("configuration", settings=settings, **{"schema": SETTINGS, **more})


def test_what_is_not_mentioned_stays_and_a_whole_number_is_sent_as_one(do: Do, platform: Platform) -> None:
    before = dict(platform.settings)
    result = apply(do, {"timeout": 30})
    assert (result["result"], result["before"], result["after"]) == ("proven", {"timeout": 10.0}, {"timeout": 30.0})
    assert platform.settings == before | {"timeout": 30}
    assert repr(platform.settings["timeout"]) == "30"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": "LOUD"}, "level: 'LOUD' must be one of DEBUG, INFO"),
        ({"timeout": "30"}, "timeout: '30' must be of type int, is of type str"),
        ({"timeout": True}, "timeout: True must be of type int, is of type bool"),
        ({"timeout": 1.5}, "timeout: 1.5 must be of type int, is of type float"),
        ({"timeout": 0}, "timeout: 0 must be at least 1"),
        ({"timeout": 61}, "timeout: 61 must be at most 60"),
        ({"nothing": 1}, "nothing: the schema does not know it"),
        ({"alerts": False}, "alerts: the service reads it only when it starts"),
        ({"level": "LOUD", "timeout": 0}, "LOUD' must be one of DEBUG, INFO; timeout: 0 must be at least 1"),
    ],
)
def test_nothing_is_set_when_one_of_them_is_wrong(
    do: Do, platform: Platform, settings: dict[str, t.Any], said: str
) -> None:
    for state in ("valid", "applied"):
        result = apply(do, {"ratio": 0.7, **settings}, state=state)
        assert (result["result"], result["failed"], platform.writes) == ("refused", True, [])
        assert said in result["msg"]
        assert result["msg"].endswith("Nothing was sent.")


def test_what_stays_must_be_right_too_and_is_not_shown(do: Do, platform: Platform) -> None:
    platform.settings |= {"timeout": 99, "extra": "hush"}
    result = apply(do, {"level": "DEBUG"})
    assert "timeout: what it has must be at most 60; extra: it has, and the schema does not know it" in result["msg"]
    assert ("hush" in str(result), platform.writes) == (False, [])
    assert apply(do, {"level": "DEBUG"}, strict=False)["result"] == "proven"


def test_a_valid_configuration_is_only_read(do: Do, platform: Platform) -> None:
    result = apply(do, {"timeout": 30}, state="valid")
    assert (result["result"], result["changed"], platform.writes) == ("unchanged", False, [])
    assert result["before"] == result["after"] == {"timeout": 10}
    assert apply(do, {}, state="valid")["result"] == "unchanged"
    assert "there is none to apply" in apply(do, {})["msg"]


def test_a_platform_that_says_yes_and_keeps_the_old_value_is_unproven(do: Do, platform: Platform) -> None:
    platform.fault("lie", "PUT", "/settings/timeout")
    result = apply(do, {"level": "DEBUG", "timeout": 30}, wait_timeout=1.0)
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert "timeout is 10.0, not 30.0" in result["msg"]
    assert {item["id"]: item["result"] for item in result["proof"]["objects"]} == {
        "level": "changed",
        "timeout": "not changed",
    }


def test_a_setting_that_the_platform_does_not_have_is_refused() -> None:
    schema = parse_schema("site", {"new": {"type": "str", "pattern": "[a-z]+"}})
    assert problems(schema, {"new": "x"}, {}, strict=True) == ["new: the platform has no such setting"]
    assert problems(schema, {"new": "X1"}, {"new": "x"}, strict=True) == ["new: 'X1' must match [a-z]+"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({}, "the key 'type' is missing"),
        ({"type": "text"}, "'text' is not one of str, int, float, bool"),
        ({"type": "str", "least": 1}, "least: a setting of type str is no number"),
        ({"type": "int", "least": 2, "most": 1}, "least: 2 is more than most, 1"),
        ({"type": "int", "pattern": "x"}, "pattern: a setting of type int is no text"),
        ({"type": "str", "pattern": "("}, "is no regular expression"),
        ({"type": "str", "chioces": []}, "chioces: unknown key (did you mean 'choices'?)"),
    ],
)
def test_a_schema_that_cannot_be_right_is_told(setting: dict[str, t.Any], said: str) -> None:
    with pytest.raises(InputError, match="site: schema: timeout: ") as caught:
        parse_schema("site", {"timeout": setting})
    assert said in str(caught.value)
