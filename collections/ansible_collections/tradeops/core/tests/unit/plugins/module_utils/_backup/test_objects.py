# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server and its controllers wrote into an object is not kept, and a difference never shows a Secret."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import objects
from ansible_collections.tradeops.core.plugins.module_utils._platform.kubernetes import REMEMBERED


def service(**more: t.Any) -> dict[str, t.Any]:
    account = {
        "manager": "helm",
        "fieldsV1": {
            "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:nodePort": {}, "f:port": {}}, ".": {}}}
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "api",
            "namespace": "site",
            "uid": "1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-26T00:00:00Z",
            "finalizers": ["example.org/guard"],
            "managedFields": [account],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {
            "clusterIP": "10.0.0.7",
            "clusterIPs": ["10.0.0.7"],
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "nodePort": 31234}],
            **more,
        },
        "status": {"loadBalancer": {}},
    }


def test_what_was_allocated_is_dropped_and_what_was_chosen_stays() -> None:
    assert objects.stripped(service()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": "site", "finalizers": ["example.org/guard"]},
        "spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 81}]},
    }
    assert objects.stripped(service(clusterIP="None"))["spec"]["clusterIP"] == "None"


def test_capturing_leaves_the_object_as_it_was() -> None:
    item = service()
    before = json.dumps(item)
    objects.stripped(item)
    objects.placed(item, "other")
    assert json.dumps(item) == before


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"name": "t"}}, "a token"),
        ({"kind": "Secret", "type": "Opaque", "metadata": {"name": "t"}}, ""),
        ({"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}}, "the cluster writes it"),
        ({"kind": "ConfigMap", "metadata": {"name": "x", "deletionTimestamp": "now"}}, "it is being deleted"),
        (
            {
                "kind": "Secret",
                "metadata": {"name": "x", "ownerReferences": [{"kind": "Sealed", "name": "s", "controller": True}]},
            },
            "made by Sealed s",
        ),
        ({"kind": "Secret", "metadata": {"name": "x", "ownerReferences": [{"kind": "App", "name": "a"}]}}, ""),
    ],
)
def test_what_others_make_is_left_out(item: dict[str, t.Any], why: str) -> None:
    said = objects.skipped(item)
    assert said.startswith(why) and bool(said) == bool(why)


def deployment(replicas: int, **annotations: str) -> dict[str, t.Any]:
    return {"kind": "Deployment", "metadata": {"name": "a", "annotations": annotations}, "spec": {"replicas": replicas}}


@pytest.mark.parametrize(
    ("kept", "live", "replicas", "remembered"),
    [
        (deployment(3), None, 0, "3"),
        (deployment(0, **{REMEMBERED: "2"}), None, 0, "2"),
        (deployment(0), None, 0, None),
        (deployment(3), deployment(5), 5, None),
        # Stopped by us: the restore neither starts it nor forgets how many it had.
        (deployment(3), deployment(0, **{REMEMBERED: "4"}), 0, "4"),
        (deployment(0, **{REMEMBERED: "2"}), deployment(3), 3, None),
    ],
)
def test_a_restore_starts_and_stops_no_pod(
    kept: dict[str, t.Any], live: dict[str, t.Any] | None, replicas: int, remembered: str | None
) -> None:
    rested = objects.resting(kept, live)
    assert rested["spec"]["replicas"] == replicas
    assert rested["metadata"].get("annotations", {}).get(REMEMBERED) == remembered


def test_objects_are_put_back_in_the_order_of_their_needs() -> None:
    kinds = ["HorizontalPodAutoscaler", "Deployment", "Zoo", "ConfigMap", "Secret", "ServiceAccount", "Service"]
    items = [{"kind": kind, "metadata": {"name": "a"}} for kind in kinds]
    assert [item["kind"] for item in sorted(items, key=objects.rank)] == [
        *("ServiceAccount", "Secret", "ConfigMap", "Service", "Deployment", "HorizontalPodAutoscaler"),
        "Zoo",
    ]


def test_a_binding_follows_its_account_into_another_namespace() -> None:
    subjects = [
        {"kind": "ServiceAccount", "name": "operator", "namespace": "site"},
        {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"},
    ]
    binding = {"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "site"}, "subjects": subjects}
    moved = objects.placed(binding, "other")
    assert (moved["metadata"]["namespace"], [one["namespace"] for one in moved["subjects"]]) == (
        "other",
        ["other", "monitoring"],
    )


def test_differences_show_a_secret_by_its_keys_only() -> None:
    old = {"data": {"A": "b25l", "B": "c2FtZQ=="}, "type": "Opaque"}
    new = {"data": {"A": "dHdv", "B": "c2FtZQ==", "C": "bmV3"}, "type": "Opaque"}
    assert objects.differences(old, new, secret=True) == {
        "data.A": ("********", "********"),
        "data.C": ("", "********"),
    }
    assert objects.differences(old, new, secret=False)["data.A"] == ("b25l", "dHdv")
    assert objects.differences({"a": 1, "b": [1, 2]}, {"b": [1, 2]}, secret=False, within=True) == {}
    assert objects.differences({"b": [1, 2]}, {"b": [1]}, secret=False, within=True) == {"b": ("[1, 2]", "[1]")}
