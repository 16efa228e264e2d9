# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which base backup serves a moment, and what is missing of a log."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engine import Base
from ansible_collections.tradeops.core.plugins.module_utils._backup.wal import Target, check_target, choose, continuity
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError

BASE = Base(
    id="one",
    started="2026-11-26T02:00:00+00:00",
    ended="2026-11-26T02:05:00+00:00",
    begin="0/2000028",
    end="0/3000120",
    begin_wal="000000010000000000000002",
    end_wal="000000010000000000000003",
    timeline=1,
    system="7",
    version=180004,
    size=1,
    usable=True,
)
TWO = dataclasses.replace(
    BASE, id="two", ended="2026-11-26T06:05:00+00:00", end="0/9000120", begin_wal="000000010000000000000008"
)


def names(*numbers: int, timeline: int = 1) -> list[str]:
    return [f"{timeline:08X}00000000{number:08X}" for number in numbers]


@pytest.mark.parametrize(
    ("have", "lost", "gaps", "newest"),
    [
        (names(2, 3), (), (), names(3)[0]),
        (names(2, 3, 4, 5), (), (), names(5)[0]),
        (names(1, 3, 4), tuple(names(2)), (), names(4)[0]),
        ([], tuple(names(2, 3)), (), names(3)[0]),
        (names(2, 3, 4, 6, 7, 9), (), tuple(names(5, 8)), names(9)[0]),
        # Of older timelines and of before the backup nothing is needed; other files are no segments.
        ([*names(2, 3), *names(1, 9, timeline=0), "00000002.history", "x.backup"], (), (), names(3)[0]),
        # The second timeline left the first in segment 5, and goes on from there.
        ([*names(2, 3, 4, 5), *names(5, 6, timeline=2)], (), (), names(6, timeline=2)[0]),
        ([*names(2, 3, 4), *names(5, 6, timeline=2)], (), (), names(6, timeline=2)[0]),
        ([*names(2, 3, 4), *names(6, timeline=2)], (), tuple(names(5, timeline=2)), names(6, timeline=2)[0]),
        # What the first timeline went on with after it was left is of no concern to the second.
        ([*names(2, 3, 4, 5, 6, 7), *names(5, 6, timeline=2)], (), (), names(6, timeline=2)[0]),
    ],
)
def test_the_log_is_whole_or_what_is_missing_is_named(
    have: list[str], lost: tuple[str, ...], gaps: tuple[str, ...], newest: str
) -> None:
    found = continuity(BASE, have)
    assert (found.lost, found.gaps, found.newest) == (lost, gaps, newest)
    assert bool(found.problem) == bool(lost or gaps)


def test_segments_follow_each_other_over_the_end_of_a_log() -> None:
    base = dataclasses.replace(BASE, begin_wal="0000000100000000000000FE", end_wal="0000000100000000000000FF")
    have = ["0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"]
    assert continuity(base, have).problem == ""
    assert continuity(base, [have[0], have[2]]).lost == (have[1],)


@pytest.mark.parametrize(
    ("target", "chosen"),
    [
        (Target("time", "2026-11-26T05:00:00+00:00"), "one"),
        (Target("time", "2026-11-26T07:06:00+01:00"), "two"),
        (Target("lsn", "0/3000121"), "one"),
        (Target("lsn", "0/A000000"), "two"),
        (Target("end"), "two"),
        (Target("name", "before-deploy"), "two"),
    ],
)
def test_the_newest_backup_before_the_target_is_taken(target: Target, chosen: str) -> None:
    broken = dataclasses.replace(TWO, id="three", usable=False)
    assert choose("site", [BASE, TWO, broken], target).id == chosen


@pytest.mark.parametrize(
    ("target", "wanted", "says"),
    [
        (Target("time", "2026-11-26T02:04:59+00:00"), "", "no base backup ended before .* the oldest is one"),
        (Target("lsn", "0/100"), "", "goes forward only"),
        (Target("time", "2026-11-26T05:00:00+00:00"), "two", "ended at 2026-11-26T06:05:00"),
        (Target("end"), "nine", "no finished base backup nine"),
    ],
)
def test_a_target_that_no_backup_serves_is_refused(target: Target, wanted: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        choose("site", [BASE, TWO], target, wanted)
    with pytest.raises(InputError, match=r"none at all|no finished"):
        choose("site", [], target, wanted)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target("time", "2026-11-26 14:29:59"), "no zone"),
        (Target("time", "yesterday"), "is no time"),
        (Target("time", "2999-01-01T00:00:00Z"), "future"),
        (Target("lsn", "5000148"), "no position"),
        (Target("name", ""), "no name"),
        (Target("end", timeline="newest"), "no timeline"),
    ],
)
def test_a_target_that_cannot_be_is_refused(target: Target, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_target("site", target)


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        (Target("time", "2026-11-26T15:29:59.5+01:00"), "recovery_target_time", "2026-11-26 14:29:59.500000+00:00"),
        (Target("lsn", "0/5000148", inclusive=False), "recovery_target_lsn", "0/5000148"),
        (Target("name", "before-deploy"), "recovery_target_name", "before-deploy"),
        (Target("immediate"), "recovery_target", "immediate"),
        (Target("end", timeline="3"), "recovery_target_timeline", "3"),
    ],
)
def test_one_target_is_set_and_every_other_emptied(target: Target, name: str, value: str) -> None:
    found: dict[str, t.Any] = target.settings()
    assert found[name] == value
    kinds = [key for key in found if key.removeprefix("recovery_target") in ("", "_time", "_lsn", "_name", "_xid")]
    assert len(kinds) == 5 and sum(bool(found[key]) for key in kinds) == (0 if target.kind == "end" else 1)
    assert found["recovery_target_inclusive"] == ("on" if target.inclusive else "off")
    assert found["recovery_target_action"] == "pause"
