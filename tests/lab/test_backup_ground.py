# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups need of the lab: places to go to, keys, and files of sites worth keeping."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import boto3
import botocore.config
import pyrage
import pytest
from simulator_ground import PACKAGE, Ground
from simulator_ground import ground as ground_of

from tradeops_lab import data
from tradeops_lab.errors import LabError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = "ai-trading-primary"
ground = ground_of(SITE)


@pytest.fixture(scope="module")
def variables(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """The variables of the site as Ansible sees them."""
    argv = [str(pathlib.Path(sys.executable).with_name("ansible-inventory")), "-i", "inventories/lab/lab.yml", "--list"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "TRADEOPS_LAB_DIR": str(ground.folder),
    }
    answer = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300)
    inventory = json.loads(answer.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))
    return t.cast("dict[str, t.Any]", inventory["_meta"]["hostvars"][SITE])


def client(variables: dict[str, t.Any], store: dict[str, t.Any]) -> t.Any:
    return boto3.client(
        "s3",
        endpoint_url=store["endpoint"],
        region_name=store["region"],
        aws_access_key_id=variables["tradeops_secrets"][store["access_key_secret"]],
        aws_secret_access_key=variables["tradeops_secrets"][store["secret_key_secret"]],
        config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_backups_have_a_folder_and_a_bucket_that_can_lock(ground: Ground, variables: dict[str, t.Any]) -> None:
    local, bucket = variables["tradeops_backup_stores"]
    assert pathlib.Path(local["path"]).stat().st_mode & 0o777 == 0o700
    assert pathlib.Path(local["path"]).parent == ground.folder
    s3 = client(variables, bucket)
    assert s3.get_bucket_versioning(Bucket=bucket["bucket"])["Status"] == "Enabled"
    locked = s3.get_object_lock_configuration(Bucket=bucket["bucket"])
    assert locked["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"


def test_what_is_encrypted_for_the_lab_can_be_read_with_its_key(variables: dict[str, t.Any]) -> None:
    (recipient,) = variables["tradeops_backup_recipients"]
    sealed = pyrage.encrypt(b"orders", [pyrage.x25519.Recipient.from_str(recipient)])
    key = pyrage.x25519.Identity.from_str(variables["tradeops_secrets"]["backup_identity"])
    assert pyrage.decrypt(sealed, [key]) == b"orders"


def test_programs_are_where_the_inventory_says(variables: dict[str, t.Any]) -> None:
    for folder, program in (("postgresql", "pg_dump"), ("redis", "redis-server")):
        path = pathlib.Path(variables[f"tradeops_{folder}_bin"], program)
        assert subprocess.run([path, "--version"], check=True, capture_output=True, timeout=120).stdout


def test_files_of_a_site_stay_until_it_is_reset(ground: Ground, variables: dict[str, t.Any]) -> None:
    config, data = pathlib.Path(variables["tradeops_config_dir"]), pathlib.Path(variables["tradeops_data_dir"])
    rates = config / "security" / "rate_limiting.yml"
    before = rates.read_bytes()
    files = sorted(data.rglob("*.parquet"))
    assert len(files) == 10
    for file in files:
        content = file.read_bytes()
        assert content[:4] == content[-4:] == b"PAR1"
        assert int.from_bytes(content[-8:-4], "little") < len(content)
    rates.write_bytes(b"changed")
    files[0].unlink()
    ground.up()
    assert rates.read_bytes() == b"changed"
    ground.fresh(SITE)
    assert rates.read_bytes() == before
    assert sorted(data.rglob("*.parquet")) == files


def test_a_site_is_filled_to_a_size_once(ground: Ground) -> None:
    def fill() -> dict[str, t.Any]:
        argv = [sys.executable, "-m", "tradeops_lab", "data", "--site", SITE, "--size", "20MB", "--json"]
        environment = os.environ | {"PYTHONPATH": str(PACKAGE), "TRADEOPS_LAB_DIR": str(ground.folder)}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=300)
        assert ("orders" in done.stderr) == json.loads(done.stdout)["changed"]
        return t.cast("dict[str, t.Any]", json.loads(done.stdout))

    ground.fresh(SITE)
    first = fill()
    assert first["changed"]
    assert 20e6 <= first["total"] < 24e6
    (whole,) = ground.sql(
        SITE,
        "SELECT count(*) AS orders, count(*) FILTER (WHERE status = 'filled') AS filled,"
        " (SELECT count(*) FROM trades JOIN orders AS o ON o.id = order_id AND o.status = 'filled') AS traded,"
        " (SELECT count(*) FROM audit JOIN orders AS o ON o.id = object WHERE o.status <> 'open') AS audited"
        " FROM orders WHERE status <> 'open'",
    )
    assert whole["orders"] > 5000
    assert whole["filled"] == whole["traded"]
    assert whole["audited"] == 2 * whole["orders"]
    assert not fill()["changed"]


@pytest.mark.parametrize(("text", "wanted"), [("50MB", 50_000_000), ("1.5 GiB", 1_610_612_736), ("1gb", 10**9)])
def test_a_size_is_read(text: str, wanted: int) -> None:
    assert data.size(text) == wanted


@pytest.mark.parametrize("text", ["", "50", "MB", "-1GB", "0MB", "5KB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="such as 50MB or 1GB"):
        data.size(text)
