# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a lab (``run/plan.json``, same shape as ``lab.json``): where everything listens, and the sites."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t
import urllib.parse


class PlanError(Exception):
    """The plan cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.port:
            raise PlanError(f"{url!r} is not a URL of the form http(s)://host:port")
        return cls(parts.hostname, parts.port)


@dataclasses.dataclass(frozen=True)
class Server:
    """How to reach PostgreSQL or Redis."""

    host: str
    port: int
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Kubernetes:
    """The API server of the lab, what the lab itself signs in with, and the folder with the certificates."""

    server: str
    token: str = dataclasses.field(repr=False)
    folder: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Storage:
    """Where S3 is reached, and the server itself."""

    endpoint: str
    server: str


@dataclasses.dataclass(frozen=True)
class SitePlan:
    """``market`` may hold ``enabled`` and ``rate`` (orders a second) for the first start.

    ``postgresql`` and ``redis``: the servers with its database, its own or those that sites share.
    ``kubernetes``: where the site reaches the API server; its namespace is named as it is. None: it is in no cluster.
    """

    name: str
    platform: str
    role: str
    services: t.Mapping[str, str]
    database: str
    redis_db: int
    secrets: t.Mapping[str, str] = dataclasses.field(repr=False)
    market: t.Mapping[str, t.Any]
    postgresql: Server
    redis: Server
    supervised: bool = False
    kubernetes: str | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    control: Address
    sites: t.Mapping[str, SitePlan]
    kubernetes: Kubernetes | None = None
    storage: Storage | None = None
    sink: str | None = None
    services: pathlib.Path | None = None  # where the processes of supervised services report
    folder: pathlib.Path | None = None  # where the files of sites may lie


def read(path: pathlib.Path) -> Plan:
    """Read the plan file. Raises PlanError with the file and the key that is wrong."""
    try:
        plan = parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as exc:
        raise PlanError(f"{path}: {exc.strerror}") from exc
    except KeyError as exc:
        raise PlanError(f"{path}: the key {exc} is missing") from exc
    except ValueError as exc:
        raise PlanError(f"{path}: not JSON: {exc}") from exc
    return dataclasses.replace(plan, services=path.with_name("services.sock"), folder=path.parent)


def parse(data: t.Mapping[str, t.Any]) -> Plan:
    sites = {
        name: SitePlan(
            name=name,
            platform=site["platform"],
            role=site.get("role", "primary"),
            services=site["services"],
            database=site["database"],
            redis_db=site["redis_db"],
            secrets=site.get("secrets", {}),
            market={**data.get("market", {}), **site.get("market", {})},
            postgresql=_server(site.get("postgresql") or data["postgresql"]),
            redis=_server(site.get("redis") or data["redis"]),
            supervised=site.get("supervised", False),
            kubernetes=site["services"].get("kubernetes"),
        )
        for name, site in data["sites"].items()
    }
    cluster = data.get("kubernetes")
    return Plan(
        control=Address.of(data["control"]),
        sites=sites,
        kubernetes=Kubernetes(cluster["server"], cluster["token"], pathlib.Path(cluster["folder"]))
        if cluster
        else None,
        storage=Storage(s3["endpoint"], s3["server"]) if (s3 := data.get("s3")) else None,
        sink=data.get("sink", {}).get("http"),
    )


def _server(data: t.Mapping[str, t.Any]) -> Server:
    return Server(data["host"], int(data["port"]), data.get("user"), data.get("password"))
