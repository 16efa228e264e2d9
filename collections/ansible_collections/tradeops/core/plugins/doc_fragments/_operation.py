# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say who does something and why (OPERATION in ``_common/argspec.py``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  reason:
    description: Why this is done. It is sent to platforms that take a reason. The variable C(tradeops_reason) can give
      it.
    type: str
    default: not given
  operation:
    description:
      - Id of the operation that this task belongs to. The environment variable E(TRADEOPS_OPERATION_ID), if not given.
      - Tasks of one operation share the lease of a site. Without an id, every task takes it anew and gives it back.
    type: str
  operator:
    description: Who does this. The user of AWX, E(TRADEOPS_OPERATOR) or the login name, if not given.
    type: str
  lease_dir:
    description:
      - Folder of the leases. A lease keeps two operations off one site at a time.
      - What stops or restricts trading takes a lease over and says so in its notes. Anything else is refused.
      - All controllers that operate a site must share this folder. The variable C(tradeops_lease_dir) can give it.
    type: path
    default: ~/.local/state/tradeops/leases
  lease_ttl:
    description: Seconds after which a lease ends by itself. The variable C(tradeops_lease_ttl) can give it.
    type: float
    default: 900.0
"""
