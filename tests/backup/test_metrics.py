# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OB-METRICS: a day of a metric is archived from a real Prometheus, with every point; no data is a failure."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
import subprocess
import time
import typing as t

import pytest
from kept import Kept
from prometheus_programs import ABSENT, fill, find, running
from taking import by_hand

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import prometheus
from ansible_collections.tradeops.core.plugins.module_utils._backup.verify import ranges
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven
from tradeops_lab.prometheus.programs import path

QUERY = "trading_orders_total"
GIVEN: dict[str, t.Any] = {
    "secrets": {},
    "ca_paths": {},
    "ca_path": None,
    "validate_certs": True,
    "client_cert": None,
    "client_key": None,
}


@pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
def test_a_day_of_orders_is_archived(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "_POINTS", 50)
    now = time.time()
    past = [(now - 86400 - 600 + 60 * number, float(number)) for number in range(1450)]
    with past_of(tmp_path, past) as url:
        kept = Kept("site", GIVEN)
        options = {"url": url, "queries": [QUERY], "period": "24h", "step": 300}
        engine = prometheus.Prometheus()
        engine.check("site", options, GIVEN)
        component = engine.capture("metrics", options, t.cast(t.Any, kept))
        (line,) = kept.stored["ranges.jsonl"].splitlines()
        (series,) = json.loads(line)["series"]
        moments = [moment for moment, _value in series["values"]]
        assert len(moments) == 289
        assert {round(later - earlier) for earlier, later in itertools.pairwise(moments)} == {300}
        values = [float(value) for _moment, value in series["values"]]
        assert values == sorted(values) and values[-1] - values[0] == 288 * 5
        assert component.facts["queries"] == {QUERY: {"series": 1, "samples": 289}}
        assert len(kept.said) == 6 and kept.notes == []
        assert ranges([kept.stored["ranges.jsonl"]], "ranges.jsonl") == component.facts["queries"]
        engine.capture("metrics", {**options, "period": "48h"}, t.cast(t.Any, kept))
        (note,) = kept.notes
        assert re.match(r"trading_orders_total has data for 29[01] of 577 moments from ", note)
        with pytest.raises(Unproven, match="has no data for nothing_of_that_name"):
            engine.capture("metrics", {**options, "queries": [QUERY, "nothing_of_that_name"]}, t.cast(t.Any, kept))


@pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
def test_an_archive_is_asked_again_after_the_lines_of_the_page(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, engine, now = Kept("site", GIVEN), prometheus.Prometheus(), time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # both archives are of the same hour
    (tmp_path / "live").mkdir()
    with past_of(tmp_path / "live", [(now - 7200 + 60 * number, float(number)) for number in range(119)]) as url:
        options = {"url": url, "queries": [QUERY, f"rate({QUERY}[10m])"], "period": "1h", "step": 300}
        engine.capture("metrics", options, t.cast(t.Any, kept))
    place = tmp_path / "work" / "metrics"
    place.mkdir(parents=True)
    (place / "ranges.jsonl").write_bytes(kept.stored["ranges.jsonl"])
    (lines,) = (block for block in by_hand() if "promtool " in block)
    environment = {"PATH": f"{pathlib.Path(path('promtool')).parent}:{os.environ['PATH']}", "WORK": str(place.parent)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines], env=environment, check=True, timeout=300)
    (place / "data").rename(place / "prometheus")
    with running("prometheus", place, "") as url:
        again = Kept("site", GIVEN)
        engine.capture("metrics", {**options, "url": url, "queries": [QUERY, "restored"]}, t.cast(t.Any, again))
    before, after = ([json.loads(line) for line in one.stored["ranges.jsonl"].splitlines()] for one in (kept, again))
    assert [[one["values"] for one in found["series"]] for found in after] == [
        [one["values"] for one in found["series"]] for found in before
    ]


def past_of(folder: pathlib.Path, pairs: list[tuple[float, float]]) -> t.Any:
    fill(folder, [f"{QUERY} {value} {moment:.3f}" for moment, value in pairs])
    return running("prometheus", folder, "{}")


def test_what_cannot_be_asked_is_refused() -> None:
    good = {"url": "http://127.0.0.1:9", "queries": [QUERY]}
    for options, says in (
        ({**good, "url": ""}, "no address"),
        ({**good, "queries": []}, "list of PromQL"),
        ({**good, "period": "yesterday"}, "24h or 7d"),
        ({**good, "period": 60, "step": 300}, "longer than the period"),
        ({**good, "token": "metrics"}, "'metrics' is missing"),
    ):
        with pytest.raises(InputError, match=says):
            prometheus.Prometheus().check("site", options, GIVEN)
