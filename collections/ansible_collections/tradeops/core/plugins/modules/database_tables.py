#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: database_tables
short_description: Vacuum, analyze and reindex the tables of a PostgreSQL database, and prove it
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Works table by table, beside the traffic. A table that refuses does not keep the others from theirs.
  - VACUUM and ANALYZE are proven by the statistics of the server, whose times must be later than its clock was before.
    PostgreSQL only warns where it leaves out a table of another owner; that is a failure here.
  - An index is proven to be rebuilt by its new file, its validity, and by nothing that C(REINDEX CONCURRENTLY) left
    behind. What an interrupted reindex of before left behind is dropped.
extends_documentation_fragment:
  - tradeops.core._database
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Reads the tables and indexes, returns the statements and runs none of them.
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Every run does the work again; it is maintenance, and has no state to reach.
options:
  operations:
    description: What to do, always in the order vacuum, analyze, reindex.
    type: list
    elements: str
    choices: [vacuum, analyze, reindex]
    default: [vacuum, analyze]
  tables:
    description: The tables, with or without their schema. All of them, if none is named.
    type: list
    elements: str
    default: []
seealso:
  - module: tradeops.core.database_archive
  - module: community.postgresql.postgresql_query
"""

EXAMPLES = r"""
- name: Vacuum and analyze everything, give the dead rows back
  tradeops.core.database_tables:

- name: Rebuild the indexes of the heavy tables beside the traffic
  tradeops.core.database_tables:
    operations: [reindex]
    tables: [trades, positions]
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
  sample: {"tables": 12, "dead": 4211, "bytes": 8839168}
after:
  description: What was counted afterwards, in another session.
  returned: always
  type: dict
  sample: {"tables": 12, "dead": 0, "bytes": 8839168}
plan:
  description: The statements that were run or tried, in their order. In check mode none was run.
  returned: always
  type: list
  elements: dict
proof:
  description:
    - What the result rests on. C(sources) has every reading, and C(summary) counts the objects.
    - C(objects) has each table and index with the times, files and why not.
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
    run_module("database_tables")


if __name__ == "__main__":
    main()
