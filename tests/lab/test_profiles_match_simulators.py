# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles and simulators may not drift apart: every request of a profile is one that its simulator declares."""

from __future__ import annotations

import collections.abc
import itertools
import re
import typing as t

import pytest
from profiled import Profiled, profile_of, requests_of
from simulator_ground import ground as lab

from ansible_collections.tradeops.core.plugins.module_utils._platform.profile import Auth, Listing, Profile, Read
from tradeops_lab import catalogue, platforms
from tradeops_lab.platforms import base
from tradeops_lab.simulator.routing import Router

SITES = {site.platform: site for site in reversed(catalogue.read().values())}
PROFILES = {name: profile for name in SITES if (profile := profile_of(name))}
# Their trading state is that of a cluster: tests/kubernetes reads and sets it.
BY_WORKLOADS = {name for name, profile in PROFILES.items() if profile.capabilities.trading_by_workloads}
CLUSTER = "kubernetes"

fixture = lab(*(SITES[name].name for name in PROFILES))
each = pytest.mark.parametrize("platform", PROFILES)
each_by_its_api = pytest.mark.parametrize("platform", [name for name in PROFILES if name not in BY_WORKLOADS])


@pytest.fixture
def profiled(ground: t.Any, platform: str) -> t.Iterator[Profiled]:
    ground.fresh(SITES[platform].name)
    with Profiled(ground, SITES[platform].name) as site:
        yield site


# -- what is declared ------------------------------------------------------------------------------------------------


def test_every_platform_of_the_lab_has_a_profile() -> None:
    assert set(SITES) == set(PROFILES)


@each
def test_services_and_prefixes_are_the_same(platform: str) -> None:
    services = {name: service.path for name, service in PROFILES[platform].services.items() if name != CLUSTER}
    assert services == dict(platforms.load(platform).services)
    assert set(services) == set(SITES[platform].services)


@each
def test_the_lab_makes_every_secret_that_is_needed(platform: str) -> None:
    needed = {secret for name, auth in PROFILES[platform].auth.items() if name != CLUSTER for secret in auth.secrets()}
    assert needed <= set(SITES[platform].secrets)


@each
def test_every_request_has_a_declared_route(platform: str) -> None:
    profile, simulator = PROFILES[platform], platforms.load(platform)
    wrong = []
    for request, use in itertools.chain(requests_of(profile.capabilities), requests_of(profile.auth)):
        if request.service == CLUSTER:
            continue
        path = profile.services[request.service].path + re.sub(r"\{\w+\}", "x", request.path)
        route = Router(simulator, _sharing_a_port(platform, request.service)).find(request.method, path).route
        said = f"{use} {request.service} {request.method} {path}"
        if route is None or route.service != request.service:
            wrong.append(f"{said}: no such route")
        elif route.writes != (use == "write"):
            wrong.append(f"{said}: the route is declared with writes={route.writes}")
        elif use != "sign-in" and not _lets_in(simulator, route, _auth(profile, request.auth)):
            wrong.append(f"{said}: signs in as {request.auth or profile.default_auth}, the route wants {route.auth}")
    assert not wrong


def _sharing_a_port(platform: str, service: str) -> list[str]:
    services = SITES[platform].services
    home = services[service] or service
    return [name for name, same_as in services.items() if (same_as or name) == home]


def _auth(profile: Profile, name: str | None) -> Auth:
    return profile.auth[name or profile.default_auth]


def _lets_in(simulator: base.Platform, route: base.Route, auth: Auth) -> bool:
    wants = simulator.auth[route.auth] if route.auth else None
    if isinstance(wants, base.Bearer):
        return auth.kind == "bearer" and auth.token == wants.secret
    if isinstance(wants, base.Session):
        return auth.kind == "login"
    if isinstance(wants, base.Headers):
        return auth.kind == "headers" and auth.fields == dict(wants.fields)
    if isinstance(wants, base.InBody):
        return auth.kind == "body" and auth.fields == dict(wants.fields)
    return True


# -- what is answered ------------------------------------------------------------------------------------------------


@each
def test_every_reading_has_a_value(profiled: Profiled) -> None:
    # A dead man's switch that is not armed has none.
    reads = [read for read in _parts(profiled.able, Read) if read is not _switch(profiled)]
    seen = {
        read.value: profiled.read(read)
        for read in reads
        if all(request.service != CLUSTER for request in read.sources.values())
    }
    assert {what: reading for what, reading in seen.items() if reading.value is None or reading.problem} == {}


@each_by_its_api
def test_every_state_that_can_be_reached_reads_back(profiled: Profiled) -> None:
    trading = profiled.able.trading
    assert trading is not None
    wanted = sorted({step.to for step in trading.transitions})
    seen = []
    for state in wanted:
        profiled.ground.control("POST", f"/sites/{profiled.name}/state", {"trading": state})
        seen.append(profiled.state)
    assert seen == wanted


@each
def test_every_listing_has_rows_with_all_fields(profiled: Profiled) -> None:
    for listing in _parts(profiled.able, Listing):
        rows = profiled.rows(listing)
        assert rows, listing.request.path
        assert [row for row in rows if None in row.values()] == [], listing.request.path


@each
def test_the_witnesses_agree_with_the_book(profiled: Profiled) -> None:
    for capability in (profiled.able.orders, profiled.able.positions):
        if capability and capability.witness:
            book = {row["id"]: row["quantity"] for row in profiled.rows(capability.list)}
            assert {row["id"]: row["quantity"] for row in profiled.rows(capability.witness)} == book


@each
def test_the_witness_of_trading_moves_while_orders_enter_and_only_then(profiled: Profiled) -> None:
    ground, site = profiled.ground, f"/sites/{profiled.name}"
    before = profiled.marker
    ground.control("POST", f"{site}/market", {"enabled": True, "rate": 50})
    ground.until(lambda: profiled.marker != before)
    ground.control("POST", f"{site}/state", {"trading": "halted"})
    after, accepted = profiled.marker, profiled.truth["orders_accepted"]
    assert (profiled.marker, profiled.truth["orders_accepted"]) == (after, accepted)


def _parts(value: t.Any, kind: type[t.Any]) -> t.Iterator[t.Any]:
    if isinstance(value, kind):
        yield value
    elif isinstance(value, collections.abc.Mapping):
        for item in value.values():
            yield from _parts(item, kind)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _parts(getattr(value, name), kind)


def _switch(profiled: Profiled) -> Read | None:
    return profiled.able.dead_man_switch.read if profiled.able.dead_man_switch else None
