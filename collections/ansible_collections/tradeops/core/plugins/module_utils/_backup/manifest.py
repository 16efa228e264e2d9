# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What is known of a backup set: the manifest, which is written last and makes a set count.

A set is a folder ``<site>/<id>/`` of a store. Its artefacts are ``<component>/<name>``, its manifest ``manifest.json``.
A folder without a manifest is of a run that is not finished or was killed; it never counts. All times are UTC, ISO 8601
with ``Z``. All sizes are bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import typing as t

from .._common.errors import Damaged, InputError, Refused
from .._common.typed import Data
from .store import Store

FORMAT = 1
MANIFEST = "manifest.json"
SAFETY = "safety"  # the type of what a restore keeps of before
# Types of the sources' procedures (FM-BACKUP, AT-BACKUP, GM-BACKUP, SM-BACKUP), and of what a restore takes beforehand.
TYPES = (
    "daily",
    "weekly",
    "monthly",
    "manual",
    "emergency",
    "database",
    "config",
    "forensic",
    "pre-deployment",
    SAFETY,
)


@dataclasses.dataclass(frozen=True)
class Digest:
    """Bytes that went by: how many, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One stored object. ``filters`` were applied in this order, such as ``zstd`` and ``age``: undo them backwards.

    ``name`` is the key below the folder of the set. ``plain`` is what went into the first filter.
    """

    name: str
    plain: Digest
    stored: Digest
    filters: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Component:
    """What one engine captured. ``moment`` is the time that the capture shows.

    ``facts`` are the engine's: versions, extensions, system identifier, timeline, LSNs, row counts, sources of files.
    """

    name: str
    engine: str
    started: str
    moment: str
    ended: str
    artefacts: tuple[Artefact, ...] = ()
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One backup set. ``stores``: what became of it in each store that was asked for, ``stored`` or why not.

    ``clock``: by how many seconds the machine's clock was set while it was made; its times are those of before.
    """

    id: str
    site: str
    type: str
    started: str
    ended: str
    components: tuple[Component, ...]
    stores: dict[str, str]
    consistency: t.Literal["component", "quiesced"] = "component"
    tag: str = ""
    parent: str = ""
    key_ids: tuple[str, ...] = ()
    operation: str = ""
    operator: str = ""
    reason: str = ""
    code_version: str = ""
    clock: float = 0.0
    format: int = FORMAT

    @property
    def partial(self) -> bool:
        """Whether a store that was asked for does not have it."""
        return any(fate != "stored" for fate in self.stores.values())


def to_json(manifest: Manifest, key: str = "") -> bytes:
    """Return the manifest as it is stored, with its digest and, when there is a key, its signature."""
    body = dataclasses.asdict(manifest)
    seal = {"digest": hashlib.sha256(_canonical(body)).hexdigest()}
    if key:
        seal["signature"] = _signature(body, key)
    return json.dumps({**body, **seal}, indent=1, sort_keys=True).encode() + b"\n"


def from_json(data: bytes, where: str, key: str = "") -> Manifest:
    """Return the manifest in ``data``. Raises Damaged when it is cut off, edited, or not signed with ``key``."""
    try:
        found = json.loads(data)
        digest, signature = found.pop("digest", ""), found.pop("signature", "")
    except (ValueError, AttributeError) as exc:
        raise Damaged(f"the manifest of {where} cannot be read: {exc}. It is damaged; do not restore it.") from exc
    if not hmac.compare_digest(str(digest), hashlib.sha256(_canonical(found)).hexdigest()):
        raise Damaged(f"the manifest of {where} is damaged or was edited: its digest is wrong. Do not restore it.")
    if key and not signature:
        raise Damaged(f"the manifest of {where} is not signed, and tradeops_secrets.backup_manifest_key asks for it.")
    if key and not hmac.compare_digest(str(signature), _signature(found, key)):
        raise Damaged(
            f"the manifest of {where} is not signed with tradeops_secrets.backup_manifest_key: its signature is wrong. "
            f"Somebody has edited it, or the key is another one. Do not restore it."
        )
    if found.get("format") != FORMAT:
        raise Damaged(f"the manifest of {where} has the format {found.get('format')!r}; this version reads {FORMAT}.")
    try:
        return Data(found, f"the manifest of {where}").read(Manifest)
    except InputError as exc:
        raise Damaged(f"{exc}") from exc


def read_manifest(store: Store, site: str, set_id: str, key: str = "") -> Manifest:
    """Return the manifest of a set as it lies in ``store``. Raises Damaged, and what the store raises.

    A manifest that was put into the folder of another set or site is Damaged, too.
    """
    name = f"{folder(site, set_id)}{MANIFEST}"
    where = f"{site}/{set_id} in the store {store.name}"
    if store.head(name) is None:
        raise Refused(f"{where} has no manifest: it is unfinished, or there is no such set.", method="read", path=name)
    found = from_json(b"".join(store.read(name)), where, key)
    if (found.site, found.id) != (site, set_id):
        raise Damaged(f"the manifest of {where} is that of {found.site}/{found.id}. Do not restore it.")
    return found


def folder(site: str, set_id: str) -> str:
    """Return what the keys of a set begin with."""
    return f"{site}/{set_id}/"


def _canonical(body: t.Mapping[str, t.Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _signature(body: t.Mapping[str, t.Any], key: str) -> str:
    return hmac.new(key.encode(), _canonical(body), hashlib.sha256).hexdigest()
