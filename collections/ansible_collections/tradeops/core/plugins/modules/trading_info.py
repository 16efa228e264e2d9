#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: trading_info
short_description: Read the trading state of a site, and all else that its profile knows
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Reads a site and changes nothing. It is safe at any time.
  - What cannot be read is V(unknown), and RV(problems) says why. That is no failure of the task.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._attributes
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing.
  diff_mode:
    support: N/A
  idempotent:
    support: full
    details:
      - It changes nothing.
options:
  gather:
    description:
      - What to read. What the platform lacks is left out, see V(capabilities).
      - V(reconciliation) compares the orders and positions of the platform with those of the venue.
    type: list
    elements: str
    choices:
      - capabilities
      - trading
      - orders
      - positions
      - maintenance
      - circuit_breakers
      - rollout
      - risk_limits
      - configuration
      - dead_man_switch
      - market
      - health
      - metrics
      - reconciliation
    default:
      - capabilities
      - trading
  metrics:
    description: Which metrics to read with V(metrics) in O(gather). All, if it is empty.
    type: list
    elements: str
    default: []
seealso:
  - module: tradeops.core.trading_state
  - module: tradeops.core.open_orders
  - module: tradeops.core.open_positions
"""

EXAMPLES = r"""
---
- name: Read the state and the health
  tradeops.core.trading_info:
    gather:
      - trading
      - health
  register: now

- name: Go on only with a site that is halted and healthy
  ansible.builtin.assert:
    that:
      - now.trading.state == 'halted'
      - now.health == 'pass'

- name: Compare the platform's book with the venue's
  tradeops.core.trading_info:
    gather:
      - reconciliation
"""

RETURN = r"""
---
site:
  description: The site.
  returned: always
  type: str
  sample: flashmm-primary
platform:
  description: Name of the profile.
  returned: always
  type: str
  sample: flashmm
problems:
  description: Why something is V(unknown), by its name. Empty when everything could be read.
  returned: always
  type: dict
  sample:
    trading: "GET /trading/status: no connection to 10.0.0.7:8443: connection refused"
summary:
  description: One row for a table of sites, with what was gathered, counted. A value is V(null) when it was not asked
    for or the platform lacks it.
  returned: always
  type: dict
  sample:
    site: flashmm-primary
    state: active
    orders: 419
    positions: 5
    breakers: null
    migrations: null
    maintenance: disabled
    health: pass
    problem: null
capabilities:
  description: What the profile says that the platform can do. No request is made for it.
  returned: when asked for
  type: dict
  sample:
    trading: true
    rollout: false
    states:
      - active
      - reducing
      - halted
    levels: {}
    metrics:
      - daily_pnl_usdc
    witness: true
trading:
  description: The trading state.
  returned: when asked for and the platform has it
  type: dict
  contains:
    state:
      description: V(active), V(reducing), V(halted), V(stopped) or V(unknown).
      type: str
orders:
  description: The open orders, V(unknown) when they cannot be read whole.
  returned: when asked for and the platform has it
  type: list
  elements: dict
  contains:
    id:
      description: Id of the order. The other keys are the fields that the profile names.
      type: str
positions:
  description: The positions, V(unknown) when they cannot be read whole.
  returned: when asked for and the platform has it
  type: list
  elements: dict
  contains:
    id:
      description: Id of the position. The other keys are the fields that the profile names.
      type: str
    quantity:
      description: What is held. Negative is short.
      type: raw
maintenance:
  description: The maintenance mode.
  returned: when asked for and the platform has it
  type: dict
  contains:
    mode:
      description: V(disabled), V(maintenance), V(read_only) or V(unknown).
      type: str
circuit_breakers:
  description: The circuit breakers, V(unknown) when they cannot be read whole.
  returned: when asked for and the platform has it
  type: list
  elements: dict
  contains:
    id:
      description: The pair.
      type: str
    open:
      description: Whether the breaker blocks.
      type: bool
rollout:
  description: The gradual migrations, V(unknown) when they cannot be read whole.
  returned: when asked for and the platform has it
  type: list
  elements: dict
  contains:
    id:
      description: The pair.
      type: str
    percentage:
      description: Share of the new version, in per cent.
      type: float
risk_limits:
  description: The risk limits, V(unknown) when they cannot be read whole.
  returned: when asked for and the platform has it
  type: list
  elements: dict
  contains:
    id:
      description: Name of the limit.
      type: str
    value:
      description: Its value, in the units of the platform.
      type: float
dead_man_switch:
  description: The dead man's switch.
  returned: when asked for and the platform has it
  type: dict
  contains:
    seconds_left:
      description: Seconds until it fires, V(null) when it is not armed, V(unknown) when it cannot be read.
      type: raw
market:
  description: Whether the market of the site is open, as the profile reads it, or V(unknown).
  returned: when asked for and the platform has it
  type: raw
health:
  description: What the profile makes of the health of the platform, usually V(pass), V(warn) or V(fail), or V(unknown).
  returned: when asked for and the platform has it
  type: raw
metrics:
  description: The metrics, by name. V(unknown) when one cannot be read.
  returned: when asked for
  type: dict
  sample:
    daily_pnl_usdc: -125.5
reconciliation:
  description: The platform's own book of orders and positions, compared with the venue's.
  returned: when asked for
  type: dict
  contains:
    clean:
      description: V(true) when both agree, V(false) when they do not, V(unknown) when one cannot be read or the profile
        names no witness.
      type: raw
    differences:
      description: What differs.
      type: list
      elements: dict
      contains:
        kind:
          description: V(orders) or V(positions).
          type: str
        id:
          description: Id of the order or position.
          type: str
        platform:
          description: Quantity in the platform's book, V(null) when it is not there.
          type: float
        venue:
          description: Quantity at the venue, V(null) when it is not there.
          type: float
"""

from ansible_collections.tradeops.core.plugins.module_utils._platform.module import run_verb


def main() -> None:
    run_verb("trading_info")


if __name__ == "__main__":
    main()
