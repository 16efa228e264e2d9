# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site of the lab as its profile sees it: every path, field and word in these tests comes from the profile."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import redis
from simulator_ground import BUDGET, Answer, Ground, request

from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform import profile as schema
from ansible_collections.tradeops.core.plugins.module_utils._platform import profiles
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import HttpTransport
from ansible_collections.tradeops.core.plugins.module_utils._platform.site import Ack, Reading, Site

COLLECTIONS = pathlib.Path(__file__).parents[2] / "collections/ansible_collections/tradeops"
FOLDERS = (COLLECTIONS / "core/profiles", COLLECTIONS / "lab/profiles")
Row = dict[str, t.Any]
Use = t.Literal["read", "write", "sign-in"]


def profile_of(platform: str) -> schema.Profile | None:
    """The profile of a platform of the lab, or None when there is none."""
    path = next((path for folder in FOLDERS if (path := folder / f"{platform}.yml").is_file()), None)
    return profiles.load(path) if path else None


def requests_of(value: t.Any, use: Use = "read") -> t.Iterator[tuple[schema.Request, Use]]:
    """Every request below ``value`` (a profile, a capability), and what it is for."""
    if isinstance(value, schema.Request):
        yield value, use
    elif isinstance(value, dict):
        for item in value.values():
            yield from requests_of(item, use)
    elif isinstance(value, list):
        for item in value:
            yield from requests_of(item, use)
    elif dataclasses.is_dataclass(value):
        inner: Use = (
            "write" if isinstance(value, schema.Action) else "sign-in" if isinstance(value, schema.Auth) else use
        )
        for field in dataclasses.fields(value):
            yield from requests_of(getattr(value, field.name), inner)


class Profiled:
    """Drives one site of a lab through its profile. Close it when done."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.ground, self.name = ground, name
        self.plan: dict[str, t.Any] = ground.lab["sites"][name]
        found = profile_of(self.plan["platform"])
        assert found is not None
        self.profile = found
        self.able = found.capabilities
        self.site = Site(
            name=name,
            profile=found,
            urls=self.plan["services"],
            secrets=self.plan["secrets"],
            transport=HttpTransport(timeout=BUDGET),
            values={"reason": "test", "operator": "test", "operation": "test"},
        )

    def __enter__(self) -> Profiled:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.site.close()

    # -- through the profile -------------------------------------------------------------------------------------

    def read(self, read: schema.Read) -> Reading:
        return self.site.read(read, Deadline(BUDGET))

    def value(self, read: schema.Read | None) -> t.Any:
        """The value of a reading that has to succeed."""
        assert read is not None
        reading = self.read(read)
        assert not reading.problem, reading.problem
        return reading.value

    @property
    def state(self) -> t.Any:
        assert self.able.trading
        return self.read(self.able.trading.read).value

    @property
    def marker(self) -> t.Any:
        """What the witness of trading says."""
        assert self.able.trading
        assert self.able.trading.witness
        witness = self.able.trading.witness
        return self.value(schema.Read(sources=witness.sources, value=witness.marker))

    @property
    def mode(self) -> t.Any:
        assert self.able.maintenance
        return self.value(self.able.maintenance.read)

    def rows(self, listing: schema.Listing | None) -> list[Row]:
        assert listing is not None
        return self.site.rows(listing, Deadline(BUDGET))

    def look_up(self, lookup: schema.Lookup, key: str) -> str:
        return self.site.look_up(lookup, key, Deadline(BUDGET))

    def send(self, action: schema.Action | None, **values: t.Any) -> Ack:
        """Send one write. Raises CallError when it is refused or not answered."""
        assert action is not None
        return self.site.send(action, values, Deadline(BUDGET))

    def move(self, state: str) -> Ack:
        """Send the transition to ``state``, whatever the state is now."""
        assert self.able.trading
        return self.send(next(step for step in self.able.trading.transitions if step.to == state))

    # -- past the profile ----------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: t.Any = None, *, service: str = "api", token: str | None = "token"
    ) -> Answer:
        """One plain request with the secret ``token`` (or a text that is no secret's name) as bearer."""
        headers = {"Authorization": f"Bearer {self.plan['secrets'].get(token, token)}"} if token else {}
        return request(self.plan["services"][service], method, path, body, headers, BUDGET)

    def redis(self) -> redis.Redis:
        """The Redis database of the site itself."""
        server = self.ground.server(self.name, "redis")
        return redis.Redis(server["host"], server["port"], db=self.plan["redis_db"], password=server["password"])

    def settings(self) -> dict[str, t.Any]:
        """The settings of the site as its PostgreSQL database has them."""
        rows = self.ground.sql(self.name, "SELECT key, value FROM settings")
        return {row["key"]: json.loads(row["value"]) for row in rows}

    def set(self, **values: t.Any) -> None:
        self.ground.control("PUT", f"/sites/{self.name}/settings", values)

    @property
    def truth(self) -> dict[str, t.Any]:
        return self.ground.truth(self.name)
