# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket as a store, on a real S3 server that checks signatures and MD5s, keeps versions and locks objects."""

from __future__ import annotations

import hashlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Denied, Refused

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


def test_a_list_of_more_than_a_page_is_whole(store: S3Store) -> None:
    paginated = store.client.get_paginator

    def small(method: str) -> t.Any:
        pages = paginated(method)

        class Pages:
            def paginate(self, **request: t.Any) -> t.Any:
                return pages.paginate(**request, PaginationConfig={"PageSize": 3})

        return Pages()

    keys = [f"site/{number:03}/a" for number in range(10)]
    for key in keys:
        store.put(key, b"x")
    store.client.get_paginator = small
    assert [entry.key for entry in store.entries("site/")] == keys
    store.delete("site/005/a")
    assert len(list(store.entries("site/"))) == 9


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
