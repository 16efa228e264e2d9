# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/procedures.md keeps its promises: every procedure once, and every playbook that it names is real and is run."""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "procedures.md"
IDS = pathlib.Path(__file__).with_name("ids.txt").read_text(encoding="utf-8").split()
PLANNED = "planned"
SYSTEMS = {
    "FM": "FlashMM",
    "AT": "AI Trading System",
    "OB": "Adaptive Order Book",
    "GM": "GrandModel",
    "SM": "SMC Trading Agent",
}


class Row(t.NamedTuple):
    id: str
    what: str
    playbook: str
    systems: str


def rows() -> list[Row]:
    """The rows of all tables of the document, without their headings and rules."""
    cells = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    assert all(len(row) == len(Row._fields) for row in cells), "a row of docs/procedures.md has not four cells"
    return [Row(*row) for row in cells if row[0] != "id" and not set(row[0]) <= {"-", ":"}]


def playbooks(row: Row) -> list[str]:
    """The playbooks that a row names, as paths from the root of the repository."""
    return re.findall(r"playbooks/[\w/]+\.yml", row.playbook)


def variables(row: Row) -> list[str]:
    """The variables that a row sets."""
    return re.findall(r"-e (\w+)=", row.playbook)


COVERED = [row for row in rows() if row.playbook != PLANNED]
NAMED = sorted({name for row in COVERED for name in playbooks(row)})


def exercising(name: str) -> list[pathlib.Path]:
    """The tests, scenarios and drills that run this playbook."""
    suites = [
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "molecule").rglob("*.yml"),
        ROOT / "tools" / "drill.py",
    ]
    own = pathlib.Path(__file__)
    word = re.compile(rf"(?<![\w-]){re.escape(name.rpartition('/')[2])}\b")
    return [path for path in suites if path != own and path.is_file() and word.search(path.read_text(encoding="utf-8"))]


def test_every_procedure_stands_there_once() -> None:
    count = collections.Counter(row.id for row in rows())
    assert count == collections.Counter(IDS)
    assert len(IDS) == 118


def test_every_row_is_complete() -> None:
    for row in rows():
        assert row.what, row.id
        assert row.playbook == PLANNED or playbooks(row), f"{row.id}: neither a playbook nor {PLANNED}"
        assert row.systems == SYSTEMS.get(row.id.partition("-")[0], "all"), row.id


@pytest.mark.parametrize("name", NAMED)
def test_named_playbook_parses(name: str) -> None:
    assert (ROOT / name).is_file(), f"{name} does not exist"
    command = ["ansible-playbook", "--syntax-check", "--inventory", "localhost,", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMED)
def test_named_playbook_is_run(name: str) -> None:
    assert exercising(name), f"no test, scenario or drill runs {name}"


@pytest.mark.parametrize("row", COVERED, ids=lambda row: row.id)
def test_variables_are_known(row: Row) -> None:
    """A variable that nobody reads would leave the procedure undone without a word."""
    readers = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "collections").glob("*/tradeops/core/roles/*/*/*.yml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in readers)
    assert [name for name in variables(row) if not re.search(rf"\b{name}\b", text)] == []


def test_something_is_covered(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nprocedures: {len(COVERED)} covered, {len(IDS) - len(COVERED)} planned, {len(IDS)} in all")
    assert COVERED
