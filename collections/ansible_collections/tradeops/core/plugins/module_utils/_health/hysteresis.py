# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""When a level is believed: k of the last n readings, on the way down as on the way up. Pure functions."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

from .thresholds import Level, rank

_FLAPPING = 0.5  # part of the steps from reading to reading that change the level
_FLAPPING_READINGS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retries:
    """A worse level counts once ``bad`` of the last ``of`` readings are that bad, a better one once ``good`` of them
    are that good; ``pause`` seconds lie between readings that are taken to decide."""

    of: int = 1
    bad: int = 1
    good: int = 1
    pause: float = 0.5

    def check(self) -> t.Optional[str]:
        if not 1 <= self.of <= 100 or not (1 <= self.bad <= self.of and 1 <= self.good <= self.of):
            return f"bad ({self.bad}) and good ({self.good}) must be 1 to of ({self.of}), and of at most 100"
        if self.bad + self.good <= self.of:
            return f"{self.of} readings could be both: bad ({self.bad}) and good ({self.good}) must be over {self.of}"
        return None if 0 <= self.pause <= 60 else f"pause is {self.pause:g}; give 0 to 60 seconds"


def settle(readings: t.Sequence[Level], retries: Retries, believed: Level | None) -> Level | None:
    """Return the level to believe after ``readings`` (the newest last), None when more of them are needed.

    :param believed: the level that was believed before, None at the beginning.
    """
    recent = sorted(readings[-retries.of :], key=rank)
    # At least ``bad`` readings are as bad as this or worse, at least ``good`` as good as that or better.
    as_bad = recent[-retries.bad] if len(recent) >= retries.bad else None
    as_good = recent[retries.good - 1] if len(recent) >= retries.good else None
    if believed is None:
        if as_good == "pass" or as_bad == "fail":
            return "pass" if as_good == "pass" else "fail"
        # A window that says neither is taken for the worse of the two.
        return as_good if len(recent) >= retries.of else None
    if as_bad is not None and rank(as_bad) > rank(believed):
        return as_bad
    if as_good is not None and rank(as_good) < rank(believed):
        return as_good
    return believed


def flapping(readings: t.Sequence[Level]) -> bool:
    """Whether the level changes with every second reading or more."""
    if len(readings) < _FLAPPING_READINGS:
        return False
    changes = sum(before != after for before, after in itertools.pairwise(readings))
    return changes / (len(readings) - 1) >= _FLAPPING
