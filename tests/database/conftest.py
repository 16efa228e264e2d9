# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import simulator_ground

SITES = ("smc-agent-primary", "adaptive-order-book-primary", "flashmm-primary")


ground = simulator_ground.ground(*SITES)
