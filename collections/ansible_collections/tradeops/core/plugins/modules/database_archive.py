#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: database_archive
short_description: Move old rows of PostgreSQL tables into their archives, batch by batch
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Each batch is one transaction. Its rows are copied, read back column by column, and deleted. Unless all of these
    counts agree, the batch is rolled back and the module fails.
  - An interruption at any point, also the death of the controller, loses no row and doubles none. The next run goes on.
  - What is old is decided once, by the clock of the server, so that a table that is written meanwhile does not keep the
    module from its end.
  - Without O(rules[].into) the rows are deleted for good.
  - This is destructive. The role P(tradeops.core.database_maintenance#role) asks for C(tradeops_confirm).
extends_documentation_fragment:
  - tradeops.core._database
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Counts the old rows and moves none.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Where no row is old enough nothing is done.
options:
  rules:
    description: What is archived.
    type: list
    elements: dict
    required: true
    suboptions:
      table:
        description: The table, with or without its schema. It needs a primary key.
        type: str
        required: true
      column:
        description: The column with the time of a row. Rows without a time stay.
        type: str
        required: true
      older_than:
        description: How old a row has to be, as an interval of PostgreSQL, such as V(90 days) or V(1 year).
        type: str
        required: true
      into:
        description: The archive. It is made when it is missing, with the same columns and the same primary key.
        type: str
      batch:
        description: How many rows are moved in one transaction.
        type: int
        default: 1000
seealso:
  - module: tradeops.core.database_tables
"""

EXAMPLES = r"""
- name: Keep a year of trades at hand
  tradeops.core.database_archive:
    rules:
      - {table: trades, column: timestamp, older_than: 1 year, into: trades_archive}
"""

RETURN = r"""
result:
  description: V(proven), V(unchanged), V(planned) in check mode, or why it failed, V(unproven), V(refused) or
    V(unreachable).
  returned: always
  type: str
  sample: proven
before:
  description: What was counted before.
  returned: always
  type: dict
  sample: {"public.trades": {"old": 324, "kept": 876, "archived": 0}}
after:
  description: What was counted afterwards, in another session.
  returned: always
  type: dict
  sample: {"public.trades": {"old": 0, "kept": 876, "archived": 324}}
plan:
  description: The statements that were run or tried, in their order. In check mode none was run.
  returned: always
  type: list
  elements: dict
proof:
  description:
    - What the result rests on. C(sources) has every reading, and C(summary) counts the objects.
    - C(objects) has each table with its counts.
  returned: always
  type: dict
notes:
  description: Remarks that limit or explain the result.
  returned: always
  type: list
  elements: str
msg:
  description: Why it failed, with the site, what was wanted, what was seen and what to do. Empty on success.
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._database.registry import run_module


def main() -> None:
    run_module("database_archive")


if __name__ == "__main__":
    main()
