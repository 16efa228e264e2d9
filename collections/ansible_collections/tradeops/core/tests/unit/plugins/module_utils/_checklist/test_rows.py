# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a checklist: what a result means, which steps are left out, and the verdict over all."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._checklist.rows import SPEC, WORDS, conclude, missing, row
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Outcome

Facts = dict[str, t.Any]


def made(result: Facts, **step: t.Any) -> tuple[str, str]:
    found = row("fm", {"name": "S", "do": "health", **step}, result, [], check_mode=False)
    assert (found["site"], found["step"]) == ("fm", "S")
    return found["result"], found["said"]


@pytest.mark.parametrize(
    ("result", "word", "said"),
    [
        ({"verdict": "warn", "msg": "cpu is high"}, "warn", "cpu is high"),
        ({"verdict": "unknown", "failed": True, "msg": "fm: no reading"}, "unknown", "no reading"),
        ({"result": "proven", "msg": "", "proof": {"summary": "3 closed"}}, "proven", "3 closed"),
        (
            {
                "result": "proven",
                "before": {"state": "active", "open_orders": 4, "positions": 5},
                "after": {"state": "stopped", "open_orders": 4, "positions": 0, "held_seconds": 3},
                "proof": {"summary": "5 closed"},
            },
            "proven",
            "state active -> stopped, open orders 4, positions 5 -> 0; 5 closed",
        ),
        (
            {
                "verdict": "pass",
                "checks": [{"name": "margin", "value": 620000.0, "unit": "USD"}, {"name": "up", "value": None}],
            },
            "pass",
            "margin 620,000 USD",
        ),
        (
            {"verdict": "pass", "checks": [{"name": "c", "value": 1}] * 4, "proof": {"summary": "4 pass"}},
            "pass",
            "4 pass",
        ),
        ({"verdict": "warn", "explain": ["cpu is warn", "disk is warn"]}, "warn", "cpu is warn; disk is warn"),
        ({"result": "planned", "msg": "would halt"}, "planned", "would halt"),
        ({"result": "unproven", "failed": True, "msg": "fm: 1 left\nof 3"}, "unproven", "1 left of 3"),
        ({"failed": True, "msg": "no such file"}, "fail", "no such file"),
        ({"failed": True}, "fail", "it failed and did not say why"),
        ({"unreachable": True, "msg": "no route"}, "fail", "no route"),
        # A failure cannot talk itself out of it with a good word.
        ({"failed": True, "result": "proven", "msg": "x"}, "fail", "x"),
        ({"result": "excellent"}, "pass", ""),
        ({"changed": False, "msg": "hello"}, "pass", "hello"),
    ],
)
def test_the_word_of_a_result(result: Facts, word: str, said: str) -> None:
    assert made(result) == (word, said)


def test_what_nothing_does_yet_is_planned_and_a_long_line_is_cut() -> None:
    assert made({"msg": "not done"}, do="planned") == ("planned", "not done")
    assert len(made({"msg": "x" * 1000})[1]) == 300


READ = {"site": "fm", "problems": {}, "summary": {"site": "fm", "state": "active", "breakers": 2, "problem": None}}


def test_readings_are_shown_and_held_against_their_most() -> None:
    assert made(READ) == ("pass", "state active, breakers 2")
    assert made(READ | {"metrics": {"pnl": 12.50}}, at_most={"pnl": 20}) == (
        "pass",
        "state active, breakers 2, pnl 12.5",
    )
    assert made(READ, at_most={"breakers": 1}) == ("fail", "breakers is 2, at most 1; state active, breakers 2")
    # What the platform does not have keeps no limit.
    assert made(READ, at_most={"alerts": 1})[0] == "fail"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"problems": {"metrics.pnl": "answered 500"}, "metrics": {"pnl": "unknown"}}, "unknown"),
        ({"metrics": {"pnl": "unknown"}}, "unknown"),
        ({"reconciliation": {"clean": True, "differences": []}}, "pass"),
        ({"reconciliation": {"clean": False, "differences": [{"id": "X"}]}}, "fail"),
        ({"reconciliation": {"clean": "unknown", "differences": []}}, "unknown"),
    ],
)
def test_a_reading_that_is_not_known_never_passes(more: Facts, word: str) -> None:
    assert made(READ | more)[0] == word


def test_in_check_mode_what_is_read_after_a_plan_judges_nothing() -> None:
    plan = {"step": "a", "do": "trading", "result": "planned", "said": ""}
    to_do = {"step": "b", "do": "planned", "result": "planned", "said": ""}
    bad = {"failed": True, "msg": "fm: 5 positions"}

    def word(kind: str, *earlier: Facts, check_mode: bool = True) -> str:
        return row("fm", {"name": "S", "do": kind}, bad, earlier, check_mode=check_mode)["result"]

    assert word("readings", plan) == "planned"
    assert word("readings", to_do) == word("readings") == word("readings", plan, check_mode=False) == "fail"
    # An act that is refused as a plan would be refused in truth.
    assert word("trading", plan) == "fail"


ROWS = [
    {"step": "a", "result": "pass", "said": ""},
    {"step": "b", "result": "fail", "said": "down"},
    {"step": "c", "result": "not reached", "said": ""},
]


def test_which_steps_are_missing() -> None:
    assert missing(ROWS, {"name": "d"}, go_on=True) == []
    assert missing(ROWS, {"name": "d", "needs": ["a"]}, go_on=True) == []
    assert missing(ROWS, {"name": "d", "needs": ["a", "c"]}, go_on=True) == ["c"]
    assert missing(ROWS, {"name": "d"}, go_on=False) == ["b"]
    assert missing(ROWS[:1], {"name": "d"}, go_on=False) == []


def over(*words: str, check_mode: bool = False) -> Outcome:
    rows = [{"step": f"s{index}", "result": word, "said": "why"} for index, word in enumerate(words)]
    return conclude("fm", SPEC.validate("fm", {"name": "morning", "rows": rows}), check_mode=check_mode)


@pytest.mark.parametrize("word", ["fail", "unreachable", "unproven", "refused", "unknown", "not reached"])
def test_one_bad_step_fails_the_list(word: str) -> None:
    outcome = over("pass", word)
    assert (outcome.result, outcome.failed) == ("unproven", True)
    assert outcome.msg == f"fm: morning: 1 of 2 steps did not pass: s1 ({word}): why"


@pytest.mark.parametrize("word", ["warn", "planned", "proven", "unchanged", "pass"])
def test_any_other_step_does_not(word: str) -> None:
    outcome = over("pass", word)
    assert (outcome.result, outcome.failed) == ("proven" if word == "proven" else "unchanged", False)
    assert outcome.after == ({"pass": 2} if word == "pass" else {"pass": 1, word: 1})
    assert [item.result for item in outcome.proof.objects] == ["pass", word]


def test_a_list_without_a_step_shows_nothing_and_a_trial_is_called_one() -> None:
    assert over().failed
    assert over("planned", "pass", check_mode=True).result == "planned"
    assert over("unproven", "planned", check_mode=True).failed


def test_words_are_checked() -> None:
    with pytest.raises(InputError, match="value of result must be one of: fail"):
        over("done")
    assert len(set(WORDS)) == len(WORDS)
