# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component, Manifest
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._recovery.plan import (
    Plan,
    Role,
    Room,
    Target,
    left_out,
    plan,
    selected,
)
from ansible_collections.tradeops.core.plugins.module_utils._recovery.roles import described
from ansible_collections.tradeops.core.plugins.module_utils._recovery.wish import At, parse_at

MOMENT = "2026-11-26T02:00:00Z"
TYPES = {"database": {"components": ["database", "wal"]}, "config": {"components": ["config", "objects"]}}
ROOM = Room("/scratch", 10_000_000_000)


def component(name: str, engine: str, **facts: t.Any) -> Component:
    return Component(name, engine, MOMENT, MOMENT, MOMENT, facts=facts)


def manifest(*components: Component) -> Manifest:
    return Manifest("20261126T020000Z-daily-3fa9c1", "here", "daily", MOMENT, MOMENT, components, {"local": "stored"})


WHOLE = manifest(
    component("objects", "kubernetes"),
    component("models", "files"),
    component("metrics", "prometheus"),
    component("cache", "redis"),
    component("wal", "barman"),
    component("config", "files"),
    component("database", "postgresql"),
)
DATABASE = component("database", "postgresql", server_version="18.4 (Debian)", client_version="18.4", rows={"a": 3})
TARGET = Target(
    "the database here", True, shown={"size": 5}, version=(18, 4), tool=(18, 4), safety="kept", way="beside"
)


def names(what: str, *, to_moment: bool = False, only: t.Sequence[str] = ()) -> list[str]:
    return [item.name for item in selected("here", WHOLE, what, TYPES, only, to_moment=to_moment)]


def made(item: Component = DATABASE, target: Target = TARGET, *, scratch: Room = ROOM, decrypted: int = 0) -> Plan:
    return plan("here", [item], {item.name: target}, scratch, decrypted=decrypted)


@pytest.mark.parametrize(
    ("text", "kind", "moment"),
    [
        ("", "newest", None),
        ("2026-11-26", "day", "2026-11-27T00:00:00+00:00"),
        ("2026-11-26 14:29:59+00:00", "time", "2026-11-26T14:29:59+00:00"),
        ("2026-11-26T14:29:59.5-05:00", "time", "2026-11-26T19:29:59.500000+00:00"),
        ("2026-11-26T14:29:59Z", "time", "2026-11-26T14:29:59+00:00"),
        ("lsn:0/5000148", "lsn", None),
        ("name:before-deploy", "name", None),
    ],
)
def test_moments_are_understood(text: str, kind: str, moment: str | None) -> None:
    found = parse_at("here", text)
    assert (found.kind, found.moment) == (kind, dt.datetime.fromisoformat(moment) if moment else None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-26 14:29:59", "without a zone"),
        ("2026-11-31", "restore_at is '2026-11-31'; give a date"),
        ("yesterday", "give a date"),
        ("lsn:5000148", "no position of a log"),
        ("name:", "no name of a restore point"),
        (f"name:{'x' * 64}", "no name of a restore point"),
    ],
)
def test_moments_that_cannot_be_meant_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        parse_at("here", text)
    assert str(told.value).startswith("here: ") and "Nothing was touched" in str(told.value)


def test_only_a_log_knows_positions_and_names() -> None:
    assert [At(kind).log_only for kind in ("newest", "day", "time", "lsn", "name")] == [False, False, False, True, True]


def test_parts_are_what_the_types_of_backups_say() -> None:
    assert names("full") == ["database", "cache", "config", "models", "objects", "metrics"]
    assert names("database") == ["database"]
    assert names("config") == ["config", "objects"]
    assert names("data") == ["cache", "models", "metrics"]
    assert names("full", only=["models"]) == ["models"]


def test_a_server_is_recovered_from_its_log_or_its_dump_is_restored_and_never_both() -> None:
    assert names("database", to_moment=True) == ["wal"]
    assert "database" not in names("full", to_moment=True) and "wal" in names("full", to_moment=True)
    alone = manifest(component("wal", "barman"))
    assert [item.name for item in selected("here", alone, "full", {}, (), to_moment=False)] == ["wal"]


@pytest.mark.parametrize(
    ("what", "types", "only", "said"),
    [
        ("config", {"database": {"components": []}}, (), "does not say which components are config"),
        (
            "config",
            {"database": {"components": []}, "config": {"components": []}},
            (),
            "has nothing that 'config' asks for",
        ),
        ("full", {}, ("nothing",), "has no component nothing; it has cache, config"),
        ("full", {}, ("metrics",), "has nothing that 'full' asks for"),
    ],
)
def test_what_a_set_does_not_have_is_refused(
    what: str, types: dict[str, t.Any], only: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        selected("here", WHOLE, what, types, only, to_moment=False)


def test_a_step_says_what_is_replaced_by_what_and_what_stays() -> None:
    found = made(target=dataclasses.replace(TARGET, room=Room("/data", 1000), needs=500))
    assert not found.refusals
    (step,) = found.steps
    assert (step.replaces, step.by) == (
        {"size": 5},
        {"moment": MOMENT, "tables": 1, "rows": 3, "server_version": "18.4 (Debian)"},
    )
    assert (step.safety, step.needs, step.free) == ("kept", 500, 1000)
    assert found.told("the set")[0]["why"] == "from the set; what is there stays as kept"
    nothing = made(target=dataclasses.replace(TARGET, exists=False))
    assert (nothing.steps[0].replaces, nothing.steps[0].safety) == (None, "")


def test_an_older_server_is_refused_and_a_newer_one_is_told() -> None:
    assert (
        "older than the server that was backed up (18.4)"
        in made(target=dataclasses.replace(TARGET, version=(17, 9))).refusals[0]
    )
    newer = made(target=dataclasses.replace(TARGET, version=(19, 1), tool=(19, 1)))
    assert not newer.refusals and "newer than what was backed up (18.4)" in newer.notes[0]
    assert not made(target=dataclasses.replace(TARGET, version=(18, 1))).refusals


def test_an_older_program_than_the_one_that_dumped_is_refused() -> None:
    assert "set tradeops_postgresql_bin" in made(target=dataclasses.replace(TARGET, tool=(17, 5))).refusals[0]


def test_timescaledb_has_to_be_the_very_version() -> None:
    item = dataclasses.replace(
        DATABASE, facts={**DATABASE.facts, "extensions": {"timescaledb": "2.17.2", "vector": "0.8.0"}}
    )
    can = {"timescaledb": ("2.17.2", "2.18.0"), "vector": ("0.8.1",)}
    found = made(item, dataclasses.replace(TARGET, extensions=can))
    assert not found.refusals and found.notes == ["database: vector was 0.8.0, and the server has 0.8.1"]
    other = made(item, dataclasses.replace(TARGET, extensions={**can, "timescaledb": ("2.18.0",)}))
    assert "timescaledb 2.17.2 exactly" in other.refusals[0]
    lacks = made(item, dataclasses.replace(TARGET, extensions={"vector": ("0.8.0",)}))
    assert "has no extension timescaledb" in lacks.refusals[0]


def test_roles_that_the_server_lacks_are_named_and_made_or_refused() -> None:
    lacks = dataclasses.replace(TARGET, roles=(Role("trader", "LOGIN, CREATEDB"), Role("reporting")))
    refused = made(target=lacks).refusals
    assert len(refused) == 1 and "the server has no role trader (LOGIN, CREATEDB), reporting" in refused[0]
    assert "give it CREATEROLE" in refused[0]
    found = made(target=dataclasses.replace(lacks, may_create_roles=True))
    assert not found.refusals and "made as NOLOGIN, without a password" in found.notes[0]
    assert found.told("the set")[0]["roles"] == ["trader", "reporting"]
    newer = dataclasses.replace(TARGET, roles=(Role("pg_maintain"),), may_create_roles=True)
    assert "restore onto one of that version" in made(target=newer).refusals[0]
    assert "roles" not in made().told("the set")[0]


def test_what_a_role_could_do_is_read_from_globals() -> None:
    text = """--
CREATE ROLE trader;
ALTER ROLE trader WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5;
CREATE ROLE "od""d, one";
ALTER ROLE "od""d, one" WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE bare;
ALTER ROLE bare SET search_path TO 'x';
GRANT pg_monitor TO trader WITH INHERIT TRUE GRANTED BY postgres;
GRANT bare TO "od""d, one";
"""
    assert described(text) == {
        "trader": "CREATEDB, LOGIN, member of pg_monitor",
        'od"d, one': "SUPERUSER, member of bare",
        "bare": "",
    }


def test_room_is_added_up_by_place_and_must_be_known_or_told() -> None:
    tight = dataclasses.replace(TARGET, room=Room("/data", 1000, 7), needs=600)
    both = made(target=tight, scratch=Room("/scratch", 1000, 7), decrypted=600)
    assert "/scratch has" in both.refusals[0]
    assert not made(target=tight, scratch=Room("/scratch", 1000, 8), decrypted=600).refusals
    unknown = made(target=dataclasses.replace(TARGET, room=Room("the disk of the server", None), needs=600))
    assert not unknown.refusals and "is not known" in unknown.notes[0]


def test_what_is_only_kept_for_reading_is_left_out_and_told() -> None:
    metrics, logs = component("metrics", "prometheus"), component("logs", "files", newer_than="24h")
    found = plan("here", [metrics, DATABASE, logs], {"database": TARGET}, ROOM, decrypted=0)
    assert [step.component for step in found.steps] == ["database"]
    assert found.notes[0].startswith("metrics is left out")
    assert found.notes[1].startswith("logs is left out: it has files of the last 24h only")
    assert not left_out(logs, ["logs"])
    assert "nothing restores what other captured" in left_out(component("x", "other"), ())


def test_every_refusal_is_told_at_once() -> None:
    bad = dataclasses.replace(TARGET, version=(1,), tool=(1,), problems=("it is not ours",))
    assert len(made(target=bad, scratch=Room("/scratch", 0), decrypted=1).refusals) == 4
