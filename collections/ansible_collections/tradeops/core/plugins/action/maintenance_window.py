# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._maintenance.window import SPEC, run
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import arguments


class ActionModule(ActionBase):
    """The records of windows are on the controller, as the leases of the sites are."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        name = str(variables.get("inventory_hostname", ""))
        options = ("reason", "lease_dir", "lease_ttl")
        given = arguments(name, self._task.args, variables, self._templar.template, options)
        try:
            parameters = SPEC.validate(name, given)
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "result": exc.result, "site": name, "msg": str(exc)}
        # The parent is the ansible-playbook process, for whose life the lease of an operation is kept.
        result = run(parameters, check_mode=self._task.check_mode, process=os.getppid())
        return result | {"invocation": {"module_args": SPEC.public(parameters)}}
