# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""HTTP as an operator needs it: a budget for the whole exchange, and the truth about whether a write was sent.

The standard library's ``http.client`` is used bare, because the wrappers above it hide the one fact that decides
whether a write may be repeated: did the request leave, or did only the connection fail?
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import socket
import ssl
import typing as t
import urllib.parse
import urllib.request

from .._common.errors import CallError, InputError, Unreachable, Untrusted
from .._common.waiter import Deadline

LARGEST_BODY = 32 * 1024 * 1024
_CHUNK = 65536


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer as it came; ``at`` is when it was complete (UTC)."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes
    at: datetime.datetime


class HttpTransport:
    """Connections to the services of one site; used by one thread. ``timeout``: seconds for one exchange."""

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        validate_certs: bool = True,
        ca_path: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> None:
        self.timeout = timeout
        self._validate = validate_certs
        self._ca_path = ca_path
        self._client = (client_cert, client_key)
        self._context: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def exchange(
        self,
        method: str,
        url: str,
        headers: t.Mapping[str, str],
        body: bytes | None,
        deadline: Deadline,
        *,
        write: bool,
    ) -> Reply:
        """Send one request and read the whole answer.

        Raises Untrusted, or Unreachable whose ``sent`` is False when the connection failed and None after that. A
        write always opens a connection of its own: on a kept one, a close by the server could not be told from an
        answer that was lost.
        """
        parts = urllib.parse.urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        budget = Deadline(min(self.timeout, deadline.remaining))
        where = (method, parts.path)
        key = (parts.scheme, parts.netloc)
        kept = None if write else self._idle.pop(key, None)
        connection = kept or self._connect(parts, budget, where)
        try:
            reply, reusable = self._send(connection, method, target, headers, body, budget)
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            if kept is not None and not isinstance(exc, TimeoutError):
                return self.exchange(method, url, headers, body, deadline, write=write)
            raise _failure(Unreachable, where, _explain(exc, budget), sent=None) from exc
        if reusable and not write:
            self._idle[key] = connection
        else:
            connection.close()
        return reply

    def close(self) -> None:
        """Close what is still open."""
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: t.Mapping[str, str],
        body: bytes | None,
        budget: Deadline,
    ) -> tuple[Reply, bool]:
        connection.request(method, target, body=body, headers=dict(headers))
        self._limit(connection, budget)
        response = connection.getresponse()
        received = bytearray()
        while True:
            self._limit(connection, budget)
            chunk = response.read1(_CHUNK)
            if not chunk:
                break
            received += chunk
            if len(received) > LARGEST_BODY:
                raise http.client.HTTPException(f"the answer is larger than {LARGEST_BODY} bytes")
        # read1 reports an early end of a counted body by leaving its length unread.
        if response.length:
            raise http.client.IncompleteRead(bytes(received), response.length)
        response.close()  # else the connection refuses the next request
        reply = Reply(response.status, response.headers, bytes(received), datetime.datetime.now(datetime.timezone.utc))
        return reply, not response.will_close

    @staticmethod
    def _limit(connection: http.client.HTTPConnection, budget: Deadline) -> None:
        if budget.over:
            raise TimeoutError
        with contextlib.suppress(AttributeError):  # the socket is gone once a closing answer was read to its end
            connection.sock.settimeout(budget.remaining)

    def _connect(
        self, parts: urllib.parse.SplitResult, budget: Deadline, where: tuple[str, str]
    ) -> http.client.HTTPConnection:
        if budget.over:
            raise _failure(Unreachable, where, "the time budget is used up", sent=False)
        connection = self._new(parts, budget.remaining)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as exc:
            connection.close()
            problem = f"the certificate of {parts.netloc} is not trusted ({exc.verify_message}); nothing was sent"
            advice = "give the issuing authority in tradeops_ca_path"
            raise _failure(Untrusted, where, f"{problem}; {advice}", sent=False) from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            problem = f"no connection to {parts.netloc}: {_explain(exc, budget)}"
            raise _failure(Unreachable, where, problem, sent=False) from exc
        if connection.sock is not None:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _new(self, parts: urllib.parse.SplitResult, timeout: float) -> http.client.HTTPConnection:
        host = t.cast(str, parts.hostname)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        proxy = urllib.request.getproxies_environment().get(parts.scheme)
        if proxy and not urllib.request.proxy_bypass_environment(f"{host}:{port}"):
            via = urllib.parse.urlsplit(proxy)
            connection = self._plain(via.hostname or "", via.port or 3128, timeout, secure)
            connection.set_tunnel(host, port)
            return connection
        return self._plain(host, port, timeout, secure)

    def _plain(self, host: str, port: int, timeout: float, secure: bool) -> http.client.HTTPConnection:
        if secure:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._trust())
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = _context(self._validate, self._ca_path, self._client)
        return self._context


def _context(validate: bool, ca_path: str | None, client: tuple[str | None, str | None]) -> ssl.SSLContext:
    try:
        if ca_path:
            context = ssl.create_default_context(cafile=ca_path)
        else:
            context = ssl.create_default_context()
    except OSError as exc:
        raise InputError(f"ca_path: {ca_path} cannot be read as certificates: {exc}") from exc
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client[0]:
        try:
            context.load_cert_chain(client[0], client[1])
        except OSError as exc:
            raise InputError(f"client_cert: {client[0]} cannot be used: {exc}") from exc
    return context


def _failure(kind: type[CallError], where: tuple[str, str], problem: str, *, sent: bool | None) -> CallError:
    method, path = where
    return kind(f"{method} {path}: {problem}", method=method, path=path, sent=sent)


def _explain(exc: BaseException, budget: Deadline) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer within {budget.seconds:.1f} s"
    if isinstance(exc, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(exc, http.client.IncompleteRead):
        return f"the answer was cut off after {len(exc.partial)} bytes"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower()
    return str(exc) or type(exc).__name__
