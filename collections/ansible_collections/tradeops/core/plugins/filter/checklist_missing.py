# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._checklist.rows import missing

DOCUMENTATION = r"""
name: checklist_missing
short_description: Name the steps that keep a step of a checklist from being taken
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Those that it needs and that did not pass; or, in a list that ends with its first failure, all that failed.
options:
  _input:
    description: The rows of the steps before it.
    type: list
    elements: dict
    required: true
  step:
    description: The step.
    type: dict
    required: true
  go_on:
    description: Whether a failure leaves the steps after it as they are.
    type: bool
    required: true
seealso:
  - plugin: tradeops.core.checklist_row
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Take the step
  when: checklist_rows | tradeops.core.checklist_missing(checklist_step, true) | length == 0
  ansible.builtin.include_tasks: step.yml
"""

RETURN = r"""
_value:
  description: Names of steps.
  type: list
  elements: str
"""


def checklist_missing(rows: t.Sequence[t.Mapping[str, t.Any]], step: t.Mapping[str, t.Any], go_on: bool) -> list[str]:
    """Return the names of the steps that are missing."""
    return missing(rows, step, go_on=go_on)


class FilterModule:
    """Which steps of a checklist are taken."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checklist_missing": checklist_missing}
