# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""From the requests of a profile to bytes, and from bytes to values. Pure functions."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.utils
import json
import math
import re
import time
import typing as t
import urllib.parse

from .http import Reply
from .profile import PLACEHOLDER, Action, Request

_EXCERPT = 160
# JSON is YAML, so it may be applied as that.
_KINDS = {"merge_patch": "application/merge-patch+json", "apply": "application/apply-patch+yaml"}
_UNIX_SECONDS = 1e11  # larger stamps count milli-, micro- or nanoseconds


class Unfilled(Exception):
    """A request needs a value that is not there; sending it without would be another request."""


def scoped(action: Action, scope: t.Mapping[str, t.Any]) -> Request:
    """Return the request of an action with the given scope put where the profile says."""
    query, body = dict(action.request.query), action.request.body
    for key, place in action.scopes.items():
        if scope.get(key) is None:
            continue
        kind, _dot, name = place.partition(".")
        if kind == "query":
            query[name] = scope[key]
        else:
            body = {**(body or {}), name: scope[key]}
    return dataclasses.replace(action.request, query=query, body=body)


def fill(template: t.Any, values: t.Mapping[str, t.Any]) -> t.Any:
    """Fill the placeholders of a template; a text that is nothing but a placeholder keeps the type of its value.

    Raises Unfilled.
    """
    if isinstance(template, dict):
        return {key: fill(item, values) for key, item in template.items()}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    if whole:
        return _value(whole.group(1), values)
    return PLACEHOLDER.sub(lambda match: str(_value(match.group(1), values)), template)


def fill_path(path: str, values: t.Mapping[str, t.Any]) -> str:
    """Fill the placeholders of a path, quoted. Raises Unfilled, also for what would turn it into another path."""

    def quoted(match: re.Match[str]) -> str:
        text = str(_value(match.group(1), values))
        if text in ("", ".", ".."):
            raise Unfilled(f"{{{match.group(1)}}} is {text!r}")
        return urllib.parse.quote(text, safe="")

    return PLACEHOLDER.sub(quoted, path)


def shown_path(path: str, values: t.Mapping[str, t.Any]) -> str:
    """Return a path for a plan; what has no value stays a placeholder."""
    try:
        return fill_path(path, values)
    except Unfilled:
        return path


def _value(name: str, values: t.Mapping[str, t.Any]) -> t.Any:
    if values.get(name) is None:
        raise Unfilled(f"{{{name}}} has no value")
    return values[name]


def mapped(raw: t.Any, names: t.Mapping[str, str]) -> str | None:
    """Return what a value map makes of a value; what is no text is looked up as its JSON text (true, 12, null)."""
    return names.get(text(raw))


def text(value: t.Any) -> str:
    """Return a value as a query or form field holds it."""
    return value if isinstance(value, str) else json.dumps(value)


def encode(content: t.Any, encoding: str) -> tuple[bytes | None, dict[str, str]]:
    """Return the body of a request and its header."""
    if content is None:
        return None, {}
    if encoding == "form":
        pairs = {key: text(item) for key, item in content.items()}
        return urllib.parse.urlencode(pairs).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    kind = _KINDS.get(encoding, "application/json")
    return json.dumps(content).encode(), {"Content-Type": kind}


def parse(reply: Reply) -> tuple[t.Any, bool]:
    """Return the JSON of an answer, and whether it could be read; an empty answer reads as None.

    NaN and Infinity, which are not JSON but are sent by some servers, read as null: they say nothing.
    """
    if not reply.body.strip():
        return None, True
    try:
        return json.loads(reply.body, parse_constant=lambda _name: None), True
    except (ValueError, RecursionError):
        return None, False


def message(body: t.Any) -> str:
    """Return the sentence in an answer of a Kubernetes API server that says no, or an empty text."""
    said = body.get("message") if isinstance(body, dict) and body.get("kind") == "Status" else None
    return said if isinstance(said, str) else ""


def excerpt(said: str) -> str:
    """Return the beginning of an answer on one line, for an error message."""
    line = " ".join(said.split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}..."


def number(value: t.Any) -> float | None:
    """Return a number, also one that is written as a text, or None for everything else and for NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def retry_after(given: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, or None."""
    seconds = number(given)
    if seconds is None:
        until = moment(given)
        seconds = None if until is None else until - time.time()
    return None if seconds is None else max(0.0, seconds)


def moment(stamp: t.Any) -> float | None:
    """Return a time stamp (ISO 8601, HTTP date, Unix time in seconds or smaller units) as Unix seconds, or None.

    A time without a zone is UTC.
    """
    seconds = number(stamp)
    if seconds is not None:
        while seconds > _UNIX_SECONDS:
            seconds /= 1000.0
        return seconds
    if not isinstance(stamp, str):
        return None
    parsed: datetime.datetime | None = None
    with contextlib.suppress(ValueError):
        parsed = datetime.datetime.fromisoformat(stamp.strip())
    if parsed is None:
        with contextlib.suppress(ValueError):
            parsed = email.utils.parsedate_to_datetime(stamp)
    if parsed is None:
        return None
    try:
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()
    except OverflowError:
        return None
