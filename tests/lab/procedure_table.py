# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/procedures.md as data: the rows of its tables, and the commands that they promise."""

from __future__ import annotations

import pathlib
import re
import shlex
import typing as t

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "procedures.md"
PLANNED = "planned"


class Row(t.NamedTuple):
    id: str
    what: str
    playbook: str
    systems: str

    @property
    def commands(self) -> list[list[str]]:
        """The commands of the row, each a playbook and its arguments."""
        return [shlex.split(text) for text in re.findall(r"`(playbooks/[^`]+)`", self.playbook)]

    @property
    def variables(self) -> set[str]:
        """The variables that its commands set."""
        return {word.partition("=")[0] for command in self.commands for word in command if "=" in word}


def rows() -> list[Row]:
    """The rows of all tables of the document, without their headings and rules."""
    cells = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    assert all(len(row) == len(Row._fields) for row in cells), f"a row of {TABLE} has not four cells"
    return [Row(*row) for row in cells if row[0] != "id" and not set(row[0]) <= {"-", ":"}]


COVERED = [row for row in rows() if row.playbook != PLANNED]
