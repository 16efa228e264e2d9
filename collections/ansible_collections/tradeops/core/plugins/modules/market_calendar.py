#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: market_calendar
short_description: Tell whether a market trades now, and when it opens and closes
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Looks at the calendar of an exchange at one moment. It knows holidays, early closes, breaks, daylight saving, and
    sessions that begin the evening before.
  - What a desk has of its own, such as hours inside those of the exchange or more holidays, is given as data.
  - Runs on the controller and asks no platform. A platform may be closed all the same; its profile tells.
options:
  calendar:
    description:
      - Code of the exchange as the package C(exchange_calendars) has it, such as V(XNYS) or V(CMES), or V(24/7).
    type: str
    required: true
  timezone:
    description: IANA name of the time zone of all times here. The one of the exchange if not given.
    type: str
  at:
    description: The moment to look at, ISO 8601. Without an offset it is in O(timezone). Now if not given.
    type: str
  hours:
    description:
      - The hours of the desk, where they are shorter than those of the exchange.
      - When O(hours.opens) is later than O(hours.closes) the desk opens the day before.
    type: dict
    suboptions:
      opens:
        description: Time of the day, such as V("08:00").
        type: str
        required: true
      closes:
        description: Time of the day, such as V("16:00").
        type: str
        required: true
  holidays:
    description: More days without trading, such as V(2026-12-31).
    type: list
    elements: str
    default: []
  special_opens:
    description: Days on which trading begins at another time, with the time.
    type: dict
    default: {}
  special_closes:
    description: Days on which trading ends at another time, with the time.
    type: dict
    default: {}
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  action:
    description: Has an action plugin, which does all of the work in the process of Ansible.
    support: full
  check_mode:
    support: full
    details: It only reads, and says the same in check mode.
  diff_mode:
    support: none
    details: It changes nothing.
  idempotent:
    support: full
    details: It changes nothing. What it returns follows the clock.
requirements:
  - exchange_calendars
seealso:
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
- name: Look at the hours of a desk that trades futures by day
  tradeops.core.market_calendar:
    calendar: CMES
    timezone: America/New_York
    hours: {opens: "08:00", closes: "16:00"}
    holidays: [2026-12-31]
  register: market

- name: It is a trading day
  ansible.builtin.assert:
    that: market.session
    fail_msg: "{{ market.msg }}"
"""

RETURN = r"""
calendar:
  description: The calendar.
  returned: success
  type: str
timezone:
  description: The time zone of all times.
  returned: success
  type: str
at:
  description: The moment.
  returned: success
  type: str
  sample: "2026-11-27T08:30:00-05:00"
day:
  description: The day of the session that is meant, the one that goes on or the one of the date.
  returned: success
  type: str
  sample: "2026-11-27"
session:
  description: Whether it is a trading day.
  returned: success
  type: bool
open:
  description: Whether the market is open.
  returned: success
  type: bool
phase:
  description:
    - V(closed) is no trading day, V(before) and V(after) are such hours of a trading day, V(break) is a break inside
      its hours.
  returned: success
  type: str
  sample: before
opens_at:
  description: When the session opens, null when there is none.
  returned: success
  type: str
closes_at:
  description: When the session closes, null when there is none.
  returned: success
  type: str
early_close:
  description: Whether the session closes earlier than usual.
  returned: success
  type: bool
minutes_to_open:
  description: Minutes until trading begins, null while it is open.
  returned: success
  type: float
minutes_to_close:
  description: Minutes until the session closes, null when none goes on.
  returned: success
  type: float
minutes_since_close:
  description: Minutes since the session of the day closed, null when it did not.
  returned: success
  type: float
next_open:
  description: When trading begins again, null while it is open, or when it is not known.
  returned: success
  type: str
previous_session:
  description: The trading day before.
  returned: success
  type: str
next_session:
  description: The trading day after, null when the calendar does not know it yet.
  returned: success
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._calendar.door import SPEC


def main() -> None:
    SPEC.module().fail_json(msg="market_calendar is done by its action plugin on the controller; use it in a task")


if __name__ == "__main__":
    main()
