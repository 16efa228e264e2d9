# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the checks of a site begin."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._health import rounds
from ansible_collections.tradeops.core.plugins.module_utils._health.asked import Asked
from ansible_collections.tradeops.core.plugins.module_utils._health.checks import parse_checks
from ansible_collections.tradeops.core.plugins.module_utils._health.hysteresis import Retries
from ansible_collections.tradeops.core.plugins.module_utils._health.probes import stores, table
from ansible_collections.tradeops.core.plugins.module_utils._health.reading import Judged

CHECKS = [
    {"name": "disk", "kind": "disk", "path": "/"},
    {"name": "load", "kind": "host", "read": "load"},
    {"name": "cpu", "kind": "host", "read": "cpu", "interval": 1.0},
    {"name": "database", "kind": "postgresql"},
]


def test_what_only_waits_begins_before_libraries_are_loaded_and_the_others_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def take(watch: rounds.Watch, *arguments: t.Any) -> None:
        order.append(watch.check.name)
        arguments[-1].put((watch.check.name, [Judged("pass", "", 1.0, "", 0.0)]))

    monkeypatch.setattr(rounds, "_take", take)
    monkeypatch.setattr(rounds, "load", lambda _checks: order.append("load"))
    watches = [rounds.Watch(check, Retries()) for check in parse_checks("site", CHECKS)]
    rounds.read_all(watches, t.cast(t.Any, None), {}, Deadline(5.0))
    assert order[:2] == ["cpu", "load"]
    assert sorted(order[2:]) == ["database", "disk", "load"]
    assert all(watch.believed == "pass" for watch in watches)


def test_a_library_that_is_missing_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stores.LIBRARIES, "postgresql", "no_such_library")
    (check,) = parse_checks("site", CHECKS[3:])
    given = {"postgresql": {"host": "db"}, "urls": {}}
    asked = Asked(t.cast(t.Any, types.SimpleNamespace(name="site")), given, Deadline(1.0))
    with pytest.raises(InputError, match="site: check database: the Python library no_such_library is missing"):
        table.prepare(check, asked)
    table.load([check])
