# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import platform
import shutil
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.asked import Asked
from ansible_collections.tradeops.core.plugins.module_utils._backup.catalogue import Catalogue, choose, passed_over
from ansible_collections.tradeops.core.plugins.module_utils._backup.sets import Running
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import (
    Damaged,
    InputError,
    Refused,
    TradeopsError,
    Unproven,
)
from ansible_collections.tradeops.core.plugins.module_utils._common.lease import born
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground

ONE, TWO, THREE = "20261124T020000Z-daily-aaaaaa", "20261125T020000Z-daily-bbbbbb", "20261126T020000Z-weekly-cccccc"


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


def test_sets_of_two_stores_are_one_list(ground: Ground) -> None:
    ground.write(ONE, "s3")
    ground.write(TWO, "local", "s3")
    ground.write(THREE, "local")
    catalogue = ground.catalogue()
    found = catalogue.sets()
    assert [(one.id, one.type, one.state, sorted(one.copies)) for one in found] == [
        (ONE, "daily", "whole", ["s3"]),
        (TWO, "daily", "whole", ["local", "s3"]),
        (THREE, "weekly", "whole", ["local"]),
    ]
    assert found[1].facts and found[1].facts.components == {"database": "postgresql"}
    store, manifest = catalogue.manifest(found[1])
    assert (store.name, manifest.id) == ("local", TWO)
    assert not catalogue.problems


def test_a_run_that_was_killed_is_listed_and_never_counts(ground: Ground) -> None:
    ground.put("local", ONE, "database/database.dump.zst.age")
    ground.put("local", TWO, "running.json", b'{"expires": "2999-01-01T00:00:00Z"}')
    ground.put("local", THREE, "running.json", b'{"expires": "2020-01-01T00:00:00Z"}')
    found = ground.sets()
    assert [one.state for one in found.values()] == ["unfinished", "running", "unfinished"]
    assert not any(one.usable for one in found.values())
    assert found[ONE].problem == "local: it has no manifest: the run that made it did not end"


def test_a_dead_run_of_this_machine_is_not_at_work_and_tells_what_it_halted(ground: Ground) -> None:
    """Its process counts, and not the time that its mark has left."""
    mark = Running("op-7", platform.node(), os.getpid(), "another", 1000.0, 4e9, "active")
    ground.put("local", ONE, "running.json", json.dumps(dataclasses.asdict(mark)).encode())
    alive = dataclasses.replace(mark, born=born(os.getpid()))
    ground.put("local", TWO, "running.json", json.dumps(dataclasses.asdict(alive)).encode())
    found = ground.sets()
    assert (found[ONE].state, found[TWO].state) == ("unfinished", "running")
    assert f"it has no manifest: op-7 on {platform.node()} (process {os.getpid()}), since 1970" in found[ONE].problem
    assert "had halted trading for the capture (the site was active)" in found[ONE].problem
    assert "playbooks/emergency_resume.yml" in found[ONE].problem
    assert "it is being made by op-7" in found[TWO].problem and "halted" not in found[TWO].problem
    # It may be killed after its set is whole, and before it has resumed the site.
    ground.write(ONE, "local")
    ground.write(TWO, "local")
    found = ground.sets()
    assert (found[ONE].state, found[TWO].state, found[TWO].problem) == ("whole", "whole", "")
    assert "had halted trading for the capture (the site was active)" in found[ONE].problem


def test_a_set_that_one_store_never_got_is_partial_and_counts_where_it_is_whole(ground: Ground) -> None:
    ground.write(ONE, "local", fates={"s3": "the store s3 does not answer"})
    ground.put("s3", ONE, "database/database.dump.zst.age", b"012")
    one = ground.sets()[ONE]
    assert (one.state, one.usable, one.copies["local"].whole, one.copies["s3"].whole) == ("partial", True, True, False)
    assert "s3: the store s3 does not answer" in one.problem


@pytest.mark.parametrize("how", ["truncated", "missing", "more"])
def test_what_a_listing_shows_to_be_damaged(ground: Ground, how: str) -> None:
    ground.write(ONE, "local")
    file = ground.path / "local/here" / ONE / "database/database.dump.zst.age"
    if how == "truncated":
        file.write_bytes(b"0123")
    elif how == "missing":
        file.unlink()
    else:
        ground.put("local", ONE, "database/another")
    one = ground.sets()[ONE]
    assert (one.state, one.usable) == ("damaged", False)
    assert "its manifest has 1 of 10" in one.problem


def test_an_edited_manifest_and_one_of_another_set(ground: Ground) -> None:
    ground.write(ONE, "local")
    ground.write(TWO, "local")
    folder = ground.path / "local/here"
    (folder / TWO / "manifest.json").write_bytes((folder / ONE / "manifest.json").read_bytes())
    edited = json.loads((folder / ONE / "manifest.json").read_bytes()) | {"tag": "edited"}
    (folder / ONE / "manifest.json").write_text(json.dumps(edited))
    found = ground.sets()
    assert (found[ONE].state, found[TWO].state) == ("damaged", "damaged")
    assert "its digest is wrong" in found[ONE].problem
    assert f"is that of here/{ONE}" in found[TWO].problem
    with pytest.raises(Refused, match="is damaged"):
        ground.catalogue().manifest(found[ONE])


def test_with_a_key_only_signed_sets_count_whatever_the_index_has_seen_without(
    ground: Ground, tmp_path: pathlib.Path
) -> None:
    ground.write(ONE, "local")
    ground.write(TWO, "local", key="the key of the manifests")
    index = tmp_path / "index"
    assert all(one.usable for one in ground.sets(index=index).values())
    found = ground.sets(index=index, key="the key of the manifests")
    assert (found[ONE].usable, found[TWO].usable) == (False, True)
    assert "is not signed" in found[ONE].problem


def test_levels_count_since_the_last_failure(ground: Ground) -> None:
    ground.write(ONE, "local", "s3")
    for at, level in (("01", "restored"), ("03", "hashes"), ("04", "sizes")):
        ground.put("local", ONE, f"verified/202611{at}T000000Z-{level}.json")
    one = ground.sets()[ONE]
    assert (one.level, one.verified, one.reached("tools")) == ("restored", "20261101T000000Z", True)
    ground.put("local", ONE, "verified/20261102T000000Z-failed.json")
    one = ground.sets()[ONE]
    assert (one.level, one.verified, one.state) == ("hashes", "20261103T000000Z", "whole")
    ground.put("local", ONE, "verified/20261105T000000Z-failed.json")
    one = ground.sets()[ONE]
    # The copy of the other store was never tried.
    assert (one.level, one.state, one.copies["local"].state, one.usable) == ("", "whole", "damaged", True)


def test_a_hold_holds_until_it_ends_and_one_that_cannot_be_read_holds(ground: Ground) -> None:
    for set_id in (ONE, TWO, THREE):
        ground.write(set_id, "local")
    ground.put("local", ONE, "hold.json", b'{"reason": "case 417", "by": "mia", "until": "2999-01-01T00:00:00Z"}')
    ground.put("local", TWO, "hold.json", b'{"reason": "case 416", "until": "2020-01-01T00:00:00Z"}')
    ground.put("local", THREE, "hold.json", b"?")
    found = ground.sets()
    assert found[ONE].held == "case 417, by mia, until 2999-01-01T00:00:00Z"
    assert found[TWO].held == ""
    assert "cannot be read" in found[THREE].held


def test_a_set_that_is_being_removed_does_not_count(ground: Ground) -> None:
    ground.write(ONE, "local")
    ground.put("local", ONE, "deleting.json")
    assert ground.sets()[ONE].state == "deleting"


def test_an_empty_store_is_an_error_where_sets_are_expected(ground: Ground) -> None:
    ground.write(ONE, "local")
    (ground.path / "s3").mkdir()
    catalogue = ground.catalogue()
    assert [one.id for one in catalogue.sets()] == [ONE]
    assert "the store s3 has nothing of this site" in catalogue.problems["s3"]
    shutil.rmtree(ground.path / "local" / "here")
    with pytest.raises(Unproven, match="the store local has nothing of this site"):
        ground.catalogue().sets()
    assert ground.catalogue().sets(expected=False) == []


def test_a_store_that_cannot_be_listed_is_named_and_the_other_one_is_used(ground: Ground) -> None:
    ground.write(ONE, "local")
    catalogue = ground.catalogue()
    assert [one.id for one in catalogue.sets(expected=False)] == [ONE]
    assert "s3" in catalogue.problems  # its folder is not there
    shutil.rmtree(ground.path / "local")
    with pytest.raises(TradeopsError):
        ground.catalogue().sets(expected=False)


def test_the_index_saves_reading_and_is_believed_only_about_what_the_listing_shows(
    ground: Ground, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    plain = LocalStore.read

    def read(self: LocalStore, key: str) -> t.Iterator[bytes]:
        reads.append(key)
        return plain(self, key)

    monkeypatch.setattr(LocalStore, "read", read)
    index = tmp_path / "index"
    ground.write(ONE, "local")
    assert ground.sets(index=index)[ONE].facts == ground.sets(index=index)[ONE].facts
    assert len(reads) == 1
    ground.write(ONE, "local", tag="v2.0.0")
    ground.write(TWO, "local")
    found = ground.sets(index=index)
    assert found[ONE].to_dict(dt.datetime.now(dt.UTC))["tag"] == "v2.0.0"
    assert len(reads) == 3
    for broken in (b"", b"[]", b'{"seal": 1, "sets": 1}'):
        (index / "here.json").write_bytes(broken)
        assert ground.sets(index=index)[TWO].usable


def test_what_is_no_set_is_named_and_not_counted(ground: Ground) -> None:
    ground.write(ONE, "local")
    for name in ("20261131T020000Z-daily-aaaaaa", "wal", "20261124T020000Z-daily"):
        ground.put("local", name, "manifest.json")
    catalogue = ground.catalogue()
    assert [one.id for one in catalogue.sets()] == [ONE]
    assert sorted(catalogue.strangers) == ["20261124T020000Z-daily", "20261131T020000Z-daily-aaaaaa", "wal"]


def test_choosing(ground: Ground) -> None:
    for set_id in (ONE, TWO, THREE):
        ground.write(set_id, "local")
    ground.put("local", "20261126T030000Z-daily-dddddd", "database/x")
    sets = ground.catalogue().sets()
    assert choose(sets).id == THREE
    assert choose(sets, kind="daily").id == TWO
    assert choose(sets, ONE).id == ONE
    assert choose(sets, "2026-11-25").id == TWO
    assert choose(sets, before=dt.datetime(2026, 11, 25, 1, tzinfo=dt.UTC)).id == ONE
    assert choose(sets, component="database").id == THREE
    for wanted, said in (
        ("2026-11-20", "there is no set of 2026-11-20 that can be used; the newest that can be used"),
        ("yesterday", "'yesterday' is neither 'latest' nor the id of a set nor a day"),
        ("20261126T030000Z-daily-dddddd", "is unfinished"),
        ("20261126T030000Z-daily-eeeeee", "there is no set 20261126T030000Z-daily-eeeeee"),
    ):
        with pytest.raises(InputError, match=said):
            choose(sets, wanted)
    with pytest.raises(InputError, match="of type monthly with the component redis"):
        choose(sets, kind="monthly", component="redis")


def test_what_a_restore_kept_of_before_is_found_by_its_id_and_by_its_type_only(ground: Ground) -> None:
    safety = "20261124T120000Z-safety-eeeeee"
    early = "20261123T020000Z-daily-aaaaaa"
    for set_id in (early, safety):
        ground.write(set_id, "local")
        ground.put("local", set_id, f"verified/{set_id[:16]}-hashes.json")
    sets = ground.catalogue().sets(expected=False)
    assert choose(sets).id == early
    assert choose(sets, safety).id == choose(sets, kind="safety").id == safety
    with pytest.raises(InputError, match="there is no set of 2026-11-24"):
        choose(sets, "2026-11-24")
    for types, wanted in (((), early), (("safety",), safety)):
        found = ground.catalogue().newest("hashes", types, expected=False)
        assert found and found.id == wanted


def test_a_set_of_the_future_is_not_the_latest_and_is_told(ground: Ground) -> None:
    """The clock of the machine that made it was wrong, or ours is: nobody knows whether it is the newest."""
    later = f"{dt.datetime.now(dt.UTC) + dt.timedelta(hours=1):%Y%m%dT%H%M%SZ}-daily-ffffff"
    ground.write(later, "local", clock=-3600.0)
    with pytest.raises(InputError, match=f"there is no set that can be used; none can be used; passed over {later}"):
        choose(ground.catalogue().sets())
    ground.write(ONE, "local")
    sets = ground.catalogue().sets()
    assert choose(sets).id == ONE
    assert [later in text for text in passed_over(sets)] == [True]
    chosen = choose(sets, later)
    assert (chosen.id, chosen.usable, chosen.ahead) == (later, True, True)
    assert "the clock was set by -3600 s while it was made" in chosen.problem and "in the future" in chosen.problem
    with pytest.raises(InputError, match="passed over"):
        choose(sets, f"{chosen.taken:%Y-%m-%d}")
    assert not next(one for one in sets if one.id == ONE).ahead


def test_the_newest_at_a_level_costs_one_manifest(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    for set_id in (ONE, TWO, THREE):
        ground.write(set_id, "local", "s3")
    catalogue = ground.catalogue()
    assert catalogue.newest("hashes") is None
    ground.put("s3", ONE, "verified/20261124T030000Z-restored.json")
    ground.put("local", TWO, "verified/20261125T030000Z-hashes.json")
    ground.put("local", THREE, "verified/20261126T030000Z-failed.json")
    reads: list[str] = []
    plain = LocalStore.read

    def read(self: LocalStore, key: str) -> t.Iterator[bytes]:
        reads.append(key)
        return plain(self, key)

    monkeypatch.setattr(LocalStore, "read", read)
    found = [ground.catalogue().newest(level) for level in ("listed", "hashes", "tools")]
    assert [one.id if one else None for one in found] == [TWO, TWO, ONE]
    assert len(reads) == 3
    assert catalogue.newest("listed", ["weekly"]) is None
    (ground.path / "local/here" / TWO / "database/database.dump.zst.age").unlink()
    found = [ground.catalogue().newest("hashes")]
    assert found[0] and found[0].id == ONE  # what is verified there is not whole any more


def test_a_manifest_that_changed_after_the_list_is_refused(ground: Ground) -> None:
    ground.write(ONE, "local")
    catalogue = ground.catalogue()
    (one,) = catalogue.sets()
    ground.put("local", ONE, "manifest.json", b"{}")
    with pytest.raises(Damaged):
        catalogue.manifest(one)


@pytest.mark.parametrize("site", ["", "..", "a/b"])
def test_a_site_that_is_no_folder(site: str) -> None:
    with pytest.raises(InputError, match="is no name of a site"):
        Catalogue([], site)


def test_the_latest_has_what_is_asked_and_newer_ones_are_passed_over_by_name(ground: Ground) -> None:
    """A set of the configuration of today is not what the database of yesterday is."""
    ground.write(ONE, "local", base="20261124T020000")
    ground.write(TWO, "local")
    sets = list(ground.sets().values())
    wanted = Asked("full", frozenset({"wal"}))
    chosen = choose(sets, asked=wanted)
    assert (chosen.id, choose(sets).id, choose(sets, TWO, asked=wanted).id) == (ONE, TWO, TWO)
    (said,) = passed_over(sets, wanted, chosen)
    assert said.startswith(f"the latest set that has what 'full' asks for is {ONE}; passed over {TWO} lacks wal;")
    assert passed_over(sets, Asked("full", frozenset({"database"})), choose(sets)) == []
    with pytest.raises(InputError, match=rf"no set with redis, which 'full' asks for, that .*{TWO} lacks redis, {ONE}"):
        choose(sets, asked=Asked("full", frozenset({"redis"})))
