# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The report of a day: figures against their targets, and against the days before. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError
from .._common.outcome import Object
from .._health.thresholds import Range

SPEC = ArgumentSpec(
    {
        "title": {"type": "str", "required": True},
        "sections": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "title": {"type": "str", "required": True},
                "figures": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": {
                        "metric": {"type": "str", "required": True},
                        "name": {"type": "str", "required": True},
                        "unit": {"type": "str", "default": ""},
                        "target": {"type": "str"},
                        "advice": {"type": "str", "default": ""},
                    },
                },
            },
        },
        "values": {"type": "dict", "required": True},
        "problems": {"type": "dict", "default": {}},
        "day": {"type": "str"},
        "dest": {"type": "path", "required": True},
    }
)
DAYS = 30  # of the past are shown
WIDTH, HEIGHT = 180.0, 34.0  # of a drawing, in pixels

History = t.Mapping[str, t.Sequence[tuple[str, float]]]


def plain(value: float) -> str:
    """Write a number as people do: all of its thousands, at most four decimals."""
    text = f"{value:,.4f}"
    return text.rstrip("0").rstrip(".")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of the day. ``met``: whether it is as its target says, None without a target or a value."""

    metric: str
    name: str
    unit: str
    value: float | None
    target: Range | None
    advice: str
    why: str
    before: tuple[tuple[str, float], ...]

    @property
    def met(self) -> bool | None:
        return None if self.target is None or self.value is None else not self.target.alarms(self.value)

    @property
    def word(self) -> str:
        if self.value is None:
            return "unknown"
        return {True: "met", False: "missed", None: "no target"}[self.met]

    @property
    def wanted(self) -> str:
        return "" if self.target is None else f"not {self.target.meaning()}"

    def to_object(self) -> Object:
        last = self.before[-1][1] if self.before else None
        return Object(self.metric, "figure", last, self.value, self.word, self.why or self.wanted)

    def line(self) -> str:
        """The days before and this one as the points of an SVG polyline; empty with fewer than two."""
        values = [value for _day, value in self.before] + ([] if self.value is None else [self.value])
        if len(values) < 2:
            return ""
        low, high = min(values), max(values)
        span, step = (high - low) or 1.0, WIDTH / (len(values) - 1)
        return " ".join(
            f"{index * step:.1f},{HEIGHT - 3 - (value - low) / span * (HEIGHT - 6):.1f}"
            for index, value in enumerate(values)
        )

    def gauge(self) -> dict[str, float] | None:
        """A bar from 0 to the value with a mark at the bound of the target, in pixels; None where that says nothing."""
        if self.target is None or self.value is None or self.value < 0:
            return None
        bounds = [bound for bound in (self.target.start, self.target.end) if 0 < bound < float("inf")]
        if not bounds:
            return None
        scale = WIDTH / (max(self.value, *bounds) * 1.1)
        return {"value": round(self.value * scale, 1), "mark": round(bounds[-1] * scale, 1)}


@dataclasses.dataclass(frozen=True)
class Report:
    site: str
    title: str
    day: dt.date
    sections: tuple[tuple[str, tuple[Figure, ...]], ...]

    @property
    def figures(self) -> list[Figure]:
        return [figure for _title, figures in self.sections for figure in figures]

    def named(self, word: str) -> list[Figure]:
        return [figure for figure in self.figures if figure.word == word]

    @property
    def text(self) -> str:
        """What it says in one line."""
        judged = len(self.named("met")) + len(self.named("missed"))
        said = [f"{len(self.named('met'))} of {judged} targets met"]
        said += [
            f"{figure.name} {plain(figure.value or 0)}{figure.unit} {figure.wanted}" for figure in self.named("missed")
        ]
        said += [f"{figure.name} is not known: {figure.why}" for figure in self.named("unknown")]
        return "; ".join(said)

    def to_summary(self) -> dict[str, t.Any]:
        """Return the form for machines, which is also what the reports of later days look back on."""
        return {
            "site": self.site,
            "title": self.title,
            "day": self.day.isoformat(),
            "figures": {
                figure.metric: {"name": figure.name, "value": figure.value, "unit": figure.unit, "result": figure.word}
                for figure in self.figures
            },
            "recommendations": [figure.advice for figure in self.named("missed") if figure.advice],
        }


def build(site: str, given: t.Mapping[str, t.Any], day: dt.date, history: History) -> Report:
    """Return the report. Raises InputError for a target that is none."""
    sections = []
    for section in given["sections"]:
        figures = tuple(_figure(site, entry, given, history) for entry in section["figures"])
        sections.append((section["title"], figures))
    return Report(site, given["title"], day, tuple(sections))


def _figure(site: str, entry: t.Mapping[str, t.Any], given: t.Mapping[str, t.Any], history: History) -> Figure:
    metric = entry["metric"]
    value = given["values"].get(metric)
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    why = "" if known else given["problems"].get(f"metrics.{metric}") or f"it is {value!r}, which is no number"
    try:
        target = Range.from_text(entry["target"]) if entry["target"] else None
    except ValueError as exc:
        raise InputError(f"{site}: the target of {metric}: {exc}. Nothing was written.") from None
    return Figure(
        metric=metric,
        name=entry["name"],
        unit=entry["unit"],
        value=float(value) if known else None,
        target=target,
        advice=entry["advice"],
        why=why,
        before=tuple(history.get(metric, ())[-DAYS:]),
    )


def history_of(summaries: t.Iterable[t.Any], day: dt.date) -> History:
    """Return the figures of the days before ``day`` by metric, the oldest first; what is no summary is left out."""
    found: dict[str, list[tuple[str, float]]] = {}
    for summary in sorted((item for item in summaries if _is_summary(item)), key=lambda item: str(item["day"])):
        if summary["day"] >= day.isoformat():
            continue
        for metric, figure in summary["figures"].items():
            value = figure.get("value") if isinstance(figure, dict) else None
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found.setdefault(metric, []).append((summary["day"], float(value)))
    return found


def _is_summary(item: t.Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("day"), str) and isinstance(item.get("figures"), dict)
