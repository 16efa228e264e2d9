# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict: nothing passes as proven that is not."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence.summary import (
    Evidence,
    Site,
    amount,
    gather,
    to_summary,
)


def evidence(book: t.Any, **given: str) -> Evidence:
    return gather(book.path, book.operation, **given)


def site(found: Evidence, name: str) -> Site:
    return next(item for item in found.sites if item.name == name)


def test_all_sites_proven(book: t.Any) -> None:
    book.start(["a", "b"])
    book.result("a", "proven", 1.0)
    book.result("b", "unchanged", 1.5)
    book.end()
    found = evidence(book)
    assert (found.verdict.word, found.verdict.text) == ("proven", "All 2 sites proven")
    assert found.verdict.counts == {"proven": 1, "unchanged": 1}
    assert (found.gaps, found.check) == ([], False)
    assert site(found, "a").elapsed == pytest.approx(1.0)
    assert site(found, "a").before == {"state": "active", "open_orders": 3}
    assert site(found, "a").after == {"state": "halted", "open_orders": 0}
    assert site(found, "a").message == "3 cancelled"


@pytest.mark.parametrize("word", ["refused", "unproven", "unreachable"])
def test_one_site_that_is_not_proven_decides(book: t.Any, word: str) -> None:
    book.start(["a", "b"])
    book.result("a", "proven")
    book.result("b", word)
    book.end(how="failed")
    found = evidence(book)
    assert (found.verdict.word, found.verdict.text) == ("not_proven", "1 of 2 sites not proven")
    assert [item.name for item in found.sites] == ["b", "a"], "the bad ones first"
    assert site(found, "b").message == "halted: it says active"
    assert site(found, "b").elapsed is None


def test_a_site_without_a_result_is_not_proven(book: t.Any) -> None:
    book.start(["a", "b"])
    book.result("a", "proven")
    book.end()
    found = evidence(book)
    assert found.verdict.word == "not_proven"
    assert (site(found, "b").word, site(found, "b").message) == ("unproven", "nothing was done on this site")


def test_a_failure_of_any_other_task_counts(book: t.Any) -> None:
    book.start(["a", "b"])
    book.result("a", "proven")
    book.other("b", "failed")
    book.end(how="failed")
    found = evidence(book)
    assert (site(found, "b").word, site(found, "b").message) == ("unproven", "the task 'Assert' failed: no luck")
    assert site(evidence(book), "a").word == "proven"


def test_a_host_that_could_not_be_reached(book: t.Any) -> None:
    book.start(["a"])
    book.other("a", "unreachable")
    book.end(how="failed")
    assert site(evidence(book), "a").word == "unreachable"


@pytest.mark.parametrize("status", ["rescued", "ignored"])
def test_a_failure_that_the_playbook_dealt_with_does_not_count(book: t.Any, status: str) -> None:
    book.start(["a"])
    book.result("a", "proven")
    book.other("a", status)
    book.end()
    assert evidence(book).verdict.word == "proven"


@pytest.mark.parametrize("status", ["rescued", "ignored"])
def test_but_a_step_of_ours_does(book: t.Any, status: str) -> None:
    book.start(["a"])
    book.result("a", "unproven", status=status)
    book.result("a", "proven", 2.0, capability="positions", wanted="flat", action="tradeops.core.open_positions")
    book.end()
    assert evidence(book).verdict.word == "not_proven"


def test_a_look_that_the_playbook_could_do_without(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "unreachable", status="ignored", action="tradeops.core.trading_info", capability="trading_info")
    book.result("a", "proven", 2.0)
    book.end()
    assert evidence(book).verdict.word == "proven"


def test_a_later_attempt_at_the_same_counts(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "unproven", 1.0, status="rescued", parameters={"state": "halted", "wait_timeout": 5})
    book.result("a", "proven", 2.0, parameters={"state": "halted", "wait_timeout": 30})
    book.end()
    found = evidence(book)
    assert found.verdict.word == "proven"
    assert [step.replaced for step in site(found, "a").steps] == [True, False]


def test_a_later_failure_counts_too(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "proven", 1.0)
    book.result("a", "unproven", 2.0)
    book.end()
    assert evidence(book).verdict.word == "not_proven"


@pytest.mark.parametrize(
    ("first", "then", "word"),
    [
        ({"pairs": ["A"]}, {"pairs": ["B"]}, "not_proven"),
        ({"state": "halted", "cancel_orders": True}, {"state": "halted", "cancel_orders": False}, "not_proven"),
        ({"state": "halted", "cancel_orders": False}, {"state": "halted", "cancel_orders": True}, "proven"),
        ({"all": True, "scope": {}}, {"all": False, "scope": {"symbol": "X"}}, "not_proven"),
        ({"state": "halted", "scope": {}}, {"state": "halted", "scope": {"symbol": "X"}}, "not_proven"),
        ({"state": "halted"}, {"state": "reducing"}, "not_proven"),
        ({}, {}, "proven"),
        ({}, {"state": "halted"}, "not_proven"),
    ],
)
def test_something_weaker_or_else_does_not_make_good(
    book: t.Any, first: dict[str, t.Any], then: dict[str, t.Any], word: str
) -> None:
    book.start(["a"])
    book.result("a", "unproven", 1.0, parameters=first)
    book.result("a", "proven", 2.0, parameters=then)
    book.end()
    assert evidence(book).verdict.word == word


def test_an_order_to_the_fleet_is_followed_by_one_to_each_site(book: t.Any) -> None:
    book.start(["a"])
    common = {"state": "halted", "exact": False}
    fleet = {**common, "cancel_orders": False, "block_only": True, "on_failure": "report"}
    for word in ("unproven", "ordered"):
        book.result("a", word, 1.0, action="tradeops.core.trading_state_fleet", parameters=fleet)
    assert evidence(book, current=book.journal.run).verdict.word == "not_proven", "an order is no proof"
    assert [step.word for step in site(evidence(book), "a").troubles] == ["unproven", "ordered"]
    book.result("a", "proven", 2.0, parameters=common | {"cancel_orders": True})
    book.end()
    found = evidence(book)
    assert found.verdict.word == "proven"
    assert [step.word for step in site(found, "a").troubles] == ["unproven"]


def test_a_word_that_is_not_known_proves_nothing(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "splendid")
    book.end()
    assert site(evidence(book), "a").word == "unproven"


def test_items_of_a_loop_are_told_apart(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "unproven", 1.0, item=1, parameters={})
    book.result("a", "proven", 1.5, item=2, parameters={})
    book.other("a", "failed", 1.6, task="Halt")
    book.end()
    assert evidence(book).verdict.word == "not_proven"


def test_the_sum_of_a_loop_or_a_fleet_is_not_a_site_of_its_own(book: t.Any) -> None:
    book.start(["a", "b"])
    for name in ("a", "b"):
        book.result(name, "proven")
    for extra in ({"items": 2}, {"sites": 2}):
        book.add(
            1.1, "task_result", play="Stop", play_number=1, status="failed", began=book.at(1), duration=0.1, host="a",
            task="Halt", task_id="x", action="tradeops.core.trading_state_fleet", changed=True, msg="2 sites", **extra,
        )  # fmt: skip
    book.end()
    found = evidence(book)
    assert (found.verdict.word, len(site(found, "a").steps)) == ("proven", 1)


def test_a_host_that_acts_for_others_is_no_site(book: t.Any) -> None:
    book.start(["localhost"])
    book.result("localhost", "proven", site="a")
    book.result("localhost", "proven", site="b")
    book.end()
    assert [item.name for item in evidence(book).sites] == ["a", "b"]


def test_check_mode_says_that_nothing_was_sent(book: t.Any) -> None:
    book.start(["a", "b", "c"], check=True)
    book.result("a", "planned")
    book.result("b", "unchanged")
    book.result("c", "refused")
    book.end()
    found = evidence(book)
    assert (found.check, found.verdict.word) == (True, "planned")
    assert found.verdict.text == "Check mode, nothing was sent: 1 site refused, 1 site to be changed, 1 site already so"


def test_a_plan_does_not_stand_against_what_was_done(book: t.Any) -> None:
    book.start(["a"], check=True)
    book.result("a", "planned")
    book.end()
    book.next_run()
    book.start(["a"], 10.0)
    book.result("a", "proven", 11.0)
    book.end(12.0)
    found = evidence(book)
    assert (found.check, found.verdict.word) == (False, "proven")
    assert site(found, "a").elapsed == pytest.approx(1.0), "counted from the decision of its own run"


def test_a_site_that_was_only_planned_is_not_proven(book: t.Any) -> None:
    book.start(["a", "b"])
    book.result("a", "proven")
    book.result("b", "planned")
    book.end()
    assert evidence(book).verdict.text == "1 of 2 sites not proven"


def test_a_run_that_was_killed(book: t.Any) -> None:
    book.start(["a", "b"])
    book.task("Halt", 0.1)
    book.result("a", "proven")
    found = evidence(book)
    assert found.verdict.word == "not_proven"
    assert "was not closed" in found.gaps[0]
    assert site(found, "b").message == "the task 'Halt' began, and the run ended without a result of it"
    assert evidence(book, current=book.journal.run).gaps == [], "the run that asks is not over yet"


def test_a_run_that_was_killed_between_two_steps(book: t.Any) -> None:
    book.start(["a"])
    book.task("Halt", 0.1)
    book.result("a", "proven")
    found = evidence(book)
    assert (found.verdict.word, site(found, "a").word) == ("not_proven", "proven")
    assert found.verdict.text == "Broken off: the operation did not run to its end"


def test_and_run_again_to_its_end(book: t.Any) -> None:
    book.start(["a"])
    book.task("Halt", 0.1)
    book.next_run()
    book.start(["a"], 5.0)
    book.task("Halt", 5.1)
    book.result("a", "proven", 6.0)
    book.end(7.0)
    found = evidence(book)
    assert (found.verdict.word, found.verdict.text) == (
        "proven",
        "The site is proven, but the evidence is incomplete",
    )


def test_an_interrupted_run(book: t.Any) -> None:
    book.start(["a"])
    book.task("Halt", 0.1)
    book.end(how="interrupted")
    found = evidence(book)
    assert (found.verdict.word, site(found, "a").word) == ("not_proven", "unproven")
    assert "was interrupted" in found.gaps[0]


def test_evidence_steps_and_notifications_are_not_trading(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "proven")
    book.result("a", "unproven", 1.5, action="tradeops.core.notify", capability="notify", site="notifications")
    book.other("a", "ok", 1.6)
    report = "tradeops.core.evidence_report"
    book.add(
        1.7, "task_result", play="Stop", play_number=1, status="failed", began=book.at(1), duration=0.1, host="x",
        task="Report", task_id="r", action=report, changed=False, msg="disk full",
    )  # fmt: skip
    book.end()
    found = evidence(book)
    assert (found.verdict.word, [step.word for step in found.notifications]) == ("proven", ["unproven"])


def test_no_step_proves_nothing(book: t.Any) -> None:
    book.start(["a"])
    book.end()
    assert evidence(book).verdict.word == "nothing"


def test_a_changed_journal_proves_nothing(small: t.Any) -> None:
    content = small.path.read_bytes().splitlines(keepends=True)
    content[3] = content[3].replace(b"3 cancelled", b"9 cancelled")
    small.path.write_bytes(b"".join(content))
    found = evidence(small)
    assert found.verdict.word == "invalid"
    assert "line 4" in found.verdict.text
    assert len(found.gaps) == 1
    assert "only the 3 records before are shown" in found.gaps[0]
    assert site(found, "a").word == "unproven"


def test_a_torn_journal_is_incomplete(small: t.Any) -> None:
    small.path.write_bytes(small.path.read_bytes()[:-20])
    found = evidence(small)
    assert any("torn" in gap for gap in found.gaps)
    assert found.verification.valid


def test_records_that_came_late_are_a_remark_and_no_gap(small: t.Any) -> None:
    small.add(3.0, "recovery", why="records were written late", lost=False)
    assert (evidence(small).gaps, len(evidence(small).remarks)) == ([], 1)
    small.add(3.0, "recovery", why="the journal was removed", lost=True)
    assert evidence(small).gaps == ["the journal was removed"]


def test_a_journal_that_could_not_be_written(tmp_path: pathlib.Path) -> None:
    found = gather(tmp_path / "op.jsonl", "op", problem="No space left on device")
    assert (found.verdict.word, found.verification.valid) == ("nothing", False)
    assert found.gaps == ["the journal could not be written: No space left on device"]
    with pytest.raises(InputError, match="cannot be read"):
        gather(tmp_path / "op.jsonl", "op")


def test_the_summary_is_json(small: t.Any) -> None:
    found = json.loads(json.dumps(to_summary(evidence(small))))
    assert found["verdict"] == {"word": "proven", "text": "The site is proven", "counts": {"proven": 1}}
    assert (found["sites"][0]["site"], found["sites"][0]["result"], found["complete"]) == ("a", "proven", True)
    assert found["journal"]["head"].startswith("6:")


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), (0, 0), ({"a": 1, "b": 2}, 2), ([], 0), (None, None), ("?", None), (True, None)]
)
def test_amounts(value: t.Any, expected: t.Any) -> None:
    assert amount(value) == expected


def test_parts_of_another_form_do_not_break_it(book: t.Any) -> None:
    book.start(["a"])
    book.result("a", "proven", before="x", after=None, plan="no", proof="done", notes=None, parameters=None)
    book.end()
    found = evidence(book)
    assert found.verdict.word == "proven"
    assert to_summary(found)["sites"][0]["before"] == {}
