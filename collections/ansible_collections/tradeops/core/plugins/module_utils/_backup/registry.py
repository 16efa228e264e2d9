# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The verbs on backups by the name of their module, and the doors of module and action plugin."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.argspec import ArgumentSpec
from .._recovery.restore import RESTORE, ensure_restored
from .asked import PARTS
from .retention import LEVELS
from .run import ENGINES, STORES, Body, Parameters, Tell, execute
from .verbs.backup import BACKUP, ensure_backup
from .verbs.info import gather
from .verbs.retention import ensure_retention
from .verbs.verify import ensure_verified


@dataclasses.dataclass(frozen=True)
class Verb:
    spec: ArgumentSpec
    body: Body
    of_site: bool = False


VERBS: dict[str, Verb] = {
    "backup": Verb(
        STORES.merge(
            ENGINES,
            BACKUP,
        ),
        ensure_backup,
    ),
    "backup_info": Verb(
        STORES.merge(
            ArgumentSpec(
                {
                    "id": {"type": "str"},
                    "before": {"type": "str"},
                    "types": {"type": "list", "elements": "str", "default": []},
                    "what": {"type": "str", "choices": list(PARTS), "default": "full"},
                    "parts": {"type": "dict", "default": {}},
                    "limit": {"type": "int", "default": 50},
                    "expected": {"type": "bool", "default": True},
                }
            )
        ),
        gather,
    ),
    "backup_verify": Verb(
        STORES.merge(
            ArgumentSpec(
                {
                    "id": {"type": "str", "default": "latest"},
                    "level": {"type": "str", "choices": list(LEVELS), "default": "hashes"},
                    "types": {"type": "list", "elements": "str", "default": []},
                    "what": {"type": "str", "choices": list(PARTS), "default": "database"},
                    "parts": {"type": "dict", "default": {}},
                    "subset": {"type": "str"},
                    "only_stores": {"type": "list", "elements": "str", "default": []},
                    "postgresql": {"type": "dict"},
                    "postgresql_bin": {"type": "path"},
                    "postgresql_server": {"type": "dict"},
                    "redis_bin": {"type": "path"},
                    "scratch_dir": {"type": "path"},
                }
            )
        ),
        ensure_verified,
    ),
    "backup_retention": Verb(
        STORES.merge(
            ArgumentSpec(
                {
                    "retention": {"type": "dict", "required": True},
                    "postgresql": {"type": "dict"},
                    "postgresql_server": {"type": "dict"},
                }
            )
        ),
        ensure_retention,
    ),
    "restore": Verb(RESTORE, ensure_restored, of_site=True),
}


def run_verb(
    name: str, given: Parameters, *, check_mode: bool, process: int = 0, tell: Tell = lambda _text: None
) -> Parameters:
    """Run the verb of the module ``name`` with validated parameters."""
    verb = VERBS[name]
    return execute(name, verb.body, given, check_mode=check_mode, process=process, tell=tell, of_site=verb.of_site)


def run_module(name: str) -> t.NoReturn:
    """The main() of the modules: options in, result out."""
    module = VERBS[name].spec.module()
    result = run_verb(name, module.params, check_mode=module.check_mode)
    if result["failed"]:
        module.fail_json(**result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")
