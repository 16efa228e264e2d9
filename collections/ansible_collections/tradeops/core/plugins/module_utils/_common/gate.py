# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The gate: the one place that writes, and the one that knows check mode."""

from __future__ import annotations

import typing as t

from .errors import LeaseHeld
from .lease import Lease

T = t.TypeVar("T")


class Gate:
    """Every write of a verb goes through ``write``; in check mode it is planned and not sent.

    A write needs the lease of the site. ``stopping`` verbs take the lease over and never fail for want of it.
    """

    def __init__(self, *, check_mode: bool, lease: Lease | None = None, keep_lease: bool = False) -> None:
        self.check_mode = check_mode
        self.stopping = False
        self.plan: list[dict[str, t.Any]] = []
        self.sent = 0
        self.notes: list[str] = []
        self._lease = lease
        self._keep_lease = keep_lease

    def write(self, step: dict[str, t.Any], send: t.Callable[[], T]) -> T | None:
        """Plan ``step``; outside check mode hold the lease and send it. Returns None in check mode."""
        if step not in self.plan:
            self.plan.append(step)
        if self.check_mode:
            return None
        self._hold(step["action"])
        self.sent += 1
        return send()

    def close(self) -> None:
        """Give back a lease that was taken for this one verb only."""
        if self._lease and self.sent and not self._keep_lease:
            self._lease.release()

    def _hold(self, purpose: str) -> None:
        if self._lease is None:
            return
        try:
            evicted = self._lease.acquire(purpose, takeover=self.stopping)
        except LeaseHeld as exc:
            if not self.stopping:
                raise
            # Stopping trading never waits: not for a lost race, not for a full disk under the lease folder.
            self._note(f"stopping without a lease: {exc}")
            return
        if evicted:
            self._note(f"took the lease over from {evicted}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
