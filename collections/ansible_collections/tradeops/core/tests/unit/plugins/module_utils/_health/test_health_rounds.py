# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the checks of a site begin, and what a round counts that the end of the time cuts short."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._health import rounds
from ansible_collections.tradeops.core.plugins.module_utils._health.asked import Asked
from ansible_collections.tradeops.core.plugins.module_utils._health.checks import parse_checks
from ansible_collections.tradeops.core.plugins.module_utils._health.hysteresis import Retries
from ansible_collections.tradeops.core.plugins.module_utils._health.probes import stores, table
from ansible_collections.tradeops.core.plugins.module_utils._health.reading import Judged
from ansible_collections.tradeops.core.plugins.module_utils._health.thresholds import Level
from ansible_collections.tradeops.core.plugins.module_utils._health.verb import Gate, Health
from ansible_collections.tradeops.core.plugins.module_utils._health.verdict import Verdict

CHECKS = [
    {"name": "disk", "kind": "disk", "path": "/"},
    {"name": "load", "kind": "host", "read": "load"},
    {"name": "cpu", "kind": "host", "read": "cpu", "interval": 1.0},
    {"name": "database", "kind": "postgresql"},
]


def test_what_only_waits_begins_before_libraries_are_loaded_and_the_others_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def take(watch: rounds.Watch, *arguments: t.Any) -> None:
        order.append(watch.check.name)
        arguments[-1].put((watch.check.name, [Judged("pass", "", 1.0, "", 0.0)]))

    monkeypatch.setattr(rounds, "_take", take)
    monkeypatch.setattr(rounds, "load", lambda _checks: order.append("load"))
    watches = [rounds.Watch(check, Retries()) for check in parse_checks("site", CHECKS)]
    rounds.read_all(watches, t.cast(t.Any, None), {}, Deadline(5.0))
    assert order[:2] == ["cpu", "load"]
    assert sorted(order[2:]) == ["database", "disk", "load"]
    assert all(watch.believed == "pass" for watch in watches)


def test_a_library_that_is_missing_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stores.LIBRARIES, "postgresql", "no_such_library")
    (check,) = parse_checks("site", CHECKS[3:])
    given = {"postgresql": {"host": "db"}, "urls": {}}
    asked = Asked(t.cast(t.Any, types.SimpleNamespace(name="site")), given, Deadline(1.0))
    with pytest.raises(InputError, match="site: check database: the Python library no_such_library is missing"):
        table.prepare(check, asked)
    table.load([check])


class Site(Health):
    """Gives one verdict after the other; the last one takes all the time that is left."""

    def __init__(self, deadline: Deadline, *levels: Level) -> None:
        self.left = list(levels)
        self.deadline = deadline

    def look(self, deadline: Deadline) -> tuple[Verdict, list[t.Any]]:
        level = self.left.pop(0)
        if not self.left:
            self.deadline.seconds = 0.0
        return Verdict(level, level, [], [f"margin is {level}"]), []


def test_a_round_that_the_end_of_the_time_cuts_short_does_not_hide_what_was_seen() -> None:
    deadline = Deadline(60.0)
    seen = Site(deadline, "warn", "warn", "unknown").watch(Gate(), deadline)
    assert (seen.last.level, seen.rounds, seen.held) == ("warn", 2, 0.0)
    found = "A last round, which the end of the time cut short, found unknown: margin is unknown"
    assert str(seen) == f"warn: margin is warn. {found}"


def test_such_a_round_does_not_pass_a_gate_that_was_about_to_pass() -> None:
    deadline = Deadline(60.0)
    seen = Site(deadline, "pass", "pass", "unknown").watch(Gate(for_=2.0), deadline)
    assert seen.last.level == "pass" and 0 < seen.held < 2 and seen.cut


def test_one_that_is_no_worse_counts() -> None:
    deadline = Deadline(60.0)
    seen = Site(deadline, "unknown", "warn").watch(Gate(), deadline)
    assert (seen.last.level, seen.rounds, seen.cut) == ("warn", 2, None)
