# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of the requests that a site has got, for tests to look at."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import typing as t

from .faults import Seen

KEPT = 20_000


@dataclasses.dataclass
class Entry:
    """One request. ``status`` stays None when no answer was sent (yet)."""

    seq: int
    at: str
    seen: Seen
    query: str
    status: int | None = None

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "seq": self.seq,
            "at": self.at,
            "service": self.seen.service,
            "method": self.seen.method,
            "path": self.seen.path,
            "query": self.query,
            "status": self.status,
            "write": self.seen.writes,
            "fault": self.seen.fault,
        }


class RequestLog:
    """The last KEPT requests. Sequence numbers go on after ``clear``, so that ``since`` never shows one twice."""

    def __init__(self) -> None:
        self.last = 0
        self._entries: collections.deque[Entry] = collections.deque(maxlen=KEPT)

    def open(self, seen: Seen, query: str) -> Entry:
        """Write down a request at its arrival, before any fault can swallow it."""
        self.last += 1
        entry = Entry(self.last, dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), seen, query)
        self._entries.append(entry)
        return entry

    def since(self, seq: int) -> list[dict[str, t.Any]]:
        return [entry.as_dict() for entry in self._entries if entry.seq > seq]

    def clear(self) -> None:
        self._entries.clear()
