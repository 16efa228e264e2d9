# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return, as a module of the product would, the result that the variable ``rehearsal_result`` asks for."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        arguments = dict(self._task.args)
        time.sleep(float(arguments.get("seconds", 0)))
        word = task_vars.get("rehearsal_result", "proven")
        check = bool(self._task.check_mode)
        site = arguments.get("site", task_vars["inventory_hostname"])
        before = {"state": "active", "open_orders": 3, "positions": 2, "marker": 10}
        after = {"state": "halted" if word == "proven" else "active", "open_orders": 0, "positions": 2, "marker": 10}
        return {
            "changed": word in ("proven", "unproven"),
            "failed": word in ("unproven", "refused", "unreachable"),
            "msg": "" if word == "proven" else f"{site}: halted: the site still says active after 5.0 s",
            "site": site,
            "capability": "trading",
            "wanted": "halted",
            "result": "planned" if check else word,
            "before": before,
            "after": before if check else after,
            "plan": [
                {"action": "set trading state", "method": "POST", "path": "/halt", "service": "api", "why": "halt"}
            ],
            "proof": {
                "summary": "3 cancelled",
                "sources": [
                    {
                        "source": "status",
                        "method": "GET",
                        "url": "http://127.0.0.1/status",
                        "at": "2026-11-21T03:04:05Z",
                        "saw": {"state": "HALTED"},
                    },
                ],
                "objects": [
                    {
                        "id": f"o-{number}",
                        "kind": "order",
                        "before": "open",
                        "after": "cancelled",
                        "result": "cancelled",
                        "why": "",
                    }
                    for number in range(3)
                ],
                "witness": None,
                "elapsed": 0.01,
            },
            "notes": [],
            "invocation": {"module_args": {key: value for key, value in arguments.items() if key != "token"}},
        }
