#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: risk_limits
short_description: Set risk limits, or lower them by per cent
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Sets risk limits of a platform, and reads each of them back.
  - O(reduce_by) never raises a limit that is already lower.
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
      - Full with O(limits), and with O(reduce_by) and a O(baseline).
      - With O(reduce_by) and no O(baseline), every run lowers the limits again.
options:
  limits:
    description: The limits and their values, in the units of the platform. Limits that are not named stay as they are.
    type: dict
  reduce_by:
    description:
      - Lower the limits by this many per cent of their O(baseline).
      - It lowers the number. For a limit whose number is negative this is no reduction, so name such a limit in
        O(limits).
    type: float
  baseline:
    description:
      - The values that O(reduce_by) is counted from. Only the limits named here are lowered.
      - If it is empty, all limits are lowered, counted from their present values.
    type: dict
    default: {}
seealso:
  - module: tradeops.core.trading_state
  - module: tradeops.core.trading_info
"""

EXAMPLES = r"""
---
- name: Set two limits
  tradeops.core.risk_limits:
    limits:
      max_position_usd: 50000
      max_daily_loss_usd: 2000
    reason: desk request 114

- name: Halve one limit, no matter how often this runs
  tradeops.core.risk_limits:
    reduce_by: 50
    baseline:
      max_position_usd: 100000
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
  sample: risk_limits
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: reduced by 50 %
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
  sample:
    max_position_usd: 100000.0
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    max_position_usd: 50000.0
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
    - action: "risk limit: reduced by 50 %"
      method: PUT
      path: /risk/limits/max_position_usd
      service: api
      why: 'max_position_usd: 100000.0 -> 50000.0'
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "1 changed"
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
      description: The fate of every single limit.
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
          description: V(changed), V(unchanged) or V(not changed).
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
    run_verb("risk_limits")


if __name__ == "__main__":
    main()
