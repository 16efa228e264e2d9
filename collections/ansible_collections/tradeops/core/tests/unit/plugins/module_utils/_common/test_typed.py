# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A schema error names the file, the line and the key, and what was meant."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import ProfileError
from ansible_collections.tradeops.core.plugins.module_utils._common.typed import Document, Expression


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    kind: t.Literal["open", "closed", 1]
    find: t.Optional[Expression] = None
    from_: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> t.Any:
        if self.from_ == ["path"]:
            return ("from",), "not this one"
        return "not both" if self.kind == "closed" and self.find else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    seconds: float = 1.0
    count: int = 0
    shown: bool = False
    inner: t.Optional[Inner] = None
    map: dict[str, str] = dataclasses.field(default_factory=dict)
    body: t.Any = None
    pair: tuple[int, ...] = ()


def read(text: str) -> Outer:
    return Document(text, "a.yml").read(Outer)


def test_reads_every_kind() -> None:
    text = """
name: x
seconds: 3
count: 4
shown: true
inner: {kind: open, find: "a.b[0]", from: [p]}
map: {true: yes it is, 12: twelve, null: none, "off": shut}
body: {a: [1, null]}
pair: [1, 2]
"""
    assert read(text.replace("yes it is", "'on'")) == Outer(
        name="x",
        seconds=3.0,
        count=4,
        shown=True,
        inner=Inner(kind="open", find=Expression("a.b[0]"), from_=["p"]),
        map={"true": "on", "12": "twelve", "null": "none", "off": "shut"},
        body={"a": [1, None]},
        pair=(1, 2),
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: [1\n", "a.yml:2: not valid YAML"),
        ("name: x\x01", "a.yml:1: not valid YAML"),
        ("name: x\n---\nname: y", "a.yml:2: not valid YAML"),
        ("name: x\ncuont: 1", "a.yml:2: cuont: unknown key (did you mean 'count'?); known here: body"),
        ("name: x\nname: y", "a.yml:2: name: this key is given twice"),
        ("count: 1", "a.yml:1: document: the key 'name' is missing"),
        ("- a", "a.yml:1: document: expected a mapping with the keys of a outer, found a list"),
        ("", "a.yml:1: document: expected a mapping with the keys of a outer, found nothing"),
        ("name: 12", "a.yml:1: name: expected a text, found 12"),
        ("name: x\ncount: true", "a.yml:2: count: expected a whole number, found True"),
        ("name: x\nseconds: .nan", "a.yml:2: seconds: nan is not a number that can be used"),
        ("name: x\nseconds: .inf", "a.yml:2: seconds: inf is not a number"),
        ("name: x\nshown: 1", "a.yml:2: shown: expected true or false, found 1"),
        (
            "name: x\ninner:\n  kind: opne",
            "a.yml:3: inner.kind: 'opne' is not one of open, closed, 1 (did you mean 'open'?)",
        ),
        ("name: x\ninner:\n  kind: true", "a.yml:3: inner.kind: True is not one of"),
        ("name: x\ninner:\n  kind: open\n  find: a[", "a.yml:4: inner.find: not a JMESPath expression"),
        ("name: x\ninner:\n  kind: open\n  find: nosuch(@)", "a.yml:4: inner.find: not a JMESPath expression: Unknown"),
        ("name: x\ninner:\n  kind: open\n  find: ''", "a.yml:4: inner.find: not a JMESPath expression"),
        ("name: x\ninner:\n  kind: open\n  find: 3", "a.yml:4: inner.find: expected a JMESPath expression, found 3"),
        ("name: x\ninner:\n  kind: closed\n  find: a", "a.yml:2: inner: not both"),
        ("name: x\ninner:\n  kind: open\n  from: [path]", "a.yml:4: inner.from: not this one"),
        ("name: x\ninner: {kind: open, from: [a, 2]}", "a.yml:2: inner.from[1]: expected a text, found 2"),
        ("name: x\nmap: [a]", "a.yml:2: map: expected a mapping, found a list"),
        ("name: x\nmap:\n  off: a", "a.yml:3: map.off: YAML reads this key as false; put it in quotes"),
        ("name: x\nmap:\n  true: a\n  'true': b", "a.yml:4: map.true: this key is given twice"),
        ("name: x\nmap: {a: on}", "a.yml:2: map.a: expected a text, found True"),
        ("name: x\nmap: {[a]: b}", "a.yml:2: map: a key must be a plain text"),
        ("name: x\npair: 3", "a.yml:2: pair: expected a list, found 3"),
        ("name: x\nbody: &a [*a]", "nested too deeply, or an alias holds itself"),
        ("name: x\nbody: 2026-13-45", "a.yml:2: body: cannot be read"),
        ("name: !!python/object:os.system x", "a.yml:1: not valid YAML: could not determine a constructor"),
    ],
)
def test_errors_name_file_line_and_key(text: str, error: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read(text)
    assert error in str(caught.value)


def test_a_key_with_null_is_told_from_a_missing_one() -> None:
    assert Expression("a.b").names({"a": {"b": None}})
    assert Expression("a").names({"a": None})
    assert not Expression("a.b").names({"a": {}})
    assert not Expression("a.b").names({"a": None})
    assert not Expression("a[0]").names({"a[0]": None})
    assert not Expression("a").names(None)


@pytest.mark.parametrize(
    ("expression", "value", "found"),
    [
        ("a", {"a": 1}, 1),
        ("a.b", {"a": {"b": 2}}, 2),
        ("a.b", {"a": [1]}, None),
        ("a", None, None),
        ("a[0] || 'none'", {}, "none"),
    ],
)
def test_expressions(expression: str, value: t.Any, found: t.Any) -> None:
    assert Expression(expression).search(value) == found
