# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that list and remove sets, on folders."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import itertools
import json
import pathlib
import tarfile
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engine import Base
from ansible_collections.tradeops.core.plugins.module_utils._backup.retention import needless
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._backup.trial import TOOLS
from ansible_collections.tradeops.core.plugins.module_utils._backup.verify import documents, members, ranges, subset
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Damaged, InputError, Unproven
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground

RULES = {"local": {"keep_last": 2, "floor": 1}}


class Site(Ground):
    """Eight daily sets that were all read, in ``local``; the two newest in ``s3``, too."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path)
        self.ids = [f"202611{day:02}T020000Z-daily-aaaaaa" for day in range(1, 9)]
        for number, set_id in enumerate(self.ids):
            stores = ("local", "s3") if number > 5 else ("local",)
            self.write(set_id, *stores)
            for store in stores:
                self.put(store, set_id, f"verified/{set_id[:16]}-hashes.json")

    def fates(self, result: dict[str, t.Any]) -> dict[str, str]:
        return {item["id"]: item["result"] for item in result["proof"]["objects"]}


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def test_a_dry_run_tells_every_reason_and_removes_nothing(site: Site) -> None:
    rules = {"local": {**RULES["local"], "at_most": 80}}
    result = site.run("backup_retention", check=True, retention=rules)
    assert (result["result"], result["changed"], site.there()) == ("planned", True, site.ids)
    why = {item["id"]: item["why"] for item in result["proof"]["objects"]}
    assert why[site.ids[-1]] == "floor of 1, last set"
    assert why[site.ids[0]] == "no rule keeps it"
    assert [step["set"] for step in result["plan"]] == list(reversed(site.ids[:6]))
    assert (result["before"], result["after"]) == ({"local": {"sets": 8, "good": 8}}, {"local": {"sets": 2}})
    assert result["rows"][-1] == {
        "site": "here",
        "store": "local",
        "id": site.ids[0],
        "fate": "would be removed",
        "why": "no rule keeps it",
    }
    assert any("the store s3 has no rules" in note for note in result["notes"])


def test_what_no_rule_keeps_is_removed_and_seen_to_be_gone_and_the_second_run_changes_nothing(site: Site) -> None:
    rules = {"local": {**RULES["local"], "at_most": 80}}
    result = site.run("backup_retention", retention=rules)
    assert (result["result"], result["changed"]) == ("proven", True)
    assert site.there() == site.ids[6:]
    assert site.there("s3") == site.ids[6:]
    again = site.run("backup_retention", retention=rules)
    assert (again["result"], again["changed"]) == ("unchanged", False)


def test_more_than_half_of_the_good_ones_is_refused(site: Site) -> None:
    result = site.run("backup_retention", retention=RULES)
    assert (result["result"], result["failed"], site.there()) == ("unproven", True, site.ids)
    assert "6 of 8 good sets of type daily would be removed" in result["msg"]


def test_nothing_is_removed_when_another_store_lists_nothing(site: Site) -> None:
    for file in sorted((site.path / "s3").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    result = site.run("backup_retention", retention=RULES)
    assert result["failed"]
    assert (
        "not every store can be listed, so nothing was removed: the store s3 has nothing of this site" in result["msg"]
    )
    assert site.there() == site.ids


@pytest.mark.parametrize("retention", [{}, {"local": {}}, {"floor": 2}])
def test_no_rule_is_refused(site: Site, retention: dict[str, t.Any]) -> None:
    result = site.run("backup_retention", retention=retention)
    assert (result["result"], site.there()) == ("refused", site.ids)


def test_a_set_that_is_locked_in_part_stays_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_self: LocalStore, key: str) -> str:
        return "an object lock until 2027-01-01T00:00:00Z" if key.endswith(f"{site.ids[0]}/manifest.json") else ""

    monkeypatch.setattr(LocalStore, "held", held)
    result = site.run("backup_retention", retention={"local": {**RULES["local"], "at_most": 80}})
    assert site.fates(result)[site.ids[0]] == "locked"
    assert site.there() == [site.ids[0], *site.ids[6:]]
    assert (site.path / "local/here" / site.ids[0] / "database/database.dump.zst.age").exists()
    assert f"{site.ids[0]} stays in the store local: manifest.json: an object lock until 2027" in "".join(
        result["notes"]
    )
    assert result["result"] == "proven"


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_removal_that_was_killed_is_ended_by_the_next_run(
    site: Site, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    class Killed(BaseException):
        pass

    plain = LocalStore.delete
    calls: list[str] = []

    def delete(self: LocalStore, key: str) -> None:
        if len(calls) == after:
            raise Killed
        calls.append(key)
        plain(self, key)

    rules = {"local": {"keep_last": 7, "floor": 1}}
    monkeypatch.setattr(LocalStore, "delete", delete)
    with pytest.raises(Killed):
        site.run("backup_retention", retention=rules)
    monkeypatch.setattr(LocalStore, "delete", plain)
    states = {one["id"]: one["state"] for one in site.run("backup_info")["sets"]}
    assert states[site.ids[0]] == "deleting"
    result = site.run("backup_retention", retention=rules)
    assert (result["result"], site.there()) == ("proven", site.ids[1:])


def test_a_removal_that_leaves_something_is_unproven(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = LocalStore.delete
    monkeypatch.setattr(
        LocalStore, "delete", lambda self, key: None if key.endswith("manifest.json") else plain(self, key)
    )
    result = site.run("backup_retention", retention={"local": {"keep_last": 7, "floor": 1}})
    assert (result["result"], result["changed"]) == ("unproven", True)
    assert "1 objects are still there after it was removed" in result["msg"]


def test_what_nobody_has_read_and_what_is_held_is_kept(site: Site) -> None:
    site.write("20261030T020000Z-daily-bbbbbb", "local")
    site.put("s3", site.ids[6], "hold.json", json.dumps({"reason": "case 417"}).encode())
    result = site.run("backup_retention", retention={"local": {"keep_last": 1, "floor": 1, "at_most": 100}})
    assert site.there() == ["20261030T020000Z-daily-bbbbbb", *site.ids[6:]]
    why = {item["id"]: item["why"] for item in result["proof"]["objects"]}
    assert why["20261030T020000Z-daily-bbbbbb"].startswith("counts for nothing (not verified at level hashes)")
    assert why[site.ids[6]] == "held: case 417"


class Tool:
    """Barman with base backups, one a day from the first of the month on."""

    tool = "barman"

    def __init__(self, *ids: str, ours: bool = False) -> None:
        self.ids = list(ids or ("first", "second", "third"))
        self.ours = ours

    def bases(self) -> list[Base]:
        return [base(name, day, ours=self.ours) for day, name in enumerate(self.ids, 1)]

    def delete(self, one: Base) -> None:
        self.ids.remove(one.id)


def base(name: str, day: int, **more: t.Any) -> Base:
    at = f"2026-11-{day:02}T02:00:00+00:00"
    return Base(name, at, at, "0/1", "0/2", "1", "2", 1, "7", 180000, 1, usable=True, **more)


def test_only_what_no_set_has_any_more_and_nothing_is_built_on_is_needless() -> None:
    full, built, lost, other, alone, newest = (base(name, day) for day, name in enumerate("fbloan", 1))
    built, lost = (dataclasses.replace(one, needs=("f",)) for one in (built, lost))
    lost, alone = (dataclasses.replace(one, ours=True) for one in (lost, alone))
    every = [full, built, lost, other, alone, newest]

    def told(had: str, used: str) -> dict[str, str]:
        return {one.id: why for one, why in needless(every, had, used)}

    assert told("fb", "b") == {"f": "b is built on it, and stays"}, "a kept set needs it"
    assert told("fb", "") == {"b": "", "f": "l is built on it, and stays"}, "what nobody has a set of may be needed"
    assert told("fb", "o") == {"l": "", "b": "", "f": ""}, "of a run that failed, before what a set has"
    assert told("an", "") == {"n": "it is the newest base backup of the server, whose log goes on from it", "a": ""}
    assert told("o", "o") == {"l": ""}, "that of somebody else, and one that is still without its set, stay"


def test_a_base_backup_goes_with_the_last_set_that_has_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    monkeypatch.setitem(TOOLS, "barman", lambda _site, _given, _place: tool)
    for number, name in ((0, "first"), (1, "second"), (2, "second"), (3, "third"), (7, "third")):
        site.write(site.ids[number], "local", base=name)
    rules = {"local": {"keep_last": 6, "floor": 1}}
    told = site.run("backup_retention", retention=rules)  # the two oldest go; the second is of a set that stays
    assert (site.there(), tool.ids) == (site.ids[2:], ["first", "second", "third"])
    assert any("without tradeops_postgresql_server it stays" in note for note in told["notes"])


def test_a_base_backup_that_no_set_has_is_removed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    monkeypatch.setitem(TOOLS, "barman", lambda _site, _given, _place: tool)
    for number, name in ((0, "first"), (1, "second"), (2, "second"), (7, "third")):
        site.write(site.ids[number], "local", base=name)
    rules = {"local": {"keep_last": 6, "floor": 1}}
    options: dict[str, t.Any] = {"retention": rules, "postgresql_server": {"data": "/x"}}
    planned = site.run("backup_retention", check=True, **options)
    assert [step.get("backup") for step in planned["plan"]] == [None, None, "first"]
    result = site.run("backup_retention", **options)
    assert (result["result"], tool.ids, site.there()) == ("proven", ["second", "third"], site.ids[2:])
    assert site.fates(result)["first"] == "proven"


def test_no_base_backup_is_removed_while_a_set_cannot_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool()
    monkeypatch.setitem(TOOLS, "barman", lambda _site, _given, _place: tool)
    for number, name in ((0, "first"), (7, "third")):
        site.write(site.ids[number], "local", base=name)
    site.put("local", site.ids[4], "manifest.json", b"{}")
    rules = {"local": {"keep_last": 6, "floor": 1}}
    told = site.run("backup_retention", retention=rules, postgresql_server={"data": "/x"})
    assert tool.ids == ["first", "second", "third"] and site.ids[0] not in site.there()
    assert any(f"nobody knows which one the set {site.ids[4]} has" in note for note in told["notes"])


def test_a_base_backup_of_a_run_that_failed_goes_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool(ours=True)
    monkeypatch.setitem(TOOLS, "barman", lambda _site, _given, _place: tool)
    site.write(site.ids[7], "local", base="second")
    rules = {"local": {"keep_last": 8, "floor": 1}}
    result = site.run("backup_retention", retention=rules, postgresql_server={"data": "/x"})
    assert (result["result"], tool.ids) == ("proven", ["second", "third"])


def test_an_archive_that_does_not_answer_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_given: t.Any) -> t.Any:
        raise Unproven("here: the bucket of the archive does not answer")

    monkeypatch.setitem(TOOLS, "barman", gone)
    site.write(site.ids[7], "local", base="second")
    rules = {"local": {"keep_last": 8, "floor": 1}}
    result = site.run("backup_retention", retention=rules, postgresql_server={"data": "/x"})
    assert (result["result"], result["failed"]) == ("refused", True)
    assert "the bucket of the archive does not answer" in result["msg"]


def test_the_catalogue_is_read(site: Site) -> None:
    result = site.run("backup_info", limit=3)
    assert [one["id"] for one in result["sets"]] == list(reversed(site.ids))[:3]
    assert result["counts"] == {"sets": 8, "whole": 8}
    assert (result["latest"]["id"], result["changed"], result["result"]) == (site.ids[7], False, "unchanged")
    assert result["set"] is None
    one = site.run("backup_info", id="2026-11-03")["set"]
    assert (one["id"], one["manifest"]["id"], one["level"]) == (site.ids[2], site.ids[2], "hashes")
    assert [(record["store"], record["level"]) for record in one["verifications"]] == [("local", "hashes")]
    early = site.run("backup_info", before="2026-11-02T12:00:00+00:00")
    assert early["latest"]["id"] == site.ids[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"before": "yesterday"}, "before is 'yesterday'; give date, time and zone"),
        ({"before": "2026-11-02"}, "give date, time and zone"),
        ({"limit": 0}, "limit is 0"),
        ({"id": "20261101T020000Z-daily-ffffff"}, "there is no set 20261101T020000Z-daily-ffffff"),
    ],
)
def test_what_cannot_be_meant_is_refused(site: Site, options: dict[str, t.Any], said: str) -> None:
    result = site.run("backup_info", **options)
    assert (result["result"], result["failed"]) == ("refused", True)
    assert said in result["msg"]


def test_verifying_keeps_what_was_found_beside_the_set(site: Site) -> None:
    result = site.run("backup_verify", id="all", level="sizes", only_stores=["local"])
    assert (result["result"], result["changed"], len(result["verified"])) == ("proven", True, 8)
    (file,) = (site.path / "local/here" / site.ids[0] / "verified").glob("*-sizes.json")
    assert json.loads(file.read_text())["level"] == "sizes"
    checked = site.run("backup_verify", check=True, level="sizes")
    assert (checked["result"], len(list(file.parent.glob("*")))) == ("planned", 2)


def test_a_missing_artefact_is_damage_and_is_remembered(site: Site) -> None:
    (site.path / "local/here" / site.ids[0] / "database/database.dump.zst.age").unlink()
    result = site.run("backup_verify", id=site.ids[0], level="sizes")
    assert (result["result"], result["verified"][0]["level"]) == ("unproven", "failed")
    assert "it is not there, its manifest says 10" in result["msg"]
    assert list((site.path / "local/here" / site.ids[0] / "verified").glob("*-failed.json"))


def test_parts_of_all_sets_together_are_all_of_them() -> None:
    ids = [f"20261101T020000Z-daily-{number * 7919 % 0xFFFFFF:06x}" for number in range(100)]
    parts = [subset(ids, f"{part}/7", 0) for part in range(1, 8)]
    assert sorted(itertools.chain.from_iterable(parts)) == sorted(ids)
    assert max(len(part) for part in parts) < 25
    days = [subset(ids, "today/7", dt.date(2026, 11, day).toordinal()) for day in range(1, 8)]
    assert sorted(itertools.chain.from_iterable(days)) == sorted(ids)
    for wrong in ("0/7", "8/7", "1", "one/7", "1/0", "today/0"):
        with pytest.raises(InputError, match="give a part and their number"):
            subset(ids, wrong, 0)


def archive(*members_: tuple[str, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name, data in members_:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    made.seek(0)
    return made


def test_archives_are_read_to_their_end() -> None:
    names = ("models/a b.pkl", "models/n\new.pkl", "models/é.pkl")
    assert members(archive(*((name, b"x" * 5000) for name in names)), "files.tar") == 3
    whole = archive(("a", b"x" * 5000)).getvalue()
    with pytest.raises(Damaged, match=r"files.tar is no archive that can be read"):
        members(io.BytesIO(whole[:3000]), "files.tar")
    with pytest.raises(Damaged, match="would be unpacked outside"):
        members(archive(("../../etc/passwd", b"x")), "files.tar")


def test_documents_are_parsed() -> None:
    assert documents([b"---\na: 1\n---\n", b"b: 2\n"], "objects.yml") == 2
    with pytest.raises(Damaged, match="is no YAML"):
        documents([b"a: [1"], "objects.yml")


def test_ranges_of_metrics_are_counted() -> None:
    series = [
        {"metric": {"site": "a"}, "values": [[0, "1"], [300, "2"]]},
        {"metric": {"site": "b"}, "values": [[0, "NaN"]]},
    ]
    lines = [json.dumps({"query": query, "series": series}).encode() for query in ("orders", "trades")]
    text = b"\n".join([*lines, b""])
    counted = {"series": 2, "samples": 3}
    for pieces in ([text], [text[at : at + 7] for at in range(0, len(text), 7)], [text.rstrip()]):
        assert ranges(pieces, "ranges.jsonl") == {"orders": counted, "trades": counted}
    for broken in (b"{", b"[]", b'{"query": "orders"}', text.replace(b'"2"', b'"two"'), text[:-9]):
        with pytest.raises(Damaged, match=r"ranges\.jsonl has no ranges of metrics that can be read"):
            ranges([broken], "ranges.jsonl")
