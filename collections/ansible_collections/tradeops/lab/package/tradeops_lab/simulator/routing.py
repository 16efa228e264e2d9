# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the route of a request."""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.parse

from ..platforms.base import Platform, Route


@dataclasses.dataclass(frozen=True)
class Found:
    """The outcome of a look-up: ``route`` None means no such path, or (``allowed``) no such method there."""

    service: str
    short: str
    route: Route | None = None
    path: dict[str, str] = dataclasses.field(default_factory=dict)
    allowed: bool = False


class Router:
    """Finds the route of a request among those of the services that share a port."""

    def __init__(self, platform: Platform, services: t.Sequence[str]) -> None:
        self._prefixes = sorted(((platform.services[name], name) for name in services), key=lambda p: -len(p[0]))
        self._exact: dict[str, list[tuple[str, Route]]] = {}
        self._patterns: list[tuple[list[str], str, Route]] = []
        for route in platform.routes:
            if route.service not in services:
                continue
            prefix = platform.services[route.service]
            if "{" in route.path:
                self._patterns.append(((prefix + route.path).split("/"), prefix, route))
            else:
                self._exact.setdefault(prefix + route.path, []).append((prefix, route))

    def find(self, method: str, path: str) -> Found:
        """``path`` is the undecoded path of the request."""
        prefix, service = next((p for p in self._prefixes if path.startswith(p[0] + "/")), self._prefixes[-1])
        nothing = Found(service, path.removeprefix(prefix))
        exact = self._exact.get(path) or self._exact.get(path.rstrip("/"), [])
        for prefix, route in exact:
            if route.method == method:
                return Found(route.service, path.removeprefix(prefix), route)
        parts = path.split("/")
        known = bool(exact)
        for pattern, prefix, route in self._patterns:
            values = _match(pattern, parts)
            if values is not None:
                if route.method == method:
                    return Found(route.service, path.removeprefix(prefix), route, values)
                known = True
        return dataclasses.replace(nothing, allowed=known)


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    values = {}
    for want, have in zip(pattern, parts, strict=True):
        if want.startswith("{"):
            values[want[1:-1]] = urllib.parse.unquote(have)
        elif want != have:
            return None
    return values
