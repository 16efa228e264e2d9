# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GrandModel on a real API server, and an operator who works on it in this process."""

from __future__ import annotations

import pathlib
import typing as t

from operating import Operator, Result
from simulator_ground import Ground

SITE = "grandmodel-primary"
Objects = list[dict[str, t.Any]]


class Cluster:
    """The namespace of the site: what an operator does to it, and what is so in it."""

    def __init__(self, ground: Ground, leases: pathlib.Path) -> None:
        self.ground = ground
        self._operator = Operator(ground, leases)

    def run(self, verb: str, *, check_mode: bool = False, **options: t.Any) -> Result:
        given = {
            "namespace": self.ground.lab["sites"][SITE]["namespace"],
            "ca_paths": {"kubernetes": str(pathlib.Path(self.ground.lab["kubernetes"]["folder"]) / "ca.crt")},
            "request_timeout": 15.0,
            "wait_timeout": 180.0,
        }
        return self._operator.run(verb, SITE, check_mode=check_mode, **(given | options))

    def work(self, state: str, *names: str, **options: t.Any) -> Result:
        return self.run("workloads", state=state, names=list(names), **options)

    def pods(self, name: str) -> Objects:
        found = self.ground.kubernetes(SITE, "GET", f"api/v1 pods?labelSelector=app%3D{name}")
        return t.cast(Objects, found.json["items"])

    def uids(self, name: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods(name)}

    def numbers(self) -> dict[str, tuple[int, int]]:
        """Deployment -> how many pods are wanted and ready."""
        items = self.ground.kubernetes(SITE, "GET", "apis/apps/v1 deployments").json["items"]
        return {
            item["metadata"]["name"]: (item["spec"]["replicas"], item["status"].get("readyReplicas", 0))
            for item in items
        }

    def patch(self, name: str, change: dict[str, t.Any]) -> None:
        path = f"apis/apps/v1 deployments/{name}"
        answer = self.ground.kubernetes(SITE, "PATCH", path, change, kind="strategic-merge-patch")
        assert answer.status == 200, answer.body

    def suffer(self, name: str, **annotations: str) -> None:
        """Give the next pods of a Deployment something to suffer from, at once."""
        named = {f"tradeops.lab/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self.patch(name, {"spec": {"template": {"metadata": {"annotations": named}}}})

    def fault(self, kind: str, method: str = "*", path: str = "*", **more: t.Any) -> None:
        service = {"kind": kind, "service": "kubernetes", "method": method, "path": path}
        self.ground.faults(SITE, service | more)

    def writes(self) -> list[str]:
        return [write for write in self.ground.writes(SITE) if "/apis/" in write or "/api/v1/namespaces" in write]
