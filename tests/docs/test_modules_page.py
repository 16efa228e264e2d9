# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/modules.md and what the modules say they return are current."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Outcome, Proof, Result
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import SITE_OPTIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ROOT / "collections" / "ansible_collections" / "tradeops" / "core" / "plugins" / "modules"
PAGE = (ROOT / "docs" / "modules.md").read_text(encoding="utf-8")
# These return something else than an outcome: facts, and an outcome for every site.
OTHERS = {"trading_info", "trading_state_fleet"}
# And these more than it.
MORE = {"health": {"verdict", "state", "decided_by", "explain", "checks", "summary", "statistics"}}


def first_cells(title: str) -> list[str]:
    """The first column of the first table under a heading, without its head."""
    found = re.search(rf"^# ?#* {title}$.*?^((?:\|[^\n]*\n)+)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the page has no table under {title}"
    return [line.strip("|").split(" | ")[0].strip(" `") for line in found.group(1).splitlines()[2:]]


def returned(module: str) -> dict[str, t.Any]:
    """What the RETURN of a module documents."""
    for node in ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["RETURN"]:
            return t.cast(dict[str, t.Any], yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{module} has no RETURN")


def test_every_verb_has_its_line() -> None:
    assert sorted(first_cells("Modules")) == sorted(VERBS)


def test_every_result_word_is_explained() -> None:
    assert sorted(first_cells("Results")) == sorted(t.get_args(Result))


def test_every_variable_is_listed() -> None:
    assert sorted(first_cells("Variables of a site")) == sorted(f"tradeops_{option}" for option in SITE_OPTIONS)


def test_capabilities_are_current() -> None:
    command = [sys.executable, str(ROOT / "tools" / "capabilities.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted(set(VERBS) - OTHERS))
def test_returned_keys_are_those_of_an_outcome(module: str) -> None:
    documented = returned(module)
    outcome = {field.name for field in dataclasses.fields(Outcome)} - {"changed"}
    assert set(documented) == outcome | MORE.get(module, set())
    assert set(documented["proof"]["contains"]) == {field.name for field in dataclasses.fields(Proof)}
