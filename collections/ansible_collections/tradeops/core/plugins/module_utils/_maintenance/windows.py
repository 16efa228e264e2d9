# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""When a maintenance window is: pure functions of its description and a moment."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import re
import typing as t
import zoneinfo

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TRADING = ("halted", "flat", "as_is")
# Days in which every kind of window comes round.
_FAR = 70

WINDOW = ArgumentSpec(
    {
        "day": {"type": "str", "choices": list(DAYS)},
        "nth": {"type": "int", "choices": [1, 2, 3, 4]},
        "at": {"type": "str"},
        "zone": {"type": "str", "default": "UTC"},
        "any_time": {"type": "bool", "default": False},
        "minutes": {"type": "float", "required": True},
        "trading": {"type": "str", "choices": list(TRADING), "default": "halted"},
        "health": {"type": "bool", "default": True},
        "watch_minutes": {"type": "float", "default": 0.0},
        "body": {"type": "list", "elements": "str", "default": []},
        "change": {"type": "str"},
        "approval": {"type": "bool", "default": False},
        "review_hours": {"type": "float", "default": 0.0},
    },
    mutually_exclusive=(("day", "any_time"), ("at", "any_time")),
    required_if=(("any_time", False, ("day", "at")),),
)


@dataclasses.dataclass(frozen=True)
class Window:
    """One kind of window. ``nth``: only the nth such day of a month. ``trading``: what becomes of trading meanwhile.

    ``change``: the prefix of the id that a run has as a change, where it is one.
    """

    name: str
    day: str | None
    nth: int | None
    at: str | None
    zone: str
    any_time: bool
    minutes: float
    trading: str
    health: bool
    watch_minutes: float
    body: list[str]
    change: str | None
    approval: bool
    review_hours: float

    @property
    def length(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.minutes)

    def __str__(self) -> str:
        if self.any_time:
            return f"{self.name} (at any time, {self.minutes:g} minutes)"
        which = {None: "every", 1: "the first", 2: "the second", 3: "the third", 4: "the fourth"}[self.nth]
        return f"{self.name} ({which} {str(self.day).capitalize()} {self.at} {self.zone}, {self.minutes:g} minutes)"


class Occurrence(t.NamedTuple):
    """One window in time, in UTC."""

    begins: dt.datetime
    ends: dt.datetime

    def holds(self, moment: dt.datetime) -> bool:
        return self.begins <= moment < self.ends


def parse(site: str, name: str, windows: t.Mapping[str, t.Any]) -> Window:
    """Return the window called ``name``. Raises InputError."""
    if name not in windows:
        close = difflib.get_close_matches(name, windows, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        known = ", ".join(sorted(windows)) or "none"
        raise InputError(
            f"{site}: maintenance_window_name is {name!r}{hint}; maintenance_windows has {known}. Nothing was sent."
        )
    where = f"{site}: maintenance_windows.{name}"
    if not isinstance(windows[name], dict):
        raise InputError(f"{where} is {windows[name]!r}; give a mapping with day, at and minutes. Nothing was sent.")
    given = WINDOW.validate(where, windows[name])
    unknown = set(windows[name]) - set(WINDOW.options)
    window = Window(name=name, **{key: given[key] for key in WINDOW.options if key not in unknown})
    if not 0 < window.minutes <= 1440:
        raise InputError(
            f"{where}: minutes is {window.minutes:g}; give more than 0 and at most 1440. Nothing was sent."
        )
    if not window.any_time:
        _clock(where, window)
        _zone(where, window)
    return window


def occurrence(window: Window, moment: dt.datetime) -> Occurrence:
    """Return the window that holds ``moment``, else the next one. A window of any time begins now."""
    if window.any_time:
        return Occurrence(moment, moment + window.length)
    zone, time = _zone(window.name, window), _clock(window.name, window)
    today = moment.astimezone(zone).date()
    for days in range(-2, _FAR):
        date = today + dt.timedelta(days=days)
        if DAYS[date.weekday()] != window.day or (window.nth and (date.day - 1) // 7 + 1 != window.nth):
            continue
        # A time that the clocks leave out (02:00 on the day they go forward) is the moment that would have had it; of
        # one that comes twice it is the first.
        begins = dt.datetime.combine(date, time, zone).astimezone(dt.UTC)
        found = Occurrence(begins, begins + window.length)
        if found.ends > moment:
            return found
    raise InputError(f"{window.name} has no occurrence within {_FAR} days")


def _clock(where: str, window: Window) -> dt.time:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", window.at or ""):
        raise InputError(
            f"{where}: at is {window.at!r}; give hours and minutes in quotes, such as '02:00'. Nothing was sent."
        )
    return dt.time.fromisoformat(str(window.at))


def _zone(where: str, window: Window) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(window.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = difflib.get_close_matches(window.zone, zoneinfo.available_timezones(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; give one such as America/New_York."
        raise InputError(f"{where}: zone is {window.zone!r}{hint} Nothing was sent.") from None
