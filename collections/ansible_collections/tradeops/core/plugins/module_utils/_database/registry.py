# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The verbs on databases by the name of their module, and the doors of module and action plugin."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError
from .._common.gate import gate_of
from .archive import RULE, ensure_archived
from .run import DATABASE, Body, Parameters, execute
from .sessions import ensure_no_long_queries
from .tables import OPERATIONS, ensure_tables


@dataclasses.dataclass(frozen=True)
class Verb:
    spec: ArgumentSpec
    body: Body


VERBS: dict[str, Verb] = {
    "database_tables": Verb(
        DATABASE.merge(
            ArgumentSpec(
                {
                    "operations": {
                        "type": "list",
                        "elements": "str",
                        "choices": list(OPERATIONS),
                        "default": ["vacuum", "analyze"],
                    },
                    "tables": {"type": "list", "elements": "str", "default": []},
                }
            )
        ),
        ensure_tables,
    ),
    "database_archive": Verb(
        DATABASE.merge(
            ArgumentSpec({"rules": {"type": "list", "elements": "dict", "required": True, "options": RULE}})
        ),
        ensure_archived,
    ),
    "database_sessions": Verb(
        DATABASE.merge(ArgumentSpec({"older_than": {"type": "float", "required": True}})),
        ensure_no_long_queries,
    ),
}


def run_verb(name: str, given: Parameters, *, check_mode: bool, process: int = 0) -> dict[str, t.Any]:
    """Run the verb of the module ``name`` with validated parameters; see ``_platform.door.execute``."""
    gate = gate_of(given.get("site") or "this site", given, check_mode=check_mode, process=process)
    return execute(name, _checked(VERBS[name].body), given, gate=gate)


def run_module(name: str) -> t.NoReturn:
    """The main() of the modules: options in, result out."""
    module = VERBS[name].spec.module()
    result = run_verb(name, module.params, check_mode=module.check_mode)
    if result["failed"]:
        module.fail_json(**result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


def _checked(body: Body) -> Body:
    def checked(run: t.Any, given: Parameters) -> t.Any:
        for option in ("wait_timeout", "lock_timeout", "lease_ttl", "older_than"):
            if option in given and not 0 < given[option] <= 86400:
                raise InputError(f"{option} is {given[option]:g}; give seconds, more than 0 and at most 86400.")
        return body(run, given)

    return checked
