# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The latest set is the newest that has what is asked for."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.asked import asked

EVERYTHING = {
    "database": "postgresql",
    "wal": "barman",
    "redis": "redis",
    "config": "files",
    "models": "files",
    "metrics": "prometheus",
}
TYPES = {
    "daily": {"components": ["database", "redis", "config"]},
    "emergency": {"components": ["database", "redis", "config"]},
    "database": {"components": ["database", "wal"]},
    "config": {"components": ["config"]},
}


def only(*names: str) -> dict[str, str]:
    return {name: EVERYTHING[name] for name in names}


@pytest.mark.parametrize(
    ("what", "has", "lacks"),
    [
        ("full", ("config",), "database, redis"),
        ("full", ("database", "wal"), "config, redis"),
        ("full", ("database", "redis", "config"), ""),
        ("full", tuple(EVERYTHING), ""),
        ("database", ("config",), "database"),
        ("database", ("database",), ""),  # its log is another way to the same
        ("config", ("database", "wal"), "config"),
        ("config", ("config",), ""),
        ("data", ("database", "wal", "config"), "redis"),
        ("data", ("redis",), ""),
    ],
)
def test_what_a_set_lacks(what: str, has: tuple[str, ...], lacks: str) -> None:
    assert asked(what, TYPES, known=[EVERYTHING]).lacks(only(*has)) == lacks


def test_without_an_emergency_type_the_database_and_the_configuration_are_the_least() -> None:
    types = {name: TYPES[name] for name in ("database", "config")}
    assert asked("full", types, known=[EVERYTHING]).lacks(only("redis")) == "config, database"
    assert asked("data", types, known=[EVERYTHING]).lacks(only("database", "config")) == "anything of 'data'"
    assert asked("data", types, known=[EVERYTHING]).lacks(only("database", "models")) == ""


def test_without_types_every_set_has_all_and_metrics_are_nothing_to_go_back_to() -> None:
    assert asked("full", {}, known=[EVERYTHING]).lacks(only("redis")) == ""
    assert asked("full", {}, known=[EVERYTHING]).lacks(only("metrics")) == "anything of 'full'"


def test_what_no_set_has_cannot_be_asked_for() -> None:
    assert asked("full", TYPES, known=[only("database"), only("redis")]).names == {"database", "redis"}


def test_names_go_before_parts() -> None:
    assert asked("full", TYPES, ["models"], known=[EVERYTHING]).names == {"models"}


@pytest.mark.parametrize("what", ["full", "database"])
def test_for_a_moment_its_log_is_what_counts(what: str) -> None:
    found = asked(what, TYPES, known=[EVERYTHING], to_moment=True)
    assert found.lacks(only("database", "wal")) == ""


def test_a_server_without_dumps() -> None:
    types: dict[str, t.Any] = {"database": {"components": ["wal"]}, "config": {"components": []}}
    assert asked("full", types, known=[only("wal"), only("redis")]).lacks(only("redis")) == "wal"
