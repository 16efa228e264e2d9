# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One call of a platform: signed in, within its rate, and its answer understood as the profile says."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import threading
import time
import typing as t
import urllib.parse

from .._common.errors import CallError, Denied, InputError, RateLimited, Refused, Unreachable
from .._common.libraries import jmespath
from .._common.redact import Redactor
from .._common.typed import Expression
from .._common.waiter import Deadline
from . import wire
from .http import HttpTransport, Reply
from .profile import Answer, Auth, Profile, Request
from .signin import Session, SignIn, bearer


@dataclasses.dataclass(frozen=True)
class Answered:
    """A usable answer: its parsed body and what the profile says it means."""

    status: int
    body: t.Any
    means: str
    say: str
    at: datetime.datetime


class _Pace:
    """Keeps the requests of a site, from all threads, at the rate that its platform allows."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next_at = 0.0
        self._lock = threading.Lock()

    def wait(self, deadline: Deadline) -> None:
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_at)
            self._next_at = turn + 1.0 / self._rate
        deadline.pause(turn - now)


class Caller:
    """Makes the calls of one site; used by one thread. ``values`` fill placeholders of every request."""

    def __init__(
        self,
        *,
        name: str,
        profile: Profile,
        urls: t.Mapping[str, str],
        secrets: t.Mapping[str, str],
        transport: HttpTransport,
        values: t.Mapping[str, t.Any],
    ) -> None:
        self._name = name
        self._profile = profile
        self._transport = transport
        self._values = dict(values)
        self._signin = SignIn(name, profile, secrets)
        self._bases = _bases(name, profile, urls)
        self._pace = _Pace(profile.requests_per_second)
        public = self._signin.public_names()
        self.redactor = Redactor(value for key, value in secrets.items() if key not in public)

    def check(self, request: Request) -> None:
        """Refuse, before any call, what cannot work: a missing base URL or secret. Raises InputError."""
        name, auth = self._auth(request)
        for needed in (request, auth.login, auth.refresh):
            if needed and needed.service not in self._bases:
                raise InputError(
                    f"{self._name}: tradeops_urls has no {needed.service!r}, which {self._profile.name} needs for "
                    f"{needed.method} {needed.path}; nothing was sent."
                )
        if "{namespace}" in request.path and not self._values.get("namespace"):
            raise InputError(
                f"{self._name}: tradeops_namespace is not given, which {self._profile.name} needs for {request.method} "
                f"{request.path}; nothing was sent."
            )
        self._signin.check(name)

    def url(self, request: Request) -> str:
        """Return the address of a request, which never holds a secret."""
        return self._bases[request.service] + request.path

    def call(self, request: Request, values: t.Mapping[str, t.Any], deadline: Deadline, *, write: bool) -> Answered:
        """Send a request once, or twice when the first was not accepted for an old session. Raises CallError."""
        self.check(request)
        name, auth = self._auth(request)
        if auth.kind != "login":
            headers = self._signin.headers(auth)
            self._hide(headers)
            return self._exchange(request, auth, headers, values, deadline, write=write)
        session = self._session(name, auth, deadline, None)
        try:
            return self._exchange(request, auth, session.headers, values, deadline, write=write)
        except Denied as exc:
            if exc.status != 401:
                raise
            # A 401 was provably not processed: sign in again and send it once more.
            session = self._session(name, auth, deadline, session)
            return self._exchange(request, auth, session.headers, values, deadline, write=write)

    def apart(self, timeout: float) -> Caller:
        """Return a caller of the same site for another thread: connections of its own, shared sessions and rate."""
        other = copy.copy(self)
        other._transport = self._transport.apart(timeout)
        return other

    def search(self, expression: Expression, body: t.Any, request: Request) -> t.Any:
        """Evaluate an expression of the profile. Raises Unreachable when the answer has another shape."""
        try:
            return expression.search(body)
        except jmespath.exceptions.JMESPathError as exc:
            problem = f"{expression} does not fit the answer: {' '.join(str(exc).split())}"
            raise unusable(request, self.redactor.text(problem)) from exc

    def close(self) -> None:
        self._transport.close()

    def _auth(self, request: Request) -> tuple[str, Auth]:
        name = request.auth or self._profile.default_auth
        return name, self._profile.auth[name]

    def _hide(self, headers: t.Mapping[str, str]) -> None:
        """Hide also what is made of secrets, such as the encoded pair of HTTP basic."""
        for value in headers.values():
            self.redactor.add(value.partition(" ")[2])

    def _session(self, name: str, auth: Auth, deadline: Deadline, refused: Session | None) -> Session:
        """Return a session other than ``refused``, signing in if there is none. Raises CallError."""
        if not self._signin.lock.acquire(timeout=deadline.remaining):
            where: dict[str, t.Any] = {"method": "POST", "path": t.cast(Request, auth.login).path}
            raise Unreachable(f"signing in as {name!r} did not end in time", sent=False, **where)
        try:
            session = self._signin.fresh(name)
            return session if session and session is not refused else self._sign_in(name, auth, deadline)
        finally:
            self._signin.lock.release()

    def _sign_in(self, name: str, auth: Auth, deadline: Deadline) -> Session:
        old = self._signin.forget(name)
        try:
            if old and old.refresh and auth.refresh:
                try:
                    return self._open(name, auth, auth.refresh, bearer(old.refresh), deadline, old.refresh)
                except (Refused, Unreachable):
                    pass  # a refresh token that is over, or a refresh that fails: sign in with the password
            headers = self._signin.basic(auth) if auth.username else {}
            return self._open(name, auth, t.cast(Request, auth.login), headers, deadline, None)
        except CallError as exc:
            exc.sent = False  # the request that we sign in for has not left, whatever became of the sign-in
            raise

    def _open(
        self, name: str, auth: Auth, request: Request, headers: dict[str, str], deadline: Deadline, refresh: str | None
    ) -> Session:
        values = {"refresh_token": refresh} if refresh else {}
        self._hide(headers)
        answered = self._exchange(request, auth, headers, values, deadline, write=False, signing_in=not refresh)
        access = self.search(t.cast(Expression, auth.access), answered.body, request)
        if not isinstance(access, str) or not access:
            where = {"method": request.method, "path": request.path, "status": answered.status}
            raise Denied(f"{request.method} {request.path}: the answer holds no token", **t.cast(t.Any, where))
        again = self.search(auth.refresh_token, answered.body, request) if auth.refresh_token else None
        session = self._signin.keep(name, access, again if isinstance(again, str) else refresh, auth.lifetime)
        for secret in (session.access, session.refresh):
            self.redactor.add(secret or "")
        return session

    def _exchange(
        self,
        request: Request,
        auth: Auth,
        headers: dict[str, str],
        values: t.Mapping[str, t.Any],
        deadline: Deadline,
        *,
        write: bool,
        signing_in: bool = False,
    ) -> Answered:
        values = {**self._values, **values}
        try:
            path = wire.fill_path(request.path, values)
            query = {key: wire.text(item) for key, item in wire.fill(request.query, values).items()}
            content = wire.fill(request.body, values)
        except wire.Unfilled as exc:
            problem = f"{request.method} {request.path}: {exc}; it was not sent"
            raise Refused(problem, method=request.method, path=request.path, sent=False) from exc
        url = self._bases[request.service] + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        if auth.kind == "body" or (signing_in and auth.fields):
            content = {**(content or {}), **self._signin.fields(auth)}
        body, kind = wire.encode(content, request.encoding)
        headers = {"Accept": "application/json", "User-Agent": "tradeops", **kind, **headers}
        self._pace.wait(deadline)
        reply = self._transport.exchange(request.method, url, headers, body, deadline, write=write)
        return self._understand(request, path, reply)

    def _understand(self, request: Request, path: str, reply: Reply) -> Answered:
        body, readable = wire.parse(reply)
        means, say = self._meaning(request, reply.status, body)
        where: dict[str, t.Any] = {"method": request.method, "path": path, "status": reply.status}
        text = say or wire.excerpt(
            self.redactor.text(wire.message(body) or reply.body[:65536].decode("utf-8", "replace"))
        )
        said = f"{request.method} {path} answered {reply.status}" + (f": {text}" if text else "")
        if means == "limited":
            raise RateLimited(said, sent=False, retry_after=wire.retry_after(reply.headers.get("Retry-After")), **where)
        if means == "denied":
            raise Denied(f"{said}. Check the site's tradeops_secrets", sent=False, **where)
        if means in ("refused", "absent"):
            raise Refused(said, sent=True, **where)
        if means == "uncertain":
            raise Unreachable(said, sent=None, **where)
        if not readable:
            kind = reply.headers.get("Content-Type", "an answer of no type")
            problem = f"{request.method} {path} answered {reply.status} with {kind} that is no JSON: {text}"
            raise Unreachable(problem, sent=None, **where)
        return Answered(reply.status, body, means, say, reply.at)

    def _meaning(self, request: Request, status: int, body: t.Any) -> tuple[str, str]:
        for answer in (*request.answers, *self._profile.answers):
            if answer.status == status and _applies(answer, body):
                return answer.means, answer.say
        if status == 429:
            return "limited", ""
        if status in (401, 403):
            return "denied", ""
        if 200 <= status < 300:
            return "done", ""
        return ("uncertain" if status >= 500 or status < 200 else "refused"), ""


def unusable(request: Request, problem: str) -> Unreachable:
    """Return the error of an answer that came and cannot be used."""
    return Unreachable(f"{request.method} {request.path}: {problem}", method=request.method, path=request.path)


def _applies(answer: Answer, body: t.Any) -> bool:
    if answer.when is None:
        return True
    try:
        return answer.when.search(body) is True
    except jmespath.exceptions.JMESPathError:
        return False  # an answer of another shape is another answer


def _bases(name: str, profile: Profile, urls: t.Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(urls) - set(profile.services))
    if unknown:
        raise InputError(
            f"{name}: tradeops_urls names {', '.join(unknown)}; {profile.name} has the services "
            f"{', '.join(profile.services)}. Nothing was sent."
        )
    bases = {}
    for service, url in urls.items():
        problem = _url_problem(url)
        if problem:
            raise InputError(
                f"{name}: tradeops_urls.{service} {problem}; give http(s)://host[:port][/path] without credentials. "
                "Nothing was sent."
            )
        bases[service] = url.rstrip("/") + profile.services[service].path
    return bases


def _url_problem(url: str) -> str:
    """Say what is wrong with a base URL, without showing credentials, or return an empty text."""
    try:
        parts = urllib.parse.urlsplit(url)
        _port = parts.port  # raises for what is no port
    except ValueError as exc:
        return f"is no URL ({exc})"
    if "@" in parts.netloc:
        return "holds credentials"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        return f"is {url!r}"
    if not url.isascii() or not url.isprintable() or " " in url:
        return f"is {url!r}, which holds a blank or a letter that no URL can hold"
    return ""
