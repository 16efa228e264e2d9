# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the verbs on databases judge what they read back."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._database.archive import Rule, judge
from ansible_collections.tradeops.core.plugins.module_utils._database.sessions import shown
from ansible_collections.tradeops.core.plugins.module_utils._database.tables import choose, compare_index

BEFORE = {"old": 10, "kept": 5, "archived": 2}
TABLES = [{"name": "public.trades", "short": "trades"}, {"name": "audit.log", "short": "log"}]


def rule(moved: int, into: str | None = "trades_archive") -> Rule:
    return Rule("public.trades", "at", into, 100, ["id"], ["id", "at"], None, moved=moved)


@pytest.mark.parametrize(
    ("after", "moved", "problem", "result", "why"),
    [
        ({"old": 0, "kept": 5, "archived": 12}, 10, "", "proven", ""),
        (
            {"old": 0, "kept": 5, "archived": 11},
            10,
            "",
            "unproven",
            "10 rows were moved, and trades_archive grew by 9.",
        ),
        ({"old": 4, "kept": 5, "archived": 8}, 6, "", "unproven", "4 old rows are still there"),
        ({"old": 10, "kept": 5, "archived": 2}, 0, "no lock", "refused", "no lock"),
        ({"old": 4, "kept": 5, "archived": 8}, 6, "no lock", "unproven", "no lock"),
    ],
)
def test_every_old_row_is_accounted_for(after: dict[str, int], moved: int, problem: str, result: str, why: str) -> None:
    item = judge(rule(moved), BEFORE, after, problem)
    assert (item.result, item.why) == (result, why)


def test_rows_that_are_given_up_are_in_no_archive() -> None:
    assert judge(rule(10, None), BEFORE, {"old": 0, "kept": 5, "archived": 0}, "").result == "proven"


@pytest.mark.parametrize(
    ("after", "problem", "result"),
    [
        ([{"name": "i", "valid": True, "file": 2}], "", "proven"),
        ([{"name": "i", "valid": True, "file": 1}], "", "unproven"),
        ([{"name": "i", "valid": False, "file": 2}], "", "unproven"),
        ([], "", "unproven"),
        ([{"name": "i", "valid": True, "file": 1}], "no lock", "refused"),
    ],
)
def test_an_index_is_rebuilt_when_it_is_valid_and_in_another_file(
    after: list[dict[str, t.Any]], problem: str, result: str
) -> None:
    assert compare_index({"name": "i", "valid": True, "file": 1}, after, problem).result == result


def test_tables_are_named_with_or_without_their_schema_and_once() -> None:
    assert choose(TABLES, [], "site", "db") == TABLES
    assert choose(TABLES, ["trades", "public.trades", "audit.log"], "site", "db") == TABLES
    with pytest.raises(InputError, match=r"site: the database db has no table 'trade'; did you mean trades\?"):
        choose(TABLES, ["trade"], "site", "db")
    with pytest.raises(InputError, match="has no table 'log'"):
        choose(TABLES, ["log"], "site", "db")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT 'a''b', 1", "SELECT '?', 1"),
        ("ALTER ROLE x PASSWORD 'pw", "ALTER ROLE x PASSWORD '?'"),
        ("SELECT $tag$ secret $tag$", "SELECT '?'"),
        (r"SELECT E'a\'b', 'c'", "SELECT '?', '?'"),
        (None, ""),
    ],
)
def test_nothing_in_quotes_is_told(query: str | None, told: str) -> None:
    row = {"user": "u", "application": "a", "state": "active", "seconds": 9, "query": query}
    assert shown(row)["query"] == told
