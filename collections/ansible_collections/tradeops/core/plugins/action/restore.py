# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.tradeops.core.plugins.plugin_utils._backup import BackupAction


class ActionModule(BackupAction):
    verb = "restore"
