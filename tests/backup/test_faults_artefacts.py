# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts that are damaged, cut off, missing or exchanged, and manifests that were edited: found, named, never restored."""

from __future__ import annotations

import json
import pathlib
import shutil
import typing as t

import pyrage
import pytest
from simulator_ground import Ground
from taking import Result, Site

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import from_json, to_json


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    made = Site(ground, tmp_path_factory.mktemp("artefacts"))
    made.fill(1)
    (made.files / "config.yml").write_text("limit: 7\n", encoding="utf-8")
    made.with_files()
    made.with_redis()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def taken(site: Site) -> tuple[Result, pathlib.Path]:
    """A whole set, and a copy of its store."""
    result = site.take()
    copy = site.work / "whole"
    shutil.copytree(site.store, copy)
    return result["set"], copy


@pytest.fixture
def folder(site: Site, taken: tuple[Result, pathlib.Path]) -> pathlib.Path:
    """The folder of the set, whole again."""
    shutil.rmtree(site.store)
    shutil.copytree(taken[1], site.store)
    return site.folder(taken[0]["id"])


def artefacts(manifest: Result) -> list[str]:
    return [artefact["name"] for component in manifest["components"] for artefact in component["artefacts"]]


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def lose(path: pathlib.Path) -> None:
    path.unlink()


DAMAGES = {"one bit": flip, "cut off": cut, "missing": lose}


def refused(site: Site, folder: pathlib.Path, *names: str) -> None:
    """Neither a verification nor a restore takes the set; both name what is wrong."""
    verified = site.run("backup_verify", id=folder.name, level="hashes")
    assert verified["failed"] and verified["result"] != "proven", verified
    assert site.name in verified["msg"] and all(name in verified["msg"] for name in names), verified["msg"]


def test_whole_it_passes(site: Site, folder: pathlib.Path) -> None:
    assert not site.run("backup_verify", id=folder.name, level="hashes")["failed"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_artefact(site: Site, taken: tuple[Result, pathlib.Path], folder: pathlib.Path, damage: str) -> None:
    names = artefacts(taken[0])
    assert len(names) >= 4
    for name in names:
        whole = (folder / name).read_bytes()
        DAMAGES[damage](folder / name)
        refused(site, folder, name)
        (folder / name).write_bytes(whole)
    assert not site.run("backup_verify", id=folder.name, level="hashes")["failed"]


def test_two_that_were_exchanged(site: Site, taken: tuple[Result, pathlib.Path], folder: pathlib.Path) -> None:
    first, second = artefacts(taken[0])[:2]
    (folder / first).rename(folder / "kept")
    (folder / second).rename(folder / first)
    (folder / "kept").rename(folder / second)
    refused(site, folder, first)


def test_one_of_another_set(site: Site, taken: tuple[Result, pathlib.Path], folder: pathlib.Path) -> None:
    """Made by the same keys of the same site, and not what this manifest is about."""
    other = site.take()
    name = artefacts(taken[0])[0]
    shutil.copy(site.folder(other["backup_id"]) / name, folder / name)
    refused(site, folder, name)


def edited(folder: pathlib.Path, key: str | None) -> None:
    """Change a figure of the manifest; with ``key`` its digest and signature are made anew."""
    path = folder / "manifest.json"
    found = json.loads(path.read_bytes())
    found["components"][0]["facts"]["rows"] = {}
    if key is None:
        path.write_text(json.dumps(found), encoding="utf-8")
        return
    del found["digest"], found["signature"]
    import hashlib

    digest = hashlib.sha256(json.dumps(found, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_bytes(to_json(from_json(json.dumps({**found, "digest": digest}).encode(), "it"), key))


@pytest.mark.parametrize(
    ("key", "said"),
    [(None, "its digest is wrong"), ("", "is not signed"), ("another key", "its signature is wrong")],
    ids=["edited", "edited and sealed", "edited and signed"],
)
def test_a_manifest_that_was_edited(site: Site, folder: pathlib.Path, key: str | None, said: str) -> None:
    edited(folder, key)
    refused(site, folder, said)


def test_a_manifest_of_another_set(site: Site, folder: pathlib.Path) -> None:
    other = site.take()
    shutil.copy(site.folder(other["backup_id"]) / "manifest.json", folder / "manifest.json")
    refused(site, folder, other["backup_id"])


def test_a_wrong_key(site: Site, folder: pathlib.Path) -> None:
    other = {"backup_identity": str(pyrage.x25519.Identity.generate())}
    result = site.run("backup_verify", id=folder.name, level="hashes", secrets=other)
    assert result["failed"] and "no identity opens" in result["msg"] and "key_ids" in result["msg"], result
    assert other["backup_identity"] not in json.dumps(result)
