# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.core.plugins.plugin_utils._deployments import (
    Object,
    container,
    named,
    said,
    with_image,
)

DOCUMENTATION = r"""
name: blue_green
short_description: What has to be applied to run another version, beside the one of now or in its place
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns the objects of a deployment. The green twin of a Deployment is the same but for its name, C(name-green), its
    image, and the label C(deployment), which is V(green) in its selector and its pods.
options:
  _input:
    description: The Deployments of a namespace, as the cluster has them.
    type: list
    elements: dict
    required: true
  workloads:
    description: Name of a Deployment to its C(image), without the tag, and the C(service) that leads to its pods.
    type: dict
    required: true
  version:
    description: The tag.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what would be applied
  ansible.builtin.debug:
    msg: "{{ found.resources | tradeops.core.blue_green(deploy_workloads, '1.4.2') }}"
"""

RETURN = r"""
_value:
  description:
    - The lists C(greens) (the twins), C(blues) (the images of the Deployments themselves), C(to_green) and C(to_blue)
      (the selectors of the services), C(names) and C(green_names), and whether the version runs already, C(current).
  type: dict
"""

LABEL = "deployment"


def blue_green(deployments: t.Sequence[Object], workloads: t.Mapping[str, t.Any], version: str) -> Object:
    """Return the objects that bring another version of the workloads up, switch to it, and back."""
    found = named(deployments, workloads)
    plan: Object = {key: [] for key in ("greens", "blues", "to_green", "to_blue", "names", "green_names")}
    plan["current"] = True
    for name, row in workloads.items():
        blue, image = found[name], f"{row['image']}:{version}"
        plan["current"] = plan["current"] and container(blue)["image"] == image
        plan["names"].append(name)
        plan["green_names"].append(f"{name}-green")
        plan["greens"].append(_twin(blue, image))
        plan["blues"].append(with_image(blue, image))
        for key, color in (("to_green", "green"), ("to_blue", _color(blue))):
            plan[key].append(said("v1", "Service", row["service"], {"selector": {LABEL: color}}))
    return plan


def _color(blue: Object) -> str:
    color = (blue["spec"]["selector"].get("matchLabels") or {}).get(LABEL, "green")
    if color == "green":
        raise AnsibleFilterError(
            f"the Deployment {blue['metadata']['name']} does not select its pods by a label {LABEL} that is not green: "
            "they could not be told from those of a twin. Nothing was sent."
        )
    return str(color)


def _twin(blue: Object, image: str) -> Object:
    _color(blue)
    spec = copy.deepcopy(dict(blue["spec"]))
    spec["selector"]["matchLabels"][LABEL] = "green"
    spec["template"]["metadata"]["labels"][LABEL] = "green"
    name = blue["metadata"]["name"]
    twin = said("apps/v1", "Deployment", f"{name}-green", spec)
    twin["metadata"]["labels"] = {**(blue["metadata"].get("labels") or {}), LABEL: "green"}
    container({"metadata": {"name": name}, "spec": spec})["image"] = image
    return twin


class FilterModule:
    """Versions beside each other."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"blue_green": blue_green}
