# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._checklist.rows import row

DOCUMENTATION = r"""
name: checklist_row
short_description: Make the row of a step of a checklist from what its task returned
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Finds the word of a result of this collection, or of any other module, and what it said in one line.
  - A reading that is not known is V(unknown); a task that failed without a word of its own is V(fail).
options:
  _input:
    description: What the task returned, as C(register) keeps it.
    type: dict
    required: true
  step:
    description: The step, with its C(name) and what it does.
    type: dict
    required: true
  site:
    description: The site.
    type: str
    required: true
  earlier:
    description: The rows of the steps before it.
    type: list
    elements: dict
    required: true
  check_mode:
    description: Whether nothing was done. What is read after a plan then judges nothing.
    type: bool
    required: true
seealso:
  - plugin: tradeops.core.checklist
    plugin_type: module
"""

EXAMPLES = r"""
- name: Keep what became of a step
  ansible.builtin.set_fact:
    checklist_row: "{{ checklist_done | tradeops.core.checklist_row(checklist_step, inventory_hostname, [], false) }}"
"""

RETURN = r"""
_value:
  description: The row, with C(site), C(step), C(result) and C(said).
  type: dict
"""


def checklist_row(
    result: t.Mapping[str, t.Any],
    step: t.Mapping[str, t.Any],
    site: str,
    earlier: t.Sequence[t.Mapping[str, t.Any]],
    check_mode: bool,
) -> dict[str, str]:
    """Return the row of a step."""
    return row(site, step, result, earlier, check_mode=check_mode)


class FilterModule:
    """What became of a step of a checklist."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checklist_row": checklist_row}
