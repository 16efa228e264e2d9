# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites that a lab can have, from ``platforms/catalogue.yml``."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import typing as t

import yaml

from .errors import LabError
from .kubernetes import objects

_OPTIONAL = {"supervised", "dedicated", "metrics"}
CATALOGUE = pathlib.Path(__file__).parent / "platforms" / "catalogue.yml"


@dataclasses.dataclass(frozen=True)
class Site:
    """One site. ``services`` maps a service to the one whose port it shares, or to None when it has its own.

    ``metrics`` is the service whose /metrics Prometheus scrapes, ``counters`` are those that it has a past of.
    ``number`` is its place in the catalogue: the same whichever other sites a lab has. ``supervised``: each of its
    services is a process, under supervisord. ``kubernetes``: it has a namespace in the cluster. ``dedicated``: it has a
    PostgreSQL and a Redis of its own, also under supervisord.
    """

    name: str
    platform: str
    role: str
    services: dict[str, str | None]
    secrets: list[str]
    number: int
    supervised: bool
    kubernetes: bool
    dedicated: bool = False
    metrics: str | None = None
    counters: tuple[str, ...] = ()


def read(path: pathlib.Path = CATALOGUE) -> dict[str, Site]:
    """Return all sites by name, in the order of the file. Raises LabError."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise LabError(f"{path}: expected a mapping of platforms")
    sites: dict[str, Site] = {}
    for platform, entry in document.items():
        where = f"{path.name}: {platform}"
        if not isinstance(entry, dict) or set(entry) - _OPTIONAL != {"services", "secrets", "sites"}:
            raise LabError(f"{where}: expected the keys services, secrets and sites")
        services = _services(where, entry["services"])
        metrics = _metrics(where, entry.get("metrics"), services)
        for role in entry["sites"]:
            name = f"{platform}-{role}".replace("_", "-")
            sites[name] = Site(
                name,
                platform,
                role,
                services,
                list(entry["secrets"]),
                len(sites),
                supervised=bool(entry.get("supervised")),
                kubernetes=objects.lives_there(platform),
                dedicated=bool(entry.get("dedicated")),
                **metrics,
            )
    return sites


def _services(where: str, entries: list[t.Any]) -> dict[str, str | None]:
    services: dict[str, str | None] = {}
    for entry in entries:
        if isinstance(entry, str):
            services[entry] = None
            continue
        try:
            ((name, options),) = entry.items()
            services[name] = options["same_as"]
        except (AttributeError, ValueError, KeyError, TypeError) as exc:
            raise LabError(f"{where}: a service is a name or {{name: {{same_as: other}}}}, found {entry!r}") from exc
        if services.get(options["same_as"], "") is not None:
            raise LabError(f"{where}: {name} is to share the port of {options['same_as']!r}, which has none of its own")
    return services


def _metrics(where: str, entry: t.Any, services: t.Container[str]) -> dict[str, t.Any]:
    if entry is None:
        return {}
    if not isinstance(entry, dict) or set(entry) != {"service", "counters"} or entry["service"] not in services:
        raise LabError(f"{where}: metrics are {{service: one of its own, counters: [names]}}, found {entry!r}")
    return {"metrics": entry["service"], "counters": tuple(entry["counters"])}


def select(known: dict[str, Site], wanted: t.Iterable[str] | None) -> list[Site]:
    """Return the sites named in ``wanted`` in the order of the catalogue, all where it is None. Raises LabError.

    ``name*100`` names a hundred sites like ``name``, for measuring.
    """
    if wanted is None:
        return list(known.values())
    counts = dict(_counted(name) for name in wanted)
    names = set(counts)
    for name in sorted(names - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise LabError(f"--sites: there is no site {name!r}{hint}; known: {', '.join(known)}")
    return [copy for site in known.values() if site.name in names for copy in _copies(site, counts[site.name])]


def _counted(name: str) -> tuple[str, int]:
    """Read ``name`` or ``name*count``. Raises LabError."""
    site, star, count = name.partition("*")
    if star and not (count.isdecimal() and int(count)):
        raise LabError(f"--sites: {name!r}: after * comes how many there are to be")
    return site, int(count) if star else 0


def _copies(site: Site, count: int) -> list[Site]:
    """Return the site itself, or ``count`` sites like it. They share its Redis database and are in no cluster."""
    if not count:
        return [site]
    return [
        dataclasses.replace(site, name=f"{site.name}-{number:03d}", kubernetes=False, dedicated=False, metrics=None)
        for number in range(1, count + 1)
    ]
