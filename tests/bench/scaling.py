# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast ten Deployments are scaled and proven, against kubectl on the same ten. Figures inform; they fail nothing."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
import typing as t

from bench import Lab, Line, progress

from tradeops_lab.kubernetes import programs

SITE = "grandmodel-primary"
NAMES = [f"bench-{number}" for number in range(10)]


class Cluster(Lab):
    """A lab of one site in a cluster, with ten Deployments of our own."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, 1)
        self._config = pathlib.Path(folder, "lab", "kubernetes", f"{SITE}.kubeconfig")

    def __enter__(self) -> Cluster:
        self._command("up", "--sites", SITE)
        self.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": _objects()}))
        self.by_kubectl(1)
        return self

    def kubectl(self, *arguments: str, given: str | None = None) -> None:
        program = [*programs.command("kubectl"), "--kubeconfig", str(self._config)]
        subprocess.run([*program, *arguments], input=given, text=True, check=True, stdout=subprocess.DEVNULL)

    def by_kubectl(self, number: int) -> float:
        """Scale with kubectl and wait until as many pods are available; return the seconds."""
        began = time.monotonic()
        self.kubectl("scale", "deployment", *NAMES, f"--replicas={number}")
        condition = f"--for=jsonpath={{.status.availableReplicas}}={number}"
        self.kubectl("wait", condition, "--timeout=120s", *(f"deployment/{name}" for name in NAMES))
        return time.monotonic() - began

    def by_module(self, number: int) -> float:
        return self.play("scale", "-e", json.dumps({"names": NAMES, "replicas": dict.fromkeys(NAMES, number)})).seconds


def _objects() -> list[dict[str, t.Any]]:
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": name, "image": f"bench/{name}:1"}]},
                },
            },
        }
        for name in NAMES
    ]


def measure(cluster: Cluster, repeats: int) -> Line:
    cluster.play("empty")  # compiles what Python compiles once
    empty, module, kubectl = [], [], []
    for turn in range(repeats):
        progress(f"scaling ten Deployments, {turn + 1} of {repeats}")
        empty.append(cluster.play("empty").seconds)
        kubectl.append(cluster.by_kubectl(3))
        cluster.by_kubectl(1)
        module.append(cluster.by_module(3))
        cluster.by_kubectl(1)
    base, ours, theirs = statistics.median(empty), statistics.median(module), statistics.median(kubectl)
    said = f"{ours:.2f} s; kubectl {theirs:.2f} s, empty play {base:.2f} s"
    return Line("ten Deployments scaled and proven", said, "<= both", ours <= theirs + base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tradeops-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - PostgreSQL runs as another user when the bench runs as root
        with Cluster(folder) as cluster:
            line = measure(cluster, given.repeats)
    print(f"{line.what}  {line.measured}  {line.target} {'' if line.met else 'MISSED'}".rstrip())


if __name__ == "__main__":
    main()
