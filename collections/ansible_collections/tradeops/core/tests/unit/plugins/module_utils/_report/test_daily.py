# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a day: targets, what is not known, the days before, and a page that reaches for nothing."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._report.daily import SPEC, Figure, build, history_of
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence.daily import make

TODAY = dt.date(2026, 11, 25)
EVIL = "<script>alert('x')</script>"
SECTIONS = [
    {
        "title": "Performance",
        "figures": [
            {"metric": "p95", "name": "p95", "unit": "ms", "target": "100", "advice": "look for slow queries"},
            {"metric": "uptime", "name": "Uptime", "unit": "%", "target": "99.9:"},
            {"metric": "pnl", "name": EVIL},
        ],
    }
]
VALUES = {"p95": 62, "uptime": 99.95, "pnl": -12.5}
Facts = dict[str, t.Any]


def given(dest: pathlib.Path | str = "/reports", **more: t.Any) -> Facts:
    return SPEC.validate("gm", {"title": "Day", "sections": SECTIONS, "values": VALUES, "dest": str(dest), **more})


def figures(**more: t.Any) -> dict[str, Figure]:
    return {figure.metric: figure for figure in build("gm", given(**more), TODAY, {}).figures}


@pytest.mark.parametrize(
    ("metric", "value", "word"),
    [
        ("p95", 100, "met"),
        ("p95", 100.1, "missed"),
        ("uptime", 99.9, "met"),
        ("uptime", 99, "missed"),
        ("pnl", 1, "no target"),
    ],
)
def test_a_figure_against_its_target(metric: str, value: float, word: str) -> None:
    assert figures(values=VALUES | {metric: value})[metric].word == word


@pytest.mark.parametrize("value", ["unknown", None, True, "12"])
def test_what_is_no_number_is_unknown_and_says_why(value: t.Any) -> None:
    figure = figures(values=VALUES | {"p95": value}, problems={"metrics.p95": "answered 500"})["p95"]
    assert (figure.word, figure.why, figure.gauge()) == ("unknown", "answered 500", None)
    assert "which is no number" in figures(values=VALUES | {"p95": value})["p95"].why


def test_a_target_that_is_none() -> None:
    broken = [{"title": "T", "figures": [{"metric": "p95", "name": "p95", "target": "<100"}]}]
    with pytest.raises(InputError, match="gm: the target of p95: '<100' is no range"):
        build("gm", given(sections=broken), TODAY, {})


def test_the_days_before_are_those_of_the_reports_that_are_kept() -> None:
    summaries = [
        {"day": "2026-11-24", "figures": {"p95": {"value": 70}}},
        {"day": "2026-11-23", "figures": {"p95": {"value": 90}, "pnl": {"value": None}}},
        {"day": "2026-11-25", "figures": {"p95": {"value": 1}}},  # today is not before today
        {"day": 5},
        "damaged",
    ]
    history = history_of(summaries, TODAY)
    assert history == {"p95": [("2026-11-23", 90.0), ("2026-11-24", 70.0)]}
    figure = build("gm", given(), TODAY, history).figures[0]
    assert figure.line() == "0.0,3.0 90.0,23.0 180.0,31.0"
    assert figure.to_object().before == 70.0


def test_a_line_needs_two_days_and_a_bar_a_target() -> None:
    found = figures()
    assert [figure.line() for figure in found.values()] == ["", "", ""]
    assert found["p95"].gauge() == {"value": 101.5, "mark": 163.6}
    assert found["pnl"].gauge() is None


class Page(html.parser.HTMLParser):
    """Checks that tags are balanced, and collects which there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href"} & {name for name, _value in attrs}
        if tag not in ("meta", "rect", "line", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "rect", "line", "polyline"):
            assert self.open.pop() == tag


def test_the_page_is_written_once_and_stands_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "gm-2026-11-24.json").write_text(
        json.dumps({"day": "2026-11-24", "figures": {"p95": {"value": 70}}}), encoding="utf-8"
    )
    (tmp_path / "gm-2026-11-23.json").write_text("{damaged", encoding="utf-8")
    planned = make("gm", given(tmp_path), TODAY, check_mode=True)
    assert (planned["result"], planned["changed"], len(list(tmp_path.iterdir()))) == ("planned", True, 2)
    done = make("gm", given(tmp_path), TODAY, check_mode=False)
    assert (done["result"], done["changed"], done["failed"]) == ("proven", True, False)
    assert done["msg"] == "gm: 2 of 2 targets met"
    text = pathlib.Path(done["path"]).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "polyline" in page.tags
    assert "&lt;script&gt;" in text
    again = make("gm", given(tmp_path), TODAY, check_mode=False)
    assert (again["result"], again["changed"]) == ("unchanged", False)
    summary = json.loads(pathlib.Path(done["summary_path"]).read_text(encoding="utf-8"))
    assert summary["figures"]["p95"] == {"name": "p95", "value": 62.0, "unit": "ms", "result": "met"}


def test_a_missed_target_is_told_and_an_unknown_figure_fails(tmp_path: pathlib.Path) -> None:
    missed = make("gm", given(tmp_path, values=VALUES | {"p95": 180}), TODAY, check_mode=False)
    assert (missed["result"], missed["after"]) == ("proven", {"met": 1, "missed": 1, "unknown": 0})
    assert "p95 180ms not above 100" in missed["msg"]
    assert "look for slow queries" in pathlib.Path(missed["path"]).read_text(encoding="utf-8")
    unknown = make("gm", given(tmp_path, values={"uptime": 99.95, "pnl": 1}), TODAY, check_mode=False)
    assert (unknown["result"], unknown["failed"]) == ("unproven", True)
    assert "1 of 3 figures could not be read" in pathlib.Path(unknown["path"]).read_text(encoding="utf-8")


def test_a_day_that_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="gm: day: 'yesterday' is no day"):
        make("gm", given(tmp_path, day="yesterday"), TODAY, check_mode=False)
    done = make("gm", given(tmp_path, day="2026-11-20"), TODAY, check_mode=False)
    assert done["path"].endswith("gm-2026-11-20.html")
