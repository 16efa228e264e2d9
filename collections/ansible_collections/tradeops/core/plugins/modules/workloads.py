#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: workloads
short_description: Scale, start, stop and restart the Deployments of a site, or delete their pods
version_added: "0.1.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Brings Deployments of a Kubernetes namespace into a state, stage by stage, and proves each stage before the next.
  - The workloads of one stage are changed at the same time, and one look at the cluster serves them all.
  - Starting goes up the stages, stopping goes down.
  - A workload is as wanted when its controller has acted on what was sent, when as many pods as wanted are ready, all
    of one template, and when no other pod of it is left. A pod that is on its way out is left.
  - It speaks the API of the cluster itself. No kubectl and no Python client is needed.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._operation
  - tradeops.core._attributes
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - Reads the live state, returns the plan and sends no write.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Full for V(scaled), V(started) and V(stopped).
      - A restart is a restart every time. Deleted pods are replaced by new ones, which a second run deletes again.
options:
  state:
    description:
      - With V(scaled) each workload gets its number of O(replicas), or its usual number of O(workloads).
      - With V(started) a workload that has no pods gets the number that it had before it was stopped, else its usual
        one. One that has pods keeps its number, and is proven to be ready.
      - With V(stopped) every workload has no pod left. Its number is kept in an annotation, for V(started).
      - With V(restarted) all pods are replaced by new ones, as its Deployment says how. That fewer pods were ready than
        the Deployment allows is a failure.
        A workload without pods is left so, and is refused if it is one of O(names).
      - With V(deleted) the pods of now are deleted without grace, and proven gone. The Deployments make new ones.
    type: str
    choices: [scaled, started, stopped, restarted, deleted]
    required: true
  names:
    description: Which workloads. All of O(workloads), if empty. A name that is not there is in stage 1.
    type: list
    elements: str
    default: []
  replicas:
    description: Numbers of pods by name, which go before the usual ones.
    type: dict
    default: {}
  patience:
    description:
      - Seconds after which a stage is given up whose pods show something that does not get better by waiting, such as
        an image that cannot be pulled, a crash loop, or a quota that is used up.
    type: float
    default: 10.0
  on_autoscaler:
    description: What to do about an autoscaler that would take a number back at once, refuse or only say so.
    type: str
    choices: [refuse, note]
    default: refuse
notes:
  - Each stage has a time budget of its own. It is the longest V(budget) of its workloads, else O(wait_timeout).
  - The token needs to list deployments, pods and horizontalpodautoscalers and to patch deployments, and for V(deleted)
    to delete pods, in the namespace of the site.
seealso:
  - module: tradeops.core.trading_state
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
---
- name: Five pods of one workload
  tradeops.core.workloads:
    state: scaled
    names: [flashmm-app]
    replicas:
      flashmm-app: 5
    wait_timeout: 300

- name: Everything is started in its order
  tradeops.core.workloads:
    state: started
    workloads:
      - {name: data-handler, stage: 1, replicas: 3, budget: 300}
      - {name: strategic-marl, stage: 2, replicas: 2}
      - {name: tactical-marl, stage: 2, replicas: 3}
"""

RETURN = r"""
---
site:
  description: The site.
  returned: always
  type: str
  sample: grandmodel-primary
capability:
  description: What was acted on.
  returned: always
  type: str
  sample: workloads
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: stopped
result:
  description:
    - What happened.
    - V(proven) means that something was sent, and that the wanted state was read back afterwards.
    - V(unchanged) means that the wanted state was observed before anything was sent. Nothing was sent.
    - V(planned) is the word of check mode. Something would be sent, see RV(plan).
    - V(refused) is a failure. The platform said no, or a guard of this module did.
    - V(unproven) is a failure. The wanted state could not be shown within O(wait_timeout), whatever was sent.
    - V(unreachable) is a failure. The platform gave no usable answer.
  returned: always
  type: str
  sample: proven
before:
  description: What was observed before the first write. Empty when the site was not read.
  returned: always
  type: dict
  sample:
    data-handler: {replicas: 3, ready: 3, pods: 3, templates: [5d6f7c9b8]}
after:
  description:
    - What was observed after the last write. In check mode, what is expected.
    - It has the keys of RV(before), which with RV(after) also make the diff.
  returned: always
  type: dict
  sample:
    data-handler: {replicas: 0, ready: 0, pods: 0, templates: []}
plan:
  description: The writes that were sent or tried, in their order. In check mode none was sent.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: What the write does.
      type: str
    method:
      description: HTTP method.
      type: str
    path:
      description: Path of the request, without the base URL of the service.
      type: str
    service:
      description: Service of the platform, a key of O(urls).
      type: str
    why:
      description: What the write is for.
      type: str
  sample:
    - action: workloads stopped
      method: PATCH
      path: /apis/apps/v1/namespaces/grandmodel/deployments/data-handler
      service: kubernetes
      why: 'data-handler: 3 -> 0'
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "1 stopped"
    sources:
      description: Every reading, in its order.
      type: list
      elements: dict
      contains:
        source:
          description: Name of the source in the profile, or V(list).
          type: str
        method:
          description: HTTP method.
          type: str
        url:
          description: Address that was read, without its query.
          type: str
        at:
          description: Time of the reading, UTC, ISO 8601.
          type: str
        saw:
          description: What was read. For a state, the meaning, with the raw value of the platform in brackets.
          type: raw
    objects:
      description: The fate of every workload; with V(deleted), of every pod.
      type: list
      elements: dict
      contains:
        id:
          description: Id on the platform.
          type: str
        kind:
          description: Kind of object.
          type: str
        before:
          description: What was observed before.
          type: raw
        after:
          description: What was observed after.
          type: raw
        result:
          description: The state, V(unchanged), or V(not) and the state.
          type: str
        why:
          description: The reason, when it is not obvious.
          type: str
    witness:
      description: Always V(null). Only the trading state has a witness of order flow.
      type: dict
    elapsed:
      description: Seconds from the beginning to the last reading.
      type: float
notes:
  description: Remarks that limit or explain the result, such as a lease that was taken over.
  returned: always
  type: list
  elements: str
msg:
  description: Why it failed, with the site, what was wanted, what was seen and what to do. Empty on success.
  returned: always
  type: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._platform.module import run_verb


def main() -> None:
    run_verb("workloads")


if __name__ == "__main__":
    main()
