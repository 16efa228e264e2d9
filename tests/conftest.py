# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the tests: each worker takes a whole file, so what takes longest must not begin last."""

from __future__ import annotations

import pytest

LONGEST = (
    "test_procedures_others.py",
    "test_procedures_flashmm_grandmodel.py",
    "test_molecule.py",
    "test_maintenance_window.py",
    "test_every_module.py",
    "test_trading_day.py",
    "test_systems.py",
    "test_alerting.py",
    "test_lifecycle.py",
    "test_recovery.py",
    "test_deploy.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
