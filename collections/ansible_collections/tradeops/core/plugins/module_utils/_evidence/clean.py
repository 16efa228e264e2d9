# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What may be recorded: plain JSON types, and nothing that looks like a secret.

The modules clean their results themselves; this is the second line of defence, for whatever runs beside them.
"""

from __future__ import annotations

import hashlib
import math
import re
import typing as t

from .._common.redact import HIDDEN

# Where a secret is a word of its own in a name: api_key, refreshToken, x-auth-token; but not monkey or tokenizer.
_SECRET_NAME = re.compile(
    r"(?:^|[_\W])(?:pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|keys?|pin|otp|jwt|bearer|cookies?|credentials?"
    r"|authorization|signature|apikey|accesskey|secretkey|privatekey)(?:$|[_\W])"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Inside texts: user:password@ of a URL, bearer tokens, name=value and "name": "value".
_IN_TEXT = re.compile(
    r"(?P<url>://[^/\s:@]*:)[^/\s@]+(?=@)"
    r"|(?P<bearer>\bbearer\s+)[\w.~+/=-]{8,}"
    r"|(?P<pair>\b(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|signature)\w*"
    r"(?:=|\\?\"\s*:\s*\\?\"))[^\s&\"'\\]+",
    re.IGNORECASE,
)
# Free text and bulk of foreign modules, where anything may stand.
_BULK = frozenset({"body", "content", "headers", "stdin"})
_LONGEST_PARAMETER = 1000  # characters


def plain(value: t.Any) -> t.Any:
    """Return ``value`` as exact JSON types; Ansible's tagged subclasses become what they stand for."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, t.Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def is_secret_name(name: str) -> bool:
    """Tell whether a key names a secret."""
    return bool(_SECRET_NAME.search(_CAMEL.sub("_", name).lower()))


def clean_text(value: str) -> str:
    """Hide what looks like a secret inside a text."""
    return _IN_TEXT.sub(lambda match: f"{match[match.lastgroup or 0]}{HIDDEN}", value)


def clean(value: t.Any) -> t.Any:
    """Return a plain copy of a result; texts under the name of a secret are hidden, counts and flags stay."""
    return _walk(plain(value), numbers=True)


def clean_parameters(value: t.Mapping[str, t.Any], *, ours: bool) -> dict[str, t.Any]:
    """Return a plain copy of module parameters; under the name of a secret only true, false and null stay."""
    kept = {key: item for key, item in value.items() if item is not None and (ours or key not in _BULK)}
    cleaned = t.cast("dict[str, t.Any]", _walk(plain(kept), numbers=False))
    return {key: _digest(item) for key, item in cleaned.items()}


def _digest(value: t.Any) -> t.Any:
    """Stand in for a long text, such as a whole file, by what identifies it."""
    if isinstance(value, str) and len(value) > _LONGEST_PARAMETER:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{len(value)} characters, SHA-256 {digest}"
    return value


def _walk(value: t.Any, *, numbers: bool) -> t.Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_walk(item, numbers=numbers) for item in value]
    if isinstance(value, dict):
        return {
            key: _hide(item, numbers=numbers) if is_secret_name(key) else _walk(item, numbers=numbers)
            for key, item in value.items()
        }
    return value


def _hide(value: t.Any, *, numbers: bool) -> t.Any:
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return value
    if numbers and isinstance(value, (int, float)):
        return value
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        # A list of objects (tokens with id and state) is a listing: its own names decide.
        return _walk(value, numbers=numbers)
    return HIDDEN
