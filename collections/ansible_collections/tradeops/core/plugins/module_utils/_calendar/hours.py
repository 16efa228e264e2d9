# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The hours of a market at one moment: pure functions over its sessions, wherever those come from."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import typing as t
import zoneinfo

from .._common.errors import InputError

Phase = t.Literal["closed", "before", "open", "break", "after"]
Days = t.Mapping[dt.date, dt.time]


@dataclasses.dataclass(frozen=True)
class Session:
    """One trading day. ``opens`` may lie on the day before ``day``, as in futures. Times are UTC."""

    day: dt.date
    opens: dt.datetime
    closes: dt.datetime
    early: bool = False
    pause: tuple[dt.datetime, dt.datetime] | None = None

    def is_open(self, at: dt.datetime) -> bool:
        return self.opens <= at < self.closes and not self.is_pausing(at)

    def is_pausing(self, at: dt.datetime) -> bool:
        return self.pause is not None and self.pause[0] <= at < self.pause[1]


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the desk adds to the calendar of the exchange; times are local.

    :ivar hours: when the desk trades, inside the hours of the exchange. From later to earlier begins the day before.
    :ivar holidays: days on which it does not trade, with or without the exchange.
    :ivar opens: days on which it begins at another time; ``closes``: days on which it ends earlier.
    """

    zone: dt.tzinfo
    hours: tuple[dt.time, dt.time] | None = None
    holidays: t.Collection[dt.date] = ()
    opens: Days = dataclasses.field(default_factory=dict)
    closes: Days = dataclasses.field(default_factory=dict)

    def apply(self, sessions: t.Iterable[Session]) -> list[Session]:
        """Return the sessions as the desk has them; one of which nothing is left is none."""
        kept = [self._of(session) for session in sessions if session.day not in self.holidays]
        return [session for session in kept if session.opens < session.closes]

    def _of(self, session: Session) -> Session:
        opens, closes = session.opens, session.closes
        if self.hours:
            overnight = self.hours[0] >= self.hours[1]
            first_day = session.day - dt.timedelta(days=1) if overnight else session.day
            opens = max(opens, self._moment(first_day, self.hours[0]))
            closes = min(closes, self._moment(session.day, self.hours[1]))
        if session.day in self.opens:
            opens = self._moment(session.day, self.opens[session.day])
        usual = closes
        if session.day in self.closes:
            closes = self._moment(session.day, self.closes[session.day])
        # Where the desk ends before the exchange anyway, an early close of the exchange may change nothing.
        cut = session.early and (self.hours is None or closes == session.closes)
        return dataclasses.replace(session, opens=opens, closes=closes, early=cut or closes < usual)

    def _moment(self, day: dt.date, time: dt.time) -> dt.datetime:
        return dt.datetime.combine(day, time, self.zone).astimezone(dt.UTC)


def describe(sessions: t.Sequence[Session], at: dt.datetime, zone: dt.tzinfo) -> dict[str, t.Any]:
    """Return what holds at ``at``. ``sessions`` are in their order and reach some days before and after it."""
    here = at.astimezone(zone)
    running = next((session for session in sessions if session.opens <= at < session.closes), None)
    today = next((session for session in sessions if session.day == here.date()), None)
    following = next((session for session in sessions if session.opens > at), None)
    # A session that began the evening before is the one that is meant while it goes on.
    meant = running or today
    day = meant.day if meant else here.date()
    phase = _phase(running, today, at)
    shown = meant if phase != "closed" else None
    next_opens = running.pause[1] if running and running.pause and phase == "break" else None
    if next_opens is None and following and phase != "open":
        next_opens = following.opens
    return {
        "at": _local(at, zone),
        "day": day.isoformat(),
        "session": meant is not None,
        "open": phase == "open",
        "phase": phase,
        "opens_at": _local(shown.opens, zone) if shown else None,
        "closes_at": _local(shown.closes, zone) if shown else None,
        "early_close": bool(shown and shown.early),
        "minutes_to_open": None if next_opens is None else _minutes(next_opens - at),
        "minutes_to_close": _minutes(running.closes - at) if running else None,
        "minutes_since_close": _minutes(at - shown.closes) if shown and phase == "after" else None,
        "next_open": _local(next_opens, zone) if next_opens else None,
        "previous_session": _day([session for session in sessions if session.day < day][-1:]),
        "next_session": _day([session for session in sessions if session.day > day][:1]),
    }


def sentence(found: t.Mapping[str, t.Any], calendar: str) -> str:
    """Say it in one line, for people."""
    said = {
        "open": f"open until {found['closes_at']}",
        "break": f"in its break, open again at {found['next_open']}",
        "before": f"opens at {found['opens_at']}",
        "after": f"closed since {found['closes_at']}",
        "closed": f"{found['day']} is no trading day",
    }[found["phase"]]
    early = ", an early close" if found["early_close"] else ""
    return f"{calendar} at {found['at']}: {said}{early}; the next session is {found['next_session'] or 'not known'}"


def _phase(running: Session | None, today: Session | None, at: dt.datetime) -> Phase:
    if running:
        return "break" if running.is_pausing(at) else "open"
    if today is None:
        return "closed"
    return "before" if at < today.opens else "after"


def _minutes(span: dt.timedelta) -> float:
    return round(span.total_seconds() / 60, 1)


def _local(moment: dt.datetime, zone: dt.tzinfo) -> str:
    return moment.astimezone(zone).isoformat(timespec="seconds")


def _day(sessions: t.Sequence[Session]) -> str | None:
    return sessions[0].day.isoformat() if sessions else None


# -- what people write -------------------------------------------------------------------------------------------------


def zone_of(name: str) -> dt.tzinfo:
    """Return a time zone by its IANA name. Raises InputError with names that are near."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(name, zoneinfo.available_timezones())
        raise InputError(
            f"timezone: there is no time zone {name!r}{near}. Use a name such as America/New_York."
        ) from None


def moment_of(text: str, zone: dt.tzinfo) -> dt.datetime:
    """Return a moment that somebody wrote, in UTC; without an offset it is local time. Raises InputError."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"at: {text!r} is no moment. Write it such as 2026-11-27T12:30 or 2026-11-27T17:30Z."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(dt.UTC)


def day_of(text: t.Any, option: str) -> dt.date:
    """Return a day. Raises InputError."""
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError:
        raise InputError(f"{option}: {text!r} is no day. Write it such as 2026-12-24.") from None


def time_of(text: t.Any, option: str) -> dt.time:
    """Return a time of the day. Raises InputError."""
    try:
        return dt.time.fromisoformat(str(text))
    except ValueError:
        # YAML 1.1 reads 13:00 without quotes as a number of minutes.
        raise InputError(f'{option}: {text!r} is no time of the day. Write it in quotes, such as "13:00".') from None


def nearest(name: str, known: t.Iterable[str]) -> str:
    """Return the names among ``known`` that are near to ``name``, to add to a message."""
    wanted = name.casefold()
    by_fold = {item.casefold(): item for item in known}
    found = difflib.get_close_matches(wanted, by_fold, n=3, cutoff=0.5)
    return f" (near to it: {', '.join(by_fold[item] for item in found)})" if found else ""
