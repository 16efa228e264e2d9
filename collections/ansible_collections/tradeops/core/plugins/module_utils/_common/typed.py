# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Read a YAML document into dataclasses, with errors that name file, line and key.

A field's type hint is the schema. A field without a default is required; an unknown key is an error. A dataclass may
define ``check(self)``: a sentence that it returns is reported at the line where its mapping begins, or, returned as
(path, sentence), at that path within it.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing as t

from .errors import ProfileError
from .libraries import jmespath, yaml

Path = tuple[t.Union[str, int], ...]
T = t.TypeVar("T")


class Expression(str):
    """A JMESPath expression, checked when the document is read."""

    __slots__ = ()


class Document:
    """A parsed YAML text together with the line of every key."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            node = loader.get_single_node()
            self.value: t.Any = None if node is None else self._build(loader, node, ())
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise ProfileError(f"{name}:{line}: not valid YAML: {exc.problem}") from exc
        finally:
            loader.dispose()

    def _build(self, loader: t.Any, node: t.Any, path: Path) -> t.Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[t.Any, t.Any] = {}
            for key_node, value_node in node.value:
                key = loader.construct_object(key_node, deep=True)
                here = (*path, key)
                self.lines[here] = key_node.start_mark.line + 1
                if key in result:
                    raise self.error(here, "this key is given twice")
                result[key] = self._build(loader, value_node, here)
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, child, (*path, index)) for index, child in enumerate(node.value)]
        return loader.construct_object(node, deep=True)

    def error(self, path: Path, problem: str) -> ProfileError:
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return ProfileError(f"{self.name}:{self.lines.get(at, 1)}: {dotted or 'document'}: {problem}")

    def read(self, cls: type[T]) -> T:
        """Return the document as ``cls``. Raises ProfileError with file, line and key."""
        return t.cast(T, _decode(self, cls, self.value, ()))


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
        if value in choices:
            return value
        raise doc.error(path, f"{value!r} is not one of {', '.join(map(str, choices))}{_nearest(value, choices)}")
    if origin is dict:
        if not isinstance(value, dict):
            raise doc.error(path, f"expected a mapping, found {_kind(value)}")
        key_hint, item_hint = t.get_args(hint)
        return {
            _decode(doc, key_hint, _key(key), (*path, key)): _decode(doc, item_hint, item, (*path, key))
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
            raise doc.error((*path, key), f"unknown key{_nearest(key, fields)}; known here: {', '.join(sorted(fields))}")
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
    if hint is Expression:
        return _expression(doc, value, path)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise doc.error(path, f"expected {_NAMES.get(hint, hint.__name__)}, found {_kind(value)}")
    return value


def _expression(doc: Document, value: t.Any, path: Path) -> Expression:
    if not isinstance(value, str):
        raise doc.error(path, f"expected a JMESPath expression, found {_kind(value)}")
    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as exc:
        raise doc.error(path, f"not a JMESPath expression: {str(exc).splitlines()[0]}") from exc
    return Expression(value)


_HINTS: dict[type, dict[str, t.Any]] = {}
_NAMES: dict[t.Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _hints(cls: type) -> dict[str, t.Any]:
    if cls not in _HINTS:
        _HINTS[cls] = t.get_type_hints(cls)
    return _HINTS[cls]


def _key(key: t.Any) -> t.Any:
    # YAML reads `true:` and `12:` as bool and int; value maps are written by people who mean the text.
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


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
