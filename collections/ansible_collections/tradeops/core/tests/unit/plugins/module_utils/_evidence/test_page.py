# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page shows what the journal shows, and reaches for nothing outside itself."""

from __future__ import annotations

import html.parser
import json
import os
import pathlib
import re
import stat
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts
from ansible_collections.tradeops.core.plugins.module_utils._evidence.door import verify_journal
from ansible_collections.tradeops.core.plugins.module_utils._evidence.summary import gather
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence.page import MEANINGS, SIGNS, render
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence.report import make

_VOID = {"meta", "link", "br", "hr", "img", "input", "line", "rect"}
EVIL = "<script>alert('x')</script>\"onload=\"'{{ 7 * 7 }}"


class Page(html.parser.HTMLParser):
    """Checks that tags are balanced, and collects what the page says and refers to."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.rows = 0
        self.said = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        assert not [name for name, _value in attrs if name.startswith("on")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += f"{data} "


def page(book: t.Any) -> Page:
    return Page(render(gather(book.path, book.operation)))


def test_it_reaches_for_nothing_outside(small: t.Any) -> None:
    found = page(small)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert all(reference.startswith("#") for reference in found.references)
    assert "http-equiv" in render(gather(small.path, small.operation))
    assert "url(" not in render(gather(small.path, small.operation))


def test_everything_is_escaped(book: t.Any) -> None:
    book.start([EVIL], reason=EVIL, playbook=EVIL, limit=EVIL, inventory=[EVIL], controller=EVIL, job={EVIL: EVIL})
    item = {"id": EVIL, "kind": EVIL, "before": EVIL, "after": {EVIL: EVIL}, "result": "refused", "why": EVIL}
    source = {"source": EVIL, "method": EVIL, "url": EVIL, "at": EVIL, "saw": {EVIL: EVIL}}
    proof = {"summary": EVIL, "sources": [source], "objects": [item], "witness": {EVIL: EVIL}}
    plan = [{"action": EVIL, "method": EVIL, "path": EVIL, "service": EVIL, "why": EVIL}]
    state = {"state": EVIL, EVIL: [EVIL]}
    common = {"proof": proof, "plan": plan, "before": state, "after": state, "notes": [EVIL], "msg": EVIL}
    book.result(EVIL, "unproven", **common, capability=EVIL, wanted=EVIL)
    book.result(EVIL, "unproven", 1.2, **common, action="tradeops.core.notify", capability="notify")
    book.other(EVIL, "failed", task=EVIL, msg=EVIL)
    book.add(1.5, "recovery", why=EVIL, lost=True)
    book.end()
    found = page(book)
    assert "script" not in found.tags
    assert found.said.count("alert('x')") > 20
    assert found.said.count("{{ 7 * 7 }}") > 20


def test_the_verdict_comes_first_in_words_and_sign(book: t.Any) -> None:
    book.start(["a", "b"])
    book.result("a", "proven")
    book.result("b", "unreachable")
    book.end()
    said = page(book).said
    assert said.index("1 of 2 sites not proven") < said.index("Decided by") < said.index("Refused or not proven")
    assert said.index("Refused or not proven") < said.index("Trading state")
    assert SIGNS["not_proven"] in said
    assert SIGNS["unreachable"] in said


def test_every_word_has_a_sign_of_its_own() -> None:
    assert len({SIGNS[word] for word in MEANINGS}) == len(MEANINGS)


def test_a_run_in_check_mode_says_that_nothing_was_sent(book: t.Any) -> None:
    book.start(["a"], check=True)
    book.result("a", "planned")
    book.end()
    said = page(book).said
    assert "Check mode: nothing was sent to any system." in said
    assert "After, as planned" in said


def test_gaps_are_shown(small: t.Any) -> None:
    small.add(3.0, "recovery", why="the journal was removed", lost=True)
    said = page(small).said
    assert "The evidence is incomplete." in said
    assert "The site is proven, but the evidence is incomplete" in said


def test_many_objects_are_capped_and_the_undone_come_first(book: t.Any) -> None:
    objects = [
        {"id": f"o-{number}", "kind": "order", "before": "open", "after": "x", "result": "cancelled", "why": ""}
        for number in range(1500)
    ]
    objects[1400] |= {"result": "refused", "why": "already filled"}
    book.start(["a"])
    book.result("a", "proven", proof={"summary": "1499 cancelled, 1 refused: already filled", "objects": objects})
    book.end()
    found = page(book)
    assert "1,300 more are in the journal." in found.said
    assert found.said.count("o-1400") == 2, "in the details and among what was refused"
    assert found.said.index("o-1400") < found.said.index("o-0 ")
    assert found.said.count(" order ") < 210


def test_a_long_reading_is_cut_and_says_so(book: t.Any) -> None:
    source = {"source": "s", "method": "GET", "url": "http://x", "at": "2026-11-21T03:04:05Z", "saw": "y" * 5000}
    book.start(["a"])
    book.result("a", "proven", proof={"sources": [source]})
    book.end()
    assert "(5000 characters in the journal)" in page(book).said


def test_a_hundred_sites(book: t.Any) -> None:
    hosts = [f"site-{number}" for number in range(100)]
    book.start(hosts)
    for host in hosts:
        book.result(host, "proven")
    book.end()
    found = page(book)
    assert "All 100 sites proven" in found.said
    assert found.tags.count("rect") == 150


def test_parts_of_another_form_do_not_break_the_page(book: t.Any) -> None:
    book.start(["a"])
    proof = {"objects": [1, {"id": 2}], "sources": [{"saw": 1}, "x"], "witness": "w"}
    book.result("a", "proven", before="x", after=[1], plan=["p", {}], proof=proof, notes=["n"])
    book.end()
    assert "proven" in page(book).said


def test_several_runs_are_listed(book: t.Any) -> None:
    for number in (0, 1):
        book.start(["a"], 10.0 * number)
        book.result("a", "proven", 10.0 * number + 1)
        book.end(10.0 * number + 2)
        book.next_run()
    said = page(book).said
    assert "Runs of this operation" in said
    assert said.count("decision 03:04") == 2


def report(book: t.Any, *, check_mode: bool = False, environ: dict[str, str] | None = None, **given: t.Any) -> t.Any:
    return make({"path": str(book.path), **given}, environ or {}, check_mode=check_mode)


def test_the_report_is_idempotent_and_private(small: t.Any) -> None:
    found = report(small)
    assert (found["changed"], found["failed"], found["verdict"]) == (True, False, "proven")
    path, summary = pathlib.Path(found["path"]), pathlib.Path(found["summary_path"])
    assert (path.name, summary.name) == ("op-1.html", "op-1.json")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(summary.stat().st_mode) == 0o600
    assert json.loads(summary.read_text())["journal"]["head"] == found["head"]
    assert not report(small)["changed"]
    assert sorted(item.name for item in path.parent.iterdir()) == ["op-1.html", "op-1.json", "op-1.jsonl"]
    path.write_text("changed by hand")
    assert report(small)["changed"]


def test_check_mode_writes_nothing(small: t.Any) -> None:
    assert report(small, check_mode=True)["changed"]
    assert [item.name for item in small.folder.iterdir()] == ["op-1.jsonl"]


def test_the_report_goes_where_it_is_told(small: t.Any, tmp_path: pathlib.Path) -> None:
    assert report(small, dest=str(tmp_path / "a" / "b"))["path"] == str(tmp_path / "a" / "b" / "op-1.html")
    assert report(small, dest=str(tmp_path / "x.html"))["summary_path"] == str(tmp_path / "x.json")
    with pytest.raises(InputError, match="give another dest"):
        report(small, dest=str(small.path / "below" / "a" / "file"))


def test_the_report_of_a_changed_journal_fails_and_is_made(small: t.Any) -> None:
    small.path.write_bytes(small.path.read_bytes().replace(b'"changed":true', b'"changed":false'))
    found = report(small)
    assert (found["failed"], found["valid"], found["verdict"]) == (True, False, "invalid")
    assert "line 4" in found["msg"]
    assert "changed after it was written" in pathlib.Path(found["path"]).read_text()


def test_the_report_inside_its_own_operation(small: t.Any) -> None:
    small.next_run()
    small.start(["a"], 5.0)
    environ = {facts.ENV_OPERATION: "op-1", facts.ENV_RUN: small.journal.run}
    assert report(small, environ=environ)["complete"]
    assert not report(small)["complete"]
    assert report(small, environ=environ | {facts.ENV_PROBLEM: "disk full"})["gaps"] == [
        "the journal could not be written: disk full"
    ]
    assert report(small, environ=environ | {facts.ENV_PROBLEM: "x", facts.ENV_OPERATION: "op-2"})["gaps"] != []


def test_the_report_without_a_journal(tmp_path: pathlib.Path) -> None:
    given = {"operation_id": "op-9", "journal_dir": str(tmp_path), "dest": str(tmp_path / "out")}
    with pytest.raises(InputError, match="there is no such journal"):
        make(given, {}, check_mode=False)
    environ = {facts.ENV_OPERATION: "op-9", facts.ENV_PROBLEM: "No space left on device"}
    found = make(given, environ, check_mode=False)
    assert (found["failed"], found["verdict"], found["complete"]) == (False, "nothing", False)
    assert "No space left" in pathlib.Path(found["path"]).read_text()


def test_the_latest_operation_is_the_last_that_did_something(small: t.Any) -> None:
    given = {"operation_id": "latest", "journal_dir": str(small.folder)}
    for age, name in enumerate(("only-reports", "current")):
        path = small.folder / f"{name}.jsonl"
        path.write_bytes(small.path.read_bytes() if name == "current" else small.path.read_bytes().splitlines(True)[0])
        os.utime(path, (2e9 + age, 2e9 + age))
    found = make(given, {facts.ENV_OPERATION: "current"}, check_mode=True)
    assert (found["operation_id"], found["verdict"]) == ("op-1", "proven")
    with pytest.raises(InputError, match="no journal there holds a step"):
        make(given | {"journal_dir": str(small.folder / "none")}, {}, check_mode=True)


def test_no_operation_is_said_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="no operation is named"):
        make({"operation_id": "", "journal_dir": str(tmp_path)}, {}, check_mode=False)


@pytest.mark.parametrize("operation", ["../../etc/passwd", "a/b", ".."])
def test_an_operation_id_does_not_leave_the_folder(tmp_path: pathlib.Path, operation: str) -> None:
    with pytest.raises(InputError, match="cannot be a file name"):
        make({"operation_id": operation, "journal_dir": str(tmp_path)}, {}, check_mode=False)


def test_what_verify_returns(small: t.Any) -> None:
    head = report(small)["head"]
    found = verify_journal({"path": str(small.path), "head": head}, {})
    assert re.fullmatch(r".*/op-1\.jsonl: 6 valid records", found.pop("msg"))
    assert found == {
        "changed": False,
        "failed": False,
        "path": str(small.path),
        "valid": True,
        "records": 6,
        "head": head,
        "first_bad": None,
        "problem": "",
        "torn": False,
    }
    small.path.write_bytes(small.path.read_bytes()[:-5])
    torn = verify_journal({"path": str(small.path)}, {})
    assert (torn["valid"], torn["torn"]) == (True, True)
    assert "a crash, not tampering" in torn["msg"]
    assert verify_journal({"path": str(small.path), "head": head}, {})["failed"]
    with pytest.raises(InputError, match="there is no such journal"):
        verify_journal({"path": str(small.path.parent)}, {})


def test_a_backup_shows_what_was_captured(book: t.Any) -> None:
    book.start(["a"])
    parts = {
        "database": {"engine": "postgresql", "moment": "2026-11-26T02:00:01Z", "plain": 1_000_000, "stored": 400_000},
        EVIL: {"engine": EVIL},
    }
    after = {"set": "20261126T020000Z-daily-3fa9c1", "stores": {"s3": "stored"}, "components": parts}
    book.result("a", "proven", capability="backup", wanted="a daily backup", action="tradeops.core.backup", after=after)
    book.end()
    found = page(book)
    assert "Captured: 20261126T020000Z-daily-3fa9c1" in found.said
    assert all(text in found.said for text in ("postgresql", "2026-11-26T02:00:01Z", "1,000,000", "400,000"))
    assert "script" not in found.tags
