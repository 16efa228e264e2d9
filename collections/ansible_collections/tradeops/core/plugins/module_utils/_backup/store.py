# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Where backup sets are kept. A key is a path with ``/`` below the root of the store; it never begins with one.

Every method raises Unreachable when the store does not answer, Denied when it refuses our credentials, Refused when it
says no (no space, an object that is locked), always with the name of the store in the sentence.
"""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Entry:
    """One object as the store lists it. ``modified``: seconds since the epoch, by the clock of the store."""

    key: str
    size: int
    modified: float


class Upload(t.Protocol):
    """An object on its way into a store. It is not there before ``commit``; after ``abort`` nothing of it is left."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> Entry:
        """Make the object appear, whole, and return it as read back from the store."""

    def abort(self) -> None: ...


class Store(t.Protocol):
    """A local folder or a bucket."""

    name: str

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        """List every object below ``prefix``, however many."""

    def head(self, key: str) -> Entry | None: ...

    def read(self, key: str) -> t.Iterator[bytes]:
        """Give the bytes of an object in pieces of at most a megabyte. Raises Refused when it is not there."""

    def upload(self, key: str) -> Upload:
        """Begin an object of unknown length, in constant memory."""

    def put(self, key: str, data: bytes, *, new: bool = False) -> Entry:
        """Store a small object atomically; with ``new`` an object that is there already is Refused."""

    def delete(self, key: str) -> None:
        """Remove an object for good: with versions, every version. Raises Refused when a lock holds it."""

    def held(self, key: str) -> str:
        """Say what keeps an object from being removed now, and until when; empty when nothing does."""

    def unfinished(self, prefix: str) -> t.Iterator[str]:
        """Name what killed uploads left below ``prefix`` (temporary files, parts of multipart uploads)."""

    def sweep(self, unfinished: str) -> None:
        """Remove one of them."""

    def free(self) -> int | None:
        """Bytes that still fit in, None where nobody can know."""
