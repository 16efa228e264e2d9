#!/usr/bin/python
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: model_files
short_description: Check model files against their manifest
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Reads every file that a manifest of C(sha256sum) names, and fails when one is missing, differs, or is too old.
  - Runs where the files are. It changes nothing.
options:
  site:
    description: Name of the site, for messages.
    type: str
    required: true
  dir:
    description: The folder of the files.
    type: path
    required: true
  manifest:
    description: The manifest, relative to O(dir).
    type: str
    default: SHA256SUMS
  max_age_hours:
    description: The most hours since a file was written. Any age will do if not given.
    type: float
extends_documentation_fragment:
  - tradeops.core._attributes
attributes:
  check_mode:
    support: full
    details: It only reads, and says the same in check mode.
  diff_mode:
    support: none
    details: It changes nothing.
  idempotent:
    support: full
    details: It changes nothing.
notes:
  - A manifest shows what was changed by accident. Who can write the files can write the manifest, too.
"""

EXAMPLES = r"""
- name: The models of the day are there
  tradeops.core.model_files:
    site: "{{ inventory_hostname }}"
    dir: /app/models
    max_age_hours: 36
"""

RETURN = r"""
site:
  description: The site.
  returned: success
  type: str
capability:
  description: Always V(files).
  returned: success
  type: str
wanted:
  description: What was asked for.
  returned: success
  type: str
result:
  description: V(unchanged) when every file is as the manifest says, V(unproven) when one is not, which is a failure.
  returned: success
  type: str
before:
  description: Always empty.
  returned: success
  type: dict
after:
  description: How many files there are, and how many of them are whole.
  returned: success
  type: dict
  sample: {files: 3, whole: 3}
plan:
  description: Always empty.
  returned: success
  type: list
  elements: dict
proof:
  description: What became of each file, in C(objects), and in C(summary) their number by result.
  returned: success
  type: dict
notes:
  description: Always empty.
  returned: success
  type: list
  elements: str
"""

import time

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import TradeopsError
from ansible_collections.tradeops.core.plugins.module_utils._files.manifest import SPEC, verify


def main() -> None:
    module = SPEC.module()
    try:
        module.exit_json(**verify(module.params, time.time()).to_result())
    except TradeopsError as exc:
        module.fail_json(msg=str(exc))


if __name__ == "__main__":
    main()
