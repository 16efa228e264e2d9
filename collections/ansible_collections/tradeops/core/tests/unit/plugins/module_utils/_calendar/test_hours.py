# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hours of a market: holidays, early closes, breaks, daylight saving, evenings before, and what a desk adds."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._calendar import exchanges
from ansible_collections.tradeops.core.plugins.module_utils._calendar.door import SPEC, look
from ansible_collections.tradeops.core.plugins.module_utils._calendar.hours import Session
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError

NOW = dt.datetime(2026, 11, 25, 15, 0, tzinfo=dt.UTC)
DESK = {"calendar": "CMES", "timezone": "America/New_York", "hours": {"opens": "08:00", "closes": "16:00"}}
Facts = dict[str, t.Any]


def seen(at: str | None = None, **options: t.Any) -> Facts:
    return look(SPEC.validate("site", {"calendar": "XNYS", "at": at, **options}), NOW)


def some(facts: Facts, **wanted: t.Any) -> bool:
    assert {key: facts[key] for key in wanted} == wanted, facts["msg"]
    return True


@pytest.mark.parametrize(
    ("at", "phase", "open_in", "close_in", "since"),
    [
        ("2026-11-25T08:30", "before", 60, None, None),
        ("2026-11-25T09:30", "open", None, 390, None),
        ("2026-11-25T15:59", "open", None, 1, None),
        ("2026-11-25T16:00", "after", 41 * 60 + 30, None, 0),  # Thanksgiving is in between
        ("2026-11-26T12:00", "closed", 21 * 60 + 30, None, None),
        ("2026-11-28T12:00", "closed", 45 * 60 + 30, None, None),
    ],
)
def test_phases_of_a_day(
    at: str, phase: str, open_in: float | None, close_in: float | None, since: float | None
) -> None:
    facts = seen(at)
    assert some(facts, phase=phase, minutes_to_open=open_in, minutes_to_close=close_in, minutes_since_close=since)
    assert facts["open"] is (phase == "open")
    assert facts["session"] is (phase != "closed")


def test_an_early_close_and_the_sessions_around_a_holiday() -> None:
    facts = seen("2026-11-27T12:30")
    assert some(facts, early_close=True, minutes_to_close=30, closes_at="2026-11-27T13:00:00-05:00")
    assert some(facts, previous_session="2026-11-25", next_session="2026-11-30", day="2026-11-27")
    assert "an early close" in facts["msg"]
    assert some(seen("2026-11-26T12:00"), session=False, next_open="2026-11-27T09:30:00-05:00", opens_at=None)


def test_daylight_saving_is_that_of_the_zone() -> None:
    assert seen("2026-10-30T12:00")["opens_at"] == "2026-10-30T09:30:00-04:00"
    assert seen("2026-11-02T12:00")["opens_at"] == "2026-11-02T09:30:00-05:00"
    assert some(seen("2026-11-02T14:00Z", timezone="Europe/Berlin"), phase="before", at="2026-11-02T15:00:00+01:00")


def test_a_session_that_began_the_evening_before_is_the_one_that_is_meant() -> None:
    facts = seen("2026-11-24T19:00", calendar="CMES")
    assert some(facts, phase="open", day="2026-11-25", opens_at="2026-11-24T17:00:00-06:00", session=True)
    assert facts["previous_session"] == "2026-11-24"


def test_the_hours_of_the_desk_lie_inside_those_of_the_exchange() -> None:
    assert some(seen("2026-11-25T07:00", **DESK), phase="before", minutes_to_open=60, early_close=False)
    assert some(seen("2026-11-25T16:30", **DESK), phase="after", minutes_since_close=30)
    # On Thanksgiving the exchange closes at noon in Chicago.
    assert some(seen("2026-11-26T07:00", **DESK), closes_at="2026-11-26T13:00:00-05:00", early_close=True)
    evening = DESK | {"hours": {"opens": "19:00", "closes": "16:00"}}
    assert some(seen("2026-11-24T20:00", **evening), phase="open", day="2026-11-25")


def test_an_early_close_that_the_desk_does_not_feel_is_none() -> None:
    morning = DESK | {"hours": {"opens": "08:00", "closes": "12:00"}}
    assert some(seen("2026-11-27T09:00", **morning), early_close=False, closes_at="2026-11-27T12:00:00-05:00")


def test_days_of_ones_own() -> None:
    own = {
        "holidays": ["2026-11-25"],
        "special_closes": {"2026-11-24": "12:00"},
        "special_opens": {"2026-11-23": "11:00"},
    }
    assert some(seen("2026-11-25T10:00", **own), session=False, phase="closed", previous_session="2026-11-24")
    assert some(seen("2026-11-24T12:30", **own), phase="after", early_close=True)
    assert some(seen("2026-11-23T10:00", **own), phase="before", minutes_to_open=60)


def test_a_market_that_never_closes() -> None:
    facts = seen("2026-11-28T03:00", calendar="24/7")
    assert some(facts, phase="open", session=True, early_close=False, minutes_to_open=None, day="2026-11-28")


def test_a_break_is_not_open() -> None:
    facts = seen("2026-11-25T12:15", calendar="XHKG")
    assert some(facts, phase="break", open=False, minutes_to_open=45, minutes_to_close=225)


def test_without_a_moment_it_is_now() -> None:
    assert seen()["at"] == "2026-11-25T10:00:00-05:00"


def test_holidays_that_are_known_for_this_year_only() -> None:
    """The library refuses to say more than it knows, and next_session is then not known."""
    facts = look(SPEC.validate("site", {"calendar": "X", "at": "2026-12-31T12:00Z"}), NOW, ends_with_the_year)
    assert some(facts, session=True, next_session=None, next_open=None)
    assert "not known" in facts["msg"]


def ends_with_the_year(_name: str, _around: dt.datetime) -> tuple[list[Session], str]:
    day = dt.date(2026, 12, 31)
    opens = dt.datetime(2026, 12, 31, 8, tzinfo=dt.UTC)
    return [Session(day, opens, opens + dt.timedelta(hours=8))], "UTC"


def test_the_library_is_asked_for_less_when_it_knows_less() -> None:
    found, zone = exchanges.sessions("XSHG", dt.datetime(2026, 12, 20, tzinfo=dt.UTC))
    assert zone == "Asia/Shanghai"
    assert found[-1].day <= dt.date(2027, 1, 15)
    with pytest.raises(InputError, match="XSHG cannot be read for 2126-12-20"):
        exchanges.sessions("XSHG", dt.datetime(2126, 12, 20, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"calendar": "XNYZ"}, r"no calendar 'XNYZ' \(near to it: .*XNYS"),
        ({"timezone": "America/New_Yorc"}, r"no time zone 'America/New_Yorc' \(near to it: America/New_York"),
        ({"timezone": "../etc"}, "no time zone"),
        ({"at": "today"}, "at: 'today' is no moment"),
        ({"holidays": ["24.12.2026"]}, "holidays: '24.12.2026' is no day"),
        ({"special_closes": {"2026-11-25": 780}}, "special_closes: 780 is no time of the day. Write it in quotes"),
        ({"special_closes": {"2026-11-28": "13:00"}}, "special_closes: 2026-11-28 is no session of XNYS"),
        ({"hours": {"opens": "08:00", "closes": "25:00"}}, "hours.closes: '25:00' is no time of the day"),
        ({"hours": {"opens": "08:00"}}, "closes"),
        ({"hour": {}}, "hour"),
    ],
)
def test_what_cannot_be_right_is_one_message(options: Facts, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        seen(**options)
    assert "\n" not in str(caught.value)


def test_pandas_stays_out_of_everything_else() -> None:
    program = (
        "import sys; import ansible_collections.tradeops.core.plugins.module_utils._calendar.door;"
        "sys.exit('pandas' in sys.modules or 'exchange_calendars' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )
