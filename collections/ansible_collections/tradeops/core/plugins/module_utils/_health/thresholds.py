# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Thresholds in the syntax of Nagios, and the levels that a reading can have. Pure functions."""

from __future__ import annotations

import math
import re
import typing as t

Level = t.Literal["pass", "warn", "unknown", "fail"]
# From good to bad. What is known to fail is worse than what is not known; neither of them ever passes a gate.
LEVELS: tuple[Level, ...] = ("pass", "warn", "unknown", "fail")
_RANK: dict[str, int] = {level: rank for rank, level in enumerate(LEVELS)}
_RANGE = re.compile(r"(?P<inside>@)?(?:(?P<start>~|[-+]?\d+(?:\.\d+)?)?:)?(?P<end>[-+]?\d+(?:\.\d+)?)?")


def rank(level: str) -> int:
    """Return how bad a level is; 0 is the best."""
    return _RANK[level]


def worst(levels: t.Iterable[Level]) -> Level:
    """Return the worst of some levels, ``pass`` of none."""
    return max(levels, key=rank, default="pass")


class Range(str):
    """``[@]start:end`` of Nagios: values outside raise the alarm, with ``@`` values inside; both ends belong to it.

    ``10`` is 0 to 10, ``10:`` is 10 or more, ``~:10`` is 10 or less.
    """

    start: float
    end: float
    inside: bool

    @classmethod
    def from_text(cls, text: str) -> Range:
        """Read a range. Raises ValueError with a sentence."""
        allowed = "write [@]start:end as in '80', '95:', '~:0' or '@10:20'; outside of it (with @ inside) is the alarm"
        found = _RANGE.fullmatch(text.strip())
        if not found or not re.search(r"\d", text):
            raise ValueError(f"{text!r} is no range; {allowed}")
        result = cls(text.strip())
        start, end = found["start"], found["end"]
        result.start = -math.inf if start == "~" else float(start or 0)
        result.end = math.inf if end is None else float(end)
        result.inside = found["inside"] is not None
        if result.start > result.end:
            raise ValueError(f"{text!r} begins after its end; {allowed}")
        return result

    def alarms(self, value: float) -> bool:
        """Whether a value raises the alarm."""
        return (self.start <= value <= self.end) is self.inside

    def meaning(self) -> str:
        """Say when it raises the alarm."""
        low, high = f"{self.start:g}", f"{self.end:g}"
        if self.inside:
            return f"from {low} to {high}"
        if math.isinf(self.end):
            return f"below {low}"
        return f"above {high}" if math.isinf(self.start) or self.start == 0 else f"below {low} or above {high}"


def judge(value: float, warning: Range | None, critical: Range | None) -> tuple[Level, str]:
    """Return the level of a number, and the threshold that decided it in words (empty: none did)."""
    if critical is not None and critical.alarms(value):
        return "fail", f"critical {critical.meaning()}"
    if warning is not None and warning.alarms(value):
        return "warn", f"warning {warning.meaning()}"
    return "pass", ""
