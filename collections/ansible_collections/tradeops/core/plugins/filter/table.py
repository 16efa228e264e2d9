# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: table
short_description: Lay out a list of dictionaries as a table of text
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns the lines of a table with one row for each dictionary, for people who read the output of a playbook.
options:
  _input:
    description: The rows.
    type: list
    elements: dict
    required: true
  columns:
    description: The keys to show, in their order.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the sites
  ansible.builtin.debug:
    msg: "{{ rows | tradeops.core.table(['site', 'state']) }}"
"""

RETURN = r"""
_value:
  description: The lines, a header first.
  type: list
  elements: str
"""


def table(rows: t.Iterable[t.Mapping[str, t.Any]], columns: t.Sequence[str]) -> list[str]:
    """Return the lines of a table, a header and a rule first."""
    grid = [list(columns), *[[_cell(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[index]) for line in grid) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _cell(value: t.Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


class FilterModule:
    """Filters for people's eyes."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"table": table}
