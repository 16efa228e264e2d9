#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: daily_report
short_description: Write the report of a day
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Writes one self-contained HTML page with the figures of a day, their targets, what was missed and what to do about
    it, and the days before as plots; and beside it the same as JSON.
  - The days before are read from the reports that are kept in O(dest).
  - A target that was missed is told and fails nothing. A figure that is not known fails, when all has been written.
options:
  title:
    description: The title.
    type: str
    required: true
  sections:
    description: The sections of the report, in their order.
    type: list
    elements: dict
    required: true
    suboptions:
      title:
        description: The heading.
        type: str
        required: true
      figures:
        description: The figures, in their order.
        type: list
        elements: dict
        required: true
        suboptions:
          metric:
            description: Its key in O(values).
            type: str
            required: true
          name:
            description: What people call it.
            type: str
            required: true
          unit:
            description: Its unit.
            type: str
            default: ""
          target:
            description: A range of Nagios. V(80) is met up to 80, V(95:) from 95 on. In quotes.
            type: str
          advice:
            description: What to do when the target is missed.
            type: str
            default: ""
  values:
    description: The values by metric, as M(tradeops.core.trading_info) returns them.
    type: dict
    required: true
  problems:
    description: Why values are not known, by C(metrics.<name>), as M(tradeops.core.trading_info) returns it.
    type: dict
    default: {}
  day:
    description: The day, such as V(2026-11-27). Today in UTC if not given.
    type: str
  dest:
    description: The folder of the reports, which is made when it does not exist.
    type: path
    required: true
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  action:
    description: Has an action plugin, which does all of the work in the process of Ansible.
    support: full
  check_mode:
    support: full
    details: Says whether the files would change, and writes none.
  diff_mode:
    support: none
    details: The page is not worth reading as a difference.
  idempotent:
    support: full
seealso:
  - module: tradeops.core.trading_info
  - module: tradeops.core.evidence_report
"""

EXAMPLES = r"""
- name: Read the figures
  tradeops.core.trading_info:
    gather: [metrics]
  register: read

- name: Write the report
  tradeops.core.daily_report:
    title: Daily report
    dest: /srv/reports
    values: "{{ read.metrics }}"
    problems: "{{ read.problems }}"
    sections:
      - title: Performance
        figures:
          - metric: response_time_p95_ms
            name: Response time p95
            unit: ms
            target: "100"
            advice: look for slow queries
"""

RETURN = r"""
site:
  description: The site.
  returned: success
  type: str
path:
  description: The page.
  returned: success
  type: str
summary_path:
  description: The same for machines.
  returned: success
  type: str
capability:
  description: Always V(report).
  returned: success
  type: str
wanted:
  description: The title and the day.
  returned: success
  type: str
result:
  description:
    - V(proven) when the files were written, V(unchanged) when they are as they were, V(planned) in check mode.
    - V(unproven) is a failure. A figure is not known.
  returned: success
  type: str
before:
  description: Always empty.
  returned: success
  type: dict
after:
  description: How many targets were met and missed, and how many figures are not known.
  returned: success
  type: dict
  sample: {met: 5, missed: 1, unknown: 0}
plan:
  description: Always empty.
  returned: success
  type: list
  elements: dict
proof:
  description: The figures, in C(objects), each with the value of the day before.
  returned: success
  type: dict
notes:
  description: Always empty.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.tradeops.core.plugins.module_utils._report.daily import SPEC


def main() -> None:
    SPEC.module().fail_json(msg="daily_report is done by its action plugin on the controller; use it in a task")


if __name__ == "__main__":
    main()
