# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The sessions of the world's exchanges, from exchange_calendars. Its pandas is imported only when it is asked."""

from __future__ import annotations

import datetime as dt
import importlib
import typing as t

from .._common.errors import InputError
from .hours import Session, nearest

# Some exchanges close for more than a week at a stretch.
_AROUND = dt.timedelta(days=25)


def sessions(name: str, around: dt.datetime) -> tuple[list[Session], str]:
    """Return the sessions of a calendar some weeks before and after a moment, and its time zone. Raises InputError."""
    library = _library()
    first = (around - _AROUND).date().isoformat()
    # What is known of holidays may end with this year: then its end has to do, and what comes after is not known.
    problem = ""
    for last in ((around + _AROUND).date(), dt.date(around.year, 12, 31)):
        try:
            calendar = library.get_calendar(name, start=first, end=last.isoformat())
        except library.errors.InvalidCalendarName:
            known = library.get_calendar_names(include_aliases=True)
            raise InputError(
                f"calendar: there is no calendar {name!r}{nearest(name, known)}. Take the code of the exchange, such "
                f"as XNYS or CMES, or 24/7; there are {len(known)}."
            ) from None
        except (ValueError, library.errors.CalendarError) as exc:
            problem = " ".join(str(exc).split())
            continue
        return _read(calendar), str(calendar.tz)
    raise InputError(f"calendar: {name} cannot be read for {around:%Y-%m-%d}: {problem}")


def _library() -> t.Any:
    try:
        return importlib.import_module("exchange_calendars")
    except ImportError:
        raise InputError(
            "calendar: the Python package exchange_calendars is not installed on the controller. Install it as "
            "requirements.txt says."
        ) from None


def _read(calendar: t.Any) -> list[Session]:
    early = {stamp.date() for stamp in calendar.early_closes}
    return [
        Session(
            day=row.Index.date(),
            opens=row.open.to_pydatetime(),
            closes=row.close.to_pydatetime(),
            early=row.Index.date() in early,
            # NaT, which stands for no break, is not equal to itself.
            pause=(row.break_start.to_pydatetime(), row.break_end.to_pydatetime())
            if row.break_start == row.break_start
            else None,
        )
        for row in calendar.schedule.itertuples()
    ]
