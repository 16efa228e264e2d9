# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every verb on every platform that has it: plan without a write, act with proof, find nothing the second time."""

from __future__ import annotations

import typing as t

import pytest
from conftest import SITES
from operating import Operator
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS

READ_ONLY = {"trading_info", "health"}
ON_THE_CLUSTER = {"workloads"}  # done the same in tests/kubernetes/test_workloads.py

# verb -> the options that ask for a change on a freshly seeded site, and the sites that have the capability.
CASES: dict[str, list[tuple[dict[str, t.Any], tuple[str, ...]]]] = {
    "trading_state": [
        ({"state": "halted"}, SITES),
        ({"state": "halted", "cancel_orders": True}, SITES),
        ({"state": "flat"}, SITES),
        (
            {"state": "reducing"},
            (
                "flashmm-primary",
                "adaptive-order-book-primary",
                "ai-trading-primary",
                "smc-agent-primary",
                "practice-sim",
            ),
        ),
        ({"state": "stopped"}, ("ai-trading-primary", "smc-agent-primary", "practice-sim")),
        ({"state": "stopped", "cancel_orders": True}, ("ai-trading-primary", "practice-sim")),
    ],
    "trading_state_fleet": [({"state": "halted", "cancel_orders": True}, ("flashmm-primary",))],
    "open_orders": [({"all": True}, SITES)],
    "open_positions": [({"all": True}, SITES)],
    "maintenance_mode": [
        (
            {"state": "enabled", "mode": mode},
            ("flashmm-primary", "adaptive-order-book-primary", "ai-trading-primary"),
        )
        for mode in ("maintenance", "read_only")
    ],
    "circuit_breaker": [({"state": "open", "all": True}, ("adaptive-order-book-primary",))],
    "rollout": [
        ({"state": "stopped", "all": True}, ("adaptive-order-book-primary",)),
        ({"state": "stopped", "all": True, "emergency": True}, ("adaptive-order-book-primary",)),
        ({"state": "percentage", "percentage": 5, "all": True}, ("adaptive-order-book-primary",)),
    ],
    "risk_limits": [
        ({"reduce_by": 20, "baseline": "now"}, ("flashmm-primary", "ai-trading-primary", "smc-agent-primary")),
    ],
    "configuration": [
        (
            {
                "settings": {"log_level": "DEBUG", "rate_limit_per_minute": 60},
                "schema": {"log_level": {"type": "str"}, "rate_limit_per_minute": {"type": "int"}},
                "strict": False,
            },
            ("ai-trading-primary",),
        )
    ],
    "dead_man_switch": [({"state": "armed", "timeout": 60}, ("practice-sim",))],
}

EVERY = [
    pytest.param(verb, site, options, id=f"{verb}-{site}-{number}")
    for verb, cases in CASES.items()
    for number, (options, sites) in enumerate(cases)
    for site in sites
]


def test_no_verb_is_left_out() -> None:
    assert set(CASES) | READ_ONLY | ON_THE_CLUSTER == set(VERBS)


@pytest.mark.parametrize(("verb", "site", "options"), EVERY)
def test_check_act_and_act_again(
    ground: Ground, operator: Operator, verb: str, site: str, options: dict[str, t.Any]
) -> None:
    ground.fresh(site, market=verb.startswith("trading_state"))
    if verb in ("open_orders", "open_positions"):
        # An active site places new orders meanwhile, and where open orders hold a position they go first.
        operator.run("trading_state", site, state="halted", cancel_orders=verb == "open_positions")
        ground.control("DELETE", f"/sites/{site}/requests")
    options = {**options, **_baseline(operator, site, options)}
    before = operator.writes(site)

    planned = operator.run(verb, site, check_mode=True, **options)
    assert (planned["result"], planned["changed"], planned["failed"]) == ("planned", True, False), planned["msg"]
    assert planned["plan"]
    assert operator.writes(site) == before

    done = operator.run(verb, site, **options)
    assert (done["result"], done["changed"], done["failed"]) == ("proven", True, False), done["msg"]
    assert operator.writes(site) != before
    assert set(planned) == set(done)
    assert done["diff"]["before"] != done["diff"]["after"]

    ground.control("DELETE", f"/sites/{site}/requests")
    again = operator.run(verb, site, **options)
    assert (again["result"], again["changed"]) == ("unchanged", False), again["msg"]
    assert operator.writes(site) == []
    assert set(again) == set(done)


def _baseline(operator: Operator, site: str, options: dict[str, t.Any]) -> dict[str, t.Any]:
    """A reduction is idempotent from a baseline: take what the site has now."""
    if options.get("baseline") != "now":
        return {}
    rows = operator.run("trading_info", site, gather=["risk_limits"])["risk_limits"]
    return {"baseline": {row["id"]: row["value"] for row in rows}}


@pytest.mark.parametrize("site", SITES)
def test_a_site_comes_back(ground: Ground, operator: Operator, site: str) -> None:
    ground.fresh(site)
    operator.run("trading_state", site, state="halted")
    back = operator.run("trading_state", site, state="active")
    assert (back["result"], ground.truth(site)["state"]) == ("proven", "active"), back["msg"]


@pytest.mark.parametrize("verb", sorted(READ_ONLY))
@pytest.mark.parametrize("site", SITES)
def test_a_reader_never_writes(ground: Ground, operator: Operator, verb: str, site: str) -> None:
    ground.fresh(site)
    options: dict[str, t.Any] = {"gate": {"for": 0.2}} if verb == "health" else {"gather": list(_subsets())}
    result = operator.run(verb, site, **options)
    assert not result["failed"], result["msg"]
    assert not result["changed"]
    assert operator.writes(site) == []


def _subsets() -> t.Sequence[str]:
    from ansible_collections.tradeops.core.plugins.module_utils._platform.verbs.info import SUBSETS

    return SUBSETS
