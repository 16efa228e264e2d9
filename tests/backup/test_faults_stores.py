# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores that fail while a backup runs: a full disk, a bucket that breaks; alone, and beside one that does not."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import typing as t

import pytest
from simulator_ground import Ground
from taking import Site

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store

SMALL = 8 << 20  # bytes that fit on the disk
Bucket = tuple[dict[str, t.Any], dict[str, str]]
Break = t.Callable[..., None]
PARTS = {"method": "PUT", "path": "*partNumber=*"}


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    made = Site(ground, tmp_path_factory.mktemp("stores"))
    made.fill(20)
    yield made
    made.drop()


@pytest.fixture(autouse=True)
def _nothing_stored(site: Site) -> None:
    site.work.joinpath("seen").mkdir(exist_ok=True)
    if site.store.exists():
        site.store.rename(site.work / "seen" / str(len(os.listdir(site.work / "seen"))))


def disk(place: pathlib.Path) -> list[str]:
    """What a command is begun with so that ``place`` is a disk of SMALL bytes for it; where nobody may mount one, no
    file of it can be larger than that."""
    place.mkdir(exist_ok=True)
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size={SMALL} tmpfs {shlex.quote(str(place))}"
    if subprocess.run([*own, "sh", "-c", mount], capture_output=True, check=False).returncode == 0:
        return [
            *own,
            "sh",
            "-c",
            f'{mount} && "$@"; status=$?; find {shlex.quote(str(place))} -type f >&2; exit $status',
            "sh",
        ]
    return ["prlimit", f"--fsize={SMALL}"]


def test_a_full_disk(site: Site) -> None:
    place = site.work / "small"
    local = [{"name": "small", "kind": "local", "path": str(place)}]
    run = site.begin("backup", prefix=disk(place), stores=local)
    output, left = run.process.communicate(timeout=300)
    assert '"result": "refused"' in output, (output, left)
    assert f"the store small is full: {place} has no room" in output
    assert "Make room and run it again" in output and site.name in output
    assert left.strip() == "", "nothing is left on the full disk"
    site.take(stores=local)


def test_a_full_disk_beside_one_with_room(site: Site) -> None:
    place = site.work / "small-too"
    stores = [{"name": "small", "kind": "local", "path": str(place)}, *site.given["stores"]]
    result = site.begin("backup", prefix=disk(place), stores=stores).end()
    assert (result["result"], result["failed"]) == ("unproven", True), result
    assert "small" in result["msg"] and "is full" in result["msg"]
    assert site.counted() == [result["backup_id"]], "where there is room it counts"
    assert result["set"]["stores"]["local"] == "stored" and "full" in result["set"]["stores"]["small"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("error_before", "SlowDown"),
        ("reset", "does not answer to upload_part"),
        ("expire_token", "Renew them in the vault"),
    ],
)
def test_a_bucket_that_breaks(site: Site, break_: Break, bucket: Bucket, fault: str, said: str) -> None:
    entry, secrets = bucket
    store = open_store(entry, secrets)
    break_(fault, **PARTS, after=1)

    alone = site.run("backup", stores=[entry], secrets=secrets)
    assert alone["failed"] and said in alone["msg"] and site.name in alone["msg"], alone
    assert list(store.entries("")) == [] and list(store.unfinished("")) == []

    both = site.run("backup", stores=[entry, *site.given["stores"]], secrets=secrets)
    assert (both["result"], both["failed"]) == ("unproven", True), both
    assert said in both["set"]["stores"]["s3"] and both["set"]["stores"]["local"] == "stored"
    assert site.counted() == [both["backup_id"]]
    assert list(store.entries("")) == [] and list(store.unfinished("")) == []

    break_()
    fine = site.take(stores=[entry, *site.given["stores"]], secrets=secrets)
    assert len([item for item in store.entries("") if item.key.endswith(f"{fine['backup_id']}/manifest.json")]) == 1


def test_credentials_that_expire_for_everything(site: Site, ground: Ground, break_: Break, bucket: Bucket) -> None:
    """Then not even its own parts can be taken back; the next run does."""
    entry, secrets = bucket
    store = open_store({**entry, "endpoint": ground.lab["s3"]["server"]}, secrets)
    break_("expire_token", path="*dump*", after=2)
    result = site.run("backup", stores=[entry], secrets=secrets)
    assert result["failed"] and "Renew them in the vault" in result["msg"], result
    assert not [item for item in store.entries("") if item.key.endswith("manifest.json")]
    break_()
    fine = site.take(stores=[entry], secrets=secrets)
    assert {item.key.split("/")[1] for item in store.entries("")} == {fine["backup_id"]}
    assert list(store.unfinished("")) == []


def test_a_slow_bucket_is_only_slow(site: Site, break_: Break, bucket: Bucket) -> None:
    entry, secrets = bucket
    break_("slow", **PARTS, seconds=0.3)
    site.take(stores=[entry], secrets=secrets)


def test_a_bucket_that_refuses_the_manifest(site: Site, break_: Break, bucket: Bucket) -> None:
    """All artefacts are stored by then; without a manifest the set does not count there, and the other store says so."""
    entry, secrets = bucket
    store = open_store(entry, secrets)
    break_("error_before", method="PUT", path="*manifest.json", status=500)
    result = site.run("backup", stores=[entry, *site.given["stores"]], secrets=secrets)
    assert (result["result"], result["failed"]) == ("unproven", True), result
    assert result["set"]["stores"]["s3"] != "stored"
    assert site.counted() == [result["backup_id"]]
    assert list(store.entries("")) == []
