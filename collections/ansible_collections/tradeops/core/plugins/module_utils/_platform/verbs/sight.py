# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Look at a site and say whether it is as wished: its state, its witness, its open orders and positions."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._common.errors import CallError
from ..profile import Read, Trading, Witness
from ..site import READ_ATTEMPTS, Reading
from ..states import UNKNOWN, satisfies
from . import orders, positions
from .run import Run

_QUIET_LEVELS = ("halted", "flat", "stopped")


@dataclasses.dataclass
class Sight:
    """What was observed at one moment. ``problem``: what could not be read; ``markers``: the witness before and after
    the quiet time."""

    state: str
    problem: str = ""
    open_orders: int | None = None
    positions: int | None = None
    markers: tuple[t.Any, t.Any] | None = None

    @property
    def moved(self) -> bool:
        """Whether an order entered in the quiet time; what cannot be read has not been seen to move."""
        return self.markers is not None and UNKNOWN not in self.markers and self.markers[0] != self.markers[1]

    def to_dict(self) -> dict[str, t.Any]:
        marker = self.markers[1] if self.markers else None
        return {"state": self.state, "open_orders": self.open_orders, "positions": self.positions, "marker": marker}


@dataclasses.dataclass(frozen=True)
class Watch:
    """What a wish has to be seen as. ``exact``: a stricter state than ``goal`` does not do. ``quiet``: the witness is
    asked. ``cancels`` and ``flattens``: no order may be open, no position held, in ``scope``."""

    run: Run
    trading: Trading
    goal: str
    exact: bool
    quiet: bool
    cancels: bool
    flattens: bool
    scope: t.Mapping[str, str]

    def read(self, *, attempts: int = READ_ATTEMPTS) -> Reading:
        return self.run.site.read(self.trading.read, self.run.deadline, attempts=attempts)

    def satisfied(self, state: str) -> bool:
        return satisfies(state, self.goal, exact=self.exact)

    def look(self) -> Sight:
        """Read the state; where the level forbids new orders, watch the witness for its quiet time; count the rest."""
        reading = self.read()
        sight = Sight(reading.value, reading.problem)
        witness = self.trading.witness
        if self.satisfied(sight.state) and self.quiet and witness and self.goal in _QUIET_LEVELS:
            first = self._marker(witness)
            self.run.deadline.pause(witness.quiet)
            again = self.read()
            last = self._marker(witness)
            sight = Sight(again.value, again.problem, markers=(first.value, last.value))
            if not (first.known and last.known):
                sight.problem = sight.problem or f"the witness cannot be read: {first.problem or last.problem}"
        if self.satisfied(sight.state) and not sight.problem and not sight.moved:
            self._count(sight)
        return sight

    def good(self, sight: Sight) -> bool:
        counted = (self.cancels, sight.open_orders), (self.flattens, sight.positions)
        left = any(asked and count != 0 for asked, count in counted)
        return self.satisfied(sight.state) and not sight.problem and not sight.moved and not left

    def missing(self, sight: Sight) -> str:
        """Say why a sight is not good."""
        if sight.state == UNKNOWN:
            return f"the trading state is unknown: {sight.problem}"
        if not self.satisfied(sight.state):
            return f"the site still says {sight.state} after {self.run.deadline.elapsed:.1f} s"
        if sight.moved:
            return "the site says that it does not trade, but orders still enter (the witness moved)"
        if sight.problem:
            return sight.problem
        counts = ((sight.open_orders, "open orders"), (sight.positions, "positions"))
        return f"{' and '.join(f'{count} {what}' for count, what in counts if count)} remain"

    def witness(self, sight: Sight) -> dict[str, t.Any] | None:
        """Return what the proof says about the witness."""
        if sight.markers is None or self.trading.witness is None:
            return None
        first, last = sight.markers
        return {"before": first, "after": last, "quiet_seconds": self.trading.witness.quiet, "moved": sight.moved}

    def _marker(self, witness: Witness) -> Reading:
        return self.run.site.read(Read(sources=witness.sources, value=witness.marker), self.run.deadline)

    def _count(self, sight: Sight) -> None:
        try:
            if self.cancels:
                sight.open_orders = len(orders.still_open(self.run, self.scope, ()))
            if self.flattens:
                sight.positions = len(positions.still_held(self.run, self.scope, ()))
        except CallError as exc:
            sight.problem = f"what is left cannot be read: {exc}"
