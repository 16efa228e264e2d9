# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operate lab sites as the modules do, in this process; and a client that believes status codes, to compare with."""

from __future__ import annotations

import pathlib
import typing as t

from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._platform.door import execute
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS

LAB_PROFILES = pathlib.Path(__file__).parents[2] / "collections/ansible_collections/tradeops/lab/profiles"

Result = dict[str, t.Any]


class Operator:
    """Runs verbs on the sites of a lab. A test of what is not proven gives a short budget."""

    def __init__(self, ground: Ground, leases: pathlib.Path) -> None:
        self.ground = ground
        self.leases = leases

    def run(self, verb: str, site: str, *, check_mode: bool = False, **options: t.Any) -> Result:
        plan = self.ground.lab["sites"][site]
        spec = VERBS[verb].spec
        given = {
            "site": site,
            "profile": plan["platform"],
            "profile_path": [str(LAB_PROFILES)],
            "urls": plan["services"],
            "secrets": plan["secrets"],
            "request_timeout": 5.0,
            "wait_timeout": 30.0,
            **({"lease_dir": str(self.leases), "reason": "test"} if "lease_dir" in spec.options else {}),
            **options,
        }
        return execute(verb, spec.validate(site, given), check_mode=check_mode)

    def writes(self, site: str) -> list[str]:
        """What the site's own log says was written."""
        return self.ground.writes(site)
