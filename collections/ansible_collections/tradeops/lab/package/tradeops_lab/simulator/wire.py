# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that are none, and answers that are half of one."""

from __future__ import annotations

import socket
import struct

from aiohttp import web

HTML = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"


def reset(request: web.BaseRequest) -> None:
    """Close the connection with a TCP reset: lingering for zero seconds makes the kernel send RST instead of FIN."""
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


def is_gone(request: web.BaseRequest) -> bool:
    """True when nobody waits for the answer any more."""
    return request.transport is None or request.transport.is_closing()


async def truncate(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    """Send the headers of ``whole`` and half of its body, then close the connection."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
