#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: checklist
short_description: Give the verdict over the steps of a checklist
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Puts the steps of a checklist, with what became of each, into the journal and so into the evidence page.
  - Fails when a step did not pass, was not reached, or is not known. A step that is V(planned) was not done; it is
    named as such and fails nothing.
  - The role P(tradeops.core.checklist#role) takes the steps and calls it.
options:
  name:
    description: Name of the checklist.
    type: str
    required: true
  rows:
    description: The steps, in their order.
    type: list
    elements: dict
    required: true
    suboptions:
      site:
        description: The site.
        type: str
      step:
        description: Name of the step.
        type: str
        required: true
      do:
        description: What kind of step it is.
        type: str
        default: ""
      result:
        description: What became of it.
        type: str
        choices: [fail, unreachable, unproven, refused, unknown, not reached, warn, planned, proven, unchanged, pass]
        required: true
      said:
        description: What was seen, in one line.
        type: str
        default: ""
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  action:
    description: Has an action plugin, which does all of the work in the process of Ansible.
    support: full
  check_mode:
    support: full
    details: It only adds up, and says the same in check mode.
  diff_mode:
    support: none
    details: It changes nothing.
  idempotent:
    support: full
    details: It changes nothing.
seealso:
  - module: tradeops.core.evidence_report
"""

EXAMPLES = r"""
- name: The checklist passed
  tradeops.core.checklist:
    name: daily checklist morning
    rows:
      - {step: System health, result: pass, said: 7 checks pass}
      - {step: Backups of the night, result: planned, said: no playbook does this yet}
"""

RETURN = r"""
site:
  description: The site.
  returned: success
  type: str
capability:
  description: Always V(checklist).
  returned: success
  type: str
wanted:
  description: The name of the checklist.
  returned: success
  type: str
result:
  description:
    - V(proven) when all passed and one of them changed something, V(unchanged) when all passed.
    - V(unproven) is a failure. A step did not pass.
  returned: success
  type: str
before:
  description: Always empty.
  returned: success
  type: dict
after:
  description: How many steps ended with which word.
  returned: success
  type: dict
  sample: {pass: 6, planned: 1}
plan:
  description: Always empty.
  returned: success
  type: list
  elements: dict
proof:
  description: The steps, in C(objects), and in C(summary) their number by result.
  returned: success
  type: dict
notes:
  description: Always empty.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._checklist.rows import SPEC


def main() -> None:
    SPEC.module().fail_json(msg="checklist is done by its action plugin on the controller; use it in a task")


if __name__ == "__main__":
    main()
