# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The gate: the one place that writes, and the one that knows check mode."""

from __future__ import annotations

import contextlib
import os
import typing as t
import uuid

from .errors import CallError, LeaseHeld
from .lease import Lease

T = t.TypeVar("T")


class Gate:
    """Every write of a verb goes through ``write``; in check mode it is planned and not sent.

    A write needs the lease of the site. ``stopping`` verbs take the lease over and never fail for want of it.
    ``sent`` counts the writes that reached the platform, or may have.
    """

    def __init__(self, *, check_mode: bool, lease: Lease | None = None, keep_lease: bool = False) -> None:
        self.check_mode = check_mode
        self._stopping = False
        self.plan: list[dict[str, t.Any]] = []
        self.sent = 0
        self.notes: list[str] = []
        self._lease = lease
        self._keep_lease = keep_lease
        self._holding = False

    @property
    def stopping(self) -> bool:
        return self._stopping

    @stopping.setter
    def stopping(self, stops: bool) -> None:
        """Say whether the verb stops something.

        A stop ends what another operation does at the site at once, also where it finds nothing to do: whoever has
        halted the site for a while must not resume it after a stop.
        """
        self._stopping = stops
        if stops and not self.check_mode and self._foreign():
            self._hold("stop")

    def write(self, steps: t.Sequence[dict[str, t.Any]], send: t.Callable[[], T]) -> T | None:
        """Plan ``steps``; outside check mode hold the lease and send them as one. Returns None in check mode."""
        self.plan += [step for step in steps if step not in self.plan]
        if self.check_mode:
            return None
        self._hold(steps[0]["action"])
        try:
            answer = send()
        except CallError as exc:
            if exc.sent is not False:
                self.sent += 1
            raise
        self.sent += 1
        return answer

    def note(self, text: str) -> None:
        """Keep a remark that limits or explains the result."""
        if text not in self.notes:
            self.notes.append(text)

    def close(self) -> None:
        """Give back a lease that was taken for this one verb only."""
        if self._lease and self._holding and not self._keep_lease:
            # What cannot be given back ends with its time to live, or with our process; the result stands.
            with contextlib.suppress(LeaseHeld):
                self._lease.release()

    def _foreign(self) -> bool:
        """Whether another operation holds the site; what cannot be read counts as one."""
        try:
            holder = self._lease.holder() if self._lease else None
        except LeaseHeld:
            return True
        return bool(self._lease and holder and holder.operation != self._lease.operation)

    def _hold(self, purpose: str) -> None:
        if self._lease is None:
            return
        try:
            evicted = self._lease.acquire(purpose, takeover=self.stopping)
        except LeaseHeld as exc:
            if not self.stopping:
                raise
            # Stopping trading never waits: not for a lost race, not for a full disk under the lease folder.
            self.note(f"stopping without a lease: {exc}")
            return
        self._holding = True
        if evicted:
            self.note(f"took the lease over from {evicted}")


def gate_of(site: str, given: t.Mapping[str, t.Any], *, check_mode: bool, process: int) -> Gate:
    """Return the gate of one site; ``process`` is whose life its lease ends with, 0 for the life of one verb."""
    if check_mode or "lease_dir" not in given:
        return Gate(check_mode=check_mode)
    lease = Lease(
        os.path.expanduser(given["lease_dir"]),
        site,
        operation=given.get("operation") or f"single-{uuid.uuid4()}",
        operator=given.get("operator") or "unknown",
        ttl=given["lease_ttl"],
        pid=process,
    )
    return Gate(check_mode=False, lease=lease, keep_lease=bool(process and given.get("operation")))
