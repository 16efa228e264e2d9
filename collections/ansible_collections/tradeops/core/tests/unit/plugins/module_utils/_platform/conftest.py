# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake platform for every test, and one way to run a verb against it."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._platform import door, site
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS
from ansible_collections.tradeops.core.plugins.module_utils._platform.verbs import (
    orders,
    positions,
    run,
    things,
    trading,
)
from ansible_collections.tradeops.core.tests.unit.fake_platform import PROFILE, SECRETS, Platform

Result = dict[str, t.Any]
Do = t.Callable[..., Result]


@pytest.fixture
def platform() -> t.Iterator[Platform]:
    served = Platform()
    yield served
    served.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (orders, positions, things):
        monkeypatch.setattr(module, "_STANDS", 0.05)
    for paused in (run, site):
        monkeypatch.setattr(paused, "_PAUSE", 0.02)
    monkeypatch.setattr(run, "_LANDING", 0.5)
    monkeypatch.setattr(trading, "_FIRST_LOOK", 0.5)


@pytest.fixture
def do(platform: Platform, tmp_path: pathlib.Path) -> Do:
    """Run a verb on the platform as an action plugin would, and return its result."""

    def execute(verb: str, *, check: bool = False, process: int = 0, **options: t.Any) -> Result:
        given: dict[str, t.Any] = {
            "site": "bench-1",
            "profile": "bench.yml",
            "profile_text": PROFILE,
            "urls": {"api": platform.url},
            "secrets": SECRETS,
            "wait_timeout": 10.0,
            "request_timeout": 2.0,
            "lease_dir": str(tmp_path / "leases"),
        }
        spec = VERBS[verb].spec
        given = {key: value for key, value in (given | options).items() if key in spec.options}
        return door.execute(verb, spec.validate("bench-1", given), check_mode=check, process=process)

    return execute
