# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action group, the modules and their documentation agree: a default for the group reaches all modules or none."""

from __future__ import annotations

import ast
import pathlib
import typing as t

import pytest
import yaml

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
FRAGMENT = "tradeops.core._attributes.actiongroup_trading"
MODULES = sorted(path for path in (COLLECTION / "plugins" / "modules").glob("*.py") if path.stem != "__init__")


def documentation(module: pathlib.Path) -> dict[str, t.Any]:
    """What the module's DOCUMENTATION says, read without importing the module."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["DOCUMENTATION"]:
            return t.cast(dict[str, t.Any], yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{module.name} has no DOCUMENTATION")


def fragments(module: pathlib.Path) -> list[str]:
    """The documentation fragments that the module extends."""
    found = documentation(module).get("extends_documentation_fragment", [])
    return [found] if isinstance(found, str) else found


def group() -> list[str]:
    """The members of the action group."""
    runtime = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    return t.cast(list[str], runtime["action_groups"]["trading"])


def test_group_members_are_the_modules_that_say_so() -> None:
    assert MODULES
    assert set(group()) == {module.stem for module in MODULES if FRAGMENT in fragments(module)}


def test_group_is_sorted_and_without_repetition() -> None:
    assert group() == sorted(set(group()))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_module_is_named_as_its_file(module: pathlib.Path) -> None:
    assert documentation(module)["module"] == module.stem
