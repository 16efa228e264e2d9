# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.retention import (
    Decision,
    Duration,
    Subject,
    decide,
    parse,
)
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)


def policy(**rules: t.Any) -> t.Any:
    return parse("here", {"local": {"floor": 1, "at_most": 100, **rules}}, ["local"])["local"]


def at(text: str, **facts: t.Any) -> Subject:
    taken = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    return Subject(facts.pop("id", text), facts.pop("type", "daily"), taken, **facts)


def days(count: int, *, last: str = "2026-11-26", hour: int = 7) -> list[Subject]:
    newest = dt.datetime.fromisoformat(last).replace(hour=hour)
    return [at((newest - dt.timedelta(days=number)).isoformat()) for number in range(count)]


def kept(decisions: list[Decision]) -> list[str]:
    return [one.id for one in decisions if one.keep]


def why(decisions: list[Decision], set_id: str) -> tuple[str, ...]:
    return next(one.reasons for one in decisions if one.id == set_id)


def test_days_without_a_set_do_not_count_and_the_latest_of_a_day_stays() -> None:
    sets = [at(f"2026-11-{day:02}T{hour:02}:00") for day in (1, 2, 10, 20) for hour in (2, 14)]
    found = decide(sets, policy(keep_daily=3), NOW)
    assert kept(found) == ["2026-11-20T14:00", "2026-11-10T14:00", "2026-11-02T14:00"]
    assert why(found, "2026-11-10T14:00") == ("daily set",)
    assert why(found, "2026-11-10T02:00") == ("no rule keeps it",)


def test_rules_are_ored_and_one_set_may_satisfy_several() -> None:
    found = decide(days(60), policy(keep_daily=7, keep_weekly=5), NOW)
    # Thursday 26 November; the week of the seven days and the one before are two of the five.
    assert len(kept(found)) == 7 + 3
    assert kept(found)[7:] == ["2026-11-15T07:00:00", "2026-11-08T07:00:00", "2026-11-01T07:00:00"]
    assert why(found, "2026-11-26T07:00:00") == ("floor of 1", "daily set", "weekly set")
    assert why(found, "2026-11-22T07:00:00") == ("daily set", "weekly set")  # a Sunday


def test_the_oldest_stays_where_fewer_exist_than_asked() -> None:
    found = decide(days(10), policy(keep_monthly=12), NOW)
    assert kept(found) == ["2026-11-26T07:00:00", "2026-11-17T07:00:00"]
    assert why(found, "2026-11-17T07:00:00") == ("oldest monthly set",)


def test_years_months_weeks_and_days_as_the_smc_agent_has_them() -> None:
    found = decide(days(3000), policy(keep_daily=30, keep_weekly=12, keep_monthly=12, keep_yearly=7), NOW)
    told = [reason for one in found if one.keep for reason in one.reasons]
    assert [told.count(f"{name} set") for name in ("daily", "weekly", "monthly", "yearly")] == [30, 12, 12, 7]
    assert kept(found)[-1] == "2020-12-31T07:00:00"


def test_within_is_measured_from_the_latest_set_and_not_from_now() -> None:
    found = decide(days(20, last="2026-06-01"), policy(keep_within="7d"), NOW)
    assert len(kept(found)) == 7
    assert why(found, "2026-05-26T07:00:00") == ("within 7d",)


def test_within_by_bucket() -> None:
    sets = [at(f"2026-11-{day:02}T{hour:02}:00") for day in range(1, 26) for hour in (2, 14)]
    found = decide(sets, policy(keep_within_daily="5d", keep_within="1d"), NOW)
    # Two of the last day; and of each of the five days the latest.
    assert kept(found) == [
        f"2026-11-{day}" for day in ("25T14:00", "25T02:00", "24T14:00", "23T14:00", "22T14:00", "21T14:00")
    ]


def test_hourly_and_last() -> None:
    sets = [at(f"2026-11-26T0{hour}:{minute}") for hour in (1, 2, 3) for minute in ("00", "30")]
    assert kept(decide(sets, policy(keep_hourly=2), NOW)) == ["2026-11-26T03:30", "2026-11-26T02:30"]
    assert len(kept(decide(sets, policy(keep_last=4), NOW))) == 4
    assert len(kept(decide(sets, policy(keep_last=-1), NOW))) == 6


def test_sets_of_different_types_are_never_mixed() -> None:
    sets = [*days(3), *[at(f"2026-11-0{day}", type="manual") for day in (1, 2, 3)]]
    assert kept(decide(sets, policy(keep_last=1), NOW)) == ["2026-11-26T07:00:00", "2026-11-03"]


def test_a_type_may_have_rules_of_its_own() -> None:
    sets = [*days(3), *[at(f"2026-11-0{day}", type="forensic") for day in (1, 2, 3)]]
    found = decide(sets, policy(keep_last=1, types={"forensic": {"keep_within": "7y"}}), NOW)
    assert len(kept(found)) == 4


def test_sets_dated_in_the_future_are_left_alone_and_push_nothing_out() -> None:
    garbage = [at(f"2027-0{month}-01") for month in range(1, 8)]
    found = decide([*garbage, *days(7)], policy(keep_within="7d", keep_weekly=2), NOW)
    assert len(kept(found)) == 14
    assert why(found, "2027-03-01") == ("dated in the future, left alone",)
    assert not any(one.counts for one in found[:7])


def test_a_set_dated_after_the_store_got_it_was_dated_wrongly() -> None:
    bogus = at("2026-11-26T11:00", written=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    found = decide([bogus, *days(3)], policy(keep_last=1), NOW)
    assert kept(found) == ["2026-11-26T11:00", "2026-11-26T07:00:00"]
    assert why(found, "2026-11-26T11:00") == ("dated after the store got it (2026-11-01T00:00:00Z), left alone",)


def test_our_clock_behind_that_of_the_store_refuses_everything() -> None:
    sets = [at("2026-11-01", written=NOW + dt.timedelta(hours=1))]
    with pytest.raises(Unproven, match="our clock says 2026-11-26T12:00:00Z, and the store got 2026-11-01 at"):
        decide(sets, policy(keep_last=1), NOW)


def test_a_run_that_would_remove_most_of_a_type_is_refused() -> None:
    # What a clock that ran ahead has made: one set in a far month, and everything else is out of all rules.
    sets = [at("2026-11-26"), *days(30, last="2026-06-01")]
    with pytest.raises(Unproven, match="30 of 31 good sets of type daily would be removed, more than 50 %"):
        decide(sets, policy(keep_within="7d", at_most=50), NOW)


@pytest.mark.parametrize("flaw", ["not verified", "damaged", "unfinished", "partial"])
def test_what_does_not_count_pushes_no_good_set_out_and_does_not_vanish(flaw: str) -> None:
    bad = [at(f"2026-11-26T0{hour}:00", flaw=flaw) for hour in range(8, 10)]
    found = decide([*bad, *days(5)], policy(keep_last=2), NOW)
    assert kept(found) == ["2026-11-26T09:00", "2026-11-26T08:00", "2026-11-26T07:00:00", "2026-11-25T07:00:00"]
    assert why(found, "2026-11-26T09:00") == (f"counts for nothing ({flaw}); nothing says when such a set may go",)


def test_what_does_not_count_goes_when_it_is_told_so_and_good_ones_are_there() -> None:
    sets = [*days(5), at("2026-11-20", flaw="damaged"), at("2026-10-01", flaw="damaged")]
    rules = {"keep_last": 5, "remove_failed_after": "14d"}
    found = decide(sets, policy(**rules), NOW)
    assert why(found, "2026-11-20") == ("counts for nothing (damaged), within 14d",)
    assert why(found, "2026-10-01") == ("it counts for nothing (damaged), and is older than 14d",)
    assert "2026-10-01" not in kept(found)
    few = decide([sets[0], sets[-1]], policy(**rules, floor=2), NOW)
    assert len(kept(few)) == 2


def test_the_floor_keeps_the_newest_good_ones_whatever_the_rules_say() -> None:
    found = decide(days(6), policy(keep_within="1h", floor=3), NOW)
    assert len(kept(found)) == 3
    assert why(found, "2026-11-24T07:00:00") == ("floor of 3",)


def test_what_is_held_or_being_made_stays() -> None:
    sets = [
        *days(3),
        at("2026-01-01", held="dispute 417, until 2030-01-01"),
        at("2026-01-02", running=True, flaw="unfinished"),
    ]
    found = decide(sets, policy(keep_last=1, remove_failed_after="1d"), NOW)
    assert kept(found) == ["2026-11-26T07:00:00", "2026-01-02", "2026-01-01"]
    assert why(found, "2026-01-01") == ("held: dispute 417, until 2030-01-01",)
    assert why(found, "2026-01-02") == ("it is being made",)


def test_a_tag_keeps_a_set() -> None:
    sets = [*days(3), at("2026-01-01", tag="v2.0.0")]
    assert "2026-01-01" in kept(decide(sets, policy(keep_last=1, keep_tags=["v2.0.0"]), NOW))


def test_parents_follow_what_is_kept_through_every_link_also_across_types() -> None:
    chain = [
        at("2026-11-26", id="third", parent="second"),
        at("2026-11-25", id="second", parent="first"),
        at("2026-11-24", id="first", type="weekly"),
        at("2026-11-25", id="newer", type="weekly"),
        at("2026-11-23", id="alone"),
    ]
    found = decide(chain, policy(keep_last=1), NOW)
    assert kept(found) == ["third", "second", "newer", "first"]
    assert why(found, "first") == ("parent of second",)
    assert why(found, "alone") == ("no rule keeps it",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "has no rules for any store"),
        ({"floor": 2}, "has no rules for any store"),
        ({"local": {}}, "no rule says what to keep"),
        ({"local": {"floor": 3}}, "no rule says what to keep"),
        ({"elsewhere": {"keep_last": 1}}, "'elsewhere' is no store; there are local, s3"),
        ({"local": {"keep_dayly": 1}}, "unknown key.*keep_daily"),
        ({"local": {"keep_daily": -2}}, "-2 is neither a number of sets nor -1"),
        ({"local": {"keep_within": "soon"}}, "'soon' is no duration"),
        ({"local": {"keep_within": "0d"}}, "'0d' is no duration"),
        ({"local": {"keep_last": 1, "floor": 0}}, "0 would let the last set of a type be removed"),
        ({"local": {"keep_last": 1, "types": {"config": {}}}}, "no rule says what to keep"),
        ({"local": 7}, "expected a mapping with rules, found 7"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, t.Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse("here", given, ["local", "s3"])


def test_the_floor_of_all_is_that_of_each() -> None:
    found = parse("here", {"floor": 4, "local": {"keep_last": 1}, "s3": {"keep_last": 1, "floor": 2}}, ["local", "s3"])
    assert (found["local"].floor, found["s3"].floor) == (4, 2)


@pytest.mark.parametrize(
    ("duration", "moment", "before"),
    [
        ("7d", "2026-03-03T05:00", "2026-02-24T05:00"),
        ("1m", "2026-03-31T05:00", "2026-03-03T05:00"),  # there is no 31 February
        ("1y6m", "2026-03-01T05:00", "2024-09-01T05:00"),
        ("36h", "2026-03-03T05:00", "2026-03-01T17:00"),
        ("9999y", "2026-03-03T05:00", "0001-01-01T00:00"),
    ],
)
def test_durations(duration: str, moment: str, before: str) -> None:
    assert Duration.from_text(duration).before(dt.datetime.fromisoformat(moment)).isoformat()[:16] == before
