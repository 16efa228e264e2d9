# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the catalogue and the retention of ten thousand sets are, in a folder and in a bucket of a lab of its own."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "collections/ansible_collections/tradeops/lab/package"
sys.path[:0] = [str(ROOT / "collections"), str(PACKAGE)]

from ansible_collections.tradeops.core.plugins.module_utils._backup import retention  # noqa: E402
from ansible_collections.tradeops.core.plugins.module_utils._backup.catalogue import Catalogue  # noqa: E402
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import (  # noqa: E402
    Artefact,
    Component,
    Digest,
    Manifest,
    to_json,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.store import Store  # noqa: E402
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store  # noqa: E402
from ansible_collections.tradeops.core.plugins.module_utils._backup.verbs.retention import subjects  # noqa: E402

SETS = int(os.environ.get("TRADEOPS_BENCH_SETS", "10000"))
TARGET = 2.0  # s
RULES = {"keep_daily": 30, "keep_weekly": 12, "keep_monthly": 12, "keep_yearly": 7, "at_most": 100}
BYTES = b"0123456789"


def objects() -> t.Iterator[tuple[str, bytes]]:
    """Yield what the sets of four years and a half are, one every four hours: an artefact, a manifest, a record."""
    first = dt.datetime.now(dt.UTC) - dt.timedelta(hours=4 * SETS)
    digest = Digest(len(BYTES), hashlib.sha256(BYTES).hexdigest())
    rows = {f"public.table_{number}": number for number in range(20)}
    for number in range(SETS):
        at = first + dt.timedelta(hours=4 * number)
        set_id, moment = f"{at:%Y%m%dT%H%M%SZ}-database-{number:06x}", at.isoformat()
        artefact = Artefact("database/database.dump.zst.age", digest, digest, ("zstd", "age"))
        component = Component("database", "postgresql", moment, moment, moment, (artefact,), {"rows": rows})
        made = Manifest(set_id, "site", "database", moment, moment, (component,), {"store": "stored"})
        yield f"site/{set_id}/{artefact.name}", BYTES
        yield f"site/{set_id}/verified/{at:%Y%m%dT%H%M%SZ}-hashes.json", b"{}"
        yield f"site/{set_id}/manifest.json", to_json(made)


def measure(store: Store, index: str) -> list[tuple[float, float]]:
    """Return how long a catalogue and a retention take, and how much of a processor: with an empty index, and then three
    times with what it has kept."""
    policy = retention.parse("site", {store.name: RULES}, [store.name])[store.name]
    taken = []
    for _round in range(4):
        began, used = time.monotonic(), time.process_time()
        sets = Catalogue([store], "site", index=index).sets()
        judged = retention.decide(subjects(sets, store.name, policy), policy, dt.datetime.now(dt.UTC))
        taken.append((time.monotonic() - began, time.process_time() - used))
        assert len(sets) == SETS and all(one.usable for one in sets) and 30 < sum(one.keep for one in judged) < 400
    return taken


def report(what: str, taken: list[tuple[float, float]]) -> None:
    (cold, _all), (warm, own) = taken[0], min(taken[1:])
    met = "met" if warm < TARGET else "MISSED"
    print(
        f"{SETS} sets in {what}: {warm:.2f} s, of which {own:.2f} s of a processor are ours ({met}: under {TARGET:g} s); "
        f"with an empty index {cold:.2f} s",
        flush=True,
    )


def folder(place: pathlib.Path) -> None:
    for key, data in objects():
        file = place / "store" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    store = open_store({"name": "store", "kind": "local", "path": str(place / "store")}, {})
    report("a folder", measure(store, str(place / "index")))


def bucket(place: pathlib.Path) -> None:
    environment = {**os.environ, "TRADEOPS_LAB_DIR": str(place / "lab"), "PYTHONPATH": str(PACKAGE)}
    lab = [sys.executable, "-m", "tradeops_lab"]
    subprocess.run([*lab, "up", "--sites", "smc-agent-primary", "--without", "kubernetes"], env=environment, check=True)
    try:
        settings = json.loads((place / "lab" / "lab.json").read_text(encoding="utf-8"))["s3"]
        secrets = {"access": settings["access_key"], "secret": settings["secret_key"]}
        # The server itself, not the front that breaks it where a test wants that.
        entry = {"name": "store", "kind": "s3", "bucket": "bench", "endpoint": settings["server"]}
        keys = {"access_key_secret": "access", "secret_key_secret": "secret"}
        store: t.Any = open_store({**entry, **keys}, secrets)
        store.client.create_bucket(Bucket=store.bucket)

        def put(item: tuple[str, bytes]) -> None:
            store.client.put_object(Bucket=store.bucket, Key=item[0], Body=item[1])

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(put, objects()))
        report("a bucket", measure(store, str(place / "index-of-the-bucket")))
    finally:
        subprocess.run([*lab, "down", "--purge"], env=environment, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)  # noqa: S103 -- PostgreSQL of a lab of root passes through it
        folder(pathlib.Path(name))
        bucket(pathlib.Path(name))


if __name__ == "__main__":
    main()
