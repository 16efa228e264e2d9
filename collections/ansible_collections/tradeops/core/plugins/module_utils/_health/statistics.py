# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What many readings of one check amount to. Pure functions."""

from __future__ import annotations

import dataclasses
import math
import statistics
import typing as t

_MOST_POINTS = 200


@dataclasses.dataclass(frozen=True)
class Statistics:
    """``count``: readings with a value. ``unread``: those without. ``violations``: those that did not pass."""

    count: int
    unread: int
    violations: int
    mean: float
    median: float
    p95: float
    p99: float
    smallest: float
    largest: float


def summarise(values: t.Sequence[float], *, unread: int, violations: int) -> Statistics | None:
    """Return what some values amount to, None of no value."""
    if not values:
        return None
    ordered = sorted(values)
    figures = (
        statistics.fmean(ordered),
        statistics.median(ordered),
        percentile(ordered, 95),
        percentile(ordered, 99),
        ordered[0],
        ordered[-1],
    )
    return Statistics(len(ordered), unread, violations, *(round(figure, 4) for figure in figures))


def percentile(ordered: t.Sequence[float], percent: float) -> float:
    """Return the smallest of some ordered values that is not exceeded by ``percent`` of them: one that was measured."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def thinned(points: t.Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most so many points as can be drawn; of those that fall together the highest stands."""
    step = math.ceil(len(points) / _MOST_POINTS) or 1
    return [max(points[start : start + step], key=lambda point: point[1]) for start in range(0, len(points), step)]
