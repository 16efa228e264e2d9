#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: configuration
short_description: Check settings of a platform against their schema, and apply them without a restart
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Checks settings against a schema, sets those that differ while the platform runs, and reads each of them back.
  - Nothing is set unless all of them are valid. Settings that are not mentioned stay as they are.
  - Secrets are no settings. Do not give them here.
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
options:
  state:
    description:
      - V(applied) means that the running platform has the O(settings).
      - V(valid) means that they might be applied. Nothing is sent.
    type: str
    choices: [applied, valid]
    default: applied
  settings:
    description: The settings and their values, with the types of YAML.
    type: dict
    default: {}
  schema:
    description:
      - What each setting may be, by its name. A mapping with the key C(type) (V(str), V(int), V(float) or V(bool)),
        and if wanted C(choices) (a list), C(least), C(most), C(pattern) (a regular expression for the whole text).
      - C(restart=true) says that the platform reads the setting only when it starts. A change of it is refused.
    type: dict
    required: true
  strict:
    description: The settings that are not mentioned have to be known to the O(schema), and valid, too.
    type: bool
    default: true
seealso:
  - module: tradeops.core.risk_limits
  - module: tradeops.core.trading_info
"""

EXAMPLES = r"""
---
- name: Two settings, while the platform runs
  tradeops.core.configuration:
    settings:
      log_level: INFO
      api_timeout_seconds: 30
    schema:
      log_level: {type: str, choices: [DEBUG, INFO, WARNING, ERROR]}
      api_timeout_seconds: {type: float, least: 1, most: 120}
      database_pool_size: {type: int, least: 1, restart: true}
    reason: change CHG-7
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
  sample: configuration
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: log_level, api_timeout_seconds
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
    api_timeout_seconds: 10.0
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    api_timeout_seconds: 30.0
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
    - action: "setting: log_level, api_timeout_seconds"
      method: PUT
      path: /config
      service: maintenance
      why: 'api_timeout_seconds: 10.0 -> 30'
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
      description: The fate of every single setting.
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
    run_verb("configuration")


if __name__ == "__main__":
    main()
