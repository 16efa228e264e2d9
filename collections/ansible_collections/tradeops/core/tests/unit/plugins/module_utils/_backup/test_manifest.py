# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import (
    Artefact,
    Component,
    Digest,
    Manifest,
    from_json,
    read_manifest,
    to_json,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Damaged, Refused

ARTEFACT = Artefact("database/dump.zst.age", Digest(10, "a" * 64), Digest(7, "b" * 64), ("zstd", "age"))
DUMP = Component("database", "postgresql", "t1", "t2", "t3", (ARTEFACT,), {"rows": {"public.ü": 3}, "lsn": "0/1"})
MANIFEST = Manifest("id-1", "site", "daily", "t1", "t3", (DUMP,), {"local": "stored"}, key_ids=("age1x",))


def test_a_manifest_comes_back_as_it_went() -> None:
    assert from_json(to_json(MANIFEST), "here") == MANIFEST
    assert from_json(to_json(MANIFEST, "key"), "here", "key") == MANIFEST
    assert from_json(to_json(MANIFEST, "key"), "here") == MANIFEST


def test_every_bit_of_a_manifest_counts() -> None:
    data = to_json(MANIFEST)
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            found = from_json(flipped, "here")
        except Damaged:
            continue
        assert found == MANIFEST, flipped[position - 10 : position + 10]  # a blank between two keys


def test_a_manifest_that_was_cut_off_is_damaged() -> None:
    data = to_json(MANIFEST)
    for length in range(0, len(data) - 2, 7):
        with pytest.raises(Damaged, match="the manifest of here"):
            from_json(data[:length], "here")


def edited(key: str, value: t.Any, secret: str = "") -> bytes:
    """A manifest that somebody edited who knows how its digest is made, but not the key."""
    body = json.loads(to_json(dataclasses.replace(MANIFEST, **{key: value}), secret))
    return json.dumps(body).encode()


def test_an_edited_manifest_is_told() -> None:
    body = json.loads(to_json(MANIFEST))
    body["type"] = "weekly"
    with pytest.raises(Damaged, match="was edited: its digest is wrong"):
        from_json(json.dumps(body).encode(), "here")
    with pytest.raises(Damaged, match=r"not signed, and tradeops_secrets.backup_manifest_key asks for it"):
        from_json(edited("type", "weekly"), "here", "key")
    with pytest.raises(Damaged, match="its signature is wrong"):
        from_json(edited("type", "weekly", "another key"), "here", "key")
    with pytest.raises(Damaged, match="this version reads 1"):
        from_json(edited("format", 2), "here")
    with pytest.raises(Damaged, match="consistency: 'none' is not one of"):
        from_json(edited("consistency", "none"), "here")


def test_a_manifest_belongs_to_its_folder(tmp_path: pathlib.Path) -> None:
    store = LocalStore("local", str(tmp_path))
    store.put("site/id-1/manifest.json", to_json(MANIFEST))
    store.put("site/id-2/manifest.json", to_json(MANIFEST))
    assert read_manifest(store, "site", "id-1") == MANIFEST
    with pytest.raises(Damaged, match="the manifest of site/id-2 in the store local is that of site/id-1"):
        read_manifest(store, "site", "id-2")
    with pytest.raises(Refused, match="site/id-3 in the store local has no manifest"):
        read_manifest(store, "site", "id-3")
