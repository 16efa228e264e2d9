# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Action plugins of the verbs on databases: the database of a local site is reached from this process."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._database.registry import VERBS, run_verb
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import arguments

# Options that a site may give as host variables, tradeops_<option>.
OPTIONS = ("postgresql", "secrets", "reason", "lease_dir", "lease_ttl")


class DatabaseAction(ActionBase):
    """One verb on the database of one site."""

    verb: t.ClassVar[str]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables, spec = task_vars or {}, VERBS[self.verb].spec
        name = str(variables.get("inventory_hostname", ""))
        given = arguments(name, self._task.args, variables, self._templar.template, OPTIONS)
        if self._connection.transport != "local":
            sent = {key: value for key, value in given.items() if value is not None}
            return self._execute_module(module_name=f"tradeops.core.{self.verb}", module_args=sent, task_vars=variables)
        try:
            parameters = spec.validate(name, given)
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "result": exc.result, "site": name, "msg": str(exc)}
        # The parent is the ansible-playbook process, for whose life the lease of an operation is kept.
        result = run_verb(self.verb, parameters, check_mode=self._task.check_mode, process=os.getppid())
        return result | {"invocation": {"module_args": spec.public(parameters)}}
