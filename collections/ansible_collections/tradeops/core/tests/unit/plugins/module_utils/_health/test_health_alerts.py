# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of Prometheus fire exactly where the health checks raise their alarm."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._health.alerts import expression, rules
from ansible_collections.tradeops.core.plugins.module_utils._health.thresholds import Range

PNL = {"name": "pnl", "kind": "platform", "warning": "-50:", "critical": "-100:"}


@pytest.mark.parametrize(
    ("text", "promql"),
    [
        ("~:0.35", "(q) > 0.35"),
        ("80", "(q) > 80 or (q) < 0"),
        ("-50:", "(q) < -50"),
        ("10:20", "(q) > 20 or (q) < 10"),
        ("@10:20", "(q) >= 10 and (q) <= 20"),
    ],
)
def test_a_range_is_said_in_promql(text: str, promql: str) -> None:
    assert expression("q", Range.from_text(text)) == promql


def test_an_alert_has_the_thresholds_of_its_check_and_one_for_silence() -> None:
    document = rules("flashmm", [{"name": "Loss", "query": "pnl_usdc", "check": "pnl", "for": "1m"}], [PNL])
    (group,) = document["groups"]
    found = [(rule["alert"], rule["expr"], rule["for"], rule["labels"]["severity"]) for rule in group["rules"]]
    assert found == [
        ("Loss", "(pnl_usdc) < -100", "1m", "critical"),
        ("Loss", "(pnl_usdc) < -50", "1m", "warning"),
        ("LossNoData", "absent(pnl_usdc)", "10m", "warning"),
    ]
    assert {rule["labels"]["platform"] for rule in group["rules"]} == {"flashmm"}
    assert group["rules"][0]["annotations"]["description"] == "It is {{ $value }}, critical is below -100"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "A b", "query": "q", "check": "pnl"}, r"flashmm: alerts\[0\] \(A b\): name: 'A b' must be letters"),
        ({"name": "A", "query": "q"}, "give either a check"),
        ({"name": "A", "query": "q", "check": "pnl", "critical": "1"}, "give either a check"),
        ({"name": "A", "query": "q", "check": "pnll"}, "there is no check 'pnll'; known: pnl"),
        ({"name": "A", "query": "q", "check": "bare"}, "there is no check 'bare'"),
        ({"name": "A", "query": "q", "check": "pnl", "for": "soon"}, "for: 'soon' is no duration of Prometheus"),
        ({"name": "A", "query": "q", "critical": 5}, "critical: expected a text in quotes, found 5"),
        ({"name": "A", "qery": "q", "check": "pnl"}, "qery: unknown key"),
    ],
)
def test_what_is_wrong_with_an_alert_is_said(wrong: dict[str, t.Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        rules("flashmm", [wrong], [PNL])


def test_a_check_without_a_threshold_cannot_alert() -> None:
    with pytest.raises(InputError, match="check: up has no threshold"):
        rules("flashmm", [{"name": "A", "query": "q", "check": "up"}], [{"name": "up", "kind": "tcp"}])
