# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What every module says about itself; a module adds ``support`` and truthful ``details``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run with C(--check) and tell what it would change, without changing anything.
  diff_mode:
    description: Tells with C(--diff) what changed, or would change in check mode.
  idempotent:
    description: A second run with the same options, on a site that did not change meanwhile, changes nothing.
"""

    ACTIONGROUP_TRADING = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/tradeops.core.trading) in C(module_defaults) to give options to all modules of the group.
    support: full
    membership:
      - tradeops.core.trading
"""

    ACTION_ONLY = r"""
options: {}
attributes:
  action:
    description: Is an action plugin, which runs in the process of Ansible.
    support: full
  async:
    description: Can be run with C(async).
    support: none
  bypass_host_loop:
    description: Runs once for all hosts of the play. It cannot be limited to some of them by C(when), only by
      C(--limit) and C(hosts).
    support: full
"""
