#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_report
short_description: Make the report of an operation from its journal
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Writes one self-contained HTML page that says what an operation proved on each site, what it did not, who decided
    it, why and when, with every reading that the verdict rests on; and beside it the same as JSON.
  - Checks the hash chain of the journal first. When it is broken the page says so and the module fails.
  - The page holds no time of its own, so that the same journal gives the same page.
  - Runs on the controller, where the journals are.
options:
  path:
    description: The journal. Give this or O(operation_id).
    type: path
  operation_id:
    description:
      - The operation whose journal in O(journal_dir) is meant.
      - V(latest) is the journal that was written last, other than the one of the operation that asks, and those of
        operations that only made reports.
    type: str
  journal_dir:
    description:
      - The folder of the journals.
      - The environment variable E(TRADEOPS_JOURNAL_DIR) goes before the default; the callback sets it.
    type: path
    default: ~/.local/state/tradeops/journal
  dest:
    description:
      - Where to write the page, a name that ends in C(.html) or a folder, which is made when it does not exist.
      - Default is the folder of the journal.
      - The summary has the same name with the ending C(.json).
    type: path
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  action:
    description: Has an action plugin, which does all of the work in the process of Ansible.
    support: full
  check_mode:
    support: full
    details: Says whether the files would change, and writes none.
  diff_mode:
    support: none
    details: The page is not worth reading as a difference.
  idempotent:
    support: partial
    details: Inside the operation that it reports on the journal grows with every task, and so the page differs.
seealso:
  - module: tradeops.core.evidence_verify
"""

EXAMPLES = r"""
- name: Make the report of this operation
  tradeops.core.evidence_report:
    operation_id: "{{ lookup('ansible.builtin.env', 'TRADEOPS_OPERATION_ID') }}"
  register: report
"""

RETURN = r"""
operation_id:
  description: The operation.
  returned: always
  type: str
path:
  description: The HTML page.
  returned: always
  type: str
summary_path:
  description: The JSON summary.
  returned: always
  type: str
verdict:
  description:
    - V(proven), V(not_proven), V(planned) for a run in check mode, V(nothing) when no step of a trading module is
      recorded, V(invalid) when the journal was changed after it was written.
  returned: always
  type: str
counts:
  description: The number of sites by result word.
  returned: always
  type: dict
complete:
  description: Whether the journal holds all that happened.
  returned: always
  type: bool
gaps:
  description: Why the evidence is incomplete.
  returned: always
  type: list
  elements: str
valid:
  description: Whether the hash chain of the journal is whole.
  returned: always
  type: bool
head:
  description: The end of the chain when the report was made, C(<record number>:<hash>).
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._evidence.door import REPORT


def main() -> None:
    REPORT.module().fail_json(msg="evidence_report is done by its action plugin on the controller; use it in a task")


if __name__ == "__main__":
    main()
