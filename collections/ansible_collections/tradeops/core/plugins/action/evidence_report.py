# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._evidence.door import REPORT
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence.report import make


class ActionModule(ActionBase):
    """The journal is on the controller, and so are Jinja2 and the templates of the page."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        try:
            given = REPORT.validate("evidence_report", json.loads(json.dumps(self._task.args, default=str)))
            result = make(given, os.environ, check_mode=self._task.check_mode)
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "msg": str(exc)}
        for gap in result["gaps"]:
            self._display.warning(f"The evidence of {result['operation_id']} is incomplete: {gap}")
        return result | {"invocation": {"module_args": REPORT.public(given)}}
