# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import json
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._calendar.door import SPEC, look
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError


class ActionModule(ActionBase):
    """Whether a market is open is a question to the controller's clock and to its library of calendars."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        name = str((task_vars or {}).get("inventory_hostname", "market_calendar"))
        try:
            given = SPEC.validate(name, json.loads(json.dumps(self._task.args, default=str)))
            result = look(given, dt.datetime.now(dt.UTC))
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "msg": f"{name}: {str(exc).removeprefix(f'{name}: ')}"}
        return result | {"invocation": {"module_args": SPEC.public(given)}}
