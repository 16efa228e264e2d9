# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile guide is true: its snippets load, its error messages are real, and its tables are the schema."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import ProfileError
from ansible_collections.tradeops.core.plugins.module_utils._common.typed import Expression
from ansible_collections.tradeops.core.plugins.module_utils._platform import profile as schema
from ansible_collections.tradeops.core.plugins.module_utils._platform import profiles

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "profiles.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILE = "northgate.yml"
PROFILE_KEYS = {field.name for field in dataclasses.fields(schema.Profile)}


def complete_example() -> str:
    """The profile that the guide arrives at."""
    found = re.search(r"^<!-- complete example.*?-->\n```yaml\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found, "the guide has lost its complete example"
    return found.group(1)


def laid_over(base: t.Any, part: t.Any) -> t.Any:
    """``base`` with what ``part`` gives in its place; lists are replaced."""
    if isinstance(base, dict) and isinstance(part, dict):
        return {**base, **{key: laid_over(base.get(key), value) for key, value in part.items()}}
    return part


def table(title: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    found = re.search(rf"^### {title}$.*?^((?:\|[^\n]*\n)+)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the guide has no table under {title}"
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found.group(1).splitlines()]
    return rows[2:]


def parts(hint: t.Any = schema.Profile) -> dict[str, type[t.Any]]:
    """All dataclasses that a profile is made of, by name."""
    found: dict[str, type[t.Any]] = {}
    waiting = [hint]
    while waiting:
        found_hint = waiting.pop()
        waiting += t.get_args(found_hint)
        if dataclasses.is_dataclass(found_hint) and isinstance(found_hint, type) and found_hint.__name__ not in found:
            found[found_hint.__name__] = found_hint
            waiting += [*t.get_type_hints(found_hint).values(), *found_hint.__bases__]
    return found


def described(hint: t.Any) -> str:
    """The type of a key, as the guide writes it."""
    words: dict[t.Any, str] = {
        t.Any: "anything",
        Expression: "expression",
        schema.State: "state",
        schema.ScopeKey: "scope key",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
    }
    if hint in words:
        return words[hint]
    inner = [arg for arg in t.get_args(hint) if arg is not type(None)]
    origin = t.get_origin(hint)
    if origin is t.Literal:
        return " or ".join(f"`{choice}`" for choice in inner)
    if origin is list:
        return f"list of {described(inner[0])}"
    if origin is dict:
        return f"mapping of {described(inner[0])} to {described(inner[1])}"
    if dataclasses.is_dataclass(hint):
        name = t.cast("type[t.Any]", hint).__name__.lower()
        return f"[{name}](#{name})"
    return described(inner[0])


def default(field: dataclasses.Field[t.Any]) -> str:
    """The default of a key, as the guide writes it."""
    if field.default_factory is not dataclasses.MISSING or field.default in (None, ""):
        return "none"
    if field.default is dataclasses.MISSING:
        return "**required**"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def test_complete_example_loads() -> None:
    found = profiles.parse(complete_example(), FILE)
    assert found.name == pathlib.Path(FILE).stem
    assert found.capabilities.trading
    assert found.capabilities.trading.witness


def test_first_step_loads_by_itself() -> None:
    assert profiles.parse(BLOCKS[0], FILE).capabilities.trading


@pytest.mark.parametrize(
    "block", BLOCKS, ids=[f"line-{TEXT[: TEXT.index(block)].count(chr(10)) + 1}" for block in BLOCKS]
)
def test_every_snippet_is_right(block: str) -> None:
    part = yaml.safe_load(block)
    if set(part) <= PROFILE_KEYS:
        whole = laid_over(yaml.safe_load(complete_example()), part)
        profiles.parse(yaml.safe_dump(whole, sort_keys=False), FILE)
    else:
        assert "tradeops_profile" in block, "neither a part of a profile nor an inventory"


@pytest.mark.parametrize("row", table("What it says about a mistake"), ids=lambda row: row[1])
def test_error_messages_are_real(row: list[str]) -> None:
    right, wrong, said = (cell.strip("`") for cell in row)
    example = complete_example()
    line = f"{right}\n" if wrong == "(nothing)" else right
    assert line in example
    with pytest.raises(ProfileError) as caught:
        profiles.parse(example.replace(line, "" if wrong == "(nothing)" else wrong, 1), FILE)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", sorted(parts()))
def test_tables_are_the_schema(name: str) -> None:
    cls = parts()[name]
    hints = t.get_type_hints(cls)
    inherited = {
        field.name for base in cls.__mro__[1:] if dataclasses.is_dataclass(base) for field in dataclasses.fields(base)
    }
    expected = [
        [f"`{field.name.rstrip('_')}`", described(hints[field.name]), default(field)]
        for field in dataclasses.fields(cls)
        if field.name not in inherited
    ]
    assert [row[:3] for row in table(name)] == expected
