# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The main() of every module: options in, result out."""

from __future__ import annotations

import typing as t

from .door import execute
from .registry import VERBS


def run_verb(name: str) -> t.NoReturn:
    """Run the verb of the module ``name`` with the options of its task, and exit with its result."""
    module = VERBS[name].spec.module()
    result = execute(name, module.params, check_mode=module.check_mode)
    if result["failed"]:
        module.fail_json(**result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")
