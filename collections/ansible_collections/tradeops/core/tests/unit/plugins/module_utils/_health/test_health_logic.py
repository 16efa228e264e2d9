# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a number to a level, from levels to one that is believed, and from all of them to a verdict."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._health.checks import (
    Check,
    Group,
    Maintenance,
    Moment,
    parse_checks,
    parse_groups,
    parse_maintenance,
)
from ansible_collections.tradeops.core.plugins.module_utils._health.hysteresis import Retries, flapping, settle
from ansible_collections.tradeops.core.plugins.module_utils._health.reading import Judged, Reading, judged
from ansible_collections.tradeops.core.plugins.module_utils._health.thresholds import LEVELS, Level, Range, judge, worst
from ansible_collections.tradeops.core.plugins.module_utils._health.verdict import Result, compose, maintained

NOW = 1_800_000_000.0
TIME = datetime.datetime(2027, 1, 15, 8, 0, tzinfo=datetime.UTC)


def limit(text: str) -> Range:
    return Range.from_text(text)


# From the guidelines of the Nagios plugins: what raises the alarm for a range, and what does not.
@pytest.mark.parametrize(
    ("text", "alarms", "quiet"),
    [
        ("10", (-0.1, 10.1), (0, 5, 10)),
        ("10:", (9.9, -1), (10, 1e12)),
        (":10", (-0.1, 10.1), (0, 10)),
        ("~:10", (10.1, 1e12), (-1e12, 10)),
        ("10:20", (9.9, 20.1), (10, 20)),
        ("@10:20", (10, 15, 20), (9.9, 20.1)),
        ("-100:", (-100.1,), (-100, 0, 5)),
        ("0.50:", (0.49,), (0.5, 1)),
        ("@~:0", (0, -5), (0.1,)),
    ],
)
def test_a_range_is_what_nagios_makes_of_it(text: str, alarms: tuple[float, ...], quiet: tuple[float, ...]) -> None:
    assert all(limit(text).alarms(value) for value in alarms)
    assert not any(limit(text).alarms(value) for value in quiet)


@pytest.mark.parametrize("text", ["", ":", "~", "@", "a", "10:5", "10::20", "1,5", "~:", "1e3", "@~"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="start:end"):
        limit(text)


def test_critical_goes_before_warning_and_says_so() -> None:
    assert judge(75, limit("70"), limit("90")) == ("warn", "warning above 70")
    assert judge(95, limit("70"), limit("90")) == ("fail", "critical above 90")
    assert judge(94, limit("95:"), limit("90:")) == ("warn", "warning below 95")
    assert judge(50, None, None) == ("pass", "")


def test_what_is_known_to_fail_is_worse_than_what_is_not_known() -> None:
    assert worst(["pass", "unknown", "warn"]) == "unknown"
    assert worst(["unknown", "fail"]) == "fail"
    assert worst([]) == "pass"


@pytest.mark.parametrize(
    ("levels", "believed", "expected"),
    [
        (["pass"], None, None),  # one good reading of two that are needed
        (["pass", "pass"], None, "pass"),
        (["fail", "pass"], None, None),
        (["fail", "fail"], None, "fail"),
        (["fail", "pass", "fail"], None, "fail"),
        (["unknown", "warn", "fail"], None, "unknown"),
        (["pass", "pass", "fail"], "pass", "pass"),  # one bad reading does not count yet
        (["pass", "fail", "fail"], "pass", "fail"),
        (["fail", "fail", "pass"], "fail", "fail"),  # and one good one does not either
        (["fail", "pass", "pass"], "fail", "pass"),
        (["fail", "pass", "warn"], "fail", "warn"),
    ],
)
def test_two_of_three_decide_on_the_way_down_as_on_the_way_up(
    levels: list[Level], believed: Level | None, expected: Level | None
) -> None:
    assert settle(levels, Retries(of=3, bad=2, good=2), believed) == expected


def test_the_way_up_can_be_longer_than_the_way_down() -> None:
    careful = Retries(of=3, bad=1, good=3)
    assert settle(["pass"], careful, None) is None
    assert settle(["pass", "pass", "pass"], careful, None) == "pass"
    assert settle(["fail"], careful, None) == "fail"
    assert settle(["fail", "pass", "pass"], careful, "fail") == "fail"
    assert settle(["fail", "pass", "pass", "pass"], careful, "fail") == "pass"


def test_a_window_that_says_neither_is_taken_for_the_worse() -> None:
    gap = Retries(of=3, bad=3, good=3)
    assert settle(["pass", "fail", "pass"], gap, None) == "fail"
    assert settle(["pass", "fail", "pass"], gap, "pass") == "pass"


@pytest.mark.parametrize("wrong", [{"of": 0}, {"of": 3, "bad": 1, "good": 1}, {"of": 2, "bad": 3}, {"pause": -1}])
def test_retries_that_contradict_themselves_are_refused(wrong: dict[str, t.Any]) -> None:
    with pytest.raises(InputError, match=r"checks\[0\] \(a\): retries"):
        parse_checks("site-1", [{"name": "a", "kind": "tcp", "host": "h", "port": 1, "retries": wrong}])


def test_a_level_that_changes_with_every_reading_flaps() -> None:
    assert flapping(["pass", "fail", "pass", "fail", "pass", "fail"])
    assert not flapping(["pass", "fail", "pass"])
    assert not flapping(["pass", "pass", "pass", "fail", "fail", "fail"])


# -- the schema ---

TCP = {"name": "port", "kind": "tcp", "host": "h", "port": 80}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "tpc", "name": "port"}, r"site-1: checks\[0\] \(port\): kind 'tpc' is not one of http, json"),
        (
            {**TCP, "warnign": "1"},
            r"checks\[0\] \(port\): warnign: unknown key \(did you mean 'warning'\?\); known here:",
        ),
        ({**TCP, "critical": 80}, r"critical: expected a text in quotes, found 80"),
        ({**TCP, "critical": "eighty"}, r"critical: 'eighty' is no range; write \[@\]start:end"),
        ({**TCP, "port": 99999}, r"port: 99999 is no port"),
        ({**TCP, "timeout": 0}, r"timeout: 0 is not more than 0"),
        ({**TCP, "criticality": "urgent"}, r"'urgent' is not one of critical, major, informational"),
        ({**TCP, "name": "a b"}, r"name: 'a b' must be letters"),
        ({"name": "x", "kind": "tcp", "host": "h"}, r"the key 'port' is missing"),
        ({"name": "j", "kind": "json", "value": "a", "path": "/x", "url": "http://h"}, "either a path"),
        ({"name": "j", "kind": "json", "value": "a[", "path": "/x"}, "value: not a JMESPath expression"),
        ({"name": "j", "kind": "json", "value": "a", "url": "http://u:p@h/"}, "url: it must not hold credentials"),
        ({"name": "j", "kind": "json", "value": "a", "path": "/x", "max_age": 5}, "max_age: it needs as_of"),
        ({"name": "p", "kind": "postgresql", "query": "SELECT 1"}, "query: it belongs to read: query"),
        ({"name": "p", "kind": "postgresql", "server": {"hst": "h"}}, "server: unknown key 'hst'"),
        ({"name": "k", "kind": "kubernetes", "workload": "web"}, "'web' is not deployment/"),
        ({"name": "s", "kind": "platform", "read": "state"}, "states: they belong to read: state"),
        ({"name": "l", "kind": "latency", "requests": []}, "requests: at least one request is needed"),
        ({"name": "l", "kind": "latency", "requests": [{"pth": "/"}]}, r"requests\[0\].pth: unknown key"),
        ("port", r"checks\[0\]: kind None is not one of"),
    ],
)
def test_what_is_wrong_with_a_check_is_said_with_site_check_and_key(wrong: t.Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_checks("site-1", [wrong])


def test_names_are_given_once_and_groups_name_checks() -> None:
    checks = parse_checks("site-1", [TCP, {**TCP, "name": "other"}])
    with pytest.raises(InputError, match="another check has this name"):
        parse_checks("site-1", [TCP, TCP])
    group = {"name": "g", "members": ["port", "othr"], "at_least": 1, "degraded": "one"}
    with pytest.raises(InputError, match="members: 'othr' is no check"):
        parse_groups("site-1", [group], checks)
    good = {**group, "members": ["port", "other"]}
    with pytest.raises(InputError, match="'port' is in another group, too"):
        parse_groups("site-1", [good, {**good, "name": "h"}], checks)
    with pytest.raises(InputError, match="at_least: 3 must be 1 to the number of members, 2"):
        parse_groups("site-1", [{**good, "at_least": 3}], checks)


def test_a_maintenance_has_an_owner_and_an_end_with_a_zone() -> None:
    checks = parse_checks("site-1", [TCP])
    with pytest.raises(InputError, match="maintenance: the key 'owner' is missing"):
        parse_maintenance("site-1", {"until": "2027-01-15T09:00:00Z"}, checks)
    with pytest.raises(InputError, match="until: '2027-01-15T09:00:00' has no time zone"):
        parse_maintenance("site-1", {"owner": "maria", "until": "2027-01-15T09:00:00"}, checks)
    with pytest.raises(InputError, match="disk is no check"):
        parse_maintenance("site-1", {"owner": "maria", "until": "2027-01-15T09:00:00Z", "checks": ["disk"]}, checks)
    assert parse_maintenance("site-1", None, checks) is None


# -- readings ---


def check(name: str = "c", **options: t.Any) -> Check:
    return parse_checks("site-1", [{**TCP, "name": name, **options}])[0]


@pytest.mark.parametrize(
    ("reading", "level", "why"),
    [
        (Reading(5.0, "x"), "pass", ""),
        (Reading(75.0, "x"), "warn", "75: warning above 70"),
        (Reading("many", "x"), "unknown", "'many' is no number"),
        (Reading(5.0, "x", taken=NOW - 61), "unknown", "the value is 61 s old, at most 60 s are accepted"),
        (Reading(5.0, "x", taken=NOW + 61), "unknown", "its clock is 61 s ahead of ours"),
        (Reading("x", "x", level="fail", note="it says x"), "fail", "it says x"),
        (Reading("x", "x", taken=NOW - 61, level="pass"), "unknown", "the value is 61 s old"),
    ],
)
def test_what_a_reading_means(reading: Reading, level: str, why: str) -> None:
    found = judged(check(warning="70", critical="90", max_age=60.0, unit=""), reading, now=NOW)
    assert found.level == level
    assert found.why.startswith(why)


# -- the verdict ---


def result(name: str, level: Level, **options: t.Any) -> Result:
    held = bool(options.pop("maintained", False))
    return Result(check(name, **options), level, Judged(level, f"{name} says so", 1.0, "x", NOW), maintained=held)


@pytest.mark.parametrize("level", LEVELS)
def test_the_worst_critical_check_is_the_verdict(level: Level) -> None:
    verdict = compose([result("a", "pass"), result("b", level)], [])
    assert verdict.level == level
    assert verdict.state == {"pass": "healthy", "warn": "degraded", "unknown": "unknown", "fail": "unhealthy"}[level]
    assert verdict.decided_by == (["a", "b"] if level == "pass" else ["b"])
    assert verdict.explain == (["2 of 2 pass"] if level == "pass" else [f"b is {level}: b says so"])


def test_a_major_check_warns_and_names_its_state_and_an_informational_one_is_only_shown() -> None:
    verdict = compose([result("a", "pass"), result("b", "fail", criticality="major", degraded="no-reports")], [])
    assert (verdict.level, verdict.state) == ("warn", "no-reports")
    assert compose([result("a", "pass"), result("b", "fail", criticality="informational")], []).level == "pass"


def test_nothing_that_counts_is_not_good() -> None:
    assert compose([], []).level == "unknown"
    assert compose([result("a", "pass", criticality="informational")], []).level == "unknown"


@pytest.mark.parametrize(
    ("levels", "at_least", "expected", "state"),
    [
        (("pass", "pass", "pass"), 2, "pass", "healthy"),
        (("pass", "warn", "pass"), 2, "warn", "degraded"),
        (("pass", "pass", "fail"), 2, "warn", "one-lost"),
        (("pass", "pass", "unknown"), 2, "warn", "one-lost"),
        (("pass", "unknown", "fail"), 2, "unknown", "unknown"),
        (("pass", "fail", "fail"), 2, "fail", "unhealthy"),
        (("unknown", "unknown", "unknown"), 1, "unknown", "unknown"),
    ],
)
def test_k_of_n(levels: tuple[Level, ...], at_least: int, expected: str, state: str) -> None:
    members = [result(f"m{index}", level) for index, level in enumerate(levels)]
    group = Group(name="g", members=[one.check.name for one in members], at_least=at_least, degraded="one-lost")
    verdict = compose(members, [group])
    assert (verdict.level, verdict.state, verdict.decided_by) == (expected, state, ["g"])


def test_maintenance_makes_a_failure_a_warning_that_names_its_owner_and_never_hides_what_is_unknown() -> None:
    work = Maintenance(owner="maria", until=Moment.from_text("2027-01-15T09:00:00Z"))
    verdict = compose([result("a", "fail", maintained=True), result("b", "pass")], [], work)
    assert (verdict.level, verdict.state) == ("warn", "maintenance by maria until 2027-01-15T09:00:00Z")
    assert compose([result("a", "unknown", maintained=True)], [], work).level == "unknown"
    assert compose([result("a", "pass", maintained=True)], [], work).level == "pass"


def test_a_maintenance_ends_by_itself_and_may_be_of_some_checks_only() -> None:
    work = Maintenance(owner="maria", until=Moment.from_text("2027-01-15T03:30:00-05:00"), checks=["a"])
    assert maintained(check("a"), work, TIME)
    assert not maintained(check("b"), work, TIME)
    assert not maintained(check("a"), work, TIME + datetime.timedelta(minutes=30))
    assert not maintained(check("a"), None, TIME)
