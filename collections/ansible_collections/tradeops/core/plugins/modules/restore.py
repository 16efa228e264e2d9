#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Put a site back as it was captured, whole or in part, or a server as of a second
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - It plans from the set and from the live site, and refuses before anything is touched what cannot work. That is a set
    that is not whole, a server older than the dump, an extension that is missing, too little room, and a file that
    would leave its folder.
  - A site that trades is refused, and so is one of which that cannot be read. Halt it with
    M(tradeops.core.trading_state). A site of which no pod runs counts as stopped.
  - Everything that is needed is read and every hash compared before anything is touched. Only a dump may be loaded
    beside while it is read, and then its hashes are compared before it is put in place.
  - A database is restored into one beside and compared with the rows and checksums of the manifest. Then both are
    renamed in one transaction.
  - A Redis is loaded by a scratch server, moved into a spare database, compared, and swapped in with C(SWAPDB). The
    spare database is an empty one, or that which C(spare) of O(redis) names.
  - Files are unpacked beside, completed with what is there and not in the archive, and exchanged in one step.
  - Objects of Kubernetes are applied by the server, object by object. Those that are replaced are captured first, as a
    set of type C(safety) in the stores, which is read back and put back by its id.
  - When one component cannot be switched to, those before it are taken back.
  - What was replaced stays, as C(<database>_before_<id>), as a marked database of Redis, and as
    C(<path>.before-<id>), until somebody drops it.
  - What a killed restore has left is removed by the next one.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._backup
  - tradeops.core._backup.engines
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Reads the whole set and the live site, returns the plan, and writes nothing at the site.
  diff_mode:
    support: full
    details: Shows for each component what is there and what the set has.
  idempotent:
    support: none
    details: What is restored a second time is restored anew.
options:
  id:
    description: Id of the set, or V(latest) for the newest one that is whole and has what O(what) asks for. Newer ones
      that were passed over are told with what they lack.
    type: str
    default: latest
  what:
    description:
      - Which part. For V(database) and V(config) it is what O(parts) says that such a backup has, for V(data) all the
        rest of the set.
    type: str
    choices: [full, database, config, data]
    default: full
  at:
    description:
      - A date such as V(2026-11-26), for the newest set that ended on that day (UTC) or before.
      - A time with its zone, such as V(2026-11-26 14:29:59+00:00). Where O(components) has a base backup with its log,
        the server is recovered to that second. Otherwise it is the newest set that ended by then.
      - V(lsn:0/5000148) and V(name:before-deploy), for a server with a log.
      - A time without a zone is refused.
    type: str
    default: ""
  only:
    description: Names of components, to restore only those.
    type: list
    elements: str
    default: []
  parts:
    description: The types of backups with their C(components), as C(tradeops_backup_types) of the inventory has them.
    type: dict
    default: {}
  jobs:
    description:
      - How many tables and indexes are restored at the same time.
      - The rows are loaded by one job, while the dump is read, where that is faster. One table may have most of them,
        or there may be no processors for more. Indexes and constraints have all the jobs.
    type: int
    default: 2
  force:
    description: Take fields of objects over that somebody else manages by now.
    type: bool
    default: false
  recreate:
    description: Delete objects that differ and cannot be changed, and make them anew.
    type: bool
    default: false
  scratch_dir:
    description:
      - Folder for what is decrypted, with room for all of it. It is only readable by us, and removed afterwards.
      - The temporary folder, if not given.
    type: path
seealso:
  - module: tradeops.core.backup
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
- name: The newest set, whole
  tradeops.core.restore:

- name: Only the database, as it was yesterday
  tradeops.core.restore:
    at: "2026-11-25"
    what: database

- name: The server as of a second
  tradeops.core.restore:
    at: "2026-11-26 14:29:59+00:00"
    what: database
"""

RETURN = r"""
result:
  description: V(proven), V(planned) in check mode, or why it failed, V(refused) or V(unreachable) with nothing changed,
    V(unproven) when something was, see RV(msg).
  returned: always
  type: str
  sample: proven
before:
  description: What is there of each component.
  returned: always
  type: dict
  sample: {"database": {"size": 8413715, "owner": "tradeops"}}
after:
  description: What is there afterwards, and under which name the replaced one is kept. In check mode, what would be.
  returned: always
  type: dict
  sample: {"database": {"tables": 12, "rows": 48211, "kept": "flashmm_before_20261126T020000Z-daily-3fa9c1"}}
plan:
  description: The way of each component, with the bytes that it needs and those that are free.
  returned: always
  type: list
  elements: dict
proof:
  description: What the result rests on. C(objects) has each component, as seen by a session of its own afterwards.
  returned: always
  type: dict
notes:
  description: Remarks that limit or explain the result, such as what was removed of a restore that was killed.
  returned: always
  type: list
  elements: str
base_backups_due:
  description: The components of which a base backup is due, for their server is on a new timeline now.
  returned: when something was restored
  type: list
  elements: str
  sample: [wal]
msg:
  description: Why it failed, with the site, what was wanted, what was seen and what to do. Empty on success.
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import run_module


def main() -> None:
    run_module("restore")


if __name__ == "__main__":
    main()
