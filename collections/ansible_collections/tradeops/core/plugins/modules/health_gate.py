#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: health_gate
short_description: Pass only when a platform stays healthy for a while
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Reads the health of a site until it was good enough for some time without a break, and fails if it never was.
  - It is a gate before a resume. It changes nothing.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._attributes
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing, and waits in check mode, too.
  diff_mode:
    support: N/A
  idempotent:
    support: full
    details:
      - It changes nothing.
options:
  minimum:
    description: The least health that passes. What it means for a platform is in its profile.
    type: str
    choices:
      - pass
      - warn
    default: pass
  hold:
    description: Seconds for which every reading must be good enough. They must fit into O(wait_timeout).
    type: float
    default: 10.0
seealso:
  - module: tradeops.core.trading_info
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
---
- name: Resume only a site that was healthy for a minute
  tradeops.core.health_gate:
    hold: 60
    wait_timeout: 180
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
  sample: health
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: pass for 10 s
result:
  description:
    - What happened. Nothing is ever sent.
    - V(unchanged) means that the health was good enough for O(hold) seconds.
    - V(unproven) is a failure. It was not, within O(wait_timeout).
    - V(refused) is a failure. The platform has no health in its profile, or an option is wrong.
  returned: always
  type: str
  sample: unchanged
before:
  description: What was observed first. Empty when the site was not read.
  returned: always
  type: dict
  contains:
    health:
      description: V(pass), V(warn), V(fail) or V(unknown) at the first reading.
      type: str
  sample:
    health: warn
after:
  description:
    - What was observed last.
  returned: always
  type: dict
  contains:
    health:
      description: V(pass), V(warn), V(fail) or V(unknown) at the last reading.
      type: str
    held_seconds:
      description: For how long it had been good enough at the end.
      type: float
  sample:
    health: pass
    held_seconds: 10.2
plan:
  description: Always empty.
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
  sample: []
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "pass, 22 readings"
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
    run_verb("health_gate")


if __name__ == "__main__":
    main()
