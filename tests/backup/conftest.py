# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
import uuid

import pytest
import simulator_ground
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store

SITES = ("smc-agent-primary", "flashmm-primary")


ground = simulator_ground.ground(*SITES)


Break = t.Callable[..., None]


@pytest.fixture
def break_(ground: Ground) -> t.Iterator[Break]:
    """Let the front of the lab's S3 misbehave: ``break_(kind, path=..., after=...)``, and ``break_()`` to end it."""

    def tell(kind: str = "", **fault: t.Any) -> None:
        ground.control("PUT", "/s3/faults", {"faults": [{"kind": kind, **fault}] if kind else []})

    tell()
    yield tell
    tell()


@pytest.fixture
def bucket(ground: Ground) -> tuple[dict[str, t.Any], dict[str, str]]:
    """An entry of tradeops_backup_stores for a new bucket of the lab's S3, with versions and locks, and its secrets."""
    settings = ground.lab["s3"]
    secrets = {"access": settings["access_key"], "secret": settings["secret_key"]}
    entry = {
        "name": "s3",
        "kind": "s3",
        "endpoint": settings["endpoint"],
        "bucket": f"backups-{uuid.uuid4().hex[:8]}",
        "access_key_secret": "access",
        "secret_key_secret": "secret",
        "attempts": 2,
        "timeout": 30,
    }
    store = t.cast(S3Store, open_store(entry, secrets))
    store.client.create_bucket(Bucket=store.bucket, ObjectLockEnabledForBucket=True)
    return entry, secrets
