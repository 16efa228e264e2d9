#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: trading_state
short_description: Stop or resume trading, with proof
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Brings a site to a trading state, and proves it by reading the state back.
  - For V(halted), V(flat) and V(stopped) a second source, the witness of the profile, must show that no order enters
    any more.
  - A stop may be sent although the state cannot be read, if the profile says that this is safe. A resume never is.
  - It does not look at the health of the platform before it resumes. That is the work of the resume playbook.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._operation
  - tradeops.core._trading_state
  - tradeops.core._attributes
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - Reads the live state, returns the plan and sends no write. Signing in is not a write.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A site that is seen in the wanted state gets no write. So does a site in a stricter state, unless O(exact=true).
seealso:
  - module: tradeops.core.trading_state_fleet
  - module: tradeops.core.open_orders
  - module: tradeops.core.open_positions
  - module: tradeops.core.trading_info
"""

EXAMPLES = r"""
---
- name: Stop new orders and cancel the open ones
  tradeops.core.trading_state:
    state: halted
    cancel_orders: true
    reason: loss limit reached

- name: Close everything, with more time for the closing orders to fill
  tradeops.core.trading_state:
    state: flat
    wait_timeout: 120

- name: Let only orders through that reduce positions, also from a halt
  tradeops.core.trading_state:
    state: reducing
    exact: true

- name: Stop several sites with the same settings
  hosts: trading_sites
  gather_facts: false
  module_defaults:
    group/tradeops.core.trading:
      request_timeout: 2
      reason: exchange incident
  tasks:
    - name: Halt trading
      tradeops.core.trading_state:
        state: halted
      register: stop

    - name: Show what it rests on
      ansible.builtin.debug:
        var: stop.proof.summary
"""

RETURN = r"""
---
site:
  description: The site.
  returned: always
  type: str
  sample: flashmm-primary
capability:
  description: What was acted on.
  returned: always
  type: str
  sample: trading
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: halted
result:
  description:
    - What happened.
    - V(proven) means that something was sent, and that the wanted state was read back afterwards.
    - V(unchanged) means that the wanted state was observed before anything was sent. Nothing was sent.
    - V(planned) is the word of check mode. Something would be sent, see RV(plan).
    - V(refused) is a failure. The platform said no, or a guard of this module did.
    - V(unproven) is a failure. The wanted state could not be shown within O(wait_timeout), whatever was sent.
    - V(unreachable) is a failure. The platform gave no usable answer.
  returned: always
  type: str
  sample: proven
before:
  description: What was observed before the first write. Empty when the site was not read.
  returned: always
  type: dict
  contains:
    state:
      description: V(active), V(reducing), V(halted), V(stopped) or V(unknown). Flat is shown by the two counts.
      type: str
    open_orders:
      description: Number of open orders, V(null) when orders are not part of the wish.
      type: int
    positions:
      description: Number of positions held, V(null) when positions are not part of the wish.
      type: int
    marker:
      description: The marker of RV(proof.witness), at the beginning of its quiet time.
      type: raw
  sample:
    state: active
    open_orders: 419
    positions: null
    marker: 90210
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    state: halted
    open_orders: 0
    positions: null
    marker: 90210
plan:
  description: The writes that were sent or tried, in their order. In check mode none was sent.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: What the write does.
      type: str
    method:
      description: HTTP method.
      type: str
    path:
      description: Path of the request, without the base URL of the service.
      type: str
    service:
      description: Service of the platform, a key of O(urls).
      type: str
    why:
      description: What the write is for.
      type: str
  sample:
    - action: set trading state
      method: POST
      path: /admin/emergency-stop
      service: api
      why: trading active -> halted
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "417 cancelled, 2 refused: already filled"
    sources:
      description: Every reading, in its order.
      type: list
      elements: dict
      contains:
        source:
          description: Name of the source in the profile, or V(list).
          type: str
        method:
          description: HTTP method.
          type: str
        url:
          description: Address that was read, without its query.
          type: str
        at:
          description: Time of the reading, UTC, ISO 8601.
          type: str
        saw:
          description: What was read. For a state, the meaning, with the raw value of the platform in brackets.
          type: raw
    objects:
      description: The fate of every single order that was cancelled and position that was closed.
      type: list
      elements: dict
      contains:
        id:
          description: Id on the platform.
          type: str
        kind:
          description: Kind of object.
          type: str
        before:
          description: What was observed before.
          type: raw
        after:
          description: What was observed after.
          type: raw
        result:
          description: For example V(cancelled), V(refused), V(not cancelled), V(closed), V(not closed), V(deferred).
          type: str
        why:
          description: The reason, when it is not obvious.
          type: str
    witness:
      description:
        - The marker of order flow at the beginning and at the end of the quiet time, from another source than the
          state.
        - V(null) if O(state) allows new orders, and if the profile names no witness.
      type: dict
      contains:
        before:
          description: The marker at the beginning of the quiet time, which is after the last write.
          type: raw
        after:
          description: The marker at the end of the quiet time.
          type: raw
        quiet_seconds:
          description: How long no order may enter, in seconds.
          type: float
        moved:
          description: Whether an order entered in that time.
          type: bool
    elapsed:
      description: Seconds from the beginning to the last reading.
      type: float
notes:
  description: Remarks that limit or explain the result, such as a lease that was taken over.
  returned: always
  type: list
  elements: str
msg:
  description: Why it failed, with the site, what was wanted, what was seen and what to do. Empty on success.
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._platform.module import run_verb


def main() -> None:
    run_verb("trading_state")


if __name__ == "__main__":
    main()
