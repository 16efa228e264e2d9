# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as the simulator knows it: it puts the objects of the sites there, and watches what runs.

Two watches serve all sites. While the API server is away, what was last seen stays: pods go on without it.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import logging
import typing as t

import aiohttp

from ..kubernetes import authority, objects
from .plan import Kubernetes

if t.TYPE_CHECKING:
    from .site import Site

LOG = logging.getLogger(__name__)
AGAIN = 0.1  # s between two tries while the API server does not answer
AT_REST = 60.0  # s that a reset gives the cluster to be at rest again
_PODS, _DEPLOYMENTS = "/api/v1/pods", "/apis/apps/v1/deployments"
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError)
Json = dict[str, t.Any]


class ClusterError(Exception):
    """The API server refused what the lab asked of it, or did not answer."""


@dataclasses.dataclass(frozen=True)
class Pod:
    app: str
    ready: bool
    ending: bool

    @classmethod
    def of(cls, item: Json) -> Pod:
        metadata = item["metadata"]
        conditions = item.get("status", {}).get("conditions") or []
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return cls(metadata.get("labels", {}).get("app", ""), ready, "deletionTimestamp" in metadata)


@dataclasses.dataclass(frozen=True)
class Deployment:
    app: str
    wanted: int
    generation: int  # the one that its controller has seen
    at_rest: bool

    @classmethod
    def of(cls, item: Json) -> Deployment:
        spec, status = item["spec"], item.get("status", {})
        wanted, seen = spec["replicas"], status.get("observedGeneration", 0)
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
        app = spec["template"]["metadata"].get("labels", {}).get("app", "")
        return cls(app, wanted, seen, seen >= item["metadata"]["generation"] and counts == [wanted] * 3)


class Cluster:
    """The API server of the lab, for all sites."""

    session: aiohttp.ClientSession

    def __init__(self, plan: Kubernetes) -> None:
        self.plan = plan
        self.sites: dict[str, Site] = {}  # by namespace
        self.problem = "the API server has not answered yet"  # empty once the sites are there
        self._pods: dict[str, dict[str, Pod]] = collections.defaultdict(dict)
        self._deployments: dict[str, dict[str, Deployment]] = collections.defaultdict(dict)
        self._listed: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; what has to be there comes about as soon as the API server answers."""
        context = authority.client_context(self.plan.folder)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            read_bufsize=2**20,  # an event of a watch is one line
        )
        self._tasks = [
            asyncio.create_task(self._furnish()),
            asyncio.create_task(self._follow(_PODS, self._pods, Pod.of)),
            asyncio.create_task(self._follow(_DEPLOYMENTS, self._deployments, Deployment.of)),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.session.close()

    async def call(
        self, method: str, path: str, body: t.Any = None, fine: t.Container[int] = (200, 201, 202), **query: str
    ) -> Json:
        """One request of the lab's own. Raises ClusterError when there is no answer, or none that is ``fine``."""
        headers = {"Authorization": f"Bearer {self.plan.token}", "Accept-Encoding": "identity"}
        target = self.plan.server + path
        try:
            async with (
                asyncio.timeout(10),
                self.session.request(method, target, json=body, params=query, headers=headers) as answer,
            ):
                content = await answer.read()
        except _TROUBLE as exc:
            raise ClusterError(
                f"{method} {path}: the API server does not answer ({type(exc).__name__}: {exc})"
            ) from exc
        if answer.status not in fine:
            raise ClusterError(f"{method} {path} answered {answer.status} {content[:300].decode(errors='replace')}")
        return t.cast(Json, json.loads(content)) if content[:1] == b"{" else {}

    # -- objects ---------------------------------------------------------------------------------------------------

    async def _furnish(self) -> None:
        """Make what is missing, and wait until the pods of what was made are ready."""
        while True:
            try:
                await self.call("GET", "/readyz")
                await asyncio.gather(*(self._create("/api/v1/nodes", node) for node in objects.of_cluster()))
                made = await asyncio.gather(*(self._populate(site) for site in self.sites.values()))
                break
            except ClusterError as exc:
                self.problem = str(exc)
            await asyncio.sleep(AGAIN)
        generations = dict(zip(self.sites, made, strict=True))
        while self.problem:
            self.problem = self._unlike(generations)
            await asyncio.sleep(0.02)

    async def _populate(self, site: Site) -> dict[str, int]:
        """Return the Deployments that were made, with their generation."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": site.name}}
        await self._create("/api/v1/namespaces", namespace)
        items = objects.of_site(site.platform.name, site.name)
        made = await asyncio.gather(*(self._create(objects.path(item, named=False), item) for item in items))
        return _generations(made)

    async def _create(self, path: str, item: Json) -> Json:
        """Return the object, an empty one when it was there already."""
        answer = await self.call("POST", path, item, fine=(201, 409))
        return answer if answer.get("kind") != "Status" else {}

    async def restore(self, site: Site) -> None:
        """Put the namespace of a site back to how it began, and wait a moment until it is so."""
        items = {
            (item["kind"], item["metadata"]["name"]): item for item in objects.of_site(site.platform.name, site.name)
        }
        found = await asyncio.gather(*(self._found(kind, site.name) for kind in objects.KINDS))
        strangers = set().union(*found) - set(items) - objects.MADE_BY_THE_CLUSTER
        await asyncio.gather(*(self._delete(kind, name, site.name) for kind, name in strangers))
        generations = _generations(await asyncio.gather(*(self._put(item) for item in items.values())))
        try:
            async with asyncio.timeout(AT_REST):
                while await self._end_pods(site.name) or self._unlike({site.name: generations}):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            LOG.warning("%s: not at rest: %s", site.name, self._unlike({site.name: generations}))

    async def _found(self, kind: str, namespace: str) -> set[tuple[str, str]]:
        base, plural = objects.KINDS[kind]
        listed = await self.call("GET", f"/{base}/namespaces/{namespace}/{plural}")
        return {
            (kind, item["metadata"]["name"]) for item in listed["items"] if "ownerReferences" not in item["metadata"]
        }

    async def _delete(self, kind: str, name: str, namespace: str) -> None:
        path = objects.path({"kind": kind, "metadata": {"name": name, "namespace": namespace}})
        await self.call("DELETE", path, fine=(200, 202, 404), propagationPolicy="Background")

    async def _put(self, item: Json) -> Json:
        answer = await self.call("PUT", objects.path(item), item, fine=(200, 201, 404))
        if answer.get("kind") == "Status":
            return await self.call("POST", objects.path(item, named=False), item)
        return answer

    async def _end_pods(self, namespace: str) -> bool:
        """End the pods that are not as they should be, without grace. Returns whether there were any."""
        listed = await self.call("GET", f"/api/v1/namespaces/{namespace}/pods")
        bad = [item["metadata"]["name"] for item in listed["items"] if not (pod := Pod.of(item)).ready or pod.ending]
        path = f"/api/v1/namespaces/{namespace}/pods"
        await asyncio.gather(
            *(self.call("DELETE", f"{path}/{name}", fine=(200, 404), gracePeriodSeconds="0") for name in bad)
        )
        return bool(bad)

    def _unlike(self, generations: t.Mapping[str, t.Mapping[str, int]]) -> str:
        """What is not yet so in the namespaces, by name of Deployment and the generation that has to be seen."""
        if len(self._listed) < 2:
            return "the cluster has not been read yet"
        for namespace, wanted in generations.items():
            for name, generation in wanted.items():
                seen = self._deployments[namespace].get(name)
                if not seen or not seen.at_rest or seen.generation < generation:
                    return f"{namespace}: {name} is not ready: {seen}"
        return ""

    # -- what runs -------------------------------------------------------------------------------------------------

    async def _follow(self, path: str, known: dict[str, dict[str, t.Any]], read: t.Callable[[Json], t.Any]) -> None:
        """List the objects of a kind and watch them, for ever."""
        while True:
            try:
                listed = await self.call("GET", path)
                known.clear()
                for item in listed["items"]:
                    known[item["metadata"]["namespace"]][item["metadata"]["name"]] = read(item)
                self._listed.add(path)
                for namespace in self.sites:
                    self._tell(namespace)
                await self._watch(path, listed["metadata"]["resourceVersion"], known, read)
            except (ClusterError, *_TROUBLE) as exc:
                LOG.info("%s: %s: %s", path, type(exc).__name__, exc)
            await asyncio.sleep(AGAIN)

    async def _watch(
        self, path: str, version: str, known: dict[str, dict[str, t.Any]], read: t.Callable[[Json], t.Any]
    ) -> None:
        headers = {"Authorization": f"Bearer {self.plan.token}", "Accept-Encoding": "identity"}
        query = {"watch": "1", "resourceVersion": version}
        async with self.session.get(self.plan.server + path, params=query, headers=headers) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                metadata = event["object"]["metadata"]
                namespace, name = metadata["namespace"], metadata["name"]
                if event["type"] == "DELETED":
                    known[namespace].pop(name, None)
                else:
                    known[namespace][name] = read(event["object"])
                self._tell(namespace)

    def _tell(self, namespace: str) -> None:
        """Let the site of a namespace know what runs for it."""
        site = self.sites.get(namespace)
        if not site or len(self._listed) < 2:
            return
        workloads: dict[str, dict[str, int]] = {"replicas": {}, "ready": {}, "running": {}}
        for deployment in self._deployments[namespace].values():
            _add(workloads["replicas"], deployment.app, deployment.wanted)
        for app in workloads["replicas"]:
            workloads["ready"][app] = workloads["running"][app] = 0
        for pod in self._pods[namespace].values():
            # A pod that is to end works on until it has ended, but gets no requests any more.
            _add(workloads["running"], pod.app, pod.ready)
            _add(workloads["ready"], pod.app, pod.ready and not pod.ending)
        if site.workloads != workloads:
            site.workloads = workloads
            site.market.wake()


def _add(counts: dict[str, int], app: str, number: int) -> None:
    counts[app] = counts.get(app, 0) + number


def _generations(items: t.Iterable[Json]) -> dict[str, int]:
    return {
        item["metadata"]["name"]: item["metadata"]["generation"] for item in items if item.get("kind") == "Deployment"
    }
