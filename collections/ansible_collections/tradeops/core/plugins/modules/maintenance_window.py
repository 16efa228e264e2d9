#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_window
short_description: Tell whether a maintenance window is open, and keep what it has done at a site
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Decides whether the window O(name) may begin now. Outside of it that is refused, unless O(override) says why.
  - Keeps a record of the window at the site, on the controller, so that a run that was ended, even by C(kill -9), can
    be carried on with by the next one.
  - Changes nothing at the site. The role P(tradeops.core.maintenance_window#role) does, and asks this module before
    each step.
  - The lease of the site is taken for each change of the record, so that two controllers never carry out one window.
extends_documentation_fragment:
  - tradeops.core._operation
  - tradeops.core._attributes
  - tradeops.core._attributes.action_only
attributes:
  check_mode:
    support: full
    details: Decides, and keeps no record.
  diff_mode:
    support: none
    details: The record is returned.
  idempotent:
    support: partial
    details: A window that was carried out is not opened again. Each note is kept with its time.
  bypass_host_loop:
    support: none
options:
  site:
    description: Name of the site. The name of the host in the inventory, if not given.
    type: str
  state:
    description:
      - With V(observed) it is told when the window is, and how it stands.
      - With V(opened) it begins, or is carried on with when it is not finished.
      - With V(noted) the O(status) of a O(step) is kept. A step of the body does not begin after the end of the window.
      - With V(failed) the window stays to be carried on with, if the site was touched.
      - With V(closed) it is over.
    type: str
    choices: [observed, opened, noted, failed, closed]
    required: true
  name:
    description: Which window.
    type: str
    required: true
  windows:
    description:
      - The windows by name. Each has C(minutes), and C(day), C(at) and C(zone) (V(UTC)), or C(any_time). With C(nth) it
        is only the first to fourth such day of a month.
      - It may have C(trading) (V(halted), V(flat), V(as_is)), C(health) (V(true)), C(watch_minutes), C(body), and for a
        change C(change) (the prefix of its id), C(approval) and C(review_hours).
      - A time that the clocks leave out when they go forward is the moment that would have had it.
    type: dict
    required: true
  directory:
    description: Folder of the records.
    type: path
    required: true
  override:
    description: Why the window is opened although it is not its time.
    type: str
    default: ""
  known:
    description: The steps that there are. A body with another one is refused.
    type: list
    elements: str
    default: []
  body:
    description: The steps of this run, in place of those of the window.
    type: list
    elements: str
    default: []
  found:
    description: How the site was found, to bring it back to.
    type: dict
    default: {}
  change:
    description: Id of the change. It is made from the prefix and the time, if not given.
    type: str
    default: ""
  approver:
    description: Who approved it.
    type: str
    default: ""
  step:
    description: The step, with O(state=noted).
    type: str
  status:
    description: What became of the step. V(nothing) is for one that has nothing to do at this site, V(planned) for one
      that nothing does yet.
    type: str
    choices: [begun, done, nothing, planned, left]
    default: begun
  why:
    description: What is to be remembered of the step.
    type: str
    default: ""
seealso:
  - module: tradeops.core.maintenance_mode
"""

EXAMPLES = r"""
- name: May the weekly window begin?
  tradeops.core.maintenance_window:
    state: opened
    name: weekly
    windows:
      weekly: {day: sunday, at: "02:00", zone: America/New_York, minutes: 120, body: [database, logs]}
    directory: ~/.local/state/tradeops/maintenance
"""

RETURN = r"""
result:
  description: V(proven) when the record was kept, V(unchanged), V(planned) in check mode, or V(refused).
  returned: always
  type: str
  sample: proven
window:
  description: The window with its defaults.
  returned: success
  type: dict
record:
  description: What was kept.
  returned: success
  type: dict
is_open:
  description: Whether it is the time of the window.
  returned: O(state=observed)
  type: bool
begins:
  description: When the window begins or began, UTC.
  returned: O(state=observed)
  type: str
ends:
  description: When it ends.
  returned: O(state=observed)
  type: str
text:
  description: The window in words.
  returned: O(state=observed)
  type: str
continued:
  description: Whether an unfinished window is carried on with.
  returned: O(state=opened)
  type: bool
already:
  description: Whether it was carried out already. Nothing is left to do.
  returned: O(state=opened)
  type: bool
begin:
  description: Whether the step may begin.
  returned: O(state=noted)
  type: bool
alarms:
  description: Shares of the window, in per cent, that are used up since the note before.
  returned: O(state=noted)
  type: list
  elements: int
body:
  description: The steps of the body.
  returned: not with O(state=observed)
  type: list
  elements: str
left:
  description: Those that are not done.
  returned: not with O(state=observed)
  type: list
  elements: str
touched:
  description: Whether anything may have been done to the trading of the site.
  returned: not with O(state=observed)
  type: bool
over:
  description: Whether the window is over its end.
  returned: not with O(state=observed)
  type: bool
seconds_left:
  description: Seconds until its end.
  returned: not with O(state=observed)
  type: int
notes:
  description: Remarks that limit or explain the result.
  returned: always
  type: list
  elements: str
msg:
  description: Why it was refused. Empty on success.
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._maintenance.window import SPEC


def main() -> None:
    SPEC.module().fail_json(msg="maintenance_window is done by its action plugin on the controller; use it in a task")


if __name__ == "__main__":
    main()
