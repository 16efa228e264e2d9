# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import json
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._report.daily import SPEC
from ansible_collections.tradeops.core.plugins.plugin_utils._evidence.daily import make


class ActionModule(ActionBase):
    """Reports are kept on the controller, and so are Jinja2 and the template of the page."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        site = str((task_vars or {}).get("inventory_hostname", ""))
        try:
            given = SPEC.validate(site, json.loads(json.dumps(self._task.args, default=str)))
            result = make(site, given, dt.datetime.now(dt.UTC).date(), check_mode=self._task.check_mode)
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "msg": str(exc)}
        # The figures are in the proof; the journal needs them once.
        told = {name: given[name] for name in ("title", "day", "dest")}
        return result | {"invocation": {"module_args": told}}
