# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention over a bucket that locks: what the server holds stays whole, is told, and goes when its time is over."""

from __future__ import annotations

import datetime as dt
import pathlib
import time
import typing as t

import pytest
from simulator_ground import Ground
from taking import Result, Site

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store

Break = t.Callable[..., None]
RULES = {"keep_last": 1, "floor": 1, "at_most": 100, "counts_from": "sizes", "remove_failed_after": "1h"}
DUMP = "database/database.dump.zst.age"


class Locked(Site):
    """A site that keeps its sets in a bucket with versions and locks only."""

    def __init__(self, ground: Ground, work: pathlib.Path, entry: dict[str, t.Any], secrets: dict[str, str]) -> None:
        super().__init__(ground, work)
        self.entry = entry
        self.given["stores"] = [entry]
        self.given["secrets"] |= secrets
        self.bucket = t.cast(S3Store, open_store(entry, secrets))

    def lock(self, **lock: t.Any) -> None:
        """What is captured from now on is locked."""
        self.given["stores"] = [{**self.entry, "object_lock": lock}]

    def retain(self, **changes: t.Any) -> Result:
        return self.run("backup_retention", retention={"s3": RULES}, confirm=self.name, **changes)

    def versions(self) -> list[tuple[str, str]]:
        """Every version of every object, and every mark of a removal, as the server has them."""
        found = self.bucket.client.list_object_versions(Bucket=self.bucket.bucket)
        assert not found["IsTruncated"]
        return sorted(
            (item["Key"], item["VersionId"]) for kind in ("Versions", "DeleteMarkers") for item in found.get(kind, ())
        )

    def states(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.run("backup_info")["sets"]}

    def retention_of(self, key: str) -> dict[str, t.Any]:
        """What the server itself says of a lock."""
        found = self.bucket.client.get_object_retention(Bucket=self.bucket.bucket, Key=key)
        return t.cast("dict[str, t.Any]", found["Retention"])


@pytest.fixture
def site(ground: Ground, tmp_path: pathlib.Path, bucket: tuple[dict[str, t.Any], dict[str, str]]) -> t.Iterator[Locked]:
    made = Locked(ground, tmp_path, *bucket)
    yield made
    made.drop()


def test_locked_sets_stay_whole_and_are_told_until_when(site: Locked) -> None:
    """Also in the mode that somebody with our rights could get round: nobody asks for that."""
    site.lock(mode="GOVERNANCE", days=1)
    sets = [site.take()["backup_id"]]
    site.lock(mode="COMPLIANCE", days=2)
    sets += [site.take()["backup_id"], site.take()["backup_id"]]
    assert not site.run("backup_verify", id="all", level="sizes")["failed"]
    locks = [site.retention_of(f"{site.name}/{set_id}/{DUMP}") for set_id in sets]
    assert [lock["Mode"] for lock in locks] == ["GOVERNANCE", "COMPLIANCE", "COMPLIANCE"]
    before = site.versions()

    done = site.retain()
    assert (done["result"], done["changed"], done["failed"]) == ("unchanged", False, False), done
    fates = {item["id"]: item for item in done["proof"]["objects"]}
    assert [fates[set_id]["result"] for set_id in sets] == ["locked", "locked", "kept"]
    for set_id, lock in zip(sets[:2], locks, strict=False):
        until = f"{lock['RetainUntilDate'].astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        assert f"{DUMP}: an object lock until {until}" in fates[set_id]["why"]
        assert any(f"{set_id} stays in the store s3" in note for note in done["notes"])
    assert site.versions() == before, "not even a mark was put"
    assert site.states() == dict.fromkeys(sets, "whole")


def test_a_set_that_is_locked_in_part_is_not_half_removed_and_goes_when_the_lock_is_over(
    site: Locked, break_: Break
) -> None:
    first, second, last = sets = [site.take()["backup_id"] for _turn in range(3)]
    assert not site.run("backup_verify", id="all", level="sizes")["failed"]
    client, where = site.bucket.client, {"Bucket": site.bucket.bucket}
    hold = {**where, "Key": f"{site.name}/{second}/manifest.json"}
    client.put_object_legal_hold(**hold, LegalHold={"Status": "ON"})
    lock = {**where, "Key": f"{site.name}/{first}/{DUMP}"}
    until = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=20)
    client.put_object_retention(**lock, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until})
    assert site.bucket.held(lock["Key"]) == f"an object lock until {until:%Y-%m-%dT%H:%M:%SZ}"
    before = site.versions()

    # To whom may not see locks a server leaves them out, so that a locked object looks like any other.
    break_("expire_token", method="GET", path="*/manifest.json*retention*")
    done = site.retain()
    assert done["failed"] and "denies our credentials to get_object_retention" in done["msg"], done
    break_()
    done = site.retain()
    assert (done["result"], done["changed"]) == ("unchanged", False), done
    fates = {item["id"]: item["why"] for item in done["proof"]["objects"]}
    assert fates[first].startswith(f"{DUMP}: an object lock until ") and fates[second] == "manifest.json: a legal hold"
    assert site.versions() == before
    assert site.states() == dict.fromkeys(sets, "whole")

    client.put_object_legal_hold(**hold, LegalHold={"Status": "OFF"})
    time.sleep(max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds()) + 1)
    done = site.retain()
    assert (done["result"], done["changed"]) == ("proven", True), done
    assert {key.split("/")[1] for key, _version in site.versions()} == {last}, "no version of the others is left"


def test_what_a_killed_run_left_behind_a_lock_does_not_stop_the_next_one(site: Locked) -> None:
    site.lock(mode="COMPLIANCE", days=1)
    site.fill(20)
    site.with_files("models")
    (site.files / "model.bin").write_bytes(b"weights")
    site.given["components"].reverse()  # what is small and locked first, what takes its time after it
    run = site.begin("backup")
    run.until(lambda: any("files.tar" in key for key, _version in site.versions()))
    run.kill()
    (killed,) = {key.split("/")[1] for key, _version in site.versions()}

    done = site.take()
    assert any(killed in note and "is held by an object lock until" in note for note in done["notes"]), done
    assert site.states() == {killed: "unfinished", done["backup_id"]: "whole"}
    assert list(site.bucket.unfinished("")) == []


def test_a_bucket_that_locks_everything_is_got_on_with(site: Locked) -> None:
    """Then marks are locked, too. The set counts, and a removal that was begun ends when they are free."""
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    site.bucket.client.put_object_lock_configuration(Bucket=site.bucket.bucket, ObjectLockConfiguration=rule)
    first, second = site.take(), site.take()
    assert any("running.json" in note and "object lock" in note for note in first["notes"]), first
    assert site.states() == {first["backup_id"]: "whole", second["backup_id"]: "whole"}
    before = site.versions()
    assert site.retain()["result"] == "unchanged"
    assert site.versions() == before
