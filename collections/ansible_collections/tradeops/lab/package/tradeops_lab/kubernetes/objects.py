# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the cluster, from ``manifests/``. A file there for a platform puts its sites in the cluster."""

from __future__ import annotations

import pathlib
import typing as t

import yaml

_FOLDER = pathlib.Path(__file__).parent / "manifests"
Object = dict[str, t.Any]

# Kind -> group and version in the path, plural. What a site may have and `reset` puts back.
KINDS = {
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "Service": ("api/v1", "services"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "ResourceQuota": ("api/v1", "resourcequotas"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "Ingress": ("apis/networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Job": ("apis/batch/v1", "jobs"),
    "CronJob": ("apis/batch/v1", "cronjobs"),
}
MADE_BY_THE_CLUSTER = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def lives_there(platform: str) -> bool:
    """Whether the sites of a platform have a namespace in the cluster."""
    return (_FOLDER / f"{platform}.yml").exists() and platform not in ("site", "cluster")


def of_cluster() -> list[Object]:
    """What there is once: the nodes."""
    return list(_read("cluster", "")["objects"])


def of_site(platform: str, namespace: str) -> list[Object]:
    """Everything in the namespace of a site."""
    own = _read(platform, namespace)
    objects = [*_read("site", namespace)["objects"], *own.get("objects", [])]
    for name, workload in own["workloads"].items():
        objects += [_deployment(platform, name, workload), _service(name, workload)]
    for item in objects:
        item["metadata"]["namespace"] = namespace
    return objects


def path(item: Object, *, named: bool = True) -> str:
    """The path of an object at the API server, or of the collection that it belongs to."""
    base, plural = KINDS[item["kind"]]
    metadata = item["metadata"]
    return f"/{base}/namespaces/{metadata['namespace']}/{plural}" + (f"/{metadata['name']}" if named else "")


def _read(name: str, namespace: str) -> dict[str, t.Any]:
    text = (_FOLDER / f"{name}.yml").read_text(encoding="utf-8")
    return t.cast("dict[str, t.Any]", yaml.safe_load(text.replace("{namespace}", namespace)))


def _deployment(platform: str, name: str, workload: dict[str, t.Any]) -> Object:
    labels = {"app": name, **workload.get("labels", {})}
    container = {
        "name": name,
        "image": f"{platform.replace('_', '-')}/{name}:1.0.0",
        "ports": [{"containerPort": workload["port"]}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": workload["replicas"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _service(name: str, workload: dict[str, t.Any]) -> Object:
    color = workload.get("labels", {}).get("deployment")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": workload.get("service", name), "labels": {"app": name}},
        "spec": {
            "type": workload.get("type", "ClusterIP"),
            "selector": {"app": name} | ({"deployment": color} if color else {}),
            "ports": [{"port": workload["port"]}],
        },
    }
