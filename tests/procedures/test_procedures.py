# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/procedures.md keeps its promises: every procedure once, and every command that it gives is real and is run."""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess
import sys

import pytest
from procedure_table import COVERED, PLANNED, Row, rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
IDS = pathlib.Path(__file__).with_name("ids.txt").read_text(encoding="utf-8").split()
SYSTEMS = {
    "FM": "FlashMM",
    "AT": "AI Trading System",
    "OB": "Adaptive Order Book",
    "GM": "GrandModel",
    "SM": "SMC Trading Agent",
}
NAMED = sorted({command[0] for row in COVERED for command in row.commands})


def test_every_procedure_stands_there_once() -> None:
    count = collections.Counter(row.id for row in rows())
    assert count == collections.Counter(IDS)
    assert len(IDS) == 118


def test_every_row_is_complete() -> None:
    for row in rows():
        assert row.what, row.id
        assert row.playbook == PLANNED or row.commands, f"{row.id}: neither a command nor {PLANNED}"
        assert row.systems == SYSTEMS.get(row.id.partition("-")[0], "all"), row.id


def test_named_playbooks_parse() -> None:
    assert [name for name in NAMED if not (ROOT / name).is_file()] == []
    program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    command = [program, "--syntax-check", "--inventory", "localhost,", *NAMED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [name for name in NAMED if f"playbook: {name}" not in done.stdout] == []


@pytest.mark.parametrize("row", COVERED, ids=lambda row: row.id)
def test_a_test_runs_the_row(row: Row) -> None:
    """tests/playbooks has what must be true after each command of the row; it runs them as they stand there."""
    cases = (ROOT / "tests" / "lab" / "rehearsed.py").read_text(encoding="utf-8")
    assert f'"{row.id}"' in cases, f"{row.id} is called covered, and no test runs it"


@pytest.mark.parametrize("row", COVERED, ids=lambda row: row.id)
def test_variables_are_known(row: Row) -> None:
    """A variable that nobody reads would leave the procedure undone without a word."""
    readers = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "collections").glob("*/tradeops/core/roles/*/*/*.yml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in readers)
    assert [name for name in row.variables if not re.search(rf"\b{name}\b", text)] == []


def test_something_is_covered(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nprocedures: {len(COVERED)} covered, {len(IDS) - len(COVERED)} planned, {len(IDS)} in all")
    assert COVERED
