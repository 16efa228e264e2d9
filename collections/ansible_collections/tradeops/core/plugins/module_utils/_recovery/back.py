# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What every part of a restore works with, and the four steps that a part has: look, prepare, switch, prove."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import typing as t

from .._backup.engine import Base
from .._backup.manifest import Artefact, Component
from .._backup.reading import Reading
from .._backup.store import Store
from .._common.errors import Unproven
from .._common.gate import Gate
from .._common.outcome import Object
from .._common.redact import Redactor
from .plan import Room, Target
from .wish import At

# A tool of base backups, and what it lists.
Listing = concurrent.futures.Future[tuple[t.Any, list[Base]]]


class Halfway(Unproven):
    """Some of it is switched and could not be taken back."""


@dataclasses.dataclass
class Back:
    """One restore of one set to one site. ``folder`` is for what is decrypted; it is gone afterwards, whatever happens,
    and what ``stack`` holds is ended before. ``listings``: of the engines whose base backups were asked for already.

    It is what ``_backup.engine.Restore`` asks for.
    """

    site: str
    given: dict[str, t.Any]
    gate: Gate
    redactor: Redactor
    store: Store
    base: str
    set_id: str
    at: At
    identities: t.Sequence[t.Any]
    folder: pathlib.Path
    stack: contextlib.ExitStack
    tell: t.Callable[[str], None]
    listings: t.Mapping[str, Listing] = dataclasses.field(default_factory=dict)

    def read(self, artefact: Artefact) -> t.Generator[bytes, None, None]:
        """Give the plain bytes of an artefact. Raises Damaged at their end unless they are the ones captured."""
        with Reading(self.store, self.base, artefact, self.identities) as reading:
            yield from reading

    def path(self, artefact: Artefact) -> pathlib.Path:
        """Return where ``fetch`` puts the plain bytes of an artefact."""
        return self.folder / artefact.name.replace("/", "_")

    def fetch(self, artefact: Artefact) -> None:
        """Put the plain bytes of an artefact on disk, with every hash compared. Raises Damaged."""
        with self.path(artefact).open("xb", buffering=0) as file:
            for piece in self.read(artefact):
                file.write(piece)

    def check(self, artefact: Artefact) -> None:
        """Read an artefact to its end, with every hash compared, and keep nothing. Raises Damaged."""
        for _piece in self.read(artefact):
            pass

    def progress(self, text: str) -> None:
        self.tell(f"{self.site}: {text}")

    def note(self, text: str) -> None:
        self.gate.note(text)


def room_of(path: str | pathlib.Path) -> Room:
    """Return how much is free where ``path`` is. Raises OSError."""
    found = os.statvfs(path)
    return Room(str(path), found.f_bavail * found.f_frsize, os.stat(path).st_dev)


class Part(t.Protocol):
    """How one component comes back. Before ``switch`` nothing that the site uses is changed."""

    component: Component

    def look(self) -> Target:
        """Observe what would be replaced, and write nothing."""

    def wanted(self) -> list[Artefact]:
        """Name the artefacts that have to lie on disk."""

    def streamed(self) -> list[Artefact]:
        """Name the artefacts that are read, with every hash compared, while they are restored beside."""

    def inspect(self) -> list[str]:
        """Look at what was fetched; return why it cannot be restored here."""

    def sweep(self) -> None:
        """Remove what a killed restore has left."""

    def prepare(self) -> None:
        """Restore beside, and compare with the manifest."""

    def switch(self) -> None:
        """Put what was prepared in the place of what is there, in one step where there is one.

        What fails is taken back. Raises Halfway where it could not be.
        """

    def undo(self) -> None:
        """Take the switch back."""

    def prove(self) -> list[Object]:
        """Look at the place itself, from somewhere else than what acted."""

    def discard(self) -> None:
        """Remove what was prepared and not switched to."""
