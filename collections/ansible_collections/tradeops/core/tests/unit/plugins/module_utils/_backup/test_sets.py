# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set counts when its manifest is there; what is at work is left alone, and what was killed is swept."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import platform
import subprocess
import time

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import sets
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Manifest, read_manifest
from ansible_collections.tradeops.core.plugins.module_utils._backup.sets import (
    Clock,
    Making,
    Running,
    age,
    is_id,
    new_id,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._backup.stream import STORED, Targets
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import LeaseHeld, Refused, Unreachable
from ansible_collections.tradeops.core.plugins.module_utils._common.lease import born
from ansible_collections.tradeops.core.tests.unit.faulty_store import Faulty

NOW = dt.datetime(2026, 11, 26, 2, 0, 3, tzinfo=dt.UTC)
OLD = "20261125T020000Z-daily-aaaaaa"
OWN = "20261126T020000Z-daily-bbbbbb"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> LocalStore:
    return LocalStore("local", str(tmp_path / "local"))


def making(*stores: LocalStore, set_id: str = OWN, notes: list[str] | None = None) -> Making:
    return Making(Targets(stores), "site", set_id, "op-1", (notes if notes is not None else []).append)


def manifest(fates: dict[str, str]) -> Manifest:
    return Manifest(OWN, "site", "daily", "t1", "t2", (), fates)


def mark(store: LocalStore, set_id: str, **facts: object) -> None:
    """A run of this process that began an hour ago, unless said otherwise."""
    running = Running("op-0", platform.node(), os.getpid(), born(os.getpid()), time.time() - 3600, time.time() + 60)
    body = dataclasses.asdict(running) | facts
    store.put(f"site/{set_id}/running.json", json.dumps(body).encode())


def dead() -> dict[str, object]:
    process = subprocess.Popen(["true"])
    begun = born(process.pid)
    process.wait()
    return {"pid": process.pid, "born": begun or "1"}


def keys(store: LocalStore) -> list[str]:
    return [entry.key.removeprefix("site/") for entry in store.entries("")]


def test_ids_are_sorted_by_time_and_never_the_same() -> None:
    ids = [new_id("daily", NOW + dt.timedelta(milliseconds=step)) for step in range(2000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids) and all(is_id(each) for each in (*ids, new_id("pre-deployment", NOW)))
    assert not any(is_id(text) for text in ("", "x", "../20261126T020000Z-daily-bbbbbb", OWN + "/", OWN[:-1] + "x"))


def test_of_two_kinds_in_one_second_the_later_is_the_later() -> None:
    first, second = new_id("manual", NOW), new_id("daily", NOW + dt.timedelta(milliseconds=500))
    assert first[:16] == second[:16] and sorted([second, first], key=age) == [first, second]


def test_a_set_is_marked_first_and_published_last(store: LocalStore) -> None:
    made = making(store)
    made.begin()
    assert keys(store) == [f"{OWN}/running.json"]
    store.put(f"site/{OWN}/database/dump", b"x")
    made.publish(manifest, "key")
    assert keys(store) == [f"{OWN}/database/dump", f"{OWN}/manifest.json"]
    assert read_manifest(store, "site", OWN, "key").stores == {"local": STORED}


def test_a_set_that_is_given_up_leaves_nothing(store: LocalStore) -> None:
    made = making(store)
    made.begin()
    store.put(f"site/{OWN}/database/dump", b"x")
    store.upload(f"site/{OWN}/database/globals").write(b"x")
    made.discard()
    assert list(store.root.rglob("*")) == []


def test_the_second_of_two_is_refused_and_names_the_first(store: LocalStore) -> None:
    mark(store, OLD)
    with pytest.raises(LeaseHeld, match=rf"site is being backed up by op-0 on .* \(process {os.getpid()}\), since 20"):
        making(store).begin()
    assert keys(store) == [f"{OLD}/running.json"]


def test_a_run_on_another_machine_counts_until_its_mark_ends(store: LocalStore) -> None:
    mark(store, OLD, host="elsewhere", pid=1)
    with pytest.raises(LeaseHeld, match="op-0 on elsewhere"):
        making(store).begin()
    mark(store, OLD, host="elsewhere", pid=1, expires=time.time() - 1)
    made = making(store)
    made.begin()
    made.discard()
    assert keys(store) == []


def test_a_jump_of_the_clock_ends_no_run_of_this_machine(store: LocalStore) -> None:
    mark(store, OLD, expires=time.time() - 86400)
    with pytest.raises(LeaseHeld):
        making(store).begin()


def test_of_two_at_the_same_moment_the_later_gives_way(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_GIVES_WAY", 2.0)
    mark(store, OLD, started=time.time() + 5)
    begun = time.monotonic()
    with pytest.raises(LeaseHeld):  # it was there before our mark, so it goes on: then it is we who give way
        making(store).begin()
    assert time.monotonic() - begun >= 1.5

    mark(store, OLD, started=time.time() + 5)
    swept = sets.sweep

    def gives_way(store: LocalStore, *others: object) -> dict[str, Running]:
        found = swept(store, *others)  # type: ignore[arg-type]
        store.delete(f"site/{OLD}/running.json")
        return found

    monkeypatch.setattr(sets, "sweep", gives_way)
    made = making(store)
    made.begin()
    assert keys(store) == [f"{OWN}/running.json"]
    made.discard()


def test_what_a_killed_run_left_is_removed_and_said(store: LocalStore) -> None:
    mark(store, OLD, **dead())
    store.put(f"site/{OLD}/database/dump", b"x")
    store.upload(f"site/{OLD}/database/globals").write(b"x")
    notes: list[str] = []
    made = making(store, notes=notes)
    made.begin()
    assert keys(store) == [f"{OWN}/running.json"] and list(store.unfinished("")) == []
    assert len(notes) == 1 and notes[0].startswith(f"removed from the store local what op-0 on {platform.node()}")
    made.discard()


def test_a_set_that_is_whole_is_never_swept(store: LocalStore) -> None:
    mark(store, OLD, **dead())
    store.put(f"site/{OLD}/manifest.json", b"{}")
    store.put(f"site/{OLD}/database/dump", b"x")
    made = making(store)
    made.begin()
    assert keys(store) == [f"{OLD}/database/dump", f"{OLD}/manifest.json", f"{OWN}/running.json"]
    made.discard()


def test_what_has_lost_its_manifest_is_evidence(store: LocalStore) -> None:
    store.put(f"site/{OLD}/database/dump", b"x")
    store.put("site/notes.txt", b"of an operator")
    store.put(f"other/{OLD}/running.json", b"{}")
    made = making(store)
    made.begin()
    made.discard()
    assert sorted(keys(store)) == [f"{OLD}/database/dump", "notes.txt", f"other/{OLD}/running.json"]


def test_a_damaged_mark_holds_nobody_up(store: LocalStore) -> None:
    store.put(f"site/{OLD}/running.json", b"{")
    made = making(store)
    made.begin()
    made.discard()
    assert keys(store) == []


@pytest.mark.parametrize("fault", ["put running.json", "put manifest.json"])
def test_a_store_that_takes_no_mark_or_no_manifest_is_out(tmp_path: pathlib.Path, fault: str) -> None:
    good, bad = LocalStore("good", str(tmp_path / "good")), Faulty("bad", str(tmp_path / "bad"), fault)
    made = making(good, bad)
    made.begin()
    for store in (good, bad):
        store.put(f"site/{OWN}/database/dump", b"x")
    found = made.publish(manifest, "")
    assert found.partial and found.stores == {"good": STORED, "bad": "the store bad is gone"}
    assert read_manifest(good, "site", OWN) == found, "what is stored says what became of the other store"
    assert keys(bad) == [] and keys(good) == [f"{OWN}/database/dump", f"{OWN}/manifest.json"]


def test_without_any_store_for_the_manifest_nothing_counts(tmp_path: pathlib.Path) -> None:
    bad = Faulty("bad", str(tmp_path / "bad"), "put manifest.json")
    made = making(bad)
    made.begin()
    with pytest.raises(Unreachable):
        made.publish(manifest, "")
    made.discard()
    assert keys(bad) == []


def test_what_cannot_be_taken_back_keeps_its_mark_for_the_next(tmp_path: pathlib.Path) -> None:
    store, notes = Faulty("bad", str(tmp_path / "bad")), list[str]()
    made = making(store, notes=notes)
    made.begin()
    store.put(f"site/{OWN}/database/dump", b"x")
    store.fails = {"delete"}
    made.discard()
    assert notes == [f"the next run has to remove the rest of {OWN} from the store bad: the store bad is gone"]
    assert keys(store) == [f"{OWN}/database/dump", f"{OWN}/running.json"]


def test_the_mark_is_renewed_while_the_set_is_made(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_RENEWED", 0.05)
    made = making(store)
    made.begin()
    first = sets.read_running(store, "site", OWN)
    time.sleep(0.3)
    second = sets.read_running(store, "site", OWN)
    assert first and second and second.expires > first.expires and second.started == first.started
    made.discard()
    assert keys(store) == []


@pytest.mark.parametrize(("set_by", "jump"), [(-3600, -3600.0), (7200, 7200.0), (3, 0.0), (0, 0.0)])
def test_a_clock_that_is_set_during_a_run_is_noticed_and_not_followed(
    monkeypatch: pytest.MonkeyPatch, set_by: float, jump: float
) -> None:
    clock = Clock()
    before = clock.now()
    monkeypatch.setattr(sets, "_now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(seconds=set_by))
    assert clock.jump == pytest.approx(jump, abs=1.0 if jump else 0.0)
    assert clock.started <= before <= clock.now() < before + dt.timedelta(seconds=60)


def begun(store: LocalStore, pid: int = 0) -> None:
    """A set that was begun by another process, before the site was halted for it."""
    first = Making(Targets([store]), "site", OWN, "op-1", print, was="active", pid=pid)
    first.begin()
    first.leave()


@pytest.mark.parametrize("published", [True, False])
def test_a_mark_stays_from_before_the_halt_to_after_the_resume(store: LocalStore, published: bool) -> None:
    begun(store, os.getpid())
    assert keys(store) == [f"{OWN}/running.json"]
    made = making(store)
    made.take_up()
    store.put(f"site/{OWN}/database/dump", b"x")
    if published:
        made.publish(manifest, "")
    else:
        made.discard()
    found = sets.read_running(store, "site", OWN)
    assert found and (found.was, found.alive, found.operation) == ("active", True, "op-1")
    assert f"{OWN}/manifest.json" in keys(store) if published else keys(store) == [f"{OWN}/running.json"]
    for _time in range(2):
        sets.settle(store, "site", OWN)
        assert keys(store) == ([f"{OWN}/database/dump", f"{OWN}/manifest.json"] if published else [])


def test_a_set_that_this_run_has_not_begun_is_not_gone_on_with(store: LocalStore) -> None:
    with pytest.raises(Refused, match="was not begun by this run"):
        making(store).take_up()
    mark(store, OWN)
    with pytest.raises(Refused, match="was not begun by this run"):
        making(store).take_up()


def test_of_a_run_whose_process_nobody_knows_the_time_of_its_mark_counts(store: LocalStore) -> None:
    begun(store)
    found = sets.read_running(store, "site", OWN)
    assert found and found.alive and not dataclasses.replace(found, expires=time.time() - 1).alive


@pytest.mark.parametrize("with_manifest", [False, True])
def test_who_comes_next_learns_that_a_dead_run_had_halted_trading(store: LocalStore, with_manifest: bool) -> None:
    mark(store, OLD, was="active", **dead())
    if with_manifest:
        store.put(f"site/{OLD}/manifest.json", b"{}")
    made = making(store)
    made.begin()
    made.discard()
    (said,) = made.left_halted
    assert said.startswith("op-0 on ") and "(the site was active)" in said and "emergency_resume.yml" in said
    mark(store, OLD, **dead())
    again = making(store)
    again.begin()
    again.discard()
    assert again.left_halted == []
