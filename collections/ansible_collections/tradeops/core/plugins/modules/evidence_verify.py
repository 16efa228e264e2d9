#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_verify
short_description: Check the hash chain of the journal of an operation
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Detects every edit, deletion, insertion and change of order in a journal that the callback
    P(tradeops.core.journal#callback) has written, and names the first bad line.
  - With the O(head) that a report shows it also detects that records were cut off at the end, and that the whole
    journal was written anew.
  - A last record that a crash left unfinished is reported in RV(ignore:torn) and is not tampering.
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
  head:
    description:
      - A chain head that was kept elsewhere, as the report shows it, C(<record number>:<hash>), or the hash alone.
      - Records that were added after it are fine.
    type: str
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: It only reads, and says the same in check mode.
  diff_mode:
    support: none
    details: It changes nothing.
  idempotent:
    support: full
seealso:
  - module: tradeops.core.evidence_report
"""

EXAMPLES = r"""
- name: Check a journal against the head that its report shows
  tradeops.core.evidence_verify:
    operation_id: 20261121T030405Z-9f3a6c1b
    head: "{{ head_from_the_report }}"
"""

RETURN = r"""
path:
  description: The journal.
  returned: always
  type: str
valid:
  description: Whether the chain is whole and, when O(head) is given, holds it. The module fails when it is not.
  returned: always
  type: bool
records:
  description: The number of valid records from the beginning.
  returned: always
  type: int
head:
  description: The end of the valid chain, C(<record number>:<hash>).
  returned: always
  type: str
  sample: 412:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
first_bad:
  description: The number of the first bad line, 0 when no single line is to blame, null when the journal is valid.
  returned: always
  type: int
problem:
  description: What is wrong, empty when nothing is.
  returned: always
  type: str
torn:
  description: Whether a crash left the last record unfinished.
  returned: always
  type: bool
"""

import os

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._evidence.door import VERIFY, verify_journal


def main() -> None:
    module = VERIFY.module()
    try:
        module.exit_json(**verify_journal(module.params, os.environ))
    except TradeopsError as exc:
        module.fail_json(msg=str(exc))


if __name__ == "__main__":
    main()
