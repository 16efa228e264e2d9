#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify backup sets, up to a restore into scratch servers
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Each copy in each store is verified for itself. What was found is kept beside it, so that the catalogue knows.
  - Each level includes those before it. V(listed) is the manifest with its digest and signature, V(sizes) that every
    artefact is there. V(hashes) reads everything whole, decrypts it, and compares both hashes.
  - V(tools) lets the tools read it, C(pg_restore --list), C(redis-check-rdb), the members of archives, documents of
    YAML.
  - V(restored) restores into a scratch PostgreSQL and a scratch Redis that nobody else can reach, and compares the
    rows of
    every table, the checksums that the manifest has, and the keys. C(pg_amcheck) is run where its extension is there.
  - A set that is damaged is recorded as damaged, and counts no more. What is missing where it is verified, such as a
    key or
    an extension, fails the module, and says nothing about the set.
extends_documentation_fragment:
  - tradeops.core._backup
  - tradeops.core._backup.latest
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Verifies, and keeps no record.
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Every verification is done, and recorded.
options:
  id:
    description: Which sets. An id, V(latest), a day in UTC such as V(2026-11-26), or V(all).
    type: str
    default: latest
  level:
    description: How far.
    type: str
    choices: [listed, sizes, hashes, tools, restored]
    default: hashes
  types:
    description: Only sets of these types.
    type: list
    elements: str
    default: []
  what:
    description: The latest set is the newest from which this could be restored, unless O(types) are given. Newer ones
      that were passed over are told.
    type: str
    choices: [full, database, config, data]
    default: database
  subset:
    description: With O(id=all) only a part, such as V(1/7), or V(today/7) for another seventh each day. Sets belong to
      a
      part by their id, so that all parts together are all sets.
    type: str
  only_stores:
    description: Only the copies in these stores. All, if not given.
    type: list
    elements: str
    default: []
  postgresql:
    description: Where the database is, as M(tradeops.core.backup) takes it, for the tools of base backups. The variable
      C(tradeops_postgresql) can give it.
    type: dict
  postgresql_bin:
    description: Folder of the programs of PostgreSQL, with its server, if they are not on the path. The variable
      C(tradeops_postgresql_bin) can give it.
    type: path
  postgresql_server:
    description: The server of the site, where it has one of its own, for the tools of base backups. The variable
      C(tradeops_postgresql_server) can give it.
    type: dict
  redis_bin:
    description: Folder of the programs of Redis, if they are not on the path. The variable C(tradeops_redis_bin) can
      give it.
    type: path
  scratch_dir:
    description: Where scratch servers have their data, decrypted. The temporary folder of the machine, if not given.
      The
      variable C(tradeops_scratch_dir) can give it.
    type: path
"""

EXAMPLES = r"""
- name: Prove that the latest set can be restored
  tradeops.core.backup_verify:
    level: restored

- name: Read a seventh of all sets, another one each day
  tradeops.core.backup_verify:
    id: all
    subset: today/7
"""

RETURN = r"""
result:
  description: V(proven), V(planned) in check mode, or why it failed, V(unproven) for a set that is damaged or could
    not be
    restored, V(refused) or V(unreachable).
  returned: always
  type: str
  sample: proven
verified:
  description: The records, one for each copy, with what was seen of each component.
  returned: when a set was verified
  type: list
  elements: dict
  sample:
    - set: 20261126T020000Z-daily-3fa9c1
      store: s3
      level: restored
      at: "2026-11-26T02:30:00Z"
      seconds: 21.4
      problem: ""
      components: [{component: database, engine: postgresql, level: restored, facts: {rows: 417000, tables: 6}}]
before:
  description: How far each copy was verified.
  returned: always
  type: dict
after:
  description: How far each copy is verified now.
  returned: always
  type: dict
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
    - What the result rests on. C(objects) has each copy, with its level before and after, or why not.
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
    run_module("backup_verify")


if __name__ == "__main__":
    main()
