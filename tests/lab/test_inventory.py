# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin makes hosts of a running lab and says clearly when there is none."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import typing as t

import pytest

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / "collections"
SINK = {"http": "http://127.0.0.1:20000", "smtp": {"host": "127.0.0.1", "port": 20002}}
SERVERS = {
    "postgresql": {"host": "127.0.0.1", "port": 20003, "user": "tradeops", "password": "password-1", "bin": "/pg/bin"},
    "redis": {"host": "127.0.0.1", "port": 20004, "password": "password-2", "bin": "/redis/bin"},
    "s3": {"endpoint": "http://127.0.0.1:20005", "access_key": "access-1", "secret_key": "password-3"},
    "backup": {
        "folder": "/lab/backups",
        "bucket": "backups",
        "recipient": "age1",
        "identity": "AGE-SECRET-KEY-1",
        "manifest_key": "key-1",
    },
}
SITES = {
    "flashmm-dr": {
        "platform": "flashmm",
        "role": "dr",
        "services": {"api": "http://127.0.0.1:20013"},
        "database": "flashmm_dr",
        "redis_db": 1,
        "secrets": {"token": "token-1"},
    },
    "smc-agent-dr": {
        "platform": "smc_agent",
        "role": "dr",
        "services": {"api": "http://127.0.0.1:20015", "root": "http://127.0.0.1:20015"},
        "database": "smc_agent_dr",
        "redis_db": 2,
        "secrets": {},
        "supervised": True,
    },
    "grandmodel-dr": {
        "platform": "grandmodel",
        "role": "dr",
        "services": {"api": "http://127.0.0.1:20016", "kubernetes": "https://127.0.0.1:20017"},
        "namespace": "grandmodel-dr",
        "secrets": {"token": "token-3", "kubernetes_token": "kubernetes_token-1"},
    },
    "adaptive-order-book-dr": {
        "platform": "adaptive_order_book",
        "role": "dr",
        "services": {"api": "http://127.0.0.1:20018"},
        "metrics": {"url": "http://127.0.0.1:20018/metrics", "counters": []},
        "secrets": {"token": "token-4"},
    },
    # As one that others have joined to the lab: without databases.
    "practice-sim": {
        "platform": "practice",
        "role": "sim",
        "services": {"api": "http://127.0.0.1:20014"},
        "secrets": {"api_key": "api_key-1"},
    },
}


@pytest.fixture
def listed(tmp_path: pathlib.Path) -> t.Callable[[], subprocess.CompletedProcess[str]]:
    """Return what ansible-inventory says of the lab in ``tmp_path``."""
    source = tmp_path / "inventory.yml"
    source.write_text("plugin: tradeops.lab.lab\n", encoding="utf-8")
    (tmp_path / "ansible.cfg").touch()
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "TRADEOPS_LAB_DIR": str(tmp_path),
    }
    argv = [str(pathlib.Path(sys.executable).parent / "ansible-inventory"), "-i", str(source), "--list"]
    return lambda: subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)


def write(folder: pathlib.Path, control: str) -> None:
    lab = {"control": control, "sink": SINK, "sites": SITES, **SERVERS}
    lab |= {"kubernetes": {"folder": "/lab/kubernetes"}, "prometheus": {"url": "http://127.0.0.1:20006"}}
    (folder / "lab.json").write_text(json.dumps(lab), encoding="utf-8")


def test_a_site_is_a_host_with_the_variables_of_the_modules(
    tmp_path: pathlib.Path, listed: t.Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as control:
        url = f"http://127.0.0.1:{control.getsockname()[1]}"
        write(tmp_path, url)
        answer = listed()
    assert answer.returncode == 0, answer.stderr
    # Texts that came from a plugin are marked as not to be templated: {"__ansible_unsafe": text}.
    inventory = json.loads(answer.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))
    assert inventory["trading_sites"]["children"] == [
        *("flashmm", "smc_agent", "grandmodel", "adaptive_order_book", "practice")
    ]
    assert inventory["flashmm"]["hosts"] == ["flashmm-dr"]
    assert inventory["dr"]["hosts"] == ["flashmm-dr", "smc-agent-dr", "grandmodel-dr", "adaptive-order-book-dr"]
    variables = inventory["_meta"]["hostvars"]
    assert variables["flashmm-dr"] == {
        "ansible_connection": "local",
        "tradeops_profile": "flashmm",
        "tradeops_urls": {"api": "http://127.0.0.1:20013"},
        "tradeops_secrets": {
            "token": "token-1",
            "postgresql_password": "password-1",
            "redis_password": "password-2",
            "backup_identity": "AGE-SECRET-KEY-1",
            "backup_manifest_key": "key-1",
            "backup_s3_access_key": "access-1",
            "backup_s3_secret_key": "password-3",
        },
        "tradeops_postgresql": {"host": "127.0.0.1", "port": 20003, "database": "flashmm_dr", "user": "tradeops"},
        "tradeops_postgresql_bin": "/pg/bin",
        "tradeops_redis": {"host": "127.0.0.1", "port": 20004, "db": 1},
        "tradeops_redis_bin": "/redis/bin",
        "tradeops_backup_recipients": ["age1"],
        "tradeops_backup_stores": [
            {"name": "local", "kind": "local", "path": "/lab/backups"},
            {
                "name": "s3",
                "kind": "s3",
                "endpoint": "http://127.0.0.1:20005",
                "bucket": "backups",
                "prefix": "",
                "region": "us-east-1",
                "access_key_secret": "backup_s3_access_key",
                "secret_key_secret": "backup_s3_secret_key",
            },
        ],
        "tradeops_site_role": "dr",
        "tradeops_lab_control": url,
        "tradeops_lab_sink": SINK,
    }
    assert variables["practice-sim"]["tradeops_secrets"]["api_key"] == "api_key-1"
    assert "postgresql_password" not in variables["practice-sim"]["tradeops_secrets"]
    assert "tradeops_postgresql" not in variables["practice-sim"]
    assert variables["smc-agent-dr"]["tradeops_runtime"] == "supervisor"
    assert variables["smc-agent-dr"]["tradeops_supervisor"] == {
        "config": str(tmp_path / "run" / "supervisord.conf"),
        "supervisorctl": str(pathlib.Path(sys.executable).with_name("supervisorctl")),
        "group": "smc-agent-dr",
    }
    cluster = variables["grandmodel-dr"]
    assert cluster["tradeops_urls"]["kubernetes"] == "https://127.0.0.1:20017"
    assert cluster["tradeops_namespace"] == "grandmodel-dr"
    assert cluster["tradeops_ca_paths"] == {"kubernetes": "/lab/kubernetes/ca.crt"}
    assert cluster["tradeops_secrets"]["kubernetes_token"] == "kubernetes_token-1"
    assert "tradeops_namespace" not in variables["flashmm-dr"]
    scraped = {"url": "http://127.0.0.1:20006", "series": '{site="adaptive-order-book-dr"}'}
    assert variables["adaptive-order-book-dr"]["tradeops_prometheus"] == scraped
    assert "tradeops_prometheus" not in variables["flashmm-dr"]
    own = pathlib.Path(variables["practice-sim"]["tradeops_profile"])
    assert own.is_absolute()
    assert own.is_file()


def test_no_lab_is_an_error_that_says_what_to_do(listed: t.Callable[[], subprocess.CompletedProcess[str]]) -> None:
    answer = listed()
    assert answer.returncode != 0
    assert "no lab runs in" in answer.stderr
    assert "python -m tradeops_lab up" in answer.stderr


def test_a_lab_that_broke_down_is_an_error(
    tmp_path: pathlib.Path, listed: t.Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    write(tmp_path, f"http://127.0.0.1:{port}")
    answer = listed()
    assert answer.returncode != 0
    assert "has broken down" in answer.stderr
    assert "python -m tradeops_lab up" in answer.stderr
