# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from ansible_collections.tradeops.core.plugins.plugin_utils import _deployments
from ansible_collections.tradeops.core.plugins.plugin_utils._deployments import Object

DOCUMENTATION = r"""
name: ailing
short_description: Which Deployments do not have all the pods that they want
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns the names of Deployments that lack a ready pod of their newest template.
options:
  _input:
    description: The Deployments of a namespace, as the cluster has them.
    type: list
    elements: dict
    required: true
  names:
    description: Those that are looked at.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what has failed
  ansible.builtin.debug:
    msg: "{{ found.resources | tradeops.core.ailing(['flashmm-app']) }}"
"""

RETURN = r"""
_value:
  description: The names, in the order in which they were given.
  type: list
  elements: str
"""


def ailing(deployments: t.Sequence[Object], names: t.Sequence[str]) -> list[str]:
    """Return the names of the Deployments that are not whole."""
    found = _deployments.named(deployments, names)
    return [name for name in names if not _whole(found[name])]


def _whole(deployment: Object) -> bool:
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return bool(seen and status.get("readyReplicas", 0) >= wanted and status.get("updatedReplicas", 0) >= wanted)


class FilterModule:
    """What does not run as it should."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"ailing": ailing}
