# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OB-METRICS: a day of a metric is archived from a real Prometheus, with every point; no data is a failure."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import time
import typing as t

import pytest
from kept import Kept
from prometheus_programs import ABSENT, fill, find, running

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import prometheus
from ansible_collections.tradeops.core.plugins.module_utils._backup.verify import ranges
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven

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
