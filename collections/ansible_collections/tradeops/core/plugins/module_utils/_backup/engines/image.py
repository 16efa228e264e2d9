# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Which images run: what to deploy to get this application back. The images themselves stay in their registry.

In a cluster they are what the Deployments say and, with their digests, what the pods run. Elsewhere the inventory says
it in ``images``; a tag that moves is no answer there.
"""

from __future__ import annotations

import json
import typing as t

from ..._common.errors import InputError, Unproven
from ..._common.times import iso
from ..._common.waiter import Deadline
from ..._platform import kubernetes
from ..engine import Capture
from ..manifest import Component
from .kubernetes import cluster_of

ARTEFACT = "images.json"
_BUDGET = 60.0  # s
_MOVES = ("", "latest", "stable", "edge", "main", "master")

Body = dict[str, t.Any]
Images = dict[str, dict[str, dict[str, str]]]


class Image:
    """Options: ``workloads`` (names of Deployments, by default those of ``tradeops_workloads``); where there is no
    cluster, ``images`` (name of a service -> image)."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        images = options.get("images")
        if images is None:
            cluster = cluster_of(site, options, given)
            cluster.check(kubernetes.DEPLOYMENTS, kubernetes.PODS)
            cluster.close()
            return
        if not isinstance(images, dict) or not images:
            raise InputError(f"{site}: images is {images!r}; give service: image. Nothing was captured.")
        for service, image in images.items():
            if not isinstance(image, str) or not fixed(image):
                raise InputError(
                    f"{site}: the image of {service} is {image!r}, which does not stay the same; give its tag of a "
                    "version or its digest. Nothing was captured."
                )

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        started = iso()
        given = options.get("images")
        if given is not None:
            found: Images = {service: {service: {"image": image, "digest": ""}} for service, image in given.items()}
            source = "inventory"
        else:
            found, source = self._seen(options, capture), "cluster"
        moment = iso()
        with capture.artefact(ARTEFACT) as sink:
            sink.write(json.dumps(found, indent=1, sort_keys=True).encode() + b"\n")
        facts = {"source": source, "images": found}
        return Component(name=name, engine="image", started=started, moment=moment, ended=iso(), facts=facts)

    def _seen(self, options: dict[str, t.Any], capture: Capture) -> Images:
        cluster, deadline = cluster_of(capture.site, options, capture.given), Deadline(_BUDGET)
        try:
            deployments = cluster.get(kubernetes.DEPLOYMENTS, deadline).body
            pods = cluster.get(kubernetes.PODS, deadline).body
        finally:
            cluster.close()
        wanted = options.get("workloads") or [entry["name"] for entry in capture.given.get("workloads") or ()]
        try:
            found, remarks = images(deployments["items"], pods["items"])
        except (KeyError, TypeError, AttributeError) as exc:
            raise Unproven(f"{capture.site}: the lists of the API server have another shape: {exc!r}") from exc
        missing = sorted(set(wanted) - set(found))
        if missing or not found:
            named = ", ".join(missing) or "at all"
            raise Unproven(f"{capture.site}: the namespace has no Deployment {named}; nothing tells its image")
        for workload in wanted or found:
            for remark in remarks.get(workload, ()):
                capture.note(remark)
        return {workload: found[workload] for workload in wanted or found}


def images(deployments: t.Iterable[Body], pods: t.Sequence[Body]) -> tuple[Images, dict[str, list[str]]]:
    """Return workload -> container -> image and digest, and what limits that: workload -> remarks."""
    found: Images = {}
    remarks: dict[str, list[str]] = {}
    for item in deployments:
        name, spec = item["metadata"]["name"], item["spec"]
        own = [pod for pod in pods if kubernetes.selects(spec["selector"], pod["metadata"].get("labels") or {})]
        found[name], said = {}, []
        for container in spec["template"]["spec"]["containers"]:
            image = container["image"]
            digests = {
                _digest(status.get("imageID") or "")
                for pod in own
                for status in (pod.get("status") or {}).get("containerStatuses") or ()
                if status["name"] == container["name"]
            } - {""}
            digest = _digest(image) or (digests.pop() if len(digests) == 1 else "")
            found[name][container["name"]] = {"image": image, "digest": digest}
            if digests:
                said.append(f"{name}: pods run {len(digests)} different images as {image}: it is being rolled out")
            elif not digest and not fixed(image):
                said.append(
                    f"{name}: {image} may be another one by the time it is deployed, and no pod tells its digest"
                )
        remarks[name] = said
    return found, remarks


def fixed(image: str) -> bool:
    """Whether an image is the same tomorrow: it has a digest, or a tag that is no word for the newest."""
    _name, _colon, tag = image.rpartition("/")[2].partition(":")
    return bool(_digest(image)) or tag not in _MOVES


def _digest(image: str) -> str:
    """Return the digest in an image or in what a node says it runs (docker-pullable://name@sha256:...)."""
    _name, at, digest = image.rpartition("@")
    if at:
        return digest if digest.startswith("sha256:") else ""
    return image if image.startswith("sha256:") else ""
