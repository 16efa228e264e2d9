#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backup sets of a site, over all of its stores
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Merges the listings of all stores. It tells of each set where it lies, whether it is whole, how far it was verified
    and
    when, and what holds it.
  - Runs that did not end, were killed or lost an artefact are listed as that. They never count.
  - It fails when a store cannot be listed, and still returns what the others have. A store without anything of the site
    is one that cannot be listed, unless O(expected) is false. A wrong bucket looks just like that.
extends_documentation_fragment:
  - tradeops.core._backup
  - tradeops.core._backup.latest
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
    details: It only reads.
  idempotent:
    support: full
    details: It only reads.
options:
  id:
    description: Also tell everything of one set, with its manifest and the records of its verifications. It is an id,
      V(latest), or a day in UTC such as V(2026-11-26), which means the latest set of that day.
    type: str
  before:
    description: Only sets taken until then. Date, time and zone, such as V(2026-11-26T02:00:00Z).
    type: str
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
    default: full
  limit:
    description: How many sets are told one by one, the newest first. All are counted.
    type: int
    default: 50
  expected:
    description: Whether a store must have sets of the site.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Read the catalogue
  tradeops.core.backup_info:
  register: catalogue

- name: Read everything of the latest daily set
  tradeops.core.backup_info:
    id: latest
    types: [daily]
"""

RETURN = r"""
result:
  description: V(unchanged), or why it failed, V(refused), V(unproven) or V(unreachable).
  returned: always
  type: str
  sample: unchanged
sets:
  description:
    - The sets, the newest first. C(state) is V(whole), V(partial) (whole in one store, and another one never
      got it), V(running), V(unfinished), V(damaged) or V(deleting).
    - C(level) is the highest level at which it was verified since that last failed, and C(verified)
      when. Ages are in seconds.
  returned: when a store could be listed
  type: list
  elements: dict
  sample:
    - id: 20261126T020000Z-daily-3fa9c1
      type: daily
      state: whole
      problem: ""
      taken: "2026-11-26T02:00:00Z"
      age: 3600
      level: restored
      verified: "2026-11-26T02:30:00Z"
      verified_age: 1800
      held: ""
      size: 73400320
      components: {database: postgresql, redis: redis}
counts:
  description: How many sets there are, in all and by state.
  returned: when a store could be listed
  type: dict
  sample: {"sets": 31, "whole": 30, "unfinished": 1}
latest:
  description: The newest set that can be used, or nothing.
  returned: when a store could be listed
  type: dict
latest_verified:
  description: The newest one that can be used and was verified at any level, or nothing.
  returned: when a store could be listed
  type: dict
set:
  description: The set that O(id) asks for, with its C(manifest) and its C(verifications).
  returned: when a store could be listed
  type: dict
strangers:
  description: What else lies in the folder of the site, and is no set.
  returned: when a store could be listed
  type: list
  elements: str
before:
  description: Empty, for nothing is changed.
  returned: always
  type: dict
after:
  description: Empty, for nothing is changed.
  returned: always
  type: dict
rows:
  description: The same for people, as the playbook shows it.
  returned: when a store could be listed
  type: list
  elements: dict
plan:
  description: Empty, for nothing is changed.
  returned: always
  type: list
  elements: dict
proof:
  description: C(sources) has what each store listed.
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
    run_module("backup_info")


if __name__ == "__main__":
    main()
