# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._health.alerts import rules

DOCUMENTATION = r"""
name: alert_rules
short_description: Make rules of Prometheus from alerts and the thresholds of health checks
version_added: "0.2.0"
author: tradeops contributors (@tradeops)
description:
  - Returns a document of rules, one for each alert and severity, and one for its data being absent.
options:
  _input:
    description: The alerts, each with a C(name), a C(query) and a C(check) whose thresholds it has, or thresholds of
      its own in C(critical), C(warning) and C(info).
    type: list
    elements: dict
    required: true
  platform:
    description: The platform, for the name of the group and the labels.
    type: str
    required: true
  checks:
    description: The health checks.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the rules
  ansible.builtin.debug:
    msg: "{{ health_alerts | tradeops.core.alert_rules('flashmm', health_checks + health_kpis) }}"
"""

RETURN = r"""
_value:
  description: The document, with C(groups).
  type: dict
"""


def alert_rules(alerts: t.Any, platform: str, checks: t.Any) -> dict[str, t.Any]:
    """Return the document of rules. Raises AnsibleFilterError with the one sentence that says what is wrong."""
    try:
        # Tagged subclasses of str and dict stay on Ansible's side.
        return rules(str(platform), json.loads(json.dumps(alerts)), json.loads(json.dumps(checks)))
    except TradeopsError as exc:
        raise AnsibleFilterError(f"{exc}. Nothing was written.") from exc


class FilterModule:
    """Rules from thresholds."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"alert_rules": alert_rules}
