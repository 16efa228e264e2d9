# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that are fewer after a recovery: deleted since by a platform that works on, or lost."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._recovery.parts import physical


class Session:
    """Tells of deletions as a server does: some time after they happened."""

    def __init__(self, *told: dict[str, int]) -> None:
        self._told = list(told)

    def execute(self, _query: str) -> t.Any:
        return self

    def fetchall(self) -> list[dict[str, t.Any]]:
        now = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        return [{"name": name, "deleted": number} for name, number in now.items()]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physical, "_TOLD", 0.3)


def test_deleted_since_is_not_lost() -> None:
    session = Session({"public.orders": 0}, {"public.orders": 1})
    assert physical._unexplained(session, {"public.orders": (41, 40)}) == {}


def test_fewer_deletions_than_rows_that_are_missing() -> None:
    assert physical._unexplained(Session({"public.orders": 1}), {"public.orders": (41, 39)}) == {
        "public.orders": (41, 39)
    }


def test_a_table_that_is_gone_is_lost() -> None:
    lacks: dict[str, tuple[int, int | None]] = {"public.orders": (41, None), "public.empty": (0, None)}
    assert physical._unexplained(Session({}), lacks) == lacks
