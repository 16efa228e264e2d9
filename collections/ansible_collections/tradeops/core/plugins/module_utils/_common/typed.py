# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Read a YAML document into dataclasses, with errors that name file, line and key.

A field's type hint is the schema. A field without a default is required; an unknown key is an error. A dataclass may
define ``check(self)``: a sentence that it returns is reported at the line where its mapping begins, or, returned as
(path, sentence), at that path within it. A type with ``from_text`` reads its own texts.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing as t

from .errors import InputError, ProfileError
from .libraries import jmespath, yaml

Path = tuple[t.Union[str, int], ...]
T = t.TypeVar("T")
_DEEPEST = 50
_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class Expression(str):
    """A JMESPath expression; it is compiled once, when the document is read."""

    @functools.cached_property
    def _find(self) -> t.Callable[[t.Any], t.Any]:
        if not _PLAIN.fullmatch(self):
            return t.cast("t.Callable[[t.Any], t.Any]", jmespath.compile(str(self)).search)
        keys = self.split(".")

        # Most expressions only name a key; thousands of rows need no interpreter for that.
        def find(value: t.Any) -> t.Any:
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            return value

        return find

    def names(self, value: t.Any) -> bool:
        """Whether ``value`` has the key that this expression is, with null or anything else; False if it is no key."""
        parent, _dot, key = self.rpartition(".")
        found = Expression(parent).search(value) if parent else value
        return _PLAIN.fullmatch(self) is not None and isinstance(found, dict) and key in found

    def search(self, value: t.Any) -> t.Any:
        """Return what the expression finds in ``value``. Raises jmespath.exceptions.JMESPathError."""
        return self._find(value)


class Document:
    """A parsed YAML text together with the line of every key."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.value: t.Any = None
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
            try:
                node = loader.get_single_node()
                if node is not None:
                    self.value = self._build(loader, node, ())
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise ProfileError(f"{name}:{line}: not valid YAML: {exc.problem}") from exc
        except yaml.YAMLError as exc:  # a character that YAML does not allow has no mark
            raise ProfileError(f"{name}:1: not valid YAML: {' '.join(str(exc).split())}") from exc

    def _build(self, loader: t.Any, node: t.Any, path: Path) -> t.Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > _DEEPEST:
            raise self.error(path, "this is nested too deeply, or an alias holds itself")
        if isinstance(node, yaml.MappingNode):
            result: dict[t.Any, t.Any] = {}
            for key_node, value_node in node.value:
                key = self._key(loader, key_node, path)
                here = (*path, key)
                self.lines[here] = key_node.start_mark.line + 1
                if key in result:
                    raise self.error(here, "this key is given twice")
                result[key] = self._build(loader, value_node, here)
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(loader, node, path)

    def _key(self, loader: t.Any, node: t.Any, path: Path) -> str:
        """Return a key as text: value maps are written by people who mean the text of ``true``, ``12`` or ``null``."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(path, "a key must be a plain text")
        here = (*path, node.value)
        self.lines.setdefault(here, node.start_mark.line + 1)
        key = self._scalar(loader, node, here)
        if isinstance(key, bool) and node.value.lower() not in ("true", "false"):
            raise self.error(here, f"YAML reads this key as {str(key).lower()}; put it in quotes")
        if isinstance(key, bool) or key is None:
            return {True: "true", False: "false", None: "null"}[key]
        return str(key)

    def _scalar(self, loader: t.Any, node: t.Any, path: Path) -> t.Any:
        try:
            return loader.construct_object(node, deep=True)
        except ValueError as exc:  # a date such as 2026-13-45
            raise self.error(path, f"cannot be read: {exc}") from exc

    def error(self, path: Path, problem: str) -> InputError:
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        return ProfileError(f"{self.name}:{self.lines.get(at, 1)}: {_dotted(path) or 'document'}: {problem}")

    def read(self, cls: type[T]) -> T:
        """Return the document as ``cls``. Raises ProfileError with file, line and key."""
        return t.cast(T, _decode(self, cls, self.value, ()))


class Data(Document):
    """Plain data that came as such, for example from an inventory: errors name it, and the key."""

    def __init__(self, value: t.Any, name: str) -> None:
        self.name = name
        self.lines = {}
        self.value = value

    def error(self, path: Path, problem: str) -> InputError:
        return InputError(f"{self.name}: {_dotted(path)}{': ' if path else ''}{problem}")


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _decode(doc: Document, hint: t.Any, value: t.Any, path: Path) -> t.Any:
    origin = t.get_origin(hint)
    if hint is t.Any:
        return value
    if origin in (t.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (arg for arg in t.get_args(hint) if arg is not type(None))
        return _decode(doc, inner, value, path)
    if origin is t.Literal:
        choices = t.get_args(hint)
        if any(value == choice and type(value) is type(choice) for choice in choices):
            return value
        raise doc.error(path, f"{value!r} is not one of {', '.join(map(str, choices))}{_nearest(value, choices)}")
    if origin is dict:
        if not isinstance(value, dict):
            raise doc.error(path, f"expected a mapping, found {_kind(value)}")
        key_hint, item_hint = t.get_args(hint)
        return {
            _decode(doc, key_hint, key, (*path, key)): _decode(doc, item_hint, item, (*path, key))
            for key, item in value.items()
        }
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise doc.error(path, f"expected a list, found {_kind(value)}")
        items = [_decode(doc, t.get_args(hint)[0], item, (*path, index)) for index, item in enumerate(value)]
        return items if origin is list else tuple(items)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(doc, t.cast("type[t.Any]", hint), value, path)
    return _decode_scalar(doc, hint, value, path)


def _decode_dataclass(doc: Document, cls: type[t.Any], value: t.Any, path: Path) -> t.Any:
    if not isinstance(value, dict):
        raise doc.error(path, f"expected a mapping with the keys of a {cls.__name__.lower()}, found {_kind(value)}")
    hints = _hints(cls)
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            raise doc.error(
                (*path, key), f"unknown key{_nearest(key, fields)}; known here: {', '.join(sorted(fields))}"
            )
    arguments = {}
    for key, field in fields.items():
        if key in value:
            arguments[field.name] = _decode(doc, hints[field.name], value[key], (*path, key))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise doc.error(path, f"the key {key!r} is missing")
    result = cls(**arguments)
    problem = result.check() if hasattr(result, "check") else None
    if problem:
        within, said = problem if isinstance(problem, tuple) else ((), problem)
        raise doc.error((*path, *within), said)
    return result


def _decode_scalar(doc: Document, hint: t.Any, value: t.Any, path: Path) -> t.Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise doc.error(path, f"{value} is not a number that can be used")
    if hint is Expression:
        return _expression(doc, value, path)
    if hasattr(hint, "from_text"):
        return _from_text(doc, hint, value, path)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise doc.error(path, f"expected {_NAMES.get(hint, hint.__name__)}, found {_kind(value)}")
    return value


def _from_text(doc: Document, hint: t.Any, value: t.Any, path: Path) -> t.Any:
    """Read a text that has a syntax of its own, such as a range."""
    if not isinstance(value, str):
        raise doc.error(path, f"expected a text in quotes, found {_kind(value)}")
    try:
        return hint.from_text(value)
    except ValueError as exc:
        raise doc.error(path, str(exc)) from exc


def _expression(doc: Document, value: t.Any, path: Path) -> Expression:
    if not isinstance(value, str):
        raise doc.error(path, f"expected a JMESPath expression, found {_kind(value)}")
    expression = Expression(value)
    try:
        expression.search(None)
    except jmespath.exceptions.JMESPathTypeError:
        pass  # it only does not fit an empty answer
    except jmespath.exceptions.JMESPathError as exc:
        raise doc.error(path, f"not a JMESPath expression: {' '.join(str(exc).split())}") from exc
    return expression


_HINTS: dict[type, dict[str, t.Any]] = {}
_NAMES: dict[t.Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _hints(cls: type) -> dict[str, t.Any]:
    if cls not in _HINTS:
        _HINTS[cls] = t.get_type_hints(cls)
    return _HINTS[cls]


def _kind(value: t.Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"{value!r}"


def _nearest(value: t.Any, known: t.Iterable[t.Any]) -> str:
    close = difflib.get_close_matches(str(value), [str(item) for item in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
