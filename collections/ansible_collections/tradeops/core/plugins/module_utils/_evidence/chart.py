# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The readings of a check over time as a small drawing. Lengths are in user units of an SVG drawing."""

from __future__ import annotations

import dataclasses
import typing as t

from .history import Step

WIDTH = 560.0
HEIGHT = 120.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 8.0, 86.0, 10.0, 18.0


@dataclasses.dataclass(frozen=True)
class Limit:
    y: float
    text: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """``line``: the points of a polyline. ``limits``: the thresholds that lie in the picture."""

    name: str
    line: str
    limits: list[Limit]
    low: str
    high: str
    span: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def charts(step: Step) -> list[Chart]:
    """Return a drawing of each check of a watch whose value changed; those that stood still need none."""
    series = step.mapping("after").get("series")
    found = series.items() if isinstance(series, dict) else ()
    drawn = (_chart(name, entry) for name, entry in found if isinstance(entry, dict))
    return [chart for chart in drawn if chart]


def _chart(name: str, entry: dict[str, t.Any]) -> Chart | None:
    points = [(float(at), float(value)) for at, value in entry.get("points", [])]
    values = [value for _at, value in points]
    if len(points) < 2 or min(values) == max(values):
        return None
    # A threshold far away from all readings would press them into a line.
    reach = max(values) + (max(values) - min(values)) * 2
    limits = [float(limit) for limit in entry.get("limits", []) if min(values) <= float(limit) <= reach]
    low, high = min(values), max([*values, *limits])
    span = points[-1][0] - points[0][0] or 1.0
    inner = (WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM)

    def y(value: float) -> float:
        return round(_TOP + inner[1] * (1 - (value - low) / (high - low)), 1)

    line = " ".join(f"{_LEFT + inner[0] * (at - points[0][0]) / span:.1f},{y(value)}" for at, value in points)
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    drawn = [Limit(y(limit), f"{limit:g}{unit}") for limit in limits]
    return Chart(name, line, drawn, f"{min(values):g}{unit}", f"{max(values):g}{unit}", f"{span:.0f} s")
