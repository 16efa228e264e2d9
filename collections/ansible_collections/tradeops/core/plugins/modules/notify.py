#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tell people, and prove that every receiver acknowledged
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Sends one message to several channels at once. Its action plugin does so from the controller.
  - A message counts as delivered when its receiver acknowledged it as its kind does. PagerDuty answers 202 with status
    success, Jira answers 201 with the key of the new issue, a mail server accepts the message for every recipient.
  - A message that may have arrived is not sent again.
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: Says which channels would be told, and sends nothing.
  diff_mode:
    support: none
    details: A message leaves no state to compare.
  idempotent:
    support: none
    details: Every run tells people again. Receivers that tie messages together do so by O(key).
options:
  channels:
    description:
      - The channels by name.
      - "Each has a C(kind): C(slack) or C(webhook) need C(url); C(pagerduty) needs C(url) and C(token) (the routing
        key); C(jira) needs C(url) (of the issue resource), C(token) and C(project), and may have C(issue_type); C(mail)
        needs C(host), C(sender) and C(recipients), and may have C(port) (25), C(starttls) (true), C(username) and
        C(password)."
      - The addresses of webhooks are treated as secrets.
    type: dict
    required: true
  to:
    description: The names of the channels to tell. An empty list tells nobody.
    type: list
    elements: str
    required: true
  title:
    description: One line.
    type: str
    required: true
  text:
    description: The rest.
    type: str
    default: ""
  severity:
    description: How severe the matter is.
    type: str
    choices: [critical, high, medium, low, info]
    default: info
  event:
    description: Whether something begins, ends, or is only said. V(resolve) closes the PagerDuty incident of O(key).
    type: str
    choices: [trigger, resolve, info]
    default: info
  key:
    description: Ties the messages about one matter together.
    type: str
    required: true
  source:
    description: Who says it.
    type: str
    default: tradeops
  validate_certs:
    description: Whether the certificates of the receivers are verified.
    type: bool
    default: true
  ca_path:
    description: A file of certificates of the authorities to trust, in place of those of the system.
    type: path
  wait_timeout:
    description: Time budget for all channels, in seconds.
    type: float
    default: 15.0
seealso:
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
- name: Tell the people on call
  tradeops.core.notify:
    channels:
      pager: {kind: pagerduty, url: "https://events.pagerduty.com/v2/enqueue", token: "{{ vault_pagerduty_key }}"}
      desk: {kind: slack, url: "{{ vault_slack_webhook }}"}
    to: [pager, desk]
    title: Emergency stop of flashmm
    severity: critical
    event: trigger
    key: INC-20261121-1
"""

RETURN = r"""
result:
  description: V(proven) when every receiver acknowledged, V(unproven) when one did not, V(planned) in check mode,
    V(unchanged) when nobody was to be told, V(refused) when the input is not usable.
  returned: always
  type: str
  sample: proven
after:
  description: For each channel, V(delivered) or V(not delivered).
  returned: always
  type: dict
  sample: {"pager": "delivered", "desk": "delivered"}
msg:
  description: Which channels were not told, and why.
  returned: always
  type: str
  sample: ""
plan:
  description: The channels that are told.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.tradeops.core.plugins.module_utils._notify.deliver import SPEC, notify


def main() -> None:
    """Send from the machine that runs the module; the action plugin of the same name sends from the controller."""
    module = SPEC.module()
    result = notify(module.params, check_mode=module.check_mode)
    if result["failed"]:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
