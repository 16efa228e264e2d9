#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: open_positions
short_description: Close positions, within limits
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Closes the positions of a site, or of a part of it, and reads back that nothing is held any more.
  - If the profile names the venue as witness, the venue must not hold them either.
  - It does not stop trading. O(tradeops.core.trading_state#module:state=flat) stops, cancels and closes in the right
    order.
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
    support: full
    details:
      - Nothing is sent when no position of the scope is held.
options:
  state:
    description: No position of the scope is held.
    type: str
    choices:
      - flat
    default: flat
  scope:
    description:
      - Which positions. Keys are V(account), V(venue), V(strategy), V(symbol) and V(owner). All given ones must fit.
      - A key that the platform does not tell, or cannot close by, is refused. A wider request is never sent in its
        place.
      - Either this or O(all=true) is needed.
    type: dict
    default: {}
  all:
    description: Whether all positions of the site are meant.
    type: bool
    default: false
  limits:
    description: Refuse to close anything that is larger than expected.
    type: dict
    suboptions:
      max_positions:
        description: Largest number of positions to close.
        type: int
      max_quantity:
        description: Largest quantity of any one position, long or short, in the units of the platform.
        type: float
  when_closed:
    description:
      - What to do while the market of the site is closed.
      - V(refuse) sends nothing, says so and fails.
      - V(queue) gives the closing orders to the platform, which works them when the market opens. The positions are
        still there, so the result is V(unproven).
    type: str
    choices:
      - refuse
      - queue
    default: refuse
seealso:
  - module: tradeops.core.open_orders
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
---
- name: Close one symbol, if it is not larger than expected
  tradeops.core.open_positions:
    scope:
      symbol: ETH-USD
    limits:
      max_quantity: 25
    reason: margin call

- name: Close all positions, with time for the closing orders to fill
  tradeops.core.open_positions:
    all: true
    wait_timeout: 120
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
  sample: positions
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: flat
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
    positions:
      description: Quantity by position. Negative is short.
      type: dict
  sample:
    positions:
      BTC-USD: 1.5
      ETH-USD: -20.0
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    positions: {}
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
    - action: close positions
      method: POST
      path: /trading/positions/flatten
      service: api
      why: close 2 positions
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "5 closed"
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
      description: The fate of every single position.
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
          description: V(closed), V(not closed), V(deferred) or, in check mode, V(would be closed).
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
    run_verb("open_positions")


if __name__ == "__main__":
    main()
