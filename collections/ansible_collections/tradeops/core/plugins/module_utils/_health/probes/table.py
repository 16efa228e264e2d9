# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Which probe reads a check, and what can be refused before anything is read."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import typing as t

from ..._common.errors import InputError
from ..asked import Asked, server
from ..checks import Check
from ..reading import Reading
from . import backups, cluster, machine, platforms, stores, web

Probe = t.Callable[[t.Any, Asked], Reading]

PROBES: dict[str, Probe] = {
    "http": web.http,
    "json": web.json_value,
    "clock": web.clock,
    "latency": web.latency,
    "tcp": web.tcp,
    "certificate": web.certificate,
    "postgresql": stores.postgresql,
    "redis": stores.redis,
    "kubernetes": cluster.kubernetes,
    "prometheus": cluster.prometheus,
    "alertmanager": cluster.alertmanager,
    "disk": machine.disk,
    "file": machine.file,
    "host": machine.host,
    "platform": platforms.platform,
    "backup_freshness": backups.freshness,
}


def prepare(check: Check, asked: Asked) -> None:
    """Refuse a check that cannot work, before any is made. Raises InputError."""
    given, name = asked.given, f"{asked.site.name}: check {check.name}"
    any_check: t.Any = check
    if check.kind in stores.LIBRARIES:
        server(asked.site.name, given, check.kind, any_check.server)
        library = stores.LIBRARIES[check.kind]
        if library not in sys.modules and importlib.util.find_spec(library) is None:
            raise InputError(f"{name}: the Python library {library} is missing where it is made. Install it with pip.")
    if check.kind == "kubernetes":
        if not given["urls"].get("kubernetes"):
            raise InputError(f"{name}: tradeops_urls has no kubernetes. Nothing was read.")
        if not (any_check.namespace or given["namespace"]):
            raise InputError(f"{name}: neither it nor tradeops_namespace says the namespace. Nothing was read.")
    if check.kind == "backup_freshness":
        backups.prepare(any_check, asked)
    if check.kind == "platform":
        platforms.prepare(any_check, asked)
    addressed = [any_check] if getattr(any_check, "path", None) and hasattr(any_check, "service") else []
    for one in [*addressed, *(any_check.requests if check.kind == "latency" else [])]:
        _known(name, "service", one.service, asked.site.profile.services)
        if getattr(one, "auth", None):
            _known(name, "auth", one.auth, asked.site.profile.auth)
        asked.site.check(web.request_of(one))
    token = getattr(any_check, "token", None)
    if token and asked.secret(token) is None:
        raise InputError(f"{name}: tradeops_secrets has no {token!r}. Nothing was read.")


def load(checks: t.Iterable[Check]) -> None:
    """Load the libraries that checks need: once, and not by many threads at a time, whose readings it would delay."""
    for library in {stores.LIBRARIES[check.kind] for check in checks if check.kind in stores.LIBRARIES}:
        with contextlib.suppress(ImportError):  # the checks say it, each for itself
            importlib.import_module(library)


def _known(name: str, key: str, value: str, known: t.Iterable[str]) -> None:
    if value not in known:
        raise InputError(f"{name}: {key}: {value!r} is not one of {', '.join(known)}. Nothing was read.")
