# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Where things stand in the timeline of a run. Lengths are in user units of an SVG drawing, times in seconds."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from .history import GOOD, Run, Step

WIDTH = 1120.0
_LABELS = 190.0  # room for the names of the sites
_RIGHT = 92.0  # room for what is said behind the last bar
_TOP = 44.0
_BOTTOM = 26.0
_NARROWEST = 3.0
# (most lanes, height of a lane): many sites get narrow lanes, so that 100 of them are still one picture.
_HEIGHTS = ((12, 28.0), (30, 20.0), (60, 15.0))
_LOWEST = 12.0
_INTERVALS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_MOST_TICKS = 12
_MINUTES_FROM = 600.0


@dataclasses.dataclass(frozen=True)
class Bar:
    x: float
    width: float
    step: Step
    text: str


@dataclasses.dataclass(frozen=True)
class Lane:
    """``y``: its upper edge. ``end``: where the text behind the last bar begins."""

    site: str
    y: float
    bars: list[Bar]
    end: float
    text: str


@dataclasses.dataclass(frozen=True)
class Tick:
    x: float
    text: str


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The drawing of one run: one lane for each site, the decision at ``left``."""

    run: Run
    lanes: list[Lane]
    ticks: list[Tick]
    lane_height: float
    height: float
    width: float = WIDTH
    left: float = _LABELS
    top: float = _TOP

    @property
    def bottom(self) -> float:
        return self.height - _BOTTOM

    @property
    def right(self) -> float:
        return self.width - _RIGHT

    @property
    def font(self) -> float:
        return min(13.0, self.lane_height - 2.0)


def draw(run: Run, steps: t.Sequence[Step]) -> Timeline:
    """Lay out the steps of ``run``."""
    by_site: dict[str, list[Step]] = {}
    for step in steps:
        if step.run is run:
            by_site.setdefault(step.site, []).append(step)
    lane_height = next((height for most, height in _HEIGHTS if len(by_site) <= most), _LOWEST)
    span = max((step.finish for found in by_site.values() for step in found), default=0.0) or 1.0
    interval = next((size for size in _INTERVALS if span / size <= _MOST_TICKS), _INTERVALS[-1])
    scale = (WIDTH - _LABELS - _RIGHT) / span
    ticks = [
        Tick(_LABELS + number * interval * scale, seconds(number * interval, span))
        for number in range(math.floor(span / interval + 1e-9) + 1)
    ]
    ordered = sorted(by_site.items(), key=lambda entry: (all(step.word in GOOD for step in entry[1]), entry[0]))
    lanes = [_lane(site, found, _TOP + index * lane_height, scale) for index, (site, found) in enumerate(ordered)]
    return Timeline(run, lanes, ticks, lane_height, _TOP + len(lanes) * lane_height + _BOTTOM)


def seconds(value: float, span: float | None = None) -> str:
    """Say a duration so that it can be read at a glance."""
    longest = value if span is None else span
    if longest >= _MINUTES_FROM:
        return f"{value / 60:.3g} min"
    if longest >= 10:
        return f"{value:.0f} s" if span is not None else f"{value:.1f} s"
    return f"{value:.3g} s" if span is not None else f"{value:.2f} s"


def _lane(site: str, steps: list[Step], y: float, scale: float) -> Lane:
    bars = []
    for step in steps:
        width = max(_NARROWEST, (step.finish - step.begin) * scale)
        wanted = " ".join(filter(None, (step.capability, step.wanted))) or step.task
        text = f"{site}: {wanted}: {step.word}, {seconds(step.begin)} to {seconds(step.finish)}. {step.message}"
        bars.append(Bar(_LABELS + step.begin * scale, width, step, text.strip()))
    last = max(steps, key=lambda step: step.finish)
    end = max(bar.x + bar.width for bar in bars)
    return Lane(site, y, bars, end + 6.0, seconds(last.finish))
