# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._checklist.rows import SPEC, conclude
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError


class ActionModule(ActionBase):
    """The steps were taken; this puts their sum into the journal."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        site = str((task_vars or {}).get("inventory_hostname", ""))
        try:
            given = SPEC.validate(site, json.loads(json.dumps(self._task.args, default=str)))
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "msg": str(exc)}
        # The rows are in the proof; the journal needs them once.
        result = conclude(site, given, check_mode=self._task.check_mode).to_result()
        return result | {"invocation": {"module_args": {"name": given["name"]}}}
