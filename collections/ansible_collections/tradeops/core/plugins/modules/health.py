#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: health
short_description: Read the health of a site, or pass only when it is good for a while
version_added: "0.2.0"
author:
  - tradeops contributors (@tradeops)
description:
  - Makes all checks of a site at once and composes one verdict, V(pass), V(warn), V(fail) or V(unknown), with the
    checks that decided it.
  - With a O(gate) it passes only when the verdict was good enough for some time without a break, and fails if it never
    was. Without one it only reports.
  - What cannot be read, is too old, or gives no data is V(unknown), and V(unknown) never passes.
  - What a check may say is in C(docs/health.md).
  - O(gate) and O(watch) are mutually exclusive.
extends_documentation_fragment:
  - tradeops.core._site
  - tradeops.core._attributes
  - tradeops.core._attributes.actiongroup_trading
attributes:
  check_mode:
    support: full
    details:
      - It changes nothing, and reads and waits in check mode, too.
  diff_mode:
    support: N/A
  idempotent:
    support: full
    details:
      - It changes nothing.
options:
  checks:
    description:
      - The checks, each with a C(name), a C(kind) and the keys of its kind. The role P(tradeops.core.health#role) gives
        the variable C(health_checks) of the site here.
      - Kinds are C(http), C(json), C(clock), C(latency), C(tcp), C(certificate), C(postgresql), C(redis),
        C(kubernetes), C(prometheus), C(alertmanager), C(disk), C(file), C(host) and C(platform).
      - C(warning) and C(critical) are ranges of Nagios, in quotes. V(80) raises the alarm above 80, V(95:) below 95,
        V(@10:20) from 10 to 20.
      - Without any, the platform's own health is asked.
    type: list
    elements: dict
    default: []
  groups:
    description: Checks that stand for one another, each group with C(name), C(members), C(at_least), how many must be
      good, and C(degraded), the name of the state with fewer than all.
    type: list
    elements: dict
    default: []
  gate:
    description: What has to be seen. The task fails when it is not.
    type: dict
    suboptions:
      at_least:
        description: The least verdict that passes.
        type: str
        choices:
          - pass
          - warn
        default: pass
      for:
        description: Seconds for which it must be seen without a break. With 0 once is enough.
        type: float
        default: 0.0
      within:
        description: Seconds within which that must be. O(wait_timeout), if not given.
        type: float
  retries:
    description: How many readings make a level, for checks that say nothing else.
    type: dict
    suboptions:
      of:
        description: The readings that are looked at, the newest ones.
        type: int
        default: 1
      bad:
        description: How many of them must be bad before a worse level is believed.
        type: int
        default: 1
      good:
        description: How many of them must be good before a better level is believed.
        type: int
        default: 1
      pause:
        description: Seconds between two readings that are taken to decide.
        type: float
        default: 0.5
  maintenance:
    description: What is being worked on. A failure of it is a warning that names the owner, until it ends by itself.
    type: dict
    suboptions:
      owner:
        description: Who works on it.
        type: str
        required: true
      until:
        description: The moment at which it ends, with its zone, such as V(2026-11-29T04:00:00-05:00).
        type: str
        required: true
      reason:
        description: Why.
        type: str
        default: ""
      checks:
        description: The checks that are meant. All of them, if none is named.
        type: list
        elements: str
        default: []
  watch:
    description: To read again and again instead of once. The result is of the last round, O(output) is written in each.
    type: dict
    suboptions:
      for:
        description: For so many seconds.
        type: float
        required: true
      every:
        description: Seconds from the beginning of one round to that of the next.
        type: float
        default: 1.0
      until:
        description: The verdict with which it ends at once. What is not known is worse than V(warn).
        type: str
        choices:
          - never
          - warn
          - fail
        default: never
  output:
    description: Files that are written, each as a whole, on the machine that makes the checks. Not in check mode.
    type: dict
    suboptions:
      json:
        description: As health+json (draft-inadarei-api-health-check).
        type: path
      nagios:
        description: As the line of a plugin of Nagios, with its performance data.
        type: path
      prometheus:
        description: As the text format of Prometheus, for the file reader of its node exporter.
        type: path
      junit:
        description: As a suite of JUnit.
        type: path
  postgresql:
    description:
      - The database of the site, with C(host), C(port), C(database), C(user), C(sslmode) and C(ca_path).
      - The password is C(postgresql_password) in O(secrets). The variable C(tradeops_postgresql) can give it.
    type: dict
  redis:
    description:
      - The Redis of the site, with C(host), C(port), C(db), C(user), and C(ca_path) where it is encrypted.
      - The password is C(redis_password) in O(secrets). The variable C(tradeops_redis) can give it.
    type: dict
  backup_stores:
    description: Where the backups of the site are, for checks of kind backup_freshness. See C(docs/backup.md).
      The variable C(tradeops_backup_stores) can give it.
    type: list
    elements: dict
    default: []
requirements:
  - boto3, for checks of kind backup_freshness whose store is a bucket
  - psycopg, for checks of kind postgresql
  - redis, for checks of kind redis
seealso:
  - module: tradeops.core.trading_info
  - module: tradeops.core.trading_state
"""

EXAMPLES = r"""
---
- name: Resume only a site that was healthy for a minute
  tradeops.core.health:
    gate: {at_least: pass, for: 60, within: 180}

- name: How are the stores
  tradeops.core.health:
    checks:
      - {name: database, kind: postgresql, warning: "1", critical: "5"}
      - {name: connections, kind: postgresql, read: connections, unit: "%", critical: "80"}
      - {name: redis-memory, kind: redis, read: memory, unit: "%", warning: "70", critical: "90", criticality: major}
"""

RETURN = r"""
---
site:
  description: The site.
  returned: always
  type: str
  sample: flashmm-primary
capability:
  description: What was acted on.
  returned: always
  type: str
  sample: health
wanted:
  description: What was asked for.
  returned: always
  type: str
  sample: pass for 10 s
result:
  description:
    - What happened. Nothing is ever sent.
    - V(unchanged) means that the health was good enough, for as long as O(gate) asks, or better than V(fail) and
      V(unknown) without one.
    - V(unproven) means that it was not. With a O(gate) that is a failure.
    - V(refused) is a failure. A check or an option is wrong. Nothing was read.
  returned: always
  type: str
  sample: unchanged
verdict:
  description: V(pass), V(warn), V(fail) or V(unknown), at the last reading.
  returned: when the checks were made
  type: str
  sample: warn
state:
  description: V(healthy), V(unhealthy), V(unknown), or the names of the ways in which the site is degraded.
  returned: when the checks were made
  type: str
  sample: one-exchange-lost
decided_by:
  description: The checks and groups that made the verdict what it is.
  returned: when the checks were made
  type: list
  elements: str
  sample: [exchanges]
explain:
  description: A sentence for each check and group that does not pass, the worst first.
  returned: when the checks were made
  type: list
  elements: str
  sample: ["exchanges is warn: 1 of 2 are good, 1 must be (bybit fail)"]
checks:
  description: Every check with its last reading.
  returned: when the checks were made
  type: list
  elements: dict
  contains:
    name:
      description: The check.
      type: str
    kind:
      description: Its kind.
      type: str
    level:
      description: The level that is believed.
      type: str
    value:
      description: What was read. V(null) when it could not be.
      type: raw
    unit:
      description: The unit of the value.
      type: str
    warning:
      description: The threshold of a warning.
      type: str
    critical:
      description: The threshold of a failure.
      type: str
    why:
      description: What decided the level, or a remark on the value.
      type: str
    source:
      description: Where it was read.
      type: str
    at:
      description: When, UTC, ISO 8601.
      type: str
    seconds:
      description: How long the reading took.
      type: float
    criticality:
      description: What a failure does to the verdict.
      type: str
    flapping:
      description: Whether the level changes all the time.
      type: bool
    maintenance:
      description: Whether it is in maintenance.
      type: bool
summary:
  description: One row for a table.
  returned: when the checks were made
  type: dict
  contains:
    site:
      description: The site.
      type: str
    health:
      description: The verdict.
      type: str
    state:
      description: Its name.
      type: str
    checks:
      description: How many checks are at which level.
      type: str
    problem:
      description: What does not pass.
      type: str
statistics:
  description: For each check its C(count), C(unread), C(violations), C(mean), C(median), C(p95), C(p99), C(smallest),
    C(largest), C(name) and C(unit). V(null) for one that gave no number.
  returned: with O(watch)
  type: dict
  sample: {}
before:
  description: What was observed first. Empty when nothing was read.
  returned: always
  type: dict
  contains:
    health:
      description: The verdict of the first round.
      type: str
  sample:
    health: warn
after:
  description: What was observed last.
  returned: always
  type: dict
  contains:
    health:
      description: The verdict of the last round.
      type: str
    state:
      description: Its name.
      type: str
    held_seconds:
      description: For how long it had been good enough for the gate at the end.
      type: float
    series:
      description: With O(watch), what the charts of the report are drawn from.
      type: dict
  sample:
    health: pass
    state: healthy
    held_seconds: 10.2
plan:
  description: Always empty.
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
  sample: []
proof:
  description: What the result rests on.
  returned: always
  type: dict
  contains:
    summary:
      description: What became of the objects, counted.
      type: str
      sample: "pass, healthy: 12 pass; 9 rounds"
    sources:
      description: The last reading of every check.
      type: list
      elements: dict
      contains:
        source:
          description: Name of the check.
          type: str
        method:
          description: Always V(READ).
          type: str
        url:
          description: Where it was read.
          type: str
        at:
          description: Time of the reading, UTC, ISO 8601.
          type: str
        saw:
          description: What was read, or why it could not be.
          type: raw
    objects:
      description: Every check.
      type: list
      elements: dict
      contains:
        id:
          description: Name of the check.
          type: str
        kind:
          description: Kind of the check.
          type: str
        before:
          description: Always V(null).
          type: raw
        after:
          description: The value with its unit.
          type: raw
        result:
          description: The level.
          type: str
        why:
          description: What decided it.
          type: str
    witness:
      description: Always V(null). Only the trading state has a witness of order flow.
      type: dict
    elapsed:
      description: Seconds from the beginning to the last reading.
      type: float
notes:
  description: Remarks that limit or explain the result, such as a maintenance that has ended.
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
    run_verb("health")


if __name__ == "__main__":
    main()
