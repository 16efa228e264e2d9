# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 of the lab as its users reach it: a front that writes down every request, and can misbehave.

It passes on what it gets as it comes, with the client's own signature, which holds the name that the client called.
Its faults are those of ``KINDS``; a pattern for a path may also fit the path with its query, such as ``*partNumber=*``.
"""

from __future__ import annotations

import asyncio

import aiohttp
import yarl
from aiohttp import web

from . import wire
from .faults import Fault, FaultError, Faults, Seen
from .plan import Address, Storage
from .recording import RequestLog
from .server import Port

SERVICE = "s3"
KINDS = (
    *("hang", "reset", "error_before", "rate_limit", "expire_token", "dead"),  # instead of passing it on
    *("slow", "error_after", "truncate"),
)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "expect"}
_READS = ("GET", "HEAD", "OPTIONS")
_ERRORS = {
    403: ("ExpiredToken", "The provided token has expired."),
    429: ("TooManyRequests", "Please reduce your request rate."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    502: ("BadGateway", "The upstream did not answer."),
    503: ("SlowDown", "Please reduce your request rate."),
}


class StorageFront:
    """The port of the S3, and what happens there."""

    session: aiohttp.ClientSession

    def __init__(self, plan: Storage) -> None:
        self.plan = plan
        self.faults, self.log = Faults(), RequestLog()
        self.port = Port(Address.of(plan.endpoint), (SERVICE,), self.handle, streams=True)

    async def start(self) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            read_bufsize=2**20,
        )
        await self.port.open()

    async def stop(self) -> None:
        await self.port.close()
        await self.session.close()

    async def set_faults(self, faults: list[Fault]) -> None:
        """Replace the faults. Raises FaultError for one that S3 does not know."""
        for fault in faults:
            if fault.kind not in KINDS:
                raise FaultError(f"s3 knows no fault {fault.kind}; known: {', '.join(KINDS)}")
        self.faults.current = faults
        await (self.port.close() if any(fault.kind == "dead" for fault in faults) else self.port.open())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Write the request down, then pass it on, unless a fault has it otherwise."""
        url = request.rel_url
        writes = request.method not in _READS
        seen = Seen(SERVICE, request.method, url.raw_path, url.raw_path_qs, writes)
        entry = self.log.open(seen, url.raw_query_string)
        fault = self.faults.take(KINDS, seen)
        response: web.StreamResponse | None = await self._instead(request, fault) if fault else None
        if response is None and not wire.is_gone(request):
            response = await self._pass_on(request, fault)
        if response is None:
            return web.Response(status=500)  # which goes nowhere
        entry.status = response.status
        return response

    async def _instead(self, request: web.BaseRequest, fault: Fault) -> web.Response | None:
        """The answer of the faults that keep the request from S3."""
        if fault.kind == "hang":
            await asyncio.sleep(fault.lasts(3600))
        if fault.kind == "reset":
            if request.body_exists:  # in the middle of it
                await _continue(request)
                await request.content.readany()
            wire.reset(request)
        default = {"error_before": 503, "rate_limit": 429, "expire_token": 403}.get(fault.kind)
        return _refusal(request, fault.status or default) if default else None

    async def _pass_on(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse | None:
        kind = fault.kind if fault else ""
        try:
            async with await self._upstream(request) as answer:
                if fault and kind == "slow":
                    await asyncio.sleep(fault.lasts(1))
                if fault and kind == "error_after":
                    await answer.read()
                    return _refusal(request, fault.status or 502)
                return await _stream(request, answer, half=kind == "truncate")
        except (aiohttp.ClientError, OSError):
            wire.reset(request)  # as without a front: nobody is there
            return None

    async def _upstream(self, request: web.BaseRequest) -> aiohttp.ClientResponse:
        await _continue(request)
        return await self.session.request(
            request.method,
            yarl.URL(self.plan.server + request.rel_url.raw_path_qs, encoded=True),
            data=request.content.iter_any() if request.body_exists else None,
            headers=[(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP],
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            allow_redirects=False,
        )


async def _continue(request: web.BaseRequest) -> None:
    """Let a client go on that waits for leave to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _stream(request: web.BaseRequest, answer: aiohttp.ClientResponse, *, half: bool) -> web.StreamResponse:
    """Pass an answer on as it comes; ``half`` of its body, if asked for, and then the end of the connection."""
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    response.headers.extend(headers)
    if half:
        response.force_close()
    await response.prepare(request)
    left = (answer.content_length or 0) // 2 if half else None
    async for piece in answer.content.iter_any():
        part = piece if left is None else piece[:left]
        if request.method != "HEAD" and part:
            await response.write(part)
        if left is not None:
            left -= len(part)
            if left == 0:
                break
    if half and request.transport is not None:
        request.transport.close()
    return response


def _refusal(request: web.BaseRequest, status: int) -> web.Response:
    """As S3 says no."""
    code, message = _ERRORS.get(status, ("InternalError", "We encountered an internal error."))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{id(request):x}</RequestId></Error>"
    )
    response = web.Response(text=text, status=status, content_type="application/xml")
    if request.body_exists:
        response.force_close()  # the body of the request is not read
    return response
