# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The verbs by the name of their module: what they take, and the function that does it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.argspec import OPERATION, SITE, ArgumentSpec
from .._common.outcome import Outcome
from .._health.outputs import FORMS
from . import kubernetes
from .verbs import controls, info
from .verbs.configuration import ensure_configuration
from .verbs.dead_man import ensure_switch
from .verbs.maintenance import ensure_maintenance
from .verbs.orders import ensure_no_open_orders
from .verbs.positions import ensure_flat
from .verbs.run import Run
from .verbs.steps import Wish
from .verbs.trading import ensure_state
from .verbs.workloads import Wish as WorkloadsWish
from .verbs.workloads import ensure_workloads

Parameters = dict[str, t.Any]
STATES = ["active", "reducing", "halted", "flat", "stopped"]
_SCOPE: dict[str, dict[str, t.Any]] = {
    "scope": {"type": "dict", "default": {}},
    "all": {"type": "bool", "default": False},
}
_PAIRS: dict[str, dict[str, t.Any]] = {
    "pairs": {"type": "list", "elements": "str", "default": []},
    "all": {"type": "bool", "default": False},
}
_WHEN_CLOSED: dict[str, t.Any] = {"type": "str", "choices": ["refuse", "queue"], "default": "refuse"}


@dataclasses.dataclass(frozen=True)
class Verb:
    spec: ArgumentSpec
    body: t.Callable[[Run, Parameters], Outcome | dict[str, t.Any]]


def _trading_state(run: Run, given: Parameters) -> Outcome:
    wish = Wish(given["state"], given["exact"], given["cancel_orders"], given["scope"], given["when_closed"])
    return ensure_state(run, dataclasses.replace(wish, block_only=given.get("block_only", False)))


def _open_orders(run: Run, given: Parameters) -> Outcome:
    return ensure_no_open_orders(
        run, scope=given["scope"], everything=given["all"], expected_count=given["expected_count"]
    )


def _open_positions(run: Run, given: Parameters) -> Outcome:
    limits = given["limits"] or {}
    return ensure_flat(
        run,
        scope=given["scope"],
        everything=given["all"],
        max_positions=limits.get("max_positions"),
        max_quantity=limits.get("max_quantity"),
        when_closed=given["when_closed"],
    )


def _maintenance_mode(run: Run, given: Parameters) -> Outcome:
    return ensure_maintenance(run, enabled=given["state"] == "enabled", mode=given["mode"], drain=given["drain"])


def _circuit_breaker(run: Run, given: Parameters) -> Outcome:
    return controls.ensure_breakers(run, state=given["state"], pairs=given["pairs"], everything=given["all"])


def _rollout(run: Run, given: Parameters) -> Outcome:
    stop = given["state"] == "stopped"
    return controls.ensure_rollout(
        run,
        percentage=0.0 if stop else given["percentage"],
        pairs=given["pairs"],
        everything=given["all"],
        emergency=given["emergency"],
        stop=stop,
    )


def _risk_limits(run: Run, given: Parameters) -> Outcome:
    return controls.ensure_limits(run, limits=given["limits"], reduce_by=given["reduce_by"], baseline=given["baseline"])


def _configuration(run: Run, given: Parameters) -> Outcome:
    return ensure_configuration(
        run,
        settings=given["settings"],
        schema=given["schema"],
        strict=given["strict"],
        apply=given["state"] == "applied",
    )


def _dead_man_switch(run: Run, given: Parameters) -> Outcome:
    return ensure_switch(run, armed=given["state"] == "armed", timeout=given["timeout"])


def _workloads(run: Run, given: Parameters) -> Outcome:
    wish = WorkloadsWish(
        given["state"], given["names"], given["replicas"], given["patience"], given["on_autoscaler"] == "note"
    )
    return ensure_workloads(run, wish, kubernetes.facts(given["workloads"], run.site.name))


def _health(run: Run, given: Parameters) -> dict[str, t.Any]:
    # A stop of trading does not wait for what only health needs.
    from .._health.verb import ensure_health

    return ensure_health(run, given)


def _trading_info(run: Run, given: Parameters) -> dict[str, t.Any]:
    return info.gather(run, given["gather"], given["metrics"])


_TRADING_STATE = ArgumentSpec(
    {
        "state": {"type": "str", "choices": STATES, "required": True},
        "exact": {"type": "bool", "default": False},
        "cancel_orders": {"type": "bool", "default": False},
        "scope": {"type": "dict", "default": {}},
        "when_closed": _WHEN_CLOSED,
    }
)
_HEALTH = ArgumentSpec(
    {
        "checks": {"type": "list", "elements": "dict", "default": []},
        "groups": {"type": "list", "elements": "dict", "default": []},
        "gate": {
            "type": "dict",
            "options": {
                "at_least": {"type": "str", "choices": ["pass", "warn"], "default": "pass"},
                "for": {"type": "float", "default": 0.0},
                "within": {"type": "float"},
            },
        },
        "retries": {
            "type": "dict",
            "options": {
                "of": {"type": "int", "default": 1},
                "bad": {"type": "int", "default": 1},
                "good": {"type": "int", "default": 1},
                "pause": {"type": "float", "default": 0.5},
            },
        },
        "maintenance": {
            "type": "dict",
            "options": {
                "owner": {"type": "str", "required": True},
                "until": {"type": "str", "required": True},
                "reason": {"type": "str", "default": ""},
                "checks": {"type": "list", "elements": "str", "default": []},
            },
        },
        "watch": {
            "type": "dict",
            "options": {
                "for": {"type": "float", "required": True},
                "every": {"type": "float", "default": 1.0},
                "until": {"type": "str", "choices": ["never", "warn", "fail"], "default": "never"},
            },
        },
        "output": {"type": "dict", "options": {form: {"type": "path"} for form in FORMS}},
        "postgresql": {"type": "dict"},
        "redis": {"type": "dict"},
        "backup_stores": {"type": "list", "elements": "dict", "default": []},
    },
    mutually_exclusive=(("gate", "watch"),),
)
_LIMITS = {
    "type": "dict",
    "options": {"max_positions": {"type": "int"}, "max_quantity": {"type": "float"}},
}

VERBS: dict[str, Verb] = {
    "trading_state": Verb(SITE.merge(OPERATION, _TRADING_STATE), _trading_state),
    "open_orders": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
                    **_SCOPE,
                    "expected_count": {"type": "int"},
                }
            ),
        ),
        _open_orders,
    ),
    "open_positions": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["flat"], "default": "flat"},
                    **_SCOPE,
                    "limits": _LIMITS,
                    "when_closed": _WHEN_CLOSED,
                }
            ),
        ),
        _open_positions,
    ),
    "maintenance_mode": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["enabled", "disabled"], "required": True},
                    "mode": {"type": "str", "choices": ["maintenance", "read_only"], "default": "maintenance"},
                    "drain": {"type": "bool", "default": True},
                }
            ),
        ),
        _maintenance_mode,
    ),
    "circuit_breaker": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec({"state": {"type": "str", "choices": ["open", "closed"], "required": True}, **_PAIRS}),
        ),
        _circuit_breaker,
    ),
    "rollout": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["stopped", "percentage"], "required": True},
                    "percentage": {"type": "float"},
                    "emergency": {"type": "bool", "default": False},
                    **_PAIRS,
                },
                required_if=(("state", "percentage", ("percentage",)),),
            ),
        ),
        _rollout,
    ),
    "risk_limits": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "limits": {"type": "dict"},
                    "reduce_by": {"type": "float"},
                    "baseline": {"type": "dict", "default": {}},
                },
                mutually_exclusive=(("limits", "reduce_by"),),
                required_one_of=(("limits", "reduce_by"),),
            ),
        ),
        _risk_limits,
    ),
    "configuration": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["applied", "valid"], "default": "applied"},
                    "settings": {"type": "dict", "default": {}},
                    "schema": {"type": "dict", "required": True},
                    "strict": {"type": "bool", "default": True},
                }
            ),
        ),
        _configuration,
    ),
    "dead_man_switch": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {"type": "str", "choices": ["armed", "disarmed"], "required": True},
                    "timeout": {"type": "float", "default": 60.0},
                }
            ),
        ),
        _dead_man_switch,
    ),
    "health": Verb(SITE.merge(_HEALTH), _health),
    "workloads": Verb(
        SITE.merge(
            OPERATION,
            ArgumentSpec(
                {
                    "state": {
                        "type": "str",
                        "choices": ["scaled", "started", "stopped", "restarted", "deleted"],
                        "required": True,
                    },
                    "names": {"type": "list", "elements": "str", "default": []},
                    "replicas": {"type": "dict", "default": {}},
                    "patience": {"type": "float", "default": 10.0},
                    "on_autoscaler": {"type": "str", "choices": ["refuse", "note"], "default": "refuse"},
                }
            ),
        ),
        _workloads,
    ),
    "trading_info": Verb(
        SITE.merge(
            ArgumentSpec(
                {
                    "gather": {
                        "type": "list",
                        "elements": "str",
                        "choices": list(info.SUBSETS),
                        "default": ["capabilities", "trading"],
                    },
                    "metrics": {"type": "list", "elements": "str", "default": []},
                }
            )
        ),
        _trading_info,
    ),
}
VERBS["trading_state_fleet"] = Verb(
    VERBS["trading_state"].spec.merge(
        ArgumentSpec(
            {
                "block_only": {"type": "bool", "default": False},
                "on_failure": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
            }
        )
    ),
    _trading_state,
)
