# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the module market_calendar takes and returns."""

from __future__ import annotations

import datetime as dt
import typing as t

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError
from .exchanges import sessions
from .hours import Days, Rules, Session, day_of, describe, moment_of, sentence, time_of, zone_of

SPEC = ArgumentSpec(
    {
        "calendar": {"type": "str", "required": True},
        "timezone": {"type": "str"},
        "at": {"type": "str"},
        "hours": {
            "type": "dict",
            "options": {"opens": {"type": "str", "required": True}, "closes": {"type": "str", "required": True}},
        },
        "holidays": {"type": "list", "elements": "str", "default": []},
        "special_opens": {"type": "dict", "default": {}},
        "special_closes": {"type": "dict", "default": {}},
    }
)

Source = t.Callable[[str, dt.datetime], tuple[list[Session], str]]


def look(given: t.Mapping[str, t.Any], now: dt.datetime, source: Source = sessions) -> dict[str, t.Any]:
    """Return the result of the module. ``now`` is the moment when none is given. Raises InputError."""
    zone = zone_of(given["timezone"]) if given["timezone"] else None
    at = moment_of(given["at"], zone or dt.UTC) if given["at"] else now
    found, own_zone = source(given["calendar"], at)
    if zone is None:
        zone = zone_of(own_zone)
        at = moment_of(given["at"], zone) if given["at"] else now
    rules = _rules(given, zone)
    _check_days(given["calendar"], found, rules)
    seen = describe(rules.apply(found), at, zone)
    said = sentence(seen, given["calendar"])
    return {
        "changed": False,
        "calendar": given["calendar"],
        "timezone": given["timezone"] or own_zone,
        **seen,
        "msg": said,
    }


def _rules(given: t.Mapping[str, t.Any], zone: dt.tzinfo) -> Rules:
    hours = given["hours"]
    return Rules(
        zone=zone,
        hours=(time_of(hours["opens"], "hours.opens"), time_of(hours["closes"], "hours.closes")) if hours else None,
        holidays=frozenset(day_of(day, "holidays") for day in given["holidays"]),
        opens=_days(given, "special_opens"),
        closes=_days(given, "special_closes"),
    )


def _days(given: t.Mapping[str, t.Any], option: str) -> Days:
    return {day_of(day, option): time_of(time, option) for day, time in given[option].items()}


def _check_days(calendar: str, found: t.Sequence[Session], rules: Rules) -> None:
    """A special time for a day without a session is a slip of somebody's pen, and would be lost without a word."""
    if not found:
        return
    days = {session.day for session in found}
    for option, special in (("special_opens", rules.opens), ("special_closes", rules.closes)):
        for day in special:
            if found[0].day <= day <= found[-1].day and day not in days:
                raise InputError(f"{option}: {day} is no session of {calendar}. Take it out, or correct the day.")
