# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the control plane. All state is in etcd: each of the others can be killed at any time."""

from __future__ import annotations

import asyncio
import json
import pathlib
import signal
import typing as t

import yaml

from ..folder import Folder, write_private
from ..part import Part
from ..plan import KubernetesPlan, Plan
from ..ports import HOST
from ..processes import Command, plain_environment
from ..waiting import NotYet
from ..web import call_async
from . import authority, programs

ADMIN = "admin.kubeconfig"
_STAGES = pathlib.Path(__file__).parent / "stages.yml"
_TOKENS = "tokens.csv"
# What watches the nodes is left out: the nodes of the lab never fail, however slow the machine is.
_CONTROLLERS = ("*", "-node-lifecycle-controller", "-ttl-controller", "-node-ipam-controller", "-node-route-controller")


def furnish(folder: Folder, plan: Plan) -> None:
    """Write keys, tokens and kubeconfigs of the cluster; the plan is told where."""
    place, cluster = folder.kubernetes, settings_of(plan)
    cluster["folder"] = str(place)
    authority.ensure(place)
    # token,user,uid,groups. The token of a site is that of the service account `operator` in its namespace.
    lines = [f'{cluster["token"]},lab,lab,"system:masters"']
    write_private(place / ADMIN, _kubeconfig(place, cluster["server"], cluster["token"], "default"))
    for name, site in plan["sites"].items():
        namespace = site.get("namespace")
        if namespace is None:
            continue
        url, token = site["services"]["kubernetes"], site["secrets"]["kubernetes_token"]
        groups = f"system:serviceaccounts,system:serviceaccounts:{namespace}"
        lines.append(f'{token},system:serviceaccount:{namespace}:operator,{name},"{groups}"')
        write_private(place / f"{name}.kubeconfig", _kubeconfig(place, url, token, namespace))
    write_private(place / _TOKENS, "\n".join(lines) + "\n")


def _kubeconfig(place: pathlib.Path, server: str, token: str, namespace: str) -> str:
    """JSON, which is YAML as well."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "lab", "cluster": {"server": server, "certificate-authority": str(place / authority.CA)}}
            ],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": namespace}}],
            "current-context": "lab",
        }
    )


def settings_of(plan: Plan) -> KubernetesPlan:
    """The cluster of a plan that has one."""
    cluster = plan["kubernetes"]
    if cluster is None:
        raise ValueError("this lab has no cluster")
    return cluster


class _Server(Part):
    """One of the programs."""

    program: t.ClassVar[str]
    stop_signal = signal.SIGKILL
    purge_signal = signal.SIGKILL
    start_budget = 120.0

    @classmethod
    def wanted(cls, plan: Plan) -> bool:
        return plan.get("kubernetes") is not None

    @property
    def place(self) -> pathlib.Path:
        return self.folder.kubernetes

    @property
    def port(self) -> int:
        return settings_of(self.plan)["ports"][self.name]

    def ports(self) -> list[int]:
        return [self.port]

    def options(self) -> dict[str, t.Any]:
        raise NotImplementedError

    def command(self) -> Command:
        options = [f"--{name}={value}" for name, value in self.options().items()]
        environment = plain_environment() | {"KWOK_WORKDIR": str(self.place)}
        return Command([*programs.command(self.program), *options], self.place, environment)

    def _serving(self) -> dict[str, t.Any]:
        return {
            "bind-address": HOST,
            "secure-port": self.port,
            "tls-cert-file": self.place / authority.SERVER,
            "tls-private-key-file": self.place / authority.SERVER_KEY,
        }

    async def probe(self) -> str:
        return await self._ask("/healthz")

    async def _ask(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {settings_of(self.plan)['token']}"}
        context = authority.client_context(self.place)
        answer = await call_async("GET", f"https://{HOST}:{self.port}{path}", headers=headers, context=context)
        if answer.status != 200:
            raise NotYet(f"GET {path} answered {answer.status} {answer.body[-300:].decode(errors='replace')}")
        return f"answers {path}"


class Etcd(_Server):
    name, program = "etcd", "etcd"
    stop_signal = signal.SIGTERM
    stop_budget = 2.0  # everything acknowledged has been given to the kernel by then

    def ports(self) -> list[int]:
        return []

    def options(self) -> dict[str, t.Any]:
        peer = "unix://peer:1"  # what is told to others has to look like host:port; nobody asks for it
        return {
            "name": "lab",
            "data-dir": self.place / "etcd",
            "listen-client-urls": _socket(self.place),
            "advertise-client-urls": "unix://etcd:1",
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"lab={peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    async def probe(self) -> str:
        reader, writer = await asyncio.open_unix_connection(self.place / "etcd.sock")
        try:
            writer.write(b"GET /health HTTP/1.0\r\nHost: etcd\r\n\r\n")
            answer = (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
        if '"health":"true"' not in answer:
            raise NotYet(f"GET /health answered {answer[-200:]!r}")
        return "is healthy"


def _socket(place: pathlib.Path) -> str:
    return f"unix://{place}/etcd.sock"


class ApiServer(_Server):
    name, program = "apiserver", "kube-apiserver"

    def options(self) -> dict[str, t.Any]:
        return self._serving() | {
            "etcd-servers": _socket(self.place),
            "advertise-address": HOST,
            "endpoint-reconciler-type": "none",  # a loopback address is no endpoint
            "client-ca-file": self.place / authority.CA,
            "token-auth-file": self.place / _TOKENS,
            "authorization-mode": "RBAC",
            "anonymous-auth": "false",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self.place / authority.ACCOUNTS_KEY,
            "service-account-signing-key-file": self.place / authority.ACCOUNTS_KEY,
            "service-cluster-ip-range": "10.96.0.0/16",
            # Nobody watches the nodes, so nobody would ever take away the taint of a new one.
            "disable-admission-plugins": "TaintNodesByCondition",
            "profiling": "false",
        }

    async def probe(self) -> str:
        return await self._ask("/readyz")


class Controllers(_Server):
    name, program = "controllers", "kube-controller-manager"

    def options(self) -> dict[str, t.Any]:
        return self._serving() | {
            "kubeconfig": self.place / ADMIN,
            "leader-elect": "false",
            "service-account-private-key-file": self.place / authority.ACCOUNTS_KEY,
            "root-ca-file": self.place / authority.CA,
            "controllers": ",".join(_CONTROLLERS),
            "kube-api-qps": 200,
            "kube-api-burst": 400,
        }


class Scheduler(_Server):
    name, program = "scheduler", "kube-scheduler"

    async def prepare(self) -> None:
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.place / ADMIN), "qps": 200, "burst": 400},
            "leaderElection": {"leaderElect": False},
        }
        write_private(self.place / "scheduler.json", json.dumps(configuration))

    def options(self) -> dict[str, t.Any]:
        return self._serving() | {"config": self.place / "scheduler.json"}


class Nodes(_Server):
    """The nodes, played by kwok: pods on them run, or suffer what their template says (``stages.yml``)."""

    name, program = "nodes", "kwok"

    async def prepare(self) -> None:
        documents = "---\n".join(f"{json.dumps(stage)}\n" for stage in _stages())
        write_private(self.place / "stages.yml", documents)

    def options(self) -> dict[str, t.Any]:
        return {
            "kubeconfig": self.place / ADMIN,
            "config": self.place / "stages.yml",
            "manage-all-nodes": "true",
            "node-lease-duration-seconds": 0,  # nobody watches the nodes
            "node-ip": HOST,
            "node-port": self.port,
            "cidr": "10.244.0.0/16",
            "server-address": f"{HOST}:{self.port}",
            "tls-cert-file": self.place / authority.SERVER,
            "tls-private-key-file": self.place / authority.SERVER_KEY,
        }


def _stages() -> t.Iterator[dict[str, t.Any]]:
    """What ``stages.yml`` says, as kwok wants to hear it."""
    document = yaml.safe_load(_STAGES.read_text(encoding="utf-8"))
    for kind, key in (("Node", "nodes"), ("Pod", "pods")):
        for stage in document[key]:
            spec = {"resourceRef": {"apiGroup": "v1", "kind": kind}, **stage}
            name = spec.pop("name")
            yield {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


STAGES: tuple[tuple[type[_Server], ...], ...] = ((Etcd,), (ApiServer,), (Controllers, Scheduler, Nodes))
SERVERS = tuple(kind for stage in STAGES for kind in stage)
