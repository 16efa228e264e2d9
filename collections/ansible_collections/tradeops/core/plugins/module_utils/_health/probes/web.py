# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probes of what answers over HTTP, TCP and TLS."""

from __future__ import annotations

import datetime
import email.utils
import ssl
import time
import typing as t
import urllib.parse

from ..._common.errors import CallError
from ..._common.libraries import jmespath
from ..._common.typed import Expression
from ..._platform import wire
from ..._platform.dial import dial
from ..._platform.http import Reply
from ..._platform.profile import Request
from ..asked import Asked
from ..checks import Certificate, Clock, Http, Json, Latency, Tcp
from ..reading import NoAnswer, Reading, Unreadable

_DAY = 86400.0


def address(check: t.Any, asked: Asked) -> str:
    """Return the address that a check asks, without its query."""
    return check.url or asked.site.url(request_of(check))


def request_of(check: t.Any) -> Request:
    """Return the request that a check makes of the platform."""
    return Request(path=check.path, service=check.service, auth=getattr(check, "auth", None), query=check.query)


def http(check: Http, asked: Asked) -> Reading:
    where, began = address(check, asked), time.monotonic()
    try:
        reply = _get(check, asked)
    except CallError as exc:
        raise NoAnswer(str(exc)) from exc
    seconds = time.monotonic() - began
    if reply.status not in check.status:
        wanted = " or ".join(map(str, check.status))
        raise NoAnswer(f"it answered {reply.status}, wanted is {wanted}")
    if check.contains is not None and check.contains not in reply.body.decode("utf-8", "replace"):
        raise NoAnswer(f"the answer does not contain {check.contains!r}")
    return Reading(round(seconds, 4), where, note=f"answered {reply.status}")


def json_value(check: Json, asked: Asked) -> Reading:
    where = address(check, asked)
    body = _body(check, asked)
    value = search(check.value, body)
    taken = _moment(check.as_of, body) if check.as_of else None
    if check.map:
        level = check.map.get(wire.text(value))
        if level is None:
            raise Unreadable(f"the value {value!r} has no meaning in the map of the check")
        return Reading(wire.text(value), where, taken, level, note=f"it says {wire.text(value)}")
    if check.age:
        moment = _moment(check.value, body)
        return Reading(round(time.time() - moment, 3), where, taken)
    number = wire.number(value)
    if number is None:
        raise Unreadable(f"{check.value} gives {value!r}, which is no number")
    return Reading(number, where, taken)


def latency(check: Latency, asked: Asked) -> Reading:
    began = time.monotonic()
    try:
        for step in check.requests:
            asked.site.get(request_of(step), asked.deadline, attempts=1)
    except CallError as exc:
        raise NoAnswer(str(exc)) from exc
    milliseconds = (time.monotonic() - began) * 1000
    return Reading(round(milliseconds, 2), " then ".join(asked.site.url(request_of(step)) for step in check.requests))


def clock(check: Clock, asked: Asked) -> Reading:
    where, began = address(check, asked), time.time()
    try:
        if check.as_of:
            theirs, grain = _moment(check.as_of, _body(check, asked)), 0.0
        else:
            theirs, grain = _dated(_get(check, asked)), 0.5
    except CallError as exc:
        raise Unreadable(str(exc)) from exc
    ended = time.time()
    # Nobody knows when within the exchange their clock was read: only what is beyond that is a difference.
    doubt = (ended - began) / 2 + grain
    ahead = theirs + grain - (began + ended) / 2
    return Reading(
        round(max(0.0, abs(ahead) - doubt), 3),
        where,
        note=f"theirs is {abs(ahead):.2f} s {'ahead' if ahead > 0 else 'behind'}, give or take {doubt:.2f} s",
    )


def tcp(check: Tcp, asked: Asked) -> Reading:
    where, began = f"tcp://{check.host}:{check.port}", time.monotonic()
    try:
        dial((check.host, check.port), asked.deadline.remaining).close()
    except OSError as exc:
        raise NoAnswer(f"no connection: {_said(exc)}") from exc
    return Reading(round(time.monotonic() - began, 4), where)


def certificate(check: Certificate, asked: Asked) -> Reading:
    where = f"tls://{check.host}:{check.port}"
    ends = _end_of(_handshake(check, asked, trusting=None))
    days = (ends - datetime.datetime.now(datetime.UTC)).total_seconds() / _DAY
    note = f"valid until {ends:%Y-%m-%dT%H:%M:%SZ}"
    if days < 0:
        return Reading(round(days, 2), where, level="fail", note=f"it expired at {ends:%Y-%m-%dT%H:%M:%SZ}")
    if check.verify:
        try:
            _handshake(check, asked, trusting=asked.authority("certificate"), verify=True)
        except ssl.SSLCertVerificationError as exc:
            return Reading(round(days, 2), where, level="fail", note=f"it is not trusted: {exc.verify_message}")
    return Reading(round(days, 2), where, note=note)


def search(expression: Expression, body: t.Any) -> t.Any:
    """Return what an expression finds. Raises Unreadable when the answer has another shape."""
    try:
        return expression.search(body)
    except jmespath.exceptions.JMESPathError as exc:
        raise Unreadable(f"{expression} does not fit the answer: {' '.join(str(exc).split())}") from exc


def readable(reply: Reply, where: str) -> t.Any:
    """Return the JSON of a good answer. Raises Unreadable."""
    body, is_json = wire.parse(reply)
    if not 200 <= reply.status < 300:
        said = wire.excerpt(reply.body[:4096].decode("utf-8", "replace"))
        raise Unreadable(f"{where} answered {reply.status}: {said}")
    if not is_json:
        kind = reply.headers.get("Content-Type", "an answer of no type")
        raise Unreadable(f"{where} answered {reply.status} with {kind} that is no JSON")
    return body


def _get(check: t.Any, asked: Asked) -> Reply:
    where = address(check, asked)
    query = {key: wire.text(item) for key, item in check.query.items()}
    url = where + (f"?{urllib.parse.urlencode(query)}" if query else "")
    return asked.get(url, token=asked.secret(check.token) if check.token else None)


def _body(check: t.Any, asked: Asked) -> t.Any:
    try:
        if check.url:
            return readable(_get(check, asked), check.url)
        return asked.site.get(request_of(check), asked.deadline, attempts=1).body
    except CallError as exc:
        raise Unreadable(str(exc)) from exc


def _moment(expression: Expression, body: t.Any) -> float:
    stamp = search(expression, body)
    found = wire.moment(stamp)
    if found is None:
        raise Unreadable(f"{expression} gives {stamp!r}, which is no moment")
    return found


def _dated(reply: Reply) -> float:
    given = reply.headers.get("Date")
    try:
        return email.utils.parsedate_to_datetime(given or "").timestamp()
    except ValueError:
        raise Unreadable(f"it answered {reply.status} without a Date that can be read") from None


def _handshake(check: Certificate, asked: Asked, *, trusting: str | None, verify: bool = False) -> bytes:
    """Return the certificate of a server in DER. Raises NoAnswer, and with ``verify`` SSLCertVerificationError."""
    context = ssl.create_default_context(cafile=trusting)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        raw = dial((check.host, check.port), asked.deadline.remaining)
    except OSError as exc:
        raise NoAnswer(f"no connection: {_said(exc)}") from exc
    with raw:
        raw.settimeout(max(asked.deadline.remaining, 0.001))
        try:
            with context.wrap_socket(raw, server_hostname=check.server_name or check.host) as secured:
                return secured.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError:
            raise
        except OSError as exc:
            raise NoAnswer(f"no encrypted connection: {_said(exc)}") from exc


def _end_of(der: bytes) -> datetime.datetime:
    # ansible-core brings it; nothing but this needs it, and it takes a while to load.
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError as exc:
        raise Unreadable(f"its certificate cannot be read: {exc}") from exc


def _said(exc: OSError) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return (exc.strerror or str(exc) or type(exc).__name__).lower()
