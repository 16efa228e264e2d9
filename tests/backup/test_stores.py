# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket as a store, on a real S3 server that checks signatures and MD5s, keeps versions and locks objects."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused, Unreachable

Bucket = tuple[dict[str, t.Any], dict[str, str]]


def opened(entry: dict[str, t.Any], secrets: dict[str, str], **more: t.Any) -> S3Store:
    return t.cast(S3Store, open_store({**entry, **more}, secrets))


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    return opened(*bucket, prefix="firm/trading")


def versions(store: S3Store) -> list[str]:
    found = store.client.list_object_versions(Bucket=store.bucket)
    return [item["VersionId"] for kind in ("Versions", "DeleteMarkers") for item in found.get(kind, ())]


def test_small_and_large_objects_come_back_as_they_went(store: S3Store) -> None:
    for size in (0, 5, 6 << 20, (6 << 20) + 1, 21 << 20):
        piece = bytes(range(256)) * 400
        data = (piece * (size // len(piece) + 1))[:size]
        upload = store.upload(f"site/set/{size}")
        for start in range(0, size, 1_000_003):
            upload.write(data[start : start + 1_000_003])
        assert store.head(f"site/set/{size}") is None, "it is not there before it is whole"
        assert upload.commit().size == size
        got = b"".join(store.read(f"site/set/{size}"))
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert sorted(entry.size for entry in store.entries("site/")) == [0, 5, 6 << 20, (6 << 20) + 1, 21 << 20]
    assert list(store.unfinished("")) == []


def test_an_upload_that_is_given_up_leaves_no_part(store: S3Store) -> None:
    upload = store.upload("site/set/dump")
    upload.write(bytes(30 << 20))
    assert len(list(store.unfinished("site/"))) == 1
    upload.abort()
    upload.abort()
    assert list(store.unfinished("")) == []
    assert list(store.entries("")) == []


def test_parts_of_a_killed_upload_are_named_and_removed(store: S3Store) -> None:
    store.upload("site/set/dump ü?").write(bytes(20 << 20))
    (left,) = store.unfinished("site/set/")
    assert left.startswith("site/set/dump ü??")
    assert list(store.unfinished("site/other/")) == []
    store.sweep(left)
    store.sweep(left)
    assert list(store.unfinished("")) == []


def test_a_new_object_takes_no_place_of_another(store: S3Store) -> None:
    store.put("site/set/running.json", b"one", new=True)
    with pytest.raises(Refused, match="is there already"):
        store.put("site/set/running.json", b"two", new=True)
    with pytest.raises(Refused, match="is there already"):
        store.call("put_object", "k", Key="firm/trading/site/set/running.json", Body=b"two", IfNoneMatch="*")
    assert b"".join(store.read("site/set/running.json")) == b"one"


def test_removed_is_removed_with_every_version(store: S3Store) -> None:
    for content in (b"one", b"two", b"three"):
        store.put("site/set/x", content)
    store.put("site/set/xy", b"another")
    store.client.delete_object(Bucket=store.bucket, Key="firm/trading/site/set/x")  # a delete marker
    assert len(versions(store)) == 5
    store.delete("site/set/x")
    assert [entry.key for entry in store.entries("")] == ["site/set/xy"]
    assert len(versions(store)) == 1
    store.delete("site/set/x")
    assert len(versions(store)) == 1, "no mark is left of what was not there"


def test_what_a_lock_holds_stays(bucket: Bucket) -> None:
    store = opened(*bucket, object_lock={"mode": "COMPLIANCE", "days": 1})
    store.put("site/set/manifest.json", b"{}")
    store.put("site/set/running.json", b"{}")
    upload = store.upload("site/set/dump")
    upload.write(bytes(9 << 20))
    upload.commit()
    for key in ("site/set/manifest.json", "site/set/dump"):
        with pytest.raises(Refused, match=f"{key} of the store s3 .* is held by an object lock until 20"):
            store.delete(key)
    store.delete("site/set/running.json")
    assert sorted(entry.key for entry in store.entries("")) == ["site/set/dump", "site/set/manifest.json"]
    assert len(versions(store)) == 2


def paged(store: S3Store, size: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the server give ``size`` objects at a time; return after which key each part was asked for."""
    plain, asked = store.client.list_objects_v2, []

    def small(**request: t.Any) -> t.Any:
        if "StartAfter" in request:
            asked.append(request["StartAfter"].removeprefix(store.prefix))
        return plain(**request, MaxKeys=size)

    monkeypatch.setattr(store.client, "list_objects_v2", small)
    return asked


def test_a_list_of_more_than_a_page_is_whole(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"site/{number:03}/a b+&<ü>" for number in range(10)]
    for key in keys:
        store.put(key, b"x")
    asked = paged(store, 3, monkeypatch)
    assert [entry.key for entry in store.entries("site/")] == keys
    assert asked == [], "what does not begin with a time is not cut"
    store.delete("site/005/a b+&<ü>")
    assert len(list(store.entries("site/"))) == 9


def test_a_long_list_of_sets_is_cut_and_nothing_is_missed(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what is no set, before them, between them, and after them."""
    now = dt.datetime.now(dt.UTC)
    keys = [f"site/{now - dt.timedelta(days=days):%Y%m%dT%H%M%SZ}-daily-aaaaaa/manifest.json" for days in range(30)]
    keys += ["site/20240101", "site/a-file", "site/2026-strange/x", "site/99991231T000000Z-daily-bbbbbb/manifest.json"]
    for key in keys:
        store.put(key, b"x")
    asked = paged(store, 4, monkeypatch)
    began = time.time()
    found = list(store.entries("site/"))
    assert [entry.key for entry in found] == sorted(keys)
    assert all(entry.size == 1 and abs(entry.modified - began) < 60 for entry in found)
    assert len(asked) == 7, "it was cut"
    assert len({entry.key for entry in store.entries("site/2026")}) == len([key for key in keys if "/2026" in key])


def test_a_list_that_never_ends_is_given_up(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("site/a", b"x")
    plain, more = store.client.list_objects_v2, {"IsTruncated": True, "NextContinuationToken": "again"}
    monkeypatch.setattr(store.client, "list_objects_v2", lambda **request: plain(**request) | more)
    with pytest.raises(Unreachable, match="has more of site/, as it says, and does not give it"):
        list(store.entries("site/"))


def test_wrong_credentials_are_denied_without_being_told(bucket: Bucket) -> None:
    entry, secrets = bucket
    for wrong in ({"access": "nobody-knows-me"}, {"secret": "not-the-secret-key"}):
        with pytest.raises(Denied, match=r"the store s3 .* denies our credentials to put_object site/x") as caught:
            opened(entry, {**secrets, **wrong}).put("site/x", b"x")
        assert not any(secret in str(caught.value) for secret in {**secrets, **wrong}.values())


def test_a_missing_object_is_refused(store: S3Store) -> None:
    with pytest.raises(Refused, match=r"site/nothing of the store s3 .* is not there"):
        list(store.read("site/nothing"))
    assert store.head("site/nothing") is None
