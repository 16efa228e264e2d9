# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When windows are: days of a month, time zones, and the two days a year on which the clocks move."""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._maintenance.windows import occurrence, parse

NEW_YORK = {"day": "sunday", "at": "02:00", "zone": "America/New_York", "minutes": 120}
UTC = {"day": "sunday", "at": "02:00", "minutes": 120}


def when(window: dict[str, t.Any], moment: str) -> tuple[str, str, bool]:
    """Begin and end of the window that holds the moment or is the next, and whether it holds it."""
    now = dt.datetime.fromisoformat(moment)
    found = occurrence(parse("site", "w", {"w": window}), now)
    return f"{found.begins:%m-%d %H:%M}", f"{found.ends:%m-%d %H:%M}", found.holds(now)


@pytest.mark.parametrize(
    ("window", "moment", "begins", "ends", "holds"),
    [
        (UTC, "2026-11-29T01:59:59+00:00", "11-29 02:00", "11-29 04:00", False),
        (UTC, "2026-11-29T02:00:00+00:00", "11-29 02:00", "11-29 04:00", True),
        (UTC, "2026-11-29T03:59:59+00:00", "11-29 02:00", "11-29 04:00", True),
        (UTC, "2026-11-29T04:00:00+00:00", "12-06 02:00", "12-06 04:00", False),
        # Winter and summer: the same local time, another hour of UTC.
        (NEW_YORK, "2026-01-18T07:30:00+00:00", "01-18 07:00", "01-18 09:00", True),
        (NEW_YORK, "2026-07-19T06:30:00+00:00", "07-19 06:00", "07-19 08:00", True),
        (NEW_YORK, "2026-07-19T08:30:00+00:00", "07-26 06:00", "07-26 08:00", False),
        # 2026-03-08: 02:00 does not exist in New York; it is the moment at which the clocks show 03:00.
        (NEW_YORK, "2026-03-08T06:59:59+00:00", "03-08 07:00", "03-08 09:00", False),
        (NEW_YORK, "2026-03-08T07:00:00+00:00", "03-08 07:00", "03-08 09:00", True),
        # 2026-11-01: 01:30 comes twice; the first is meant. The window stays as long as it is said to be.
        ({**NEW_YORK, "at": "01:30"}, "2026-11-01T05:30:00+00:00", "11-01 05:30", "11-01 07:30", True),
        ({**NEW_YORK, "at": "01:30"}, "2026-11-01T07:29:00+00:00", "11-01 05:30", "11-01 07:30", True),
        # The operator's own time zone does not matter.
        (UTC, "2026-11-29T04:30:00+02:00", "11-29 02:00", "11-29 04:00", True),
        # A window that begins on the day before in UTC.
        ({**UTC, "zone": "Asia/Tokyo"}, "2026-11-28T17:30:00+00:00", "11-28 17:00", "11-28 19:00", True),
        # Over midnight.
        ({**UTC, "at": "23:30"}, "2026-11-30T00:30:00+00:00", "11-29 23:30", "11-30 01:30", True),
        ({**UTC, "nth": 1}, "2026-11-25T00:00:00+00:00", "12-06 02:00", "12-06 04:00", False),
        ({**UTC, "nth": 1}, "2026-11-01T02:30:00+00:00", "11-01 02:00", "11-01 04:00", True),
        ({**UTC, "nth": 4}, "2026-11-20T00:00:00+00:00", "11-22 02:00", "11-22 04:00", False),
        ({"any_time": True, "minutes": 60}, "2026-11-25T10:00:00+00:00", "11-25 10:00", "11-25 11:00", True),
    ],
)  # fmt: skip
def test_the_window_of_a_moment(window: dict[str, t.Any], moment: str, begins: str, ends: str, holds: bool) -> None:
    assert when(window, moment) == (begins, ends, holds)


@pytest.mark.parametrize(
    ("windows", "text"),
    [
        ({}, "maintenance_window_name is 'w'; maintenance_windows has none"),
        ({"week": UTC, "ww": UTC}, "did you mean ww?"),
        ({"w": {**UTC, "zone": "America/New_Yorck"}}, "zone is 'America/New_Yorck'; did you mean America/New_York?"),
        ({"w": {**UTC, "zone": "EST5EDTX/.."}}, "zone is"),
        ({"w": {**UTC, "at": 120}}, "at is '120'; give hours and minutes in quotes"),
        ({"w": {**UTC, "at": "25:00"}}, "at is '25:00'"),
        ({"w": {**UTC, "minutes": 0}}, "minutes is 0; give more than 0"),
        ({"w": {**UTC, "day": "sundey"}}, "value of day must be one of"),
        ({"w": {"minutes": 5}}, "any_time is False but all of the following are missing: day, at"),
        ({"w": {**UTC, "any_time": True}}, "parameters are mutually exclusive"),
        ({"w": {**UTC, "boddy": []}}, "boddy"),
        ({"w": "sunday"}, "is 'sunday'; give a mapping"),
    ],
)
def test_what_cannot_be_a_window_is_one_message(windows: dict[str, t.Any], text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse("site-1", "w", windows)
    assert text in str(raised.value)
    assert str(raised.value).startswith("site-1: ")
