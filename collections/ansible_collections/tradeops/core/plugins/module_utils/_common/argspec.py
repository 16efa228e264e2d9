# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Argument specs as values: the options together with what holds between them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .errors import InputError

Spec = dict[str, dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class ArgumentSpec:
    options: Spec = dataclasses.field(default_factory=dict)
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_if: tuple[tuple[t.Any, ...], ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()

    def merge(self, *others: ArgumentSpec) -> ArgumentSpec:
        """Return a spec with the options and the rules of all."""
        every = (self, *others)
        return ArgumentSpec(
            {name: option for spec in every for name, option in spec.options.items()},
            tuple(rule for spec in every for rule in spec.mutually_exclusive),
            tuple(rule for spec in every for rule in spec.required_if),
            tuple(rule for spec in every for rule in spec.required_one_of),
        )

    def module(self) -> AnsibleModule:
        """Return the module that has these options; every verb has a check mode."""
        return AnsibleModule(
            argument_spec=self.options,
            mutually_exclusive=self.mutually_exclusive,
            required_if=self.required_if,
            required_one_of=self.required_one_of,
            supports_check_mode=True,
        )

    def validate(self, site: str, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the parameters, with defaults and types, as a module would see them. Raises InputError."""
        validator = ArgumentSpecValidator(
            self.options,
            mutually_exclusive=self.mutually_exclusive,
            required_if=self.required_if,
            required_one_of=self.required_one_of,
        )
        # What is given as nothing is not given: a required option is then missing, any other has its default.
        result = validator.validate({name: value for name, value in arguments.items() if value is not None})
        if result.error_messages:
            problems = "; ".join(message.rstrip(".") for message in result.error_messages)
            raise InputError(f"{site}: {problems}. Nothing was sent.")
        return dict(result.validated_parameters)

    def public(self, parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the parameters that may be shown."""
        return {name: value for name, value in parameters.items() if not self.options.get(name, {}).get("no_log")}


SITE = ArgumentSpec(
    {
        "site": {"type": "str"},
        "profile": {"type": "str", "required": True},
        "profile_path": {"type": "list", "elements": "path", "default": []},
        "profile_text": {"type": "str"},
        "urls": {"type": "dict", "required": True},
        "secrets": {"type": "dict", "no_log": True, "default": {}},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "ca_paths": {"type": "dict", "default": {}},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "request_timeout": {"type": "float", "default": 5.0},
        "wait_timeout": {"type": "float", "default": 30.0},
        "namespace": {"type": "str"},
        "workloads": {"type": "list", "elements": "dict", "default": []},
    }
)

OPERATION = ArgumentSpec(
    {
        "reason": {"type": "str", "default": "not given"},
        "operation": {"type": "str"},
        "operator": {"type": "str"},
        "lease_dir": {"type": "path", "default": "~/.local/state/tradeops/leases"},
        "lease_ttl": {"type": "float", "default": 900.0},
    }
)
