# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: moves
short_description: In which order workloads are stopped and started
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns the moves that bring the workloads of a site into a state. Each move stops or starts a stage of them.
  - Starting goes up the stages. Stopping goes down, unless a workload says its place with C(stops).
  - A restart stops all and starts all, or, if it is rolling, takes one workload after the other.
  - A workload that is V(external) runs elsewhere. It has to be there before the next stage starts, and is not stopped.
options:
  _input:
    description: The workloads, C(tradeops_workloads).
    type: list
    elements: dict
    required: true
  state:
    description: The state.
    type: str
    choices: [started, stopped, restarted]
    required: true
  names:
    description: Which of them; all, if empty.
    type: list
    elements: str
    default: []
  rolling:
    description: Whether a restart takes one workload after the other.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what is done in which order
  ansible.builtin.debug:
    msg: "{{ tradeops_workloads | tradeops.core.moves('restarted') }}"
"""

RETURN = r"""
_value:
  description: The moves, each with its C(state) (V(started) or V(stopped)), C(workloads) and C(budget) in seconds.
  type: list
  elements: dict
"""

Row = dict[str, t.Any]


def moves(workloads: t.Sequence[Row], state: str, names: t.Sequence[str] = (), rolling: bool = False) -> list[Row]:
    """Return the moves that bring the workloads into a state, in their order."""
    known = [row.get("name") for row in workloads]
    wrong = [name for name in known if not isinstance(name, str) or known.count(name) > 1]
    if wrong:
        raise AnsibleFilterError(f"tradeops_workloads: {wrong[0]!r} is no name, or stands there twice")
    unknown = sorted(set(names) - set(known))
    if unknown or not known:
        has = f"it has {', '.join(map(str, known))}" if known else "it is empty"
        raise AnsibleFilterError(f"tradeops_workloads has no {', '.join(unknown) or 'entry'}; {has}. Nothing was done.")
    chosen = [row for row in workloads if not names or row["name"] in names]
    ours = [row for row in chosen if not row.get("external")]
    if state == "started":
        return _stages(chosen, state, _starts)
    if state == "stopped":
        return _stages(ours, state, _stops)
    if state != "restarted":
        raise AnsibleFilterError(f"the state {state!r} is none of started, stopped, restarted")
    if not rolling:
        return [*_stages(ours, "stopped", _stops), *_stages(chosen, "started", _starts)]
    return [_move(word, [row]) for row in ours for word in ("stopped", "started")]


def _stages(rows: t.Sequence[Row], state: str, place: t.Callable[[Row], int]) -> list[Row]:
    ordered = sorted(rows, key=place)
    return [_move(state, list(stage)) for _number, stage in itertools.groupby(ordered, key=place)]


def _move(state: str, rows: list[Row]) -> Row:
    return {"state": state, "workloads": rows, "budget": max(row.get("budget") or 0 for row in rows)}


def _starts(row: Row) -> int:
    return _number(row, "stage", 1)


def _stops(row: Row) -> int:
    return _number(row, "stops", -_starts(row))


def _number(row: Row, key: str, default: int) -> int:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise AnsibleFilterError(f"tradeops_workloads: {key} of {row['name']} is {value!r}; give a whole number")
    return value


class FilterModule:
    """The order of workloads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"moves": moves}
