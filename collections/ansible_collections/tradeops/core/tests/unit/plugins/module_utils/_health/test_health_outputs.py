# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which other programs read the health of a site, and what many readings amount to."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._health import outputs
from ansible_collections.tradeops.core.plugins.module_utils._health.statistics import percentile, summarise, thinned


def row(name: str, level: str, value: t.Any, **more: t.Any) -> dict[str, t.Any]:
    given = {"kind": "tcp", "unit": "", "warning": None, "critical": None, "why": "", "seconds": 0.25}
    return {"name": name, "level": level, "value": value, "at": "2027-01-15T08:00:00.000+00:00", **given, **more}


TOLD = outputs.Told(
    site="site-1",
    verdict="unknown",
    state="unknown",
    explain=['data is unknown: no "data" | <none>', "cpu is warn: 71 %: warning above 70 %"],
    checks=[
        row("cpu", "warn", 71.5, unit="%", warning="70", critical="90", why="71.5 %: warning above 70 %"),
        row("data", "unknown", None, kind="prometheus", why='no "data" | <none>'),
        row("port", "fail", None, why="connection refused"),
        row("state", "pass", "active"),
        row("pnl", "pass", -3.5, unit="USDC", critical="-100:"),
    ],
    at="2027-01-15T08:00:00+00:00",
    unix=1_800_000_000.0,
)


def test_health_json_never_calls_good_what_is_unknown() -> None:
    document = json.loads(outputs.health_json(TOLD))
    assert (document["status"], document["description"]) == ("fail", "unknown: unknown")
    assert document["checks"]["cpu"] == [
        {
            "componentType": "tcp",
            "status": "warn",
            "time": "2027-01-15T08:00:00.000+00:00",
            "observedValue": 71.5,
            "observedUnit": "%",
            "output": "warn: 71.5 %: warning above 70 %",
        }
    ]
    assert document["checks"]["data"][0]["status"] == "fail"
    assert document["checks"]["data"][0]["output"].startswith("unknown: ")
    assert {rows[0]["status"] for rows in document["checks"].values()} <= {"pass", "warn", "fail"}


def test_the_line_of_nagios_is_one_line_with_one_bar() -> None:
    line = outputs.nagios(TOLD)
    assert line.startswith("HEALTH UNKNOWN - site-1 is unknown: data is unknown")
    assert (line.count("\n"), line.count("|")) == (1, 1)
    assert line.split(" | ")[1] == "cpu=71.5%;70;90 pnl=-3.5;;-100:\n"
    assert outputs.EXIT == {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}


def test_the_text_of_prometheus_has_its_form() -> None:
    text = outputs.prometheus(TOLD)
    assert text.endswith("\n")
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+\{(\w+="([^"\\]|\\.)*",?)+\} -?[0-9.]+', line), line
    assert 'tradeops_health_level{site="site-1"} 3' in text
    assert 'tradeops_health_check_value{site="site-1",check="pnl",kind="tcp",unit="USDC"} -3.5' in text
    assert "check_value" in text and 'check="state",kind="tcp",unit' not in text


def test_junit_counts_failures_and_errors() -> None:
    suite = ET.fromstring(outputs.junit(TOLD))  # noqa: S314 - we wrote it ourselves
    assert [suite.get(name) for name in ("name", "tests", "failures", "errors")] == ["site-1", "5", "1", "1"]
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"cpu": ["system-out"], "data": ["error"], "port": ["failure"], "state": [], "pnl": []}
    error = suite.find("./testcase/error")
    assert error is not None and error.get("message") == 'no "data" | <none>'


def test_files_are_written_whole_and_readable(tmp_path: pathlib.Path) -> None:
    paths = {name: str(tmp_path / name) for name in outputs.FORMS}
    outputs.write("site-1", paths, TOLD)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(outputs.FORMS)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    with pytest.raises(InputError, match=r"site-1: output.junit: .*/none/x: no such file or directory; give another"):
        outputs.write("site-1", {"junit": str(tmp_path / "none" / "x")}, TOLD)


def test_statistics_are_of_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    found = summarise(values, unread=3, violations=7)
    assert found is not None
    assert (found.count, found.unread, found.violations) == (100, 3, 7)
    assert (found.mean, found.median, found.p95, found.p99) == (50.5, 50.5, 95.0, 99.0)
    assert (found.smallest, found.largest) == (1.0, 100.0)
    assert percentile([5.0], 99) == 5.0
    assert summarise([], unread=4, violations=4) is None


def test_a_long_line_is_thinned_and_keeps_its_peaks() -> None:
    points = [(float(at), 9.0 if at == 777 else 1.0) for at in range(1000)]
    drawn = thinned(points)
    assert len(drawn) == 200
    assert (777.0, 9.0) in drawn
    assert thinned(points[:10]) == points[:10]
