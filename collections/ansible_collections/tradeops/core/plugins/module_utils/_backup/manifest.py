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
import typing as t

FORMAT = 1
MANIFEST = "manifest.json"
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
    "safety",
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
    """One backup set. ``stores``: what became of it in each store that was asked for, ``stored`` or why not."""

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
    format: int = FORMAT

    @property
    def partial(self) -> bool:
        """Whether a store that was asked for does not have it."""
        return any(fate != "stored" for fate in self.stores.values())
