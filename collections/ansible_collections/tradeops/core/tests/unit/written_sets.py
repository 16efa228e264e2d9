# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets in two folders, written as the stream writes them."""

from __future__ import annotations

import hashlib
import pathlib
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._backup.catalogue import Catalogue, Listed
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import (
    Artefact,
    Component,
    Digest,
    Manifest,
    to_json,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore

BYTES = b"0123456789"


class Ground:
    """The stores ``local`` and ``s3`` of the site ``here``."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.stores = [LocalStore("local", str(path / "local")), LocalStore("s3", str(path / "s3"))]

    def write(self, set_id: str, *stores: str, key: str = "", **facts: t.Any) -> None:
        digest = Digest(len(BYTES), hashlib.sha256(BYTES).hexdigest())
        at = f"{set_id[:4]}-{set_id[4:6]}-{set_id[6:8]}T02:00:00Z"
        artefact = Artefact("database/database.dump.zst.age", digest, digest, ("zstd", "age"))
        components = [Component("database", "postgresql", at, at, at, (artefact,))]
        base, engine = facts.pop("base", None), facts.pop("engine", "barman")
        if base:
            components.append(Component("wal", engine, at, at, at, (), {"backup_id": base}))
        fates = dict.fromkeys(stores, "stored") | facts.pop("fates", {})
        manifest = Manifest(set_id, "here", set_id.split("-")[1], at, at, tuple(components), fates, **facts)
        for name in stores:
            self.put(name, set_id, artefact.name, BYTES)
            self.put(name, set_id, "manifest.json", to_json(manifest, key))

    def put(self, store: str, set_id: str, name: str, data: bytes = b"{}") -> pathlib.Path:
        file = self.path / store / "here" / set_id / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def run(self, verb: str, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        stores = [{"name": store.name, "kind": "local", "path": str(store.root)} for store in self.stores]
        given = {"site": "here", "stores": stores, "lease_dir": str(self.path / "state/leases"), **options}
        return run_verb(verb, VERBS[verb].spec.validate("here", given), check_mode=check)

    def there(self, store: str = "local") -> list[str]:
        return sorted(path.name for path in (self.path / store / "here").iterdir())

    def catalogue(self, **options: t.Any) -> Catalogue:
        return Catalogue(self.stores, "here", **options)

    def sets(self, **options: t.Any) -> dict[str, Listed]:
        return {one.id: one for one in self.catalogue(**options).sets(expected=False)}
