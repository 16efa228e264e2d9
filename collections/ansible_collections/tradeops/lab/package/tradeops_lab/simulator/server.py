# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side of a site: ports, the faults around an answer, the answer's bytes."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import errno
import json
import logging
import ssl
import typing as t
import urllib.parse

from aiohttp import web

from ..platforms.base import Body, Call, Refusal, Reply, Route
from . import auth, database, wire
from .engine import Engine, iso
from .faults import WIRE, Fault, Seen
from .plan import Address
from .routing import Found, Router

if t.TYPE_CHECKING:
    from .site import Site

LOG = logging.getLogger(__name__)
Handle = t.Callable[[web.BaseRequest], t.Awaitable[web.StreamResponse]]
REOPEN = 5.0  # s to get a port back that was closed for a while
_NO_PODS = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>\n"  # as an Ingress says it


class Port:
    """A listening port of a site; it can be closed and opened again.

    That of a supervised service is open only while a process holds it. ``tls``: it is served over TLS. ``streams``:
    bodies go through it that are large, or that do not end.
    """

    def __init__(
        self,
        address: Address,
        services: t.Sequence[str],
        handle: Handle,
        *,
        supervised: bool = False,
        tls: ssl.SSLContext | None = None,
        streams: bool = False,
    ) -> None:
        self.address, self.services = address, services
        self._handle, self._tls, self._streams = handle, tls, streams
        self._supervised = supervised
        self._holders = 0
        self._tcp: asyncio.Server | None = None
        self._http: web.Server | None = None

    @property
    def held(self) -> bool:
        return self._holders > 0 or not self._supervised

    async def hold(self, *, closed: bool) -> None:
        """A process of the service has started; with ``closed`` the port stays closed all the same."""
        self._holders += 1
        if not closed:
            await self.open()

    async def let_go(self) -> None:
        """A process of the service has ended."""
        self._holders -= 1
        if not self.held:
            await self.close()

    async def open(self) -> None:
        """Listen, if it is held and does not already. Raises OSError when the port is taken for longer than REOPEN."""
        if self._tcp or not self.held:
            return
        loop = asyncio.get_running_loop()
        # What a client does not wait for any more is given up where it is passed on.
        options: dict[str, t.Any] = {"handler_cancellation": True, "read_bufsize": 2**20} if self._streams else {}
        self._http = web.Server(self._handle, access_log=None, **options)
        until = loop.time() + REOPEN
        while True:
            try:
                self._tcp = await loop.create_server(
                    self._http, self.address.host, self.address.port, reuse_address=True, backlog=512, ssl=self._tls
                )
                return
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or loop.time() > until:
                    raise
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop listening and drop all connections, with the requests that are being answered."""
        if self._tcp and self._http:
            self._tcp.close()
            for connection in self._http.connections:
                if connection.transport:
                    connection.transport.abort()
            await self._http.shutdown(0.2)
        self._tcp = self._http = None


def ports(site: Site) -> list[Port]:
    """The ports of a site: services with the same address share one. Raises LookupError when one is not given."""
    by_address: dict[Address, list[str]] = {}
    for service in site.platform.services:
        if service not in site.plan.services:
            raise LookupError(f"{site.name}: the plan gives no address for the service {service!r}")
        by_address.setdefault(Address.of(site.plan.services[service]), []).append(service)
    return [
        Port(
            address, services, Responder(site, Router(site.platform, services)).handle, supervised=site.plan.supervised
        )
        for address, services in by_address.items()
    ]


@dataclasses.dataclass(frozen=True)
class Incoming:
    """One request on its way: what came in, where it belongs, what is wrong with it on purpose."""

    request: web.BaseRequest
    raw: bytes
    found: Found
    seen: Seen
    fault: Fault | None

    @property
    def kind(self) -> str:
        return self.fault.kind if self.fault else ""


class Responder:
    """Answers the requests of one port."""

    def __init__(self, site: Site, router: Router) -> None:
        self.site, self.router = site, router

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Log the request, then answer it, unless a fault has it otherwise."""
        raw = await request.read()
        path = request.rel_url.raw_path
        found = self.router.find(request.method, path)
        writes = found.route.writes if found.route else request.method not in ("GET", "HEAD")
        seen = Seen(found.service, request.method, path, found.short, writes, bool(found.route and found.route.auth))
        entry = self.site.log.open(seen, request.rel_url.raw_query_string)
        fault = self.site.faults.take(WIRE, seen)
        incoming = Incoming(request, raw, found, seen, fault)
        if incoming.kind == "hang":
            await asyncio.sleep(fault.lasts(3600) if fault else 0)
        if incoming.kind == "reset":
            wire.reset(request)
        if wire.is_gone(request):
            return web.Response(status=500)  # which goes nowhere; nothing is done
        response = self._instead(incoming) or await self._answer(incoming)
        if incoming.kind == "error_after":
            response = self._refuse(_status(fault, 502, "bad_gateway", "the upstream did not answer in time"))
        if incoming.kind == "slow":
            await asyncio.sleep(fault.lasts(1) if fault else 0)
        entry.status = response.status
        return await wire.truncate(request, response) if incoming.kind == "truncate" else response

    def _instead(self, incoming: Incoming) -> web.Response | None:
        """The answer of the faults that keep the request from being looked at."""
        fault = incoming.fault
        if incoming.kind == "html":
            return web.Response(body=wire.HTML, content_type="text/html", charset="utf-8")
        if incoming.kind == "error_before":
            return self._refuse(_status(fault, 503, "service_unavailable", "the service is overloaded"))
        if fault and incoming.kind == "rate_limit":
            refusal = _status(fault, 429, "rate_limited", "too many requests")
            refusal.headers["Retry-After"] = f"{fault.lasts(1):g}"
            return self._refuse(refusal)
        return None

    async def _answer(self, incoming: Incoming) -> web.Response:
        seen = incoming.seen
        if not self.site.serving:
            return web.Response(body=_NO_PODS, status=503, content_type="text/html")
        try:
            route = incoming.found.route
            if route is None:
                status, code = (405, "method_not_allowed") if incoming.found.allowed else (404, "not_found")
                raise Refusal(status, code, f"{seen.method} {seen.path} is not served here")
            return _response(await self._work(incoming, route, _body(incoming.raw)))
        except Refusal as refusal:
            return self._refuse(refusal)
        except database.ERRORS as exc:
            LOG.warning("%s: %s %s: %s: %s", self.site.name, seen.method, seen.path, type(exc).__name__, exc)
            await self.site.recover()
            return self._refuse(Refusal(503, "database_unavailable", "the database does not answer"))

    async def _work(self, incoming: Incoming, route: Route, body: Body) -> Reply:
        """Run the handler in the transaction that the route and the fault ask for."""
        site = self.site
        if not route.writes:
            async with site.reading() as db:
                engine = await self._engine(db, incoming, route, body)
                if incoming.kind != "stale":
                    return await self._handle(engine, incoming, route, body)
            async with site.snapshot() as db:
                return await self._handle(site.engine(db, engine.actor, incoming.seen), incoming, route, body)
        keep = incoming.kind not in ("lie", "delay")
        async with site.writing(keep=keep) as db:
            engine = await self._engine(db, incoming, route, body)
            reply = await self._handle(engine, incoming, route, body)
        if keep:
            site.market.wake()
        elif incoming.fault and incoming.kind == "delay":
            site.background(self._later(incoming.fault.lasts(1), engine.actor, incoming, route, body))
        return reply

    async def _later(self, seconds: float, actor: str, incoming: Incoming, route: Route, body: Body) -> None:
        await asyncio.sleep(seconds)
        try:
            async with self.site.writing() as db:
                await self._handle(self.site.engine(db, actor, incoming.seen), incoming, route, body)
        except Refusal as refusal:
            LOG.info("%s: what was answered as done is refused now: %s", self.site.name, refusal)
        self.site.market.wake()

    async def _engine(self, db: t.Any, incoming: Incoming, route: Route, body: Body) -> Engine:
        """The engine for the request, when its credentials are good. Raises Refusal."""
        engine = self.site.engine(db, "anonymous", incoming.seen)
        if route.auth is not None:
            since = incoming.fault.since if incoming.fault and incoming.kind == "expire_token" else None
            kind = self.site.platform.auth[route.auth]
            engine.actor = await auth.check(engine, kind, incoming.request.headers, body, expired_since=since)
        return engine

    async def _handle(self, engine: Engine, incoming: Incoming, route: Route, body: Body) -> Reply:
        url = incoming.request.rel_url
        reply = await route.handler(
            Call(
                site=self.site,
                engine=engine,
                method=incoming.seen.method,
                path=incoming.found.path,
                query=dict(url.query) if url.raw_query_string else {},
                body=body,
                headers=incoming.request.headers,
                actor=engine.actor,
            )
        )
        return reply if isinstance(reply, Reply) else Reply(reply)

    def _refuse(self, refusal: Refusal) -> web.Response:
        return _response(Reply(self.site.platform.error(refusal), refusal.status, refusal.headers))


def _status(fault: Fault | None, status: int, code: str, message: str) -> Refusal:
    return Refusal((fault and fault.status) or status, code, message)


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dt.datetime):
        return iso(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _response(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=reply.headers)
    if isinstance(reply.body, str):
        return web.Response(text=reply.body, status=reply.status, headers=reply.headers)
    body = json.dumps(reply.body, default=_plain).encode()
    return web.Response(body=body, status=reply.status, headers=reply.headers, content_type="application/json")


def _body(raw: bytes) -> Body:
    """The body as a mapping: JSON when it looks like it (whatever its type says, as curl sends it), else a form."""
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        return {}
    if text[0] not in "{[":
        return dict(urllib.parse.parse_qsl(text))
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise Refusal(400, "invalid_json", f"the body is not JSON: {exc}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_request", "the body must be an object")
    return value
