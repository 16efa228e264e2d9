# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One reading of one check, and what is made of it."""

from __future__ import annotations

import dataclasses
import time

from .checks import Check
from .thresholds import Level, judge


class NoAnswer(Exception):
    """The thing that was asked does not answer as it should. Where that is the question, it is a failure."""


class Unreadable(Exception):
    """The value could not be read: nothing is known."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a probe saw. ``level``: what it decides by itself, without a threshold; ``taken``: Unix seconds of the
    value; ``source``: where it was read, which never holds a secret; ``note``: more about the value.
    """

    value: float | str | None
    source: str
    taken: float | None = None
    level: Level | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Judged:
    """A reading with its level and the reason. ``at``: Unix seconds when it was read."""

    level: Level
    why: str
    value: float | str | None
    source: str
    at: float
    seconds: float = 0.0


def judged(check: Check, reading: Reading, *, now: float, seconds: float = 0.0) -> Judged:
    """Return what a reading means: too old is unknown, then what it says by itself, then the thresholds."""

    def result(level: Level, why: str) -> Judged:
        return Judged(level, why, reading.value, reading.source, now, seconds)

    if check.max_age is not None and reading.taken is not None:
        age = now - reading.taken
        if age > check.max_age:
            return result("unknown", f"the value is {age:.0f} s old, at most {check.max_age:g} s are accepted")
        if age < -check.max_age:
            return result(
                "unknown", f"its clock is {-age:.0f} s ahead of ours, at most {check.max_age:g} s are accepted"
            )
    if reading.level is not None:
        return result(reading.level, reading.note)
    if not isinstance(reading.value, (int, float)):
        if check.warning is None and check.critical is None:
            return result("unknown", f"{reading.value!r} has no meaning without a map")
        return result("unknown", f"{reading.value!r} is no number")
    level, threshold = judge(reading.value, check.warning, check.critical)
    unit = f" {check.unit}" if check.unit else ""
    said = f"{reading.value:g}{unit}: {threshold}{unit}" if threshold else reading.note
    return result(level, said)


def failed(check: Check, level: Level, why: str, source: str, *, seconds: float = 0.0) -> Judged:
    """Return the judgement of a reading that did not come about."""
    return Judged(level, why, None, source, time.time(), seconds)
