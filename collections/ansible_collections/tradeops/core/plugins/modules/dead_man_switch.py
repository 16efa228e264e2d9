#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: dead_man_switch
short_description: Arm or disarm the dead man's switch of a platform
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Arms or disarms the dead man's switch of a platform, and reads it back.
  - An armed switch makes the venue cancel all orders by itself, unless it is armed again in time.
  - Run this on a schedule that is shorter than half of O(timeout).
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._operation
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
    support: partial
    details:
      - Disarming is idempotent.
      - An armed switch with at least half of O(timeout) left is V(unchanged). With less it is armed again.
options:
  state:
    description: Whether the switch is armed.
    type: str
    choices:
      - armed
      - disarmed
    required: true
  timeout:
    description: Seconds until the venue cancels all orders. Used with O(state=armed).
    type: float
    default: 60.0
seealso:
  - module: tradeops.core.open_orders
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
---
- name: Keep the switch armed
  tradeops.core.dead_man_switch:
    state: armed
    timeout: 120

- name: Disarm it before maintenance
  tradeops.core.dead_man_switch:
    state: disarmed
    reason: planned maintenance
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
  sample: dead_man_switch
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: armed
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
    seconds_left:
      description: Seconds until the switch fires, V(null) when it is not armed, V(unknown) when it cannot be read.
      type: raw
  sample:
    seconds_left: null
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    seconds_left: 120.0
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
    - action: arm for 120 s
      method: POST
      path: /orders/cancel-after
      service: api
      why: not armed
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "armed, 120 s left"
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
      description: The fate of every single object. Always empty.
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
          description: Not used.
          type: str
        why:
          description: The reason, when it is not obvious.
          type: str
    witness:
      description: Always V(null). Only the trading state has a witness of order flow.
      type: dict
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
    run_verb("dead_man_switch")


if __name__ == "__main__":
    main()
