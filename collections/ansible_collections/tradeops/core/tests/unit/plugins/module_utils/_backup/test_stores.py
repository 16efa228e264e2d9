# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import os
import pathlib
import types
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store, open_stores
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store, _cuts, part_size
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Refused, Unreachable

S3 = {"name": "s3", "kind": "s3", "bucket": "backups", "endpoint": "http://127.0.0.1:1"}
KEYS = {"access_key_secret": "access", "secret_key_secret": "secret"}


@pytest.fixture
def store(tmp_path: pathlib.Path) -> LocalStore:
    return LocalStore("local", str(tmp_path / "backups"))


def test_an_object_is_not_there_before_it_is_whole(store: LocalStore) -> None:
    upload = store.upload("site/set/database/dump")
    upload.write(b"one")
    assert list(store.entries("")) == []
    assert store.head("site/set/database/dump") is None
    (left,) = store.unfinished("site/")
    upload.write(b"two")
    entry = upload.commit()
    assert (entry.key, entry.size) == ("site/set/database/dump", 6)
    assert b"".join(store.read(entry.key)) == b"onetwo"
    assert [found.key for found in store.entries("site/")] == [entry.key]
    assert left.startswith("site/set/database/dump.") and list(store.unfinished("")) == []


def test_an_object_that_is_given_up_leaves_nothing(store: LocalStore) -> None:
    upload = store.upload("site/set/dump")
    upload.write(b"one")
    upload.abort()
    upload.abort()
    assert list(store.root.rglob("*")) == []


def test_what_a_killed_upload_left_is_named_and_removed(store: LocalStore) -> None:
    store.upload("site/set/dump").write(b"one")
    store.put("site/other/dump", b"two")
    (left,) = store.unfinished("site/set/")
    store.sweep(left)
    assert [entry.key for entry in store.entries("")] == ["site/other/dump"]
    assert list(store.unfinished("")) == []
    with pytest.raises(ValueError, match="no unfinished upload"):
        store.sweep("site/other/dump")


def test_only_the_owner_may_read_a_backup(store: LocalStore) -> None:
    store.put("site/set/dump", b"one")
    for path in (store.root, store.root / "site", store.root / "site/set"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (store.root / "site/set/dump").stat().st_mode & 0o777 == 0o600


def test_a_new_object_takes_no_place_of_another(store: LocalStore) -> None:
    store.put("site/set/running.json", b"one", new=True)
    with pytest.raises(Refused, match=r"running.json of the store local .* is there already"):
        store.put("site/set/running.json", b"two", new=True)
    assert b"".join(store.read("site/set/running.json")) == b"one"
    assert list(store.unfinished("")) == []


def test_a_new_object_without_hard_links(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: t.Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store.put("a/b", b"one", new=True)
    with pytest.raises(Refused, match="there already"):
        store.put("a/b", b"two", new=True)
    assert b"".join(store.read("a/b")) == b"one"


def test_names_of_people_are_kept(store: LocalStore) -> None:
    for key in ("site/a b", "site/ü\n.txt", "site/x?y#z%2F"):
        store.put(key, key.encode())
    assert sorted(entry.key for entry in store.entries("site/")) == sorted(
        ["site/a b", "site/ü\n.txt", "site/x?y#z%2F"]
    )


@pytest.mark.parametrize("key", ["../out", "site/../../out", "/etc/passwd", "site//x", "", "site/.", "a\0b"])
def test_a_key_never_leaves_the_folder(store: LocalStore, key: str) -> None:
    with pytest.raises(Refused, match="is no key"):
        store.put(key, b"x")


def test_a_prefix_is_one_of_keys_and_not_of_folders(store: LocalStore) -> None:
    for key in ("site/1/a", "site/10/a", "site2/1/a"):
        store.put(key, b"x")
    assert [entry.key for entry in store.entries("site/1")] == ["site/1/a", "site/10/a"]
    assert [entry.key for entry in store.entries("site/1/")] == ["site/1/a"]
    assert [entry.key for entry in store.entries("site")] == ["site/1/a", "site/10/a", "site2/1/a"]
    assert list(store.entries("nothing/")) == []


def test_removing_takes_empty_folders_along(store: LocalStore) -> None:
    store.put("site/1/a", b"x")
    store.put("site/2/a", b"x")
    store.delete("site/1/a")
    assert not (store.root / "site/1").exists() and (store.root / "site/2").exists()
    store.delete("site/1/a")  # it is gone already


def test_a_full_disk_is_said_and_leaves_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = store.upload("site/set/dump")

    class Full:
        def write(self, _data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(upload, "_file", Full())
    with pytest.raises(Refused, match=r"the store local is full: .* has no room for site/set/dump"):
        upload.write(b"x")
    upload.abort()
    assert list(store.root.rglob("*")) == []


def test_a_missing_object_and_a_folder_that_cannot_be_used(store: LocalStore, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match=r"nowhere of the store local .* cannot be used to read: No such file"):
        list(store.read("nowhere"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused, match="cannot be used to write: File exists"):
        LocalStore("local", str(tmp_path / "file")).put("a", b"x")
    assert store.free() is not None and store.free() > 0  # type: ignore[operator]


def test_parts_grow_so_that_an_object_of_any_size_fits() -> None:
    assert part_size(1) == part_size(1000) == 6 << 20
    assert part_size(1001) == 12 << 20
    assert sum(part_size(number) for number in range(1, 10_001)) > 5 << 40
    assert part_size(10_000) < 5 << 30


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "x", "kind": "tape"}, "the store x: kind is 'tape'; it can be local or s3"),
        ({"kind": "local", "path": "/x"}, "the store without a name: the key 'name' is missing"),
        ({"name": "x", "kind": "local", "path": "x"}, "the store x: path: 'x' depends on where it is run"),
        ({"name": "X/", "kind": "local", "path": "/x"}, "is no name for a store"),
        ({"name": "x", "kind": "local", "paht": "/x"}, "unknown key .did you mean 'path'"),
        ({"name": "x", "kind": "local"}, "the key 'path' is missing"),
        ({**S3, "access_key_secret": "a"}, "give it together with secret_key_secret"),
        ({**S3, **KEYS}, "tradeops_secrets has no access, which the store names"),
        ({**S3, "endpoint": "host:80"}, "is no address"),
        ({**S3, "object_lock": {"mode": "SOFT", "days": 1}}, "'SOFT' is not one of COMPLIANCE, GOVERNANCE"),
        ({**S3, "object_lock": {"mode": "GOVERNANCE", "days": 0}}, "give at least 1"),
        ({**S3, "timeout": 0}, "give a timeout"),
    ],
)
def test_an_entry_that_cannot_be_used_is_one_sentence(entry: dict[str, t.Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_store(entry, {})


def test_stores_are_told_apart(tmp_path: pathlib.Path) -> None:
    entry = {"name": "x", "kind": "local", "path": str(tmp_path)}
    with pytest.raises(InputError, match="no store is given"):
        open_stores([], {})
    with pytest.raises(InputError, match="two stores have one name: x, x"):
        open_stores([entry, entry], {})
    assert [store.name for store in open_stores([{**entry, "name": "y"}, entry], {})] == ["y", "x"]


def test_a_bucket_that_does_not_answer_is_unreachable() -> None:
    store = open_store({**S3, **KEYS, "attempts": 1, "timeout": 2}, {"access": "key-of-access", "secret": "key-secret"})
    with pytest.raises(
        Unreachable, match=r"the store s3 .bucket backups. does not answer to list_objects_v2"
    ) as caught:
        list(store.entries("site/"))
    assert "key-secret" not in str(caught.value)
    assert store.free() is None


def test_a_long_list_is_cut_in_equal_times_up_to_now_and_only_where_it_has_sets() -> None:
    now = dt.datetime.now(dt.UTC)
    first = f"here/{now - dt.timedelta(days=80):%Y%m%dT%H%M%SZ}-daily-aaaaaa/manifest.json"
    cuts = _cuts(first, "here/")
    assert cuts == sorted(set(cuts)) and len(cuts) == 7 and cuts[0] > first
    assert cuts[-1] < f"here/{now:%Y%m%dT%H%M%SZ}" and cuts[3].startswith(f"here/{now - dt.timedelta(days=40):%Y%m%d}")
    ahead = f"here/{now + dt.timedelta(days=9):%Y%m%dT%H%M%SZ}-daily-aaaaaa/manifest.json"
    assert _cuts(ahead, "here/") == _cuts("main/wals/000000010000000000000001", "main/wals/") == []


def test_of_a_part_what_lies_behind_its_end_is_left_to_the_next_one() -> None:
    store = t.cast(S3Store, open_store({**S3, **KEYS}, {"access": "a", "secret": "b"}))
    modified = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    pages = {"": (["a", "b"], "more"), "more": (["c", "e", "d"], "rest"), "rest": (["f"], "")}

    def listed(*, ContinuationToken: str = "", **_request: t.Any) -> dict[str, t.Any]:
        keys, token = pages[ContinuationToken]
        items = [{"Key": key, "Size": 1, "LastModified": modified} for key in keys]
        return {"Contents": items, "IsTruncated": bool(token), "NextContinuationToken": token}

    store.client = types.SimpleNamespace(list_objects_v2=listed)
    assert [entry.key for entry in store._part("", {"StartAfter": ""}, "c")] == ["a", "b", "c"]
    assert [entry.key for entry in store._part("", {"StartAfter": ""}, "d")] == ["a", "b", "c", "d"]
    assert [entry.key for entry in store._part("", {"StartAfter": ""}, "")] == ["a", "b", "c", "e", "d", "f"]
