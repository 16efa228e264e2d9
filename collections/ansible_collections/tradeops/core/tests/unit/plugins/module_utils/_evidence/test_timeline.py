# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bars stand."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._evidence.summary import gather
from ansible_collections.tradeops.core.plugins.module_utils._evidence.timeline import Timeline, draw, seconds


def drawing(book: t.Any) -> Timeline:
    found = gather(book.path, book.operation)
    return draw(found.runs[0], [step for site in found.sites for step in site.steps])


@pytest.mark.parametrize("count", [1, 7, 40, 100])
def test_every_site_has_a_lane_inside_the_picture(book: t.Any, count: int) -> None:
    hosts = [f"site-{number:03d}" for number in range(count)]
    book.start(hosts)
    for number, host in enumerate(hosts):
        book.result(host, "proven" if number else "unproven", 1.0 + number / 50)
    book.end(5.0)
    found = drawing(book)
    assert [lane.label for lane in found.lanes] == hosts, "what is not proven comes first, then by name"
    assert found.lanes[-1].y + found.lane_height <= found.bottom
    assert found.height <= 100 * 12 + 80
    assert found.font >= 9
    for lane in found.lanes:
        for drawn in lane.bars:
            assert found.left <= drawn.x
            assert drawn.x + drawn.width <= found.right + 0.1
    assert 2 <= len(found.ticks) <= 14


def test_the_decision_is_at_the_left(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "proven", 0.5)
    book.end()
    found = drawing(book)
    assert found.lanes[0].bars[0].x == pytest.approx(found.left)
    assert found.ticks[0].x == pytest.approx(found.left)
    assert found.ticks[0].text == "0 s"
    assert (found.lanes[0].word, found.lanes[0].text) == ("proven", "0.50 s")


def test_a_moment_can_still_be_seen(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "proven", 1.0, duration=0.0)
    book.result("a", "proven", 4000.0, parameters={})
    book.end(5000.0)
    assert min(drawn.width for drawn in drawing(book).lanes[0].bars) >= 3
    assert drawing(book).ticks[-1].text.endswith("min")


def test_a_long_name_is_cut(book: t.Any) -> None:
    book.start(["x" * 80])
    book.result("x" * 80, "proven")
    book.end()
    assert drawing(book).lanes[0].label == "x" * 33 + "…"
    assert drawing(book).left < 320


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12 s"), (12.34, "12.3 s"), (900, "15 min")])
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text
