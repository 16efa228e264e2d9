# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Action plugins of the verbs on backups: those of a local site are made by this process, which tells how far it is."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb
from ansible_collections.tradeops.core.plugins.module_utils._backup.scratch import end_with
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import SITE_OPTIONS, arguments

# Options that a site gives as host variables: of sets as tradeops_backup_<option>, the others as tradeops_<option>.
_OF_SETS = ("stores", "components", "recipients", "retention")
_OTHERS = ("postgresql_bin", "redis_bin", "postgresql_server", "scratch_dir")
_ROOT = pathlib.Path(__file__).parents[2]


class BackupAction(ActionBase):
    """One verb on the sets of one site."""

    verb: t.ClassVar[str]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables, spec = task_vars or {}, VERBS[self.verb].spec
        name = str(variables.get("inventory_hostname", ""))
        known = [option for option in (*SITE_OPTIONS, *_OTHERS) if option in spec.options]
        known += [f"backup_{option}" for option in _OF_SETS if option in spec.options]
        given = arguments(name, self._task.args, variables, self._templar.template, known)
        for option in _OF_SETS:
            found = given.pop(f"backup_{option}", None)
            if found is not None:
                given.setdefault(option, found)
        if "code_version" in spec.options:
            given.setdefault("code_version", _code())
        if self._connection.transport != "local":
            sent = {key: value for key, value in given.items() if value is not None}
            return self._execute_module(module_name=f"tradeops.core.{self.verb}", module_args=sent, task_vars=variables)
        try:
            parameters = spec.validate(name, given)
        except TradeopsError as exc:
            return {"failed": True, "changed": False, "result": exc.result, "site": name, "msg": str(exc)}
        # The parent is the ansible-playbook process, for whose life the lease of an operation is kept. Nobody may go on
        # without it: another operation has the site then.
        parent = os.getppid()
        if multiprocessing.parent_process():
            end_with(parent)
        result = run_verb(
            self.verb, parameters, check_mode=self._task.check_mode, process=parent, tell=Display().display
        )
        return result | {"invocation": {"module_args": spec.public(parameters)}}


@functools.cache
def _code() -> str:
    """Return the version of the collection, with the commit where it is run from a repository."""
    commit = facts.git_commit(_ROOT)
    return facts.collection_version(_ROOT) + (f" ({commit})" if commit else "")
