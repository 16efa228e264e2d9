# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is to be: its ports, databases and secrets. ``run/plan.json`` and ``lab.json`` hold it.

lab.json is the plan plus the process ids; it is there exactly while the lab is meant to run.
"""

from __future__ import annotations

import itertools
import json
import secrets
import typing as t

import pyrage

from .catalogue import Site
from .errors import LabError
from .folder import Folder, read_json, write_private
from .ports import BLOCK, HOST

# Owns the databases of the sites; may make databases and base backups and see all sessions, is no superuser.
ROLE = "tradeops"
SUPERUSER = "postgres"


class Login(t.TypedDict):
    user: str
    password: str


class PostgresPlan(t.TypedDict):
    host: str
    port: int
    user: str
    password: str
    superuser: Login
    bin: str


class RedisPlan(t.TypedDict):
    host: str
    port: int
    password: str
    bin: str


class Archive(t.TypedDict):
    """Where the WAL of a server goes, as Barman takes it."""

    cloud_url: str
    server: str
    endpoint: str


class SitePostgresPlan(PostgresPlan):
    """The server of one site. ``owner``: whom it runs as, empty for ourselves."""

    data: str
    owner: str
    archive: Archive


class MetricsPlan(t.TypedDict):
    """Where a site is scraped, and which of its counters have a past."""

    url: str
    counters: list[str]


class SitePlan(t.TypedDict):
    """``postgresql`` and ``redis``: the servers of its own, for a site that has any."""

    platform: str
    role: str
    services: dict[str, str]
    database: str
    redis_db: int
    secrets: dict[str, str]
    supervised: bool
    namespace: t.NotRequired[str]  # in the cluster
    postgresql: t.NotRequired[SitePostgresPlan]
    redis: t.NotRequired[RedisPlan]
    metrics: t.NotRequired[MetricsPlan]


class S3Plan(t.TypedDict):
    """``endpoint``: where it is reached, a front of the simulator; ``server``: past that."""

    endpoint: str
    server: str
    access_key: str
    secret_key: str
    ports: dict[str, int]


class BackupPlan(t.TypedDict):
    """Where backups of the sites go, and the keys that they are encrypted and signed with."""

    folder: str
    bucket: str
    recipient: str
    identity: str
    manifest_key: str


class Smtp(t.TypedDict):
    host: str
    port: int


class SinkPlan(t.TypedDict):
    http: str
    smtp: Smtp


class KubernetesPlan(t.TypedDict):
    server: str
    token: str
    ports: dict[str, int]
    folder: str


class PrometheusPlan(t.TypedDict):
    url: str


class Plan(t.TypedDict):
    name: str
    first_port: int
    control: str
    postgresql: PostgresPlan
    redis: RedisPlan
    s3: S3Plan
    backup: BackupPlan
    sink: SinkPlan
    kubernetes: KubernetesPlan | None
    prometheus: PrometheusPlan | None
    sites: dict[str, SitePlan]


KUBERNETES_PORTS = ("apiserver", "controllers", "scheduler", "nodes")
BUCKET = "backups"
S3_PORTS = ("s3", "s3.grpc", "filer", "filer.grpc", "master", "master.grpc", "volume", "volume.grpc")


def make(
    name: str,
    sites: list[Site],
    first_port: int,
    before: Plan | None,
    *,
    kubernetes: bool = False,
    prometheus: bool = False,
) -> Plan:
    """Return a new plan on the block of ports that begins at ``first_port``.

    ``kubernetes``: with a cluster for the sites in it; ``prometheus``: with one for the sites that have metrics.

    Passwords of the servers, and secrets and databases of sites, stay what they were in ``before``.
    """
    ports = itertools.count(first_port)
    url = {part: f"http://{HOST}:{next(ports)}" for part in ("sink", "control")}
    smtp, postgresql, redis = next(ports), next(ports), next(ports)
    s3 = {part: next(ports) for part in S3_PORTS}
    plan = Plan(
        name=name,
        first_port=first_port,
        control=url["control"],
        postgresql=_postgresql(postgresql, before["postgresql"] if before else None),
        redis=_redis(redis, before["redis"] if before else None),
        s3=S3Plan(
            endpoint=f"http://{HOST}:{next(ports)}",
            server=f"http://{HOST}:{s3['s3']}",
            access_key=before["s3"]["access_key"] if before else secrets.token_hex(10).upper(),
            secret_key=before["s3"]["secret_key"] if before else secrets.token_hex(20),
            ports=s3,
        ),
        backup=before["backup"] if before else _backup(),
        sink=SinkPlan(http=url["sink"], smtp=Smtp(host=HOST, port=smtp)),
        kubernetes=_cluster(ports, before) if kubernetes else None,
        prometheus=PrometheusPlan(url=f"http://{HOST}:{next(ports)}") if prometheus else None,
        sites={},
    )
    old = before["sites"] if before else {}
    for site in sites:
        in_cluster = kubernetes and site.kubernetes
        names = [*site.secrets, "kubernetes_token"] if in_cluster else site.secrets
        known = old[site.name]["secrets"] if site.name in old else {}
        services: dict[str, str] = {}
        for service, same_as in site.services.items():
            services[service] = services[same_as] if same_as else f"http://{HOST}:{next(ports)}"
        plan["sites"][site.name] = SitePlan(
            platform=site.platform,
            role=site.role,
            services=services,
            database=site.name.replace("-", "_"),
            redis_db=site.number,
            # The name in front tells which secret it is that turned up where it should not.
            secrets={secret: known.get(secret) or f"{secret}-{secrets.token_hex(16)}" for secret in names},
            supervised=site.supervised,
        )
        if in_cluster:
            plan["sites"][site.name]["services"]["kubernetes"] = f"https://{HOST}:{next(ports)}"
            plan["sites"][site.name]["namespace"] = site.name
        if prometheus and site.metrics:
            scraped = MetricsPlan(url=f"{services[site.metrics]}/metrics", counters=list(site.counters))
            plan["sites"][site.name]["metrics"] = scraped
        if site.dedicated:
            _dedicate(plan, site.name, ports, old.get(site.name))
    if next(ports) > first_port + BLOCK:
        raise LabError(f"these sites need more than the {BLOCK} ports of a lab: choose fewer with --sites")
    return plan


def _postgresql(port: int, before: PostgresPlan | None) -> PostgresPlan:
    return PostgresPlan(
        host=HOST,
        port=port,
        user=ROLE,
        password=before["password"] if before else secrets.token_hex(16),
        superuser=before["superuser"] if before else Login(user=SUPERUSER, password=secrets.token_hex(16)),
        bin="",  # known when PostgreSQL has been found
    )


def _redis(port: int, before: RedisPlan | None) -> RedisPlan:
    return RedisPlan(
        host=HOST,
        port=port,
        password=before["password"] if before else secrets.token_hex(16),
        bin="",  # as above
    )


def _dedicate(plan: Plan, name: str, ports: t.Iterator[int], before: SitePlan | None) -> None:
    """Give a site servers of its own."""
    site, backup = plan["sites"][name], plan["backup"]
    archive = Archive(cloud_url=f"s3://{backup['bucket']}/barman", server=name, endpoint=plan["s3"]["server"])
    server = _postgresql(next(ports), before.get("postgresql") if before else None)
    site["postgresql"] = SitePostgresPlan(**server, data="", owner="", archive=archive)
    site["redis"] = _redis(next(ports), before.get("redis") if before else None)
    site["redis_db"] = 0


def _backup() -> BackupPlan:
    identity = pyrage.x25519.Identity.generate()
    return BackupPlan(
        folder="",  # known when the lab has one
        bucket=BUCKET,
        recipient=str(identity.to_public()),
        identity=str(identity),
        manifest_key=secrets.token_hex(32),
    )


def _cluster(ports: t.Iterator[int], before: Plan | None) -> KubernetesPlan:
    own = {part: next(ports) for part in KUBERNETES_PORTS}
    known = before.get("kubernetes") if before else None
    token = known["token"] if known else f"lab-{secrets.token_hex(16)}"
    return KubernetesPlan(server=f"https://{HOST}:{own['apiserver']}", token=token, ports=own, folder="")


def load(folder: Folder) -> Plan | None:
    """Return the plan that the folder holds. Raises LabError."""
    return t.cast("Plan | None", read_json(folder.plan_json))


def save(folder: Folder, plan: Plan) -> None:
    write_private(folder.plan_json, json.dumps(plan, indent=1) + "\n")


def publish(folder: Folder, plan: Plan, pids: dict[str, int]) -> bool:
    """Write lab.json; return whether that changed it. Sites that others have joined to it stay."""
    before = read_json(folder.lab_json) or {"sites": {}}
    guests = {name: site for name, site in before["sites"].items() if name not in plan["sites"]}
    lab = {**plan, "sites": {**plan["sites"], **guests}, "pids": pids}
    if before == lab:
        return False
    write_private(folder.lab_json, json.dumps(lab, indent=1) + "\n")
    return True
