# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

# Loaded once, before Ansible forks a worker for each site.
from ansible_collections.tradeops.core.plugins.module_utils._health import verb as _verb  # noqa: F401 - loaded before the workers fork
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import VerbAction


class ActionModule(VerbAction):
    verb = "health"
