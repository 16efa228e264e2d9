# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Deployments as the cluster has them, and the parts of them that a filter says anew."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

Object = dict[str, t.Any]


def named(deployments: t.Sequence[Object], names: t.Collection[str]) -> dict[str, Object]:
    """Return the Deployments by name. Raises AnsibleFilterError when none is asked for, or one is not there."""
    found = {item["metadata"]["name"]: item for item in deployments}
    missing = sorted(set(names) - set(found))
    if missing or not names:
        has, lacks = ", ".join(sorted(found)) or "none", ", ".join(missing) or "(none is named)"
        raise AnsibleFilterError(f"the namespace has no Deployment {lacks}; it has {has}. Nothing was sent.")
    return found


def container(deployment: Object) -> Object:
    """Return the container of a Deployment that has its name, or its only one."""
    name, containers = deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]["containers"]
    chosen = [item for item in containers if item["name"] == name] or containers
    if len(chosen) != 1:
        raise AnsibleFilterError(f"the Deployment {name} has {len(chosen)} containers and none of its name")
    return t.cast(Object, chosen[0])


def said(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def with_image(deployment: Object, image: str) -> Object:
    """Return what has to be applied so that a Deployment has another image."""
    spec = {"template": {"spec": {"containers": [{"name": container(deployment)["name"], "image": image}]}}}
    return said("apps/v1", "Deployment", deployment["metadata"]["name"], spec)
