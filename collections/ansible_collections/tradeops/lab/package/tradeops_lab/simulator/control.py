# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control port of the lab: look at sites, make them misbehave, put them back. For tests, on the loopback only."""

from __future__ import annotations

import json
import typing as t

import aiohttp
from aiohttp import web

from .cluster import Cluster, ClusterError
from .database import ERRORS
from .engine import STATES
from .faults import FaultError, parse
from .plan import Plan
from .recording import RequestLog
from .site import Site
from .storage import StorageFront

Handler = t.Callable[[Site, web.Request], t.Awaitable[t.Any]]


def application(
    sites: t.Mapping[str, Site], plan: Plan, cluster: Cluster | None = None, storage: StorageFront | None = None
) -> web.Application:
    """The control port's application. Every answer is JSON; mistakes are ``{"error": text}`` with 400 or 404."""
    app = web.Application(middlewares=[_errors])

    def site_route(method: str, path: str, handler: Handler) -> None:
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info["site"]
            if name not in sites:
                return _mistake(404, f"there is no site {name!r}; there are: {', '.join(sites)}")
            return web.json_response(await handler(sites[name], request))

        app.router.add_route(method, f"/sites/{{site}}{path}", handle)

    async def overview(_request: web.Request) -> web.Response:
        return web.json_response({"sites": {name: _describe(site) for name, site in sites.items()}})

    async def kubernetes(_request: web.Request) -> web.Response:
        return web.json_response({"problem": cluster.problem}) if cluster else _mistake(404, "this lab has no cluster")

    async def sink(request: web.Request) -> web.Response:
        if not plan.sink:
            return _mistake(404, "this lab has no sink")
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, f"{plan.sink}/messages") as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    app.router.add_get("/sites", overview)
    app.router.add_get("/kubernetes", kubernetes)
    app.router.add_get("/sink/messages", sink)
    app.router.add_delete("/sink/messages", sink)
    if storage:
        _add_storage(app, storage)
    site_route("GET", "/requests", _requests)
    site_route("DELETE", "/requests", _clear_requests)
    site_route("GET", "/faults", _faults)
    site_route("PUT", "/faults", _set_faults)
    site_route("DELETE", "/faults", _clear_faults)
    site_route("GET", "/truth", _truth)
    site_route("POST", "/reset", _reset)
    site_route("POST", "/market", _market)
    site_route("POST", "/state", _state)
    site_route("PUT", "/settings", _settings)
    return app


def _add_storage(app: web.Application, storage: StorageFront) -> None:
    """What is the same for S3 as for a site: its requests and its faults."""

    async def requests(request: web.Request) -> web.Response:
        return web.json_response(_logged(storage.log, request))

    async def clear_requests(_request: web.Request) -> web.Response:
        storage.log.clear()
        return web.json_response({"last": storage.log.last})

    async def faults(request: web.Request) -> web.Response:
        if request.method != "GET":
            await storage.set_faults(parse(await request.json()) if request.method == "PUT" else [])
        return web.json_response({"faults": [fault.as_dict() for fault in storage.faults.current]})

    app.router.add_get("/s3/requests", requests)
    app.router.add_delete("/s3/requests", clear_requests)
    for method in ("GET", "PUT", "DELETE"):
        app.router.add_route(method, "/s3/faults", faults)


def _mistake(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


@web.middleware
async def _errors(request: web.Request, handler: t.Any) -> web.StreamResponse:
    try:
        return t.cast(web.StreamResponse, await handler(request))
    except (FaultError, json.JSONDecodeError) as exc:
        return _mistake(400, str(exc))
    except aiohttp.ClientError as exc:
        return _mistake(502, f"the sink does not answer: {exc}")
    except ClusterError as exc:
        return _mistake(502, str(exc))
    except ERRORS as exc:
        return _mistake(503, f"the database does not answer: {type(exc).__name__}: {exc}")


def _describe(site: Site) -> dict[str, t.Any]:
    return {"platform": site.platform.name, "role": site.plan.role, "services": dict(site.plan.services)}


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


async def _json(request: web.Request) -> dict[str, t.Any]:
    data = await request.json()
    if not isinstance(data, dict):
        raise FaultError("expected a JSON object")
    return data


async def _requests(site: Site, request: web.Request) -> t.Any:
    return _logged(site.log, request)


def _logged(log: RequestLog, request: web.Request) -> dict[str, t.Any]:
    since = request.query.get("since", "0")
    if not since.isdecimal():
        raise FaultError(f"since must be a sequence number, not {since!r}")
    return {"requests": log.since(int(since)), "last": log.last}


async def _clear_requests(site: Site, _request: web.Request) -> t.Any:
    site.log.clear()
    return {"last": site.log.last}


async def _faults(site: Site, _request: web.Request) -> t.Any:
    return {"faults": [fault.as_dict() for fault in site.faults.current]}


async def _set_faults(site: Site, request: web.Request) -> t.Any:
    await site.set_faults(parse(await request.json()))
    return await _faults(site, request)


async def _clear_faults(site: Site, request: web.Request) -> t.Any:
    await site.set_faults([])
    return await _faults(site, request)


async def _truth(site: Site, _request: web.Request) -> t.Any:
    async with site.reading() as db, db.transaction(isolation="repeatable_read", readonly=True):
        return await site.engine(db, "lab").truth()


async def _reset(site: Site, request: web.Request) -> t.Any:
    """The body may hold settings to begin with, ``{"market_enabled": false}`` for example."""
    await site.reset(await _json(request) if request.can_read_body else {})
    return await _truth(site, request)


async def _put(site: Site, values: dict[str, t.Any]) -> t.Any:
    async with site.writing() as db:
        engine = site.engine(db, "lab")
        for key, before in (await engine.settings()).items():
            if key in values and _is_number(before) and not _is_number(values[key]):
                raise FaultError(f"{key} must be a number, not {values[key]!r}")
        await engine.put(**values)
        stored = await engine.settings()
    site.market.wake()
    return {key: stored[key] for key in values}


async def _market(site: Site, request: web.Request) -> t.Any:
    names = {"enabled": "market_enabled", "rate": "market_rate"}
    data = await _json(request)
    unknown = [key for key in data if key not in names]
    if unknown:
        raise FaultError(f"unknown key {unknown[0]!r}; known: enabled, rate (orders a second)")
    return await _put(site, {names[key]: value for key, value in data.items()})


async def _state(site: Site, request: web.Request) -> t.Any:
    state = (await _json(request)).get("trading")
    if state not in STATES:
        raise FaultError(f"trading must be one of {', '.join(STATES)}, not {state!r}")
    return await _put(site, {"trading": state, "when_flat": None})


async def _settings(site: Site, request: web.Request) -> t.Any:
    return await _put(site, await _json(request))
