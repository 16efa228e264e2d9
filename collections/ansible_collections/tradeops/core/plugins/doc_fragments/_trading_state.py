# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say which trading state is wanted, for one site and for a fleet."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state:
    description:
      - The trading state to reach.
      - V(active) means that the site trades.
      - V(reducing) means that it takes only orders that reduce positions.
      - V(halted) means that it takes no new order. Open orders stay, unless O(cancel_orders=true).
      - V(flat) means halted, with no open order and no position.
      - V(stopped) means that the trading process itself does not run.
      - A platform may lack a level. Its profile then names a stricter one in its place, which the notes of the result
        tell, or the level is refused by name and nothing is sent.
    type: str
    choices:
      - active
      - reducing
      - halted
      - flat
      - stopped
    required: true
  exact:
    description:
      - Whether a stricter state than O(state) does not do. With V(true), a halted site is brought back to V(reducing).
      - Without it a stop never loosens anything. A stopped site stays stopped when V(halted) is asked.
      - It cannot be used with O(state=flat).
    type: bool
    default: false
  cancel_orders:
    description: Whether all open orders are cancelled as well. O(state=flat) always does.
    type: bool
    default: false
  scope:
    description:
      - Stop only a part of the site. Keys are V(account), V(venue), V(strategy), V(symbol) and V(owner).
      - Refused if the platform can only stop as a whole, which is usual.
    type: dict
    default: {}
  when_closed:
    description:
      - What to do with O(state=flat) while the market of the site is closed.
      - V(refuse) leaves the positions as they are, says so and fails. Trading is stopped all the same.
      - V(queue) gives the closing orders to the platform, which works them when the market opens. The positions are
        still there, so the result is V(unproven).
    type: str
    choices:
      - refuse
      - queue
    default: refuse
"""
