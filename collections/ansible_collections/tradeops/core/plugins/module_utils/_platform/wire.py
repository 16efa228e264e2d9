# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""From the requests of a profile to bytes, and from bytes to values. Pure functions."""

from __future__ import annotations

import datetime
import email.utils
import json
import re
import time
import typing as t
import urllib.parse

from .._common.errors import InputError
from .http import Reply

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_EXCERPT = 160


def fill(template: t.Any, values: t.Mapping[str, t.Any]) -> t.Any:
    """Fill the placeholders of a template; a text that is nothing but a placeholder keeps the type of its value."""
    if isinstance(template, dict):
        return {key: fill(item, values) for key, item in template.items()}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole and whole.group(1) in values:
        return values[whole.group(1)]
    return _PLACEHOLDER.sub(lambda match: str(values.get(match.group(1), match.group(0))), template)


def fill_path(path: str, values: t.Mapping[str, t.Any]) -> str:
    """Fill the placeholders of a path, quoted. Raises InputError: a path with a hole would name something wider."""

    def filled(match: re.Match[str]) -> str:
        value = values.get(match.group(1))
        if value in (None, ""):
            raise InputError(f"the path {path} needs a {match.group(1)}, and there is none; nothing was sent to it.")
        return urllib.parse.quote(str(value), safe="")

    return _PLACEHOLDER.sub(filled, path)


def placeholders(value: t.Any) -> set[str]:
    """Return the names of all placeholders in a template."""
    if isinstance(value, dict):
        return {name for item in value.values() for name in placeholders(item)}
    if isinstance(value, list):
        return {name for item in value for name in placeholders(item)}
    return set(_PLACEHOLDER.findall(value)) if isinstance(value, str) else set()


def mapped(raw: t.Any, names: t.Mapping[str, str]) -> str | None:
    """Return what a value map makes of a value; what is no text is looked up as its JSON text (true, 12, null)."""
    return names.get(raw if isinstance(raw, str) else json.dumps(raw))


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
    return json.dumps(content).encode(), {"Content-Type": "application/json"}


def parse(reply: Reply) -> tuple[t.Any, bool]:
    """Return the JSON of an answer, and whether it could be read; an empty answer reads as None."""
    if not reply.body.strip():
        return None, True
    try:
        return json.loads(reply.body), True
    except ValueError:
        return None, False


def excerpt(reply: Reply) -> str:
    """Return the beginning of an answer, for an error message."""
    text = " ".join(reply.body.decode("utf-8", "replace").split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."


def retry_after(reply: Reply) -> float | None:
    """Return the seconds that the answer asks to wait, or None."""
    given = reply.headers.get("Retry-After", "")
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    at = moment(given)
    return None if at is None else max(0.0, at - time.time())


def moment(stamp: t.Any) -> float | None:
    """Return a time stamp (ISO 8601, HTTP date, Unix seconds or milliseconds) as Unix seconds."""
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        return stamp / 1000.0 if stamp > 1e11 else float(stamp)
    if not isinstance(stamp, str):
        return None
    try:
        parsed = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(stamp).timestamp()
    except ValueError:
        return None
