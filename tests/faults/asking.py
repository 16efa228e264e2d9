# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a site for its health as the action plugin does: with its real PostgreSQL and Redis, in this process."""

from __future__ import annotations

import typing as t

from operating import Operator, Result
from simulator_ground import Ground

Check = dict[str, t.Any]
SITE = "flashmm-primary"


class Asking:
    def __init__(self, ground: Ground, operator: Operator) -> None:
        self.ground = ground
        self.operator = operator

    def __call__(self, *checks: Check, site: str = SITE, **options: t.Any) -> Result:
        plan = self.ground.lab["sites"][site]
        postgresql, store = self.ground.server(site, "postgresql"), self.ground.server(site, "redis")
        database = {key: postgresql[key] for key in ("host", "port", "user")}
        passwords = {"postgresql_password": postgresql["password"], "redis_password": store["password"]}
        given: dict[str, t.Any] = {
            "postgresql": {**database, "database": plan["database"]},
            "redis": {"host": store["host"], "port": store["port"], "db": plan["redis_db"]},
            "secrets": {**plan["secrets"], **passwords},
            **options,
        }
        result = self.operator.run("health", site, checks=list(checks), **given)
        assert self.operator.writes(site) == []
        return result

    def one(self, check: Check, **options: t.Any) -> Result:
        """The only check of a result, as it was made."""
        result = self({"name": "it", "timeout": 20.0, **check}, **options)
        assert not result["failed"], result["msg"]
        (row,) = result["checks"]
        assert result["verdict"] == row["level"]
        return t.cast(Result, row)
