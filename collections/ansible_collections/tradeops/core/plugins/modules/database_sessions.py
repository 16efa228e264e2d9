#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: database_sessions
short_description: End statements that have run for too long in a PostgreSQL database
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Ends the sessions of other clients whose statement, or whose transaction that waits for its client, is older than
    O(older_than), and sees that they are gone.
  - Each is named with its user, its application, its age and its statement. Whatever stood in quotes is left out, for
    it may be a secret.
extends_documentation_fragment:
  - tradeops.core._database
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Names the sessions and ends none.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Where no statement has run for too long nothing is done.
options:
  older_than:
    description: Seconds that a statement may run.
    type: float
    required: true
seealso:
  - module: community.postgresql.postgresql_query
"""

EXAMPLES = r"""
- name: End what has run for more than five minutes
  tradeops.core.database_sessions:
    older_than: 300
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
  sample: {"long": 1}
after:
  description: What was counted afterwards, in another session.
  returned: always
  type: dict
  sample: {"long": 0}
plan:
  description: The statements that were run or tried, in their order. In check mode none was run.
  returned: always
  type: list
  elements: dict
proof:
  description:
    - What the result rests on. C(sources) has every reading, and C(summary) counts the objects.
    - C(objects) has each session with what it ran.
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
    run_module("database_sessions")


if __name__ == "__main__":
    main()
