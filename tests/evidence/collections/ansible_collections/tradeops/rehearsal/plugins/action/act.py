# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return, as a verb of the product would, the result that the variable ``rehearsal_result`` asks for.

``seconds``: how long it takes. ``fleet``: answer for all hosts of the play at once. ``token``: a secret.
"""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        arguments = dict(self._task.args)
        time.sleep(float(arguments.get("seconds", 0)))
        if not arguments.get("fleet"):
            return self.one(str(task_vars["inventory_hostname"]), arguments, task_vars)
        sites = {str(host): self.one(str(host), arguments, task_vars) for host in task_vars["ansible_play_hosts"]}
        return {"changed": True, "failed": False, "msg": f"{len(sites)} sites", "sites": sites}

    def one(self, site: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        word = "planned" if self._task.check_mode else task_vars.get("rehearsal_result", "proven")
        failed = word in ("unproven", "refused", "unreachable")
        order = {"id": f"{site}-1", "kind": "order", "before": "open", "after": "cancelled", "result": "cancelled"}
        reading = {
            "source": "status",
            "method": "GET",
            "url": "http://127.0.0.1/status",
            "at": "",
            "saw": {"x": "HALTED"},
        }
        return {
            "changed": word in ("planned", "proven"),
            "failed": failed,
            "msg": f"{site}: halted: the site still says active after 5.0 s" if failed else "",
            "site": site,
            "capability": "trading",
            "wanted": "halted",
            "result": word,
            "before": {"state": "active", "open_orders": 1, "positions": 2, "marker": 10},
            "after": {"state": "active" if failed else "halted", "open_orders": 0, "positions": 2, "marker": 10},
            "plan": [{"action": "set trading state", "method": "POST", "path": "/halt", "service": "api", "why": "x"}],
            "proof": {"summary": "1 cancelled", "sources": [reading], "objects": [order], "elapsed": 0.01},
            "notes": [],
            "not_of_the_contract": "stays out of the journal",
            "invocation": {"module_args": {key: value for key, value in arguments.items() if key != "token"}},
        }
