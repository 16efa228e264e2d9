# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Action plugins of the verbs: a local site needs no module transfer, so the verb runs in this process."""

from __future__ import annotations

import functools
import getpass
import json
import os
import pathlib
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._platform import profiles
from ansible_collections.tradeops.core.plugins.module_utils._platform.door import SHIPPED, execute, failure
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS

# Options that a site may give as host variables, tradeops_<option>; an option of the task goes before them.
SITE_OPTIONS = (
    "profile",
    "profile_path",
    "urls",
    "secrets",
    "validate_certs",
    "ca_path",
    "ca_paths",
    "client_cert",
    "client_key",
    "request_timeout",
    "wait_timeout",
    "namespace",
    "workloads",
    "reason",
    "lease_dir",
    "lease_ttl",
    "postgresql",
    "redis",
    "backup_stores",
)
_USERS = ("awx_user_name", "tower_user_name")
# What every site may have is given to every verb, also to one that has no use for it; anything else is checked.
_EVERYWHERE = frozenset({*SITE_OPTIONS, "site", "operation", "operator"})

Variables = t.Mapping[str, t.Any]
Template = t.Callable[[t.Any], t.Any]


def arguments(
    name: str,
    task_args: Variables,
    variables: Variables,
    template: Template,
    options: t.Iterable[str] = SITE_OPTIONS,
) -> dict[str, t.Any]:
    """Return the arguments of a verb for the site ``name``: the task's own, then the host variables of the site.

    ``options`` are those that a host variable, tradeops_<option>, may give. ``template`` resolves values in the
    context of that host. Raises what it raises, such as AnsibleUndefinedVariable.
    """
    wanted = {option: f"tradeops_{option}" for option in options} | {user: user for user in _USERS}
    given: dict[str, t.Any] = template(
        {option: variables[variable] for option, variable in wanted.items() if variable in variables}
    )
    user = next((str(given[key]) for key in _USERS if given.get(key)), None)
    given = {key: value for key, value in given.items() if value is not None and key not in _USERS}
    state_dir = os.environ.get("TRADEOPS_STATE_DIR")
    if state_dir:
        given.setdefault("lease_dir", os.path.join(state_dir, "leases"))
    given |= task_args
    given.setdefault("site", name)
    given.setdefault("operation", os.environ.get("TRADEOPS_OPERATION_ID"))
    given.setdefault("operator", user or os.environ.get("TRADEOPS_OPERATOR") or _login())
    # Tagged subclasses of str and dict stay on Ansible's side of this door.
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(given, default=str)))


@functools.cache
def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container runs with any number as its user
        return f"uid {os.getuid()}"


def carry_out(verb: str, name: str, given: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Validate the arguments and run the verb in this process; the result holds the public arguments."""
    spec = VERBS[verb].spec
    given = {key: value for key, value in given.items() if key in spec.options or key not in _EVERYWHERE}
    try:
        parameters = spec.validate(name, given)
    except TradeopsError as exc:
        return failure(verb, given, exc)
    # The parent is the ansible-playbook process, for whose life the lease of an operation is kept.
    result = execute(verb, parameters, check_mode=check_mode, process=os.getppid())
    return result | {"invocation": {"module_args": spec.public(parameters)}}


class VerbAction(ActionBase):
    """One verb on one site."""

    verb: t.ClassVar[str]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        name = str(variables.get("inventory_hostname", ""))
        given = arguments(name, self._task.args, variables, self._templar.template)
        if self._connection.transport == "local":
            return carry_out(self.verb, name, given, check_mode=self._task.check_mode)
        try:
            module_args = _for_module(self.verb, given)
        except TradeopsError as exc:
            return failure(self.verb, given, exc)
        return self._execute_module(
            module_name=f"tradeops.core.{self.verb}", module_args=module_args, task_vars=variables
        )


def _for_module(verb: str, given: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put the text of the profile into the arguments: the machine that makes the calls does not have the file."""
    options = VERBS[verb].spec.options
    if not given.get("profile_text") and given.get("profile"):
        own = given.get("profile_path") or []
        folders = [*map(pathlib.Path, own.split(",") if isinstance(own, str) else own), SHIPPED]
        given = {**given, "profile_text": profiles.text(profiles.find(str(given["profile"]), folders))}
    return {key: value for key, value in given.items() if key in options and value is not None}
