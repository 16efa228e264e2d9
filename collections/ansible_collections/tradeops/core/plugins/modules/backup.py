#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Capture every component of a site under one id into every store
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Each artefact is dumped, hashed, compressed with Zstandard, encrypted with age, hashed again and stored in all
    stores in one pass, in constant memory. The end of every program is looked at.
  - The manifest is written last and in one step. A set without one never counts. Whatever ends a run before, nothing of
    it counts, and what it could not take back itself is removed by the next run.
  - Afterwards each store is listed again, and compared with the manifest that is read from it.
  - A store that fails is left out of the set, and the others go on. The set is then partial. The module fails and names
    the store, and the set counts in the others.
  - Two backups of one site never run at once. The second is refused, and names the first.
  - Nothing at the site is changed. Halting trading for the capture is the work of the role
    P(tradeops.core.backup#role), which therefore makes a set in three phases.
extends_documentation_fragment:
  - tradeops.core._backup
  - tradeops.core._backup.engines
  - tradeops.core._operation
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Looks whether the stores and what is captured can be reached, and captures nothing.
  diff_mode:
    support: full
    details: Shows the new set.
  idempotent:
    support: none
    details: Every run makes a set of its own.
options:
  type:
    description: Which kind of set it is. Retention and restores ask for it.
    type: str
    choices: [daily, weekly, monthly, manual, emergency, database, config, forensic, pre-deployment]
    default: manual
  tag:
    description: What it was taken before, such as a commit or a release.
    type: str
  consistency:
    description: Whether trading was halted for the capture, so that all components are of one moment. It is recorded,
      and not seen to.
    type: str
    choices: [component, quiesced]
    default: component
  phase:
    description:
      - V(whole) makes a set. Where the site is halted for it, that is done in three tasks of one operation.
      - V(begin), before the halt, looks whether everything can be captured and stored, and puts the mark of the run
        into the stores. It returns the O(id) for the others.
      - V(capture), while the site is halted, makes the set, and leaves the mark, also when it fails.
      - V(end), after the site was resumed, takes the mark away, and what is left of a set that was not made.
    type: str
    choices: [whole, begin, capture, end]
    default: whole
  id:
    description: The set that was begun. Needed with O(phase=capture) and O(phase=end), except in check mode.
    type: str
  halted_from:
    description: With O(phase=begin), the trading state of the site before it is halted for the capture. The mark of the
      run has it, so that the next run and M(tradeops.core.backup_info) tell that one which ended without resuming the
      site left trading halted.
    type: str
  code_version:
    description: The version that makes the set, for its manifest. That of this collection, if not given.
    type: str
"""

EXAMPLES = r"""
- name: Capture the database and the models of the site
  tradeops.core.backup:
    type: daily
    stores:
      - {name: local, kind: local, path: /srv/backups}
    components:
      - {name: database, engine: postgresql}
      - {name: models, engine: files, paths: [/srv/models]}
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]

- name: Say in the stores that the site is going to be halted for a set
  tradeops.core.backup:
    phase: begin
    type: daily
    halted_from: active
  register: begun
"""

RETURN = r"""
result:
  description: V(proven), V(planned) in check mode, or why it failed, V(unproven) for a set that is not in every store,
    V(refused) or V(unreachable).
  returned: always
  type: str
  sample: proven
left_halted:
  description: What runs that ended said of a site whose trading they had halted, and did not resume.
  returned: when a set was begun
  type: list
  elements: str
backup_id:
  description: The id of the set.
  returned: when a set was begun or made, also a partial one
  type: str
  sample: 20261126T020000Z-daily-3fa9c1
set:
  description: The manifest of the set.
  returned: when a set was made, also a partial one
  type: dict
before:
  description: Empty, for a new set replaces nothing.
  returned: always
  type: dict
after:
  description: The new set and what became of it in each store.
  returned: always
  type: dict
  sample: {"set": "20261126T020000Z-daily-3fa9c1", "stores": {"local": "stored"}, "components": ["database"]}
plan:
  description: What is captured into which stores. In check mode nothing was.
  returned: always
  type: list
  elements: dict
proof:
  description:
    - What the result rests on. C(objects) has the set as it was seen in each store afterwards.
  returned: always
  type: dict
notes:
  description: Remarks that limit or explain the result, such as what was removed of a run that was killed.
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
    run_module("backup")


if __name__ == "__main__":
    main()
