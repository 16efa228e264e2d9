# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plain HTTP exchange with a server of the lab: loopback only, no proxy."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import ssl
import typing as t
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> t.Any:
        return json.loads(self.body)


def call(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: t.Mapping[str, str] | None = None,
    timeout: float = 5.0,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request, over TLS when a ``context`` is given. ``timeout`` is in seconds per socket operation.

    Raises OSError when there is no answer.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
        if context
        else http.client.HTTPConnection(host, parts.port, timeout=timeout)
    )
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except http.client.HTTPException as exc:
        raise ConnectionError(f"{method} {url}: no proper answer ({type(exc).__name__})") from exc
    except OSError as exc:
        raise ConnectionError(f"{method} {url}: {exc}") from exc
    finally:
        connection.close()


async def call_async(*args: t.Any, **kwargs: t.Any) -> Answer:
    """The same beside other work."""
    return await asyncio.to_thread(call, *args, **kwargs)
