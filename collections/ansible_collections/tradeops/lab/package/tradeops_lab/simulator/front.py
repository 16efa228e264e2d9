# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server as one site reaches it: a front that ends TLS, writes down every request, and can misbehave.

It passes on what it gets, with the client's own token. The faults of the site that fit the service ``kubernetes`` act
here; those that promise and do nothing (``lie``, ``delay``) ask the API server for a dry run.
"""

from __future__ import annotations

import asyncio
import typing as t

import aiohttp
import yarl
from aiohttp import web

from ..kubernetes import authority
from . import wire
from .faults import Fault, Seen
from .plan import Address
from .server import Port

if t.TYPE_CHECKING:
    from .cluster import Cluster
    from .site import Site

SERVICE = "kubernetes"
_KINDS = (
    *("hang", "reset", "html", "error_before", "rate_limit", "expire_token"),  # instead of passing it on
    *("lie", "delay", "slow", "cut_watch", "error_after", "truncate"),
)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}
_READS = ("GET", "HEAD", "OPTIONS")
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Front:
    """The port of one site, and what happens there."""

    def __init__(self, site: Site, cluster: Cluster, url: str) -> None:
        self.site, self.cluster = site, cluster
        self.port = Port(
            Address.of(url), (SERVICE,), self.handle, tls=authority.server_context(cluster.plan.folder), streams=True
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Write the request down, then pass it on, unless a fault has it otherwise."""
        body = await request.read()
        query = request.rel_url.query
        # A review asks what one may do; a dry run does nothing.
        path = request.rel_url.raw_path
        writes = request.method not in _READS and "dryRun" not in query and not path.endswith("reviews")
        seen = Seen(SERVICE, request.method, path, path, writes)
        entry = self.site.log.open(seen, request.rel_url.raw_query_string)
        fault = self.site.faults.take([kind for kind in _KINDS if kind != "cut_watch" or _is_watch(query)], seen)
        response: web.StreamResponse | None = await self._instead(request, fault) if fault else None
        if response is None and not wire.is_gone(request):
            response = await self._pass_on(request, body, fault)
        if response is None:
            return web.Response(status=500)  # which goes nowhere
        entry.status = response.status
        return response

    async def _instead(self, request: web.BaseRequest, fault: Fault) -> web.Response | None:
        """The answer of the faults that keep the request from the API server."""
        if fault.kind == "hang":
            await asyncio.sleep(fault.lasts(3600))
        if fault.kind == "reset":
            wire.reset(request)
        if fault.kind == "html":
            return web.Response(body=wire.HTML, content_type="text/html", charset="utf-8")
        if fault.kind == "error_before":
            return _refusal(fault.status or 503, "the server is overloaded")
        if fault.kind == "expire_token":
            return _refusal(401, "the token has expired")
        if fault.kind == "rate_limit":
            return _refusal(fault.status or 429, "too many requests", {"Retry-After": f"{fault.lasts(1):g}"})
        return None

    async def _pass_on(self, request: web.BaseRequest, body: bytes, fault: Fault | None) -> web.StreamResponse | None:
        kind = fault.kind if fault else ""
        only_asked = kind in ("lie", "delay")
        try:
            async with self._upstream(request, body, dry_run=only_asked) as answer:
                if _is_watch(request.rel_url.query) and answer.status == 200:
                    return await _stream(request, answer, fault.lasts(0) if fault and kind == "cut_watch" else None)
                response = web.Response(
                    body=await answer.read(), status=answer.status, headers=_passed_on(answer.headers)
                )
        except (aiohttp.ClientError, OSError):
            wire.reset(request)  # as without a front: nobody is there
            return None
        if fault and kind == "delay":
            self.site.background(self._later(fault.lasts(1), request, body))
        if fault and kind == "slow":
            await asyncio.sleep(fault.lasts(1))
        if fault and kind == "error_after":
            return _refusal(fault.status or 502, "the connection to the API server was lost")
        return await wire.truncate(request, response) if kind == "truncate" else response

    async def _later(self, seconds: float, request: web.BaseRequest, body: bytes) -> None:
        await asyncio.sleep(seconds)
        async with self._upstream(request, body) as answer:
            await answer.read()

    def _upstream(
        self, request: web.BaseRequest, body: bytes, *, dry_run: bool = False
    ) -> t.AsyncContextManager[aiohttp.ClientResponse]:
        target = self.cluster.plan.server + request.rel_url.raw_path_qs
        if dry_run:
            target += ("&" if request.rel_url.raw_query_string else "?") + "dryRun=All"
        return self.cluster.session.request(
            request.method,
            yarl.URL(target, encoded=True),
            data=body or None,
            headers=_passed_on(request.headers),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            allow_redirects=False,
        )


def _is_watch(query: t.Mapping[str, str]) -> bool:
    return query.get("watch") in ("1", "true")


def _passed_on(headers: t.Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, seconds: float | None
) -> web.StreamResponse:
    """Pass a watch on as it comes, until it ends or for so many seconds."""
    response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
    await response.prepare(request)
    try:
        async with asyncio.timeout(seconds):
            async for piece in answer.content.iter_any():
                await response.write(piece)
    except TimeoutError:
        if request.transport is not None:
            request.transport.close()
    return response


def _refusal(status: int, message: str, headers: t.Mapping[str, str] | None = None) -> web.Response:
    """As the API server says no."""
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(status, ""),
        "code": status,
    }
    return web.json_response(document, status=status, headers=headers)
