# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Where things stand in the timeline of a run. Lengths are in user units of an SVG drawing, times in seconds."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from .history import GOOD, WORDS, Run, Step

WIDTH = 1120.0
_CHARACTER = 0.6  # width of an average character, as a share of the font size
_LONGEST_LABEL = 34  # characters of a name before it is cut
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
    """``label``: what fits into it. ``text``: all that can be said about it."""

    x: float
    width: float
    step: Step
    label: str
    text: str


@dataclasses.dataclass(frozen=True)
class Lane:
    """The lane of a site with its upper edge ``y``; ``text`` stands behind the last bar, from ``end`` on."""

    label: str
    y: float
    bars: list[Bar]
    end: float
    word: str
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
    left: float
    font: float
    width: float = WIDTH
    top: float = _TOP

    @property
    def bottom(self) -> float:
        return self.height - _BOTTOM

    @property
    def right(self) -> float:
        return self.width - _RIGHT


def draw(run: Run, steps: t.Sequence[Step]) -> Timeline:
    """Lay out the steps of ``run``."""
    by_site: dict[str, list[Step]] = {}
    for step in steps:
        if step.run is run:
            by_site.setdefault(step.site, []).append(step)
    lane_height = next((height for most, height in _HEIGHTS if len(by_site) <= most), _LOWEST)
    span = max((step.finish for found in by_site.values() for step in found), default=0.0) or 1.0
    interval = next((size for size in _INTERVALS if span / size <= _MOST_TICKS), _INTERVALS[-1])
    font = min(13.0, lane_height - 2.0)
    left = 20.0 + min(_LONGEST_LABEL, max(map(len, by_site), default=0)) * font * _CHARACTER
    scale = (WIDTH - left - _RIGHT) / span
    ticks = [
        Tick(left + number * interval * scale, seconds(number * interval, span))
        for number in range(math.floor(span / interval + 1e-9) + 1)
    ]
    lanes: list[Lane] = []
    for site, found in sorted(by_site.items(), key=lambda entry: (_word(entry[1]) in GOOD, entry[0])):
        bars = [_bar(step, left, scale, font) for step in found]
        y = _TOP + len(lanes) * lane_height
        end = max(drawn.x + drawn.width for drawn in bars) + 6.0
        lanes.append(
            Lane(_cut(site, _LONGEST_LABEL), y, bars, end, _word(found), seconds(max(s.finish for s in found)))
        )
    return Timeline(run, lanes, ticks, lane_height, _TOP + len(lanes) * lane_height + _BOTTOM, left, font)


def seconds(value: float, span: float | None = None) -> str:
    """Say a duration so that it can be read at a glance."""
    longest = value if span is None else span
    if longest >= _MINUTES_FROM:
        return f"{value / 60:.3g} min"
    if longest >= 10:
        return f"{value:.0f} s" if span is not None else f"{value:.1f} s"
    return f"{value:.3g} s" if span is not None else f"{value:.2f} s"


def _bar(step: Step, left: float, scale: float, font: float) -> Bar:
    width = max(_NARROWEST, (step.finish - step.begin) * scale)
    what = " ".join(filter(None, (step.capability, step.wanted))) or step.task
    label = next((text for text in (what, step.capability) if len(text) * font * _CHARACTER < width - 8.0), "")
    text = f"{step.site}: {what}: {step.word}, {seconds(step.begin)} to {seconds(step.finish)}. {step.message}"
    return Bar(left + step.begin * scale, width, step, label if font > 12.0 else "", text.strip())


def _word(steps: t.Sequence[Step]) -> str:
    counting = [step for step in steps if not step.replaced] or steps
    return min((step.word for step in counting), key=WORDS.index)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
