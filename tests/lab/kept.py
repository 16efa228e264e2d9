# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for what an engine captures, in memory, from which it can be put back."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Artefact, Component, Digest
from ansible_collections.tradeops.core.plugins.module_utils._common.gate import Gate


class Kept:
    """What one component of a set is to its engine. ``said`` is what the operator was told."""

    def __init__(self, site: str, given: dict[str, t.Any], *, check_mode: bool = False) -> None:
        self.site = site
        self.given = given
        self.gate = Gate(check_mode=check_mode)
        self.stored: dict[str, bytes] = {}
        self.said: list[str] = []
        self.notes: list[str] = []

    @contextlib.contextmanager
    def artefact(self, name: str, *, compress: bool = True) -> t.Iterator[_Sink]:
        del compress
        sink = _Sink()
        yield sink
        self.stored[name] = bytes(sink.data)

    def run(self, argv: t.Sequence[str], sink: t.Any, *, env: t.Mapping[str, str], what: str) -> str:
        raise AssertionError(f"{what} runs {argv[0]}")

    def read(self, artefact: Artefact) -> t.Iterator[bytes]:
        yield self.stored[artefact.name]

    def progress(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def whole(self, component: Component) -> Component:
        """Return a component as it stands in a manifest: with what was stored."""
        found = []
        for name, data in self.stored.items():
            digest = Digest(len(data), hashlib.sha256(data).hexdigest())
            found.append(Artefact(name, digest, digest))
        return dataclasses.replace(component, artefacts=tuple(found))


class _Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)
