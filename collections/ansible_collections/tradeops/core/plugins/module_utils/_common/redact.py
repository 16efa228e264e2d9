# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Keep secrets out of everything that leaves the process."""

from __future__ import annotations

import json
import typing as t
import urllib.parse

HIDDEN = "********"
_SHORTEST = 4


class Redactor:
    """Replaces known secret values in texts and structures. Values of under four characters would hide too much."""

    def __init__(self, secrets: t.Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Learn a secret, also one obtained at run time (a token of a login), and the forms in which it is echoed."""
        if len(secret) < _SHORTEST or secret in self._secrets:
            return
        echoed = {json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
        # The longest first: a secret that begins like another must not leave its rest behind.
        self._secrets = sorted({*self._secrets, secret, *echoed}, key=len, reverse=True)

    def text(self, value: str) -> str:
        for secret in self._secrets:
            if secret in value:
                value = value.replace(secret, HIDDEN)
        return value

    def clean(self, value: t.Any) -> t.Any:
        """Return a copy of ``value`` of plain types without any known secret."""
        if isinstance(value, str):
            return self.text(str(value))
        if isinstance(value, dict):
            return {self.text(str(key)): self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(item) for item in value]
        return value
