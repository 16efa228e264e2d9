# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The options that say which pairs are meant (``_PAIRS`` in ``_platform/registry.py``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  pairs:
    description: The pairs. Either this or O(all=true) is needed. A pair that the platform does not have is refused.
    type: list
    elements: str
    default: []
  all:
    description: Whether all pairs of the site are meant.
    type: bool
    default: false
"""
