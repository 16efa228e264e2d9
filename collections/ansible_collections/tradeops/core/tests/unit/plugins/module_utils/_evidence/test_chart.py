# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chart of a watched check: what it draws, and when there is nothing to draw."""

from __future__ import annotations

import types
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._evidence.chart import Chart, charts


def drawn(series: t.Any) -> list[Chart]:
    step = types.SimpleNamespace(mapping=lambda _name: {"series": series})
    return charts(t.cast(t.Any, step))


def test_a_line_goes_from_the_left_to_the_right_and_keeps_its_limits_in_the_picture() -> None:
    points = [[0, 100], [1, 340], [2, 400], [4, 120]]
    (chart,) = drawn({"latency": {"unit": "ms", "points": points, "limits": [350.0, 5000.0]}})
    places = [tuple(map(float, pair.split(","))) for pair in chart.line.split()]
    assert (places[0][0], places[-1][0]) == (chart.left, chart.right)
    assert all(chart.top <= y <= chart.bottom for _x, y in places)
    assert min(y for _x, y in places) == places[2][1]
    assert [limit.text for limit in chart.limits] == ["350 ms"]
    assert places[2][1] < chart.limits[0].y < places[1][1] + 10
    assert (chart.low, chart.high, chart.span) == ("100 ms", "400 ms", "4 s")


def test_what_stood_still_or_was_not_watched_is_not_drawn() -> None:
    assert drawn({"cpu": {"unit": "%", "points": [[0, 4], [1, 4]], "limits": []}}) == []
    assert drawn({"cpu": {"unit": "%", "points": [[0, 4]], "limits": []}}) == []
    assert drawn(None) == []
