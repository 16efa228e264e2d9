# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A pipe between two threads of one pass: it holds little, and either end learns what became of the other."""

from __future__ import annotations

import collections
import threading

_HELD = 1 << 20  # bytes


class Cut(Exception):
    """The other end has given up; why is told where it did."""


class Pipe:
    """``write`` waits for room, ``read`` for bytes."""

    def __init__(self, held: int = _HELD) -> None:
        self._held = held
        self._pieces: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._taken = 0  # bytes of the first piece that were read
        self._changed = threading.Condition()
        self._ended = False
        self._cut = False

    def write(self, data: bytes) -> int:
        """Give bytes to the other end. Raises Cut when it has given up."""
        with self._changed:
            while self._size >= self._held and not self._cut:
                self._changed.wait()
            if self._cut:
                raise Cut
            if data:
                self._pieces.append(data)
                self._size += len(data)
                self._changed.notify_all()
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def end(self) -> None:
        """Say that nothing more comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """Give up, at either end: the other one gets Cut, and what was in between is let go."""
        with self._changed:
            self._cut = True
            self._pieces.clear()
            self._size = 0
            self._changed.notify_all()

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, at least one, or nothing at the end. Raises Cut when the other end gave up."""
        with self._changed:
            while not self._pieces and not self._ended and not self._cut:
                self._changed.wait()
            if self._cut:
                raise Cut
            if not self._pieces:
                return b""
            first = self._pieces[0]
            left = len(first) - self._taken
            if size < 0 or size >= left:
                piece = first[self._taken :] if self._taken else first
                self._pieces.popleft()
                self._taken = 0
            else:
                piece = first[self._taken : self._taken + size]
                self._taken += size
            self._size -= len(piece)
            if self._size < self._held:
                self._changed.notify_all()
            return piece
