# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Objects of Kubernetes as they are kept: without what the server wrote into them. Pure functions."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing as t

from .._common.redact import HIDDEN
from .._platform.kubernetes import REMEMBERED

Body = dict[str, t.Any]

# Who owns what we apply, for the server's account of every field.
MANAGER = "tradeops"
# What the server or a controller writes; what is put back gets it anew. Finalizers stay: who set them meant it.
_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_ANNOTATIONS = (
    "control-plane.alpha.kubernetes.io/leader",
    "deployment.kubernetes.io/revision",
    # A whole older object, which for a Secret means its old values.
    "kubectl.kubernetes.io/last-applied-configuration",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type, not a token
_GIVEN_CONFIG = ("kube-root-ca.crt", "openshift-service-ca.crt")
_SHOWN = 200  # characters of a value in a difference


@dataclasses.dataclass(frozen=True)
class Kind:
    """Where the objects of a kind are. ``rank``: its place when objects are put back."""

    name: str
    version: str
    plural: str
    rank: int = 100

    @property
    def path(self) -> str:
        """The path of the kind's objects in a namespace, as requests have it."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        return f"{root}/namespaces/{{namespace}}/{self.plural}"


# In the order in which they are put back: what others need comes first, and what makes pods last.
_KNOWN = (
    ("ServiceAccount", "v1", "serviceaccounts"),
    ("Role", "rbac.authorization.k8s.io/v1", "roles"),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
    ("Secret", "v1", "secrets"),
    ("ConfigMap", "v1", "configmaps"),
    ("LimitRange", "v1", "limitranges"),
    ("ResourceQuota", "v1", "resourcequotas"),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    ("Service", "v1", "services"),
    ("Ingress", "networking.k8s.io/v1", "ingresses"),
    ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    ("Deployment", "apps/v1", "deployments"),
    ("StatefulSet", "apps/v1", "statefulsets"),
    ("DaemonSet", "apps/v1", "daemonsets"),
    ("CronJob", "batch/v1", "cronjobs"),
    ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
)
KINDS = {name: Kind(name, version, plural, rank) for rank, (name, version, plural) in enumerate(_KNOWN)}
# Of the moment: to put them back would be wrong.
FLEETING = {"Endpoints", "EndpointSlice", "Event", "Job", "Lease", "Pod", "ReplicaSet"}


def skipped(item: Body) -> str:
    """Say why an object is not kept, or return an empty text."""
    meta = item["metadata"]
    owners = [owner for owner in meta.get("ownerReferences") or () if owner.get("controller")]
    if owners:
        return f"made by {owners[0].get('kind')} {owners[0].get('name')}"
    if item.get("kind") == "Secret" and item.get("type") == _TOKEN:
        return "a token of a service account, which is issued anew"
    if item.get("kind") == "ConfigMap" and meta["name"] in _GIVEN_CONFIG:
        return "the cluster writes it into every namespace"
    if _ANNOTATIONS[0] in (meta.get("annotations") or {}):
        return "it only says who leads"
    if meta.get("deletionTimestamp"):
        return "it is being deleted"
    return ""


def stripped(item: Body) -> Body:
    """Return an object without what the server and its controllers wrote into it."""
    kept = copy.deepcopy(item)
    meta = kept["metadata"]
    ports = _own_node_ports(meta.get("managedFields") or ())
    for key in _METADATA:
        meta.pop(key, None)
    for key in _ANNOTATIONS:
        meta.get("annotations", {}).pop(key, None)
    if not meta.get("annotations", True):
        del meta["annotations"]
    kept.pop("status", None)
    spec = kept.get("spec") or {}
    if kept["kind"] == "Service":
        if spec.get("clusterIP") != "None":
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        spec.pop("healthCheckNodePort", None)
        for port in spec.get("ports") or ():
            if (port.get("port"), port.get("protocol", "TCP")) not in ports:
                port.pop("nodePort", None)
    elif kept["kind"] == "PersistentVolumeClaim":
        spec.pop("volumeName", None)
    elif kept["kind"] == "ServiceAccount":
        kept.pop("secrets", None)
    elif kept["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
        # A part that nobody can set.
        (spec.get("template", {}).get("metadata") or {}).pop("creationTimestamp", None)
    return kept


def resting(item: Body, live: Body | None) -> Body:
    """Return a workload that starts and stops nothing: one that is there keeps its number of pods, a new one has none.

    A restore leaves trading as it is. What is started later finds the number where a stop would have left it.
    """
    if item["kind"] not in ("Deployment", "StatefulSet"):
        return item
    rested = copy.deepcopy(item)
    marks = rested["metadata"].setdefault("annotations", {})
    kept = marks.pop(REMEMBERED, None)
    if live is not None:
        rested["spec"]["replicas"] = live["spec"].get("replicas", 1)
        # What is left out of what is applied is removed at the server.
        kept = (live["metadata"].get("annotations") or {}).get(REMEMBERED)
    else:
        number = rested["spec"].get("replicas", 1)
        kept = str(number) if number else kept
        rested["spec"]["replicas"] = 0
    if kept is not None:
        marks[REMEMBERED] = kept
    if not marks:
        del rested["metadata"]["annotations"]
    return rested


def placed(item: Body, namespace: str) -> Body:
    """Return an object for another namespace; what it says of its own account in bindings follows."""
    moved = copy.deepcopy(item)
    old = moved["metadata"].get("namespace")
    moved["metadata"]["namespace"] = namespace
    if moved["kind"] == "RoleBinding":
        for subject in moved.get("subjects") or ():
            if subject.get("kind") == "ServiceAccount" and subject.get("namespace") == old:
                subject["namespace"] = namespace
    return moved


def identity(item: Body) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def rank(item: Body) -> tuple[int, str, str]:
    """Return the place of an object among those that are put back."""
    kind = KINDS.get(item["kind"])
    return (kind.rank if kind else 100, item["kind"], item["metadata"]["name"])


def differences(before: t.Any, after: t.Any, *, secret: bool, within: bool = False) -> dict[str, tuple[str, str]]:
    """Return path -> what it was, what it is; the values of a Secret are hidden.

    ``within``: only what ``after`` speaks of counts, for the server adds defaults.
    """
    found: dict[str, tuple[t.Any, t.Any]] = {}
    _compare("", before, after, found, within)
    hide = secret and bool(found)
    return {
        path: (_shown(old, path, hide=hide), _shown(new, path, hide=hide)) for path, (old, new) in sorted(found.items())
    }


def extras(live: Body, wanted: Body) -> list[str]:
    """Name what a ConfigMap or Secret at the site has beside what the kept one has; applying leaves it there."""
    names = []
    for part in ("data", "binaryData"):
        names += sorted(set(live.get(part) or {}) - set(wanted.get(part) or {}))
    return names


_ABSENT = object()


def _compare(path: str, before: t.Any, after: t.Any, found: dict[str, tuple[t.Any, t.Any]], within: bool) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**({} if within else before), **after}:
            _compare(
                f"{path}.{key}" if path else str(key), before.get(key, _ABSENT), after.get(key, _ABSENT), found, within
            )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            _compare(f"{path}[{number}]", old, new, found, within)
    elif before != after and not (within and before is _ABSENT and after in ({}, [], None)):
        found[path] = (before, after)


def _shown(value: t.Any, path: str, *, hide: bool) -> str:
    if value is _ABSENT:
        return ""
    if hide and path.partition(".")[0] in ("data", "stringData"):
        return HIDDEN
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _own_node_ports(managed: t.Iterable[Body]) -> set[tuple[t.Any, t.Any]]:
    """Return port and protocol of those whose node port somebody chose, as the server's account of fields tells."""
    found = set()
    for entry in managed:
        ports = (entry.get("fieldsV1") or {}).get("f:spec", {}).get("f:ports", {})
        for key, fields in ports.items():
            if key.startswith("k:") and "f:nodePort" in fields:
                named = json.loads(key[2:])
                found.add((named.get("port"), named.get("protocol", "TCP")))
    return found
