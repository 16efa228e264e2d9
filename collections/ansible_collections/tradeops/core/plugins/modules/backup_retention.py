#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_retention
short_description: Remove the backup sets that no rule keeps
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - The rules are those of restic, for each store and for each type of set. Every set that is kept has its reasons.
  - Only a set that is whole, and was verified at the level of C(counts_from), counts. One that does not can neither
    push a
    good one out nor is removed silently. It stays until C(remove_failed_after), and without that for good.
  - A set that is held stays, also what a kept set is based on, and what is dated in the future.
  - Nothing is removed anywhere when a store cannot be listed, lists nothing, when no rule is given, when a clock has
    jumped,
    or when more than C(at_most) per cent of the good sets of a type would go.
  - A set that an object lock holds in part stays whole, and the lock of each object is told.
  - A base backup of a server goes with the last set that has it, and with it the log that no other one needs. One on
    which another is built that stays, and the newest of the server, stay. One that a run of ours took which then
    failed goes once a set has a later one.
  - A removal is marked first, then the artefacts go, the manifest after them, the mark last. One that was killed is
    ended
    by the next run, and its set does not count meanwhile.
  - This is destructive. The playbook asks for C(tradeops_confirm).
extends_documentation_fragment:
  - tradeops.core._backup
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Tells what would be removed, with all reasons, and removes nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  retention:
    description:
      - The rules of each store, by its name. The variable C(tradeops_backup_retention) can give it.
      - V(keep_last), V(keep_hourly), V(keep_daily), V(keep_weekly), V(keep_monthly), V(keep_yearly) are numbers, and
        V(-1)
        is all. V(keep_within) and V(keep_within_daily) and so on are durations, such as V(7d) or V(1y6m), before the
        latest
        set. V(keep_tags) is a list.
      - V(floor), of a store or of all, is how many of the newest good sets of a type always stay. The default is 2.
      - V(counts_from) is the level at which a set must have been verified to count. The default is V(hashes).
      - V(remove_failed_after) is a duration before the latest good set.
      - V(at_most) is the percentage of the good sets of a type that one run may remove. The default is 50.
      - V(types) has other rules for sets of one type.
    type: dict
    required: true
  postgresql:
    description: Where the database is, as M(tradeops.core.backup) takes it, for the tools of base backups. The variable
      C(tradeops_postgresql) can give it.
    type: dict
  postgresql_server:
    description: The server of the site, where it has one of its own. Without it, base backups that no set has any more
      stay. The variable C(tradeops_postgresql_server) can give it.
    type: dict
"""

EXAMPLES = r"""
- name: Keep 30 days in the folder and 90 in the bucket
  tradeops.core.backup_retention:
    retention:
      floor: 3
      local: {keep_within: 30d}
      s3: {keep_within: 90d, remove_failed_after: 14d, types: {forensic: {keep_within: 7y}}}
"""

RETURN = r"""
result:
  description: V(proven), V(unchanged), V(planned) in check mode, or why it failed, V(unproven), V(refused) or
    V(unreachable).
  returned: always
  type: str
  sample: proven
before:
  description: How many sets each store had, and how many of them were good.
  returned: always
  type: dict
  sample: {"local": {"sets": 31, "good": 31}}
after:
  description: How many it has.
  returned: always
  type: dict
  sample: {"local": {"sets": 30}}
rows:
  description: What became of each set, for people, as the playbook shows it.
  returned: when the stores could be listed
  type: list
  elements: dict
plan:
  description: What is sent to the stores. In check mode it was not sent.
  returned: always
  type: list
  elements: dict
proof:
  description:
    - What the result rests on. C(objects) has each set in each store (C(kind)) with what became of it, V(kept),
      V(locked),
      V(proven) for removed and seen to be gone, V(planned), and in C(why) every reason.
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

from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import run_module


def main() -> None:
    run_module("backup_retention")


if __name__ == "__main__":
    main()
