# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation stub that an action plugin needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: act
short_description: Return the result that a test asks for
description: [For tests only.]
author: [tradeops contributors (@tradeops)]
options: {}
"""
