# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""HTTP as an operator needs it: a budget for the whole exchange, and the truth about whether a write was sent.

The standard library's ``http.client`` is used bare, because the wrappers above it hide the one fact that decides
whether a write may be repeated: did the request leave, or did only the connection fail?
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import functools
import http.client
import ipaddress
import os
import ssl
import threading
import typing as t
import urllib.parse
import urllib.request

from .._common.errors import CallError, InputError, Unreachable, Untrusted
from .._common.waiter import Deadline
from .dial import TimedSocket, dial

LARGEST_BODY = 32 * 1024 * 1024
_CHUNK = 65536
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer as it came; ``at`` is when it was complete (UTC)."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    at: datetime.datetime


class HttpTransport:
    """Connections to the services of one site. Reads are for one thread; writes, which keep no connection, for many.

    ``timeout``: seconds for one exchange. ``authorities``: host[:port] -> file, in place of ``ca_path``.
    """

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        validate_certs: bool = True,
        ca_path: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        authorities: t.Mapping[str, str] | None = None,
    ) -> None:
        self.timeout = timeout
        self._trust = (validate_certs, ca_path, client_cert, client_key)
        self._authorities = dict(authorities or {})
        self._idle: dict[tuple[str, str], http.client.HTTPConnection] = {}
        self._proxies: dict[tuple[str, str], urllib.parse.SplitResult | None] = {}

    def apart(self, timeout: float) -> HttpTransport:
        """Return a transport to the same services for another thread, with a time limit of its own."""
        validate_certs, ca_path, client_cert, client_key = self._trust
        return HttpTransport(
            timeout=timeout,
            validate_certs=validate_certs,
            ca_path=ca_path,
            client_cert=client_cert,
            client_key=client_key,
            authorities=self._authorities,
        )

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
        budget = Deadline(min(self.timeout, deadline.remaining))
        where = (method, parts.path)
        key = (parts.scheme, parts.netloc)
        kept = None if write else self._idle.pop(key, None)
        if key not in self._proxies:
            self._proxies[key] = _proxy(parts)
        proxy = self._proxies[key]
        connection = kept or self._connect(parts, proxy, budget, where)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        if (
            proxy and parts.scheme == "http"
        ):  # an encrypted connection goes through a tunnel, in which only the path travels
            target, headers = url, {**_basic(proxy), **headers}
        try:
            reply, reusable = _send(connection, method, target, headers, body, budget)
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

    def _connect(
        self,
        parts: urllib.parse.SplitResult,
        proxy: urllib.parse.SplitResult | None,
        budget: Deadline,
        where: tuple[str, str],
    ) -> http.client.HTTPConnection:
        if budget.over:
            raise _failure(Unreachable, where, "the time budget is used up", sent=False)
        connection = self._new(parts, proxy, budget.remaining)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as exc:
            connection.close()
            problem = f"the certificate of {parts.netloc} is not trusted ({exc.verify_message}); nothing was sent"
            advice = "give the issuing authority in tradeops_ca_path, or by service in tradeops_ca_paths"
            raise _failure(Untrusted, where, f"{problem}; {advice}", sent=False) from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            via = f" through the proxy {proxy.hostname}" if proxy else ""
            problem = f"no connection to {parts.netloc}{via}: {_explain(exc, budget)}"
            raise _failure(Unreachable, where, problem, sent=False) from exc
        t.cast(t.Any, connection).sock = TimedSocket(connection.sock, budget)
        return connection

    def _new(
        self, parts: urllib.parse.SplitResult, proxy: urllib.parse.SplitResult | None, timeout: float
    ) -> http.client.HTTPConnection:
        secure = parts.scheme == "https"
        origin = (t.cast(str, parts.hostname), parts.port or (443 if secure else 80))
        host, port = (proxy.hostname or "", proxy.port or 3128) if proxy else origin
        connection: http.client.HTTPConnection
        if secure:
            validate, authority, *own = self._trust
            context = _trusting((validate, self._authorities.get(parts.netloc, authority), *own))
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        if proxy and secure:
            connection.set_tunnel(*origin, headers=_basic(proxy))
        t.cast(t.Any, connection)._create_connection = dial
        return connection


def transport_of(given: t.Mapping[str, t.Any], urls: t.Mapping[str, str]) -> HttpTransport:
    """Return the transport that the parameters of a verb describe; ``urls`` are those of the site by service."""
    return HttpTransport(
        timeout=given["request_timeout"],
        validate_certs=given["validate_certs"],
        ca_path=given["ca_path"],
        client_cert=given["client_cert"],
        client_key=given["client_key"],
        authorities={
            urllib.parse.urlsplit(urls[service]).netloc: os.path.expanduser(str(path))
            for service, path in given["ca_paths"].items()
            if service in urls
        },
    )


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: t.Mapping[str, str],
    body: bytes | None,
    budget: Deadline,
) -> tuple[Reply, bool]:
    t.cast(TimedSocket, connection.sock).budget = budget
    connection.request(method, target, body=body, headers=dict(headers))
    response = connection.getresponse()
    received = bytearray()
    while chunk := response.read(_CHUNK):
        received += chunk
        if len(received) > LARGEST_BODY:
            raise http.client.HTTPException(f"the answer is larger than {LARGEST_BODY} bytes")
    # A counted body that ends early leaves its length unread.
    if response.length:
        raise http.client.IncompleteRead(bytes(received), response.length)
    reply = Reply(response.status, response.headers, bytes(received), datetime.datetime.now(datetime.UTC))
    return reply, not response.will_close


def _proxy(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    """Return the proxy that the environment names for an address; nobody reaches his own machine through one."""
    host = t.cast(str, parts.hostname)
    if not any(os.environ.get(name) for name in _PROXY_VARIABLES) or _is_loopback(host):
        return None
    proxies = urllib.request.getproxies_environment()
    if parts.scheme not in proxies:
        return None
    # It reads no_proxy; typeshed does not know it.
    if t.cast(t.Any, urllib.request).proxy_bypass_environment(f"{host}:{parts.port or ''}", proxies):
        return None
    given = proxies[parts.scheme]
    proxy = urllib.parse.urlsplit(given if "://" in given else f"http://{given}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise InputError(f"the environment names a proxy for {parts.scheme} that is no http://host:port")
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _basic(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}


_one_at_a_time = threading.Lock()


def _trusting(trust: tuple[t.Any, ...]) -> ssl.SSLContext:
    # Reading the authorities takes longer than a request; the threads of a fleet share what one of them read.
    with _one_at_a_time:
        return _context(*trust)


@functools.lru_cache(maxsize=64)
def _context(validate: bool, ca_path: str | None, client_cert: str | None, client_key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as exc:
        raise InputError(f"ca_path: {ca_path} cannot be read as certificates: {exc.strerror or exc}") from exc
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        try:
            context.load_cert_chain(client_cert, client_key, password=_no_password)
        except OSError as exc:
            raise InputError(f"client_cert: {client_cert} cannot be used: {exc.strerror or exc}") from exc
    return context


def _no_password() -> str:
    """Answer instead of the terminal, which OpenSSL would ask for the password of a key."""
    return ""


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
