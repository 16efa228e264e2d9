# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: trading_state_fleet
short_description: Give one trading state to all sites of the play at once
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Does what M(tradeops.core.trading_state) does, for all hosts of the play at the same time. No site waits for
    another.
  - The options of a site come from its host variables, as in M(tradeops.core.trading_state). What the task gives goes
    to every site.
  - It runs once for the play, in the process of Ansible, and always makes its calls from there.
  - This is an action plugin only.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._operation
  - tradeops.core._trading_state
  - tradeops.core._attributes
  - tradeops.core._attributes.action_only
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - Reads the live state, returns the plan and sends no write. Signing in is not a write.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A site that is seen in the wanted state gets no write. So does a site in a stricter state, unless O(exact=true).
options:
  block_only:
    description:
      - Whether to send only the order that blocks trading, and to prove nothing yet.
      - It saves the time of the proof when M(tradeops.core.trading_state) follows and takes it. A result is then
        V(ordered),
        which is no success by itself. O(cancel_orders) has no effect.
    type: bool
    default: false
  on_failure:
    description:
      - What a failure of a site means for the task.
      - V(fail) fails the task, after all sites were tried.
      - V(report) leaves the verdict to the tasks that follow. RV(failed_sites) names the sites.
    type: str
    choices:
      - fail
      - report
    default: fail
seealso:
  - module: tradeops.core.trading_state
  - module: tradeops.core.trading_info
"""

EXAMPLES = r"""
---
- name: Halt trading everywhere, with proof, and go on with what answered
  tradeops.core.trading_state_fleet:
    state: halted
    reason: exchange incident
    on_failure: report
  register: stop

- name: Name the sites that are not proven to be halted
  ansible.builtin.debug:
    var: stop.failed_sites

- name: Block all sites first
  tradeops.core.trading_state_fleet:
    state: halted
    block_only: true
    on_failure: report

- name: Then cancel the orders and take the proof, site by site
  tradeops.core.trading_state:
    state: halted
    cancel_orders: true
"""

RETURN = r"""
---
sites:
  description:
    - What happened, by site. A value has the keys that M(tradeops.core.trading_state) returns.
    - A site that did not report within its O(wait_timeout) and two seconds is V(unproven).
    - With O(block_only=true) a site that accepted the order is V(ordered). It has yet to be proven.
  returned: always
  type: dict
  sample:
    flashmm-primary:
      result: proven
      changed: true
    alpaca-paper:
      result: unreachable
      changed: false
failed_sites:
  description: The sites that are V(refused), V(unproven) or V(unreachable).
  returned: always
  type: list
  elements: str
  sample:
    - alpaca-paper
elapsed:
  description: Seconds until the last site had reported.
  returned: always
  type: float
msg:
  description: How many sites came to which result.
  returned: always
  type: str
  sample: "14 sites in 1.82 s: 13 proven, 1 unreachable"
"""
