# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from ansible_collections.tradeops.core.plugins.plugin_utils import _deployments
from ansible_collections.tradeops.core.plugins.plugin_utils._deployments import Object

DOCUMENTATION = r"""
name: versioned
short_description: What has to be applied so that Deployments run another version, in their place
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns the parts of Deployments that give their containers another image.
options:
  _input:
    description: The Deployments of a namespace, as the cluster has them.
    type: list
    elements: dict
    required: true
  workloads:
    description: Name of a Deployment to its C(image), without the tag.
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
    msg: "{{ found.resources | tradeops.core.versioned(update_workloads, '1.4.2') }}"
"""

RETURN = r"""
_value:
  description:
    - The list C(objects), the C(names) of the Deployments, those of them that have pods, C(served), the images of now,
      C(before), and whether the version runs already, C(current).
  type: dict
"""


def versioned(deployments: t.Sequence[Object], workloads: t.Mapping[str, t.Any], version: str) -> Object:
    """Return the objects that bring Deployments to a version, and what they are now."""
    found = _deployments.named(deployments, workloads)
    wanted = {name: f"{row['image']}:{version}" for name, row in workloads.items()}
    before = {name: _deployments.container(found[name])["image"] for name in wanted}
    return {
        "objects": [_deployments.with_image(found[name], image) for name, image in wanted.items()],
        "names": list(wanted),
        "served": [name for name in wanted if found[name]["spec"].get("replicas", 1) > 0],
        "before": before,
        "current": before == wanted,
    }


class FilterModule:
    """Versions of what runs."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"versioned": versioned}
