# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._notify.deliver import SPEC, notify


class ActionModule(ActionBase):
    """Notifications leave from the controller."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        try:
            given = SPEC.validate("notifications", json.loads(json.dumps(self._task.args, default=str)))
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "msg": str(exc)}
        result = notify(given, check_mode=self._task.check_mode)
        return result | {"invocation": {"module_args": SPEC.public(given)}}
