# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One site of a platform: makes the requests that its profile describes and understands the answers."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import typing as t
import urllib.parse

from .._common.errors import (
    CallError,
    Denied,
    InputError,
    RateLimited,
    Refused,
    Unreachable,
    Unsupported,
)
from .._common.libraries import jmespath
from .._common.outcome import Seen
from .._common.redact import Redactor
from .._common.waiter import Deadline
from . import wire
from .http import HttpTransport, Reply
from .profile import Action, Answer, Auth, Expression, Listing, Lookup, Profile, Read, Request
from .signin import Session, SignIn
from .states import UNKNOWN

READ_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Answered:
    """A usable answer: its parsed body and what the profile says it means."""

    status: int
    body: t.Any
    means: str
    say: str
    at: datetime.datetime
    url: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """A value that was read; ``value`` is ``unknown`` when it could not be, and ``problem`` says why."""

    value: t.Any
    problem: str = ""

    @property
    def known(self) -> bool:
        return self.value != UNKNOWN


@dataclasses.dataclass(frozen=True)
class Ack:
    """What the platform said to a write. It proves nothing."""

    status: int
    say: str
    items: list[dict[str, t.Any]]
    deferred: bool = False


class Site:
    """The operations of one site. ``values`` fill the placeholders of requests (reason, operator, operation)."""

    def __init__(
        self,
        *,
        name: str,
        profile: Profile,
        urls: t.Mapping[str, str],
        secrets: t.Mapping[str, str],
        transport: HttpTransport,
        values: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self.name = name
        self.profile = profile
        self.redactor = Redactor(secrets.values())
        self.seen: list[Seen] = []
        self._values = dict(values or {})
        self._transport = transport
        self._signin = SignIn(name, profile, secrets)
        self._bases = _bases(name, profile, urls)
        self._next_at = 0.0

    def require(self, capability: str) -> t.Any:
        """Return a capability of the profile. Raises Unsupported, before any call, when the platform lacks it."""
        found = getattr(self.profile.capabilities, capability)
        if not found:
            raise Unsupported(
                f"{self.name}: {self.profile.title} has no {capability.replace('_', ' ')}"
                f" (profile {self.profile.name}); nothing was sent."
            )
        return found

    def check(self, *requests: Request | None) -> None:
        """Refuse, before any call, what cannot work: a missing secret or a missing base URL."""
        wanted = [request for request in requests if request is not None]
        for request in wanted:
            if request.service not in self._bases:
                raise InputError(
                    f"{self.name}: tradeops_urls has no {request.service!r}, which {self.profile.name} needs for "
                    f"{request.method} {request.path}; nothing was sent."
                )
        self._signin.check(self._signin.auth(request.auth)[0] for request in wanted)

    def read(self, read: Read, deadline: Deadline, *, attempts: int = READ_ATTEMPTS) -> Reading:
        """Read a state through its map. Never raises for what the site does: it is then ``unknown``, with a problem."""
        try:
            bodies = {
                name: self.get(request, deadline, attempts=attempts).body for name, request in read.sources.items()
            }
            stale = self._stale(read.as_of, bodies, read.max_age)
            raw = self.search(read.value, bodies)
        except CallError as exc:
            return Reading(UNKNOWN, str(exc))
        value = raw
        if read.map:
            value = wire.mapped(raw, read.map) or UNKNOWN
            if value == UNKNOWN:
                stale = stale or f"the value {raw!r} has no meaning in the profile"
        self._saw(read.sources, f"{value} ({raw})" if read.map and value != raw else value)
        return Reading(UNKNOWN, stale) if stale else Reading(value)

    def list(self, listing: Listing, deadline: Deadline) -> list[dict[str, t.Any]]:
        """Return all rows of a listing, every page. Raises CallError when it cannot be read whole and fresh."""
        rows: list[dict[str, t.Any]] = []
        request, pages = listing.request, listing.pages
        turn: t.Any = None
        for _page in range(pages.limit if pages else 1):
            asked = request if turn is None else dataclasses.replace(request, query={**request.query, _page_key(listing): turn})
            answered = self.get(asked, deadline)
            if answered.means == "empty":
                break
            stale = self._stale(listing.as_of, answered.body, listing.max_age)
            found = self.search(listing.select, answered.body)
            if stale or not isinstance(found, list):
                problem = stale or f"{listing.select} gives no list"
                raise Unreachable(f"{request.method} {request.path}: {problem}", method=request.method, path=request.path)
            rows += [{name: self.search(field, row) for name, field in listing.fields.items()} for row in found]
            following = self.search(pages.next, answered.body) if pages else None
            if following in (None, "", False) or following == turn:
                break
            turn = following
        else:
            if pages:
                raise Unreachable(
                    f"{request.method} {request.path}: not at its end after {pages.limit} pages",
                    method=request.method,
                    path=request.path,
                )
        unique = {str(row["id"]): {**row, "id": str(row["id"])} for row in rows}
        self._saw({"list": request}, f"{len(unique)} rows")
        return list(unique.values())

    def look_up(self, lookup: Lookup, identity: str, deadline: Deadline) -> str:
        """Return the final state of one object, or ``unknown``."""
        request = lookup.request
        try:
            answered = self.get(request, deadline, {"id": identity})
        except CallError:
            return UNKNOWN
        return wire.mapped(self.search(lookup.value, answered.body), lookup.map) or UNKNOWN

    def get(
        self,
        request: Request,
        deadline: Deadline,
        values: t.Mapping[str, t.Any] | None = None,
        *,
        attempts: int = READ_ATTEMPTS,
    ) -> Answered:
        """Send a request that only reads, again if it must be. Raises CallError."""
        for attempt in range(1, attempts + 1):
            try:
                return self._call(request, values or {}, deadline, write=False)
            except (Unreachable, RateLimited) as exc:
                wait = exc.retry_after if exc.retry_after is not None else 0.1 * attempt
                if attempt == attempts or deadline.remaining <= wait:
                    raise
                deadline.pause(wait)
        raise AssertionError("unreachable")

    def send(self, action: Action, values: t.Mapping[str, t.Any], deadline: Deadline) -> Ack:
        """Send a write once. Only the gate calls this. Raises CallError; ``sent`` tells whether it may have landed."""
        answered = self._call(_scoped(action, values), values, deadline, write=True)
        items = []
        if action.items:
            found = self.search(action.items.select, answered.body)
            items = [
                {
                    "id": str(self.search(action.items.id, row)),
                    "ok": self.search(action.items.ok, row) is True,
                    "why": str(self.search(action.items.why, row) or "") if action.items.why else "",
                }
                for row in (found if isinstance(found, list) else [])
            ]
        return Ack(answered.status, answered.say, self.redactor.clean(items), deferred=answered.means == "deferred")

    def search(self, expression: Expression, body: t.Any) -> t.Any:
        """Evaluate a JMESPath expression of the profile. Raises Unreachable when the answer has another shape."""
        try:
            return jmespath.search(expression, body)
        except jmespath.exceptions.JMESPathError as exc:
            raise Unreachable(f"{expression} does not fit the answer: {exc}", method="GET", path="") from exc

    def url(self, request: Request) -> str:
        """Return the address of a request, which never holds a secret."""
        return self._bases[request.service] + request.path

    def close(self) -> None:
        self._transport.close()

    # -- one exchange -------------------------------------------------------------------------------------------

    def _call(
        self, request: Request, values: t.Mapping[str, t.Any], deadline: Deadline, *, write: bool
    ) -> Answered:
        self.check(request)
        name, auth = self._signin.auth(request.auth)
        if auth.kind != "login":
            return self._exchange(request, auth, self._signin.headers(auth), values, deadline, write=write)
        session = self._signin.fresh(name) or self._sign_in(name, auth, deadline)
        try:
            return self._exchange(request, auth, _bearer(session), values, deadline, write=write)
        except Denied as exc:
            if exc.status != 401:
                raise
            # A 401 was provably not processed: sign in again and send it once more.
            session = self._sign_in(name, auth, deadline)
            return self._exchange(request, auth, _bearer(session), values, deadline, write=write)

    def _sign_in(self, name: str, auth: Auth, deadline: Deadline) -> Session:
        old = self._signin.session(name)
        self._signin.forget(name)
        if old and old.refresh and auth.refresh:
            try:
                return self._open_session(name, auth, auth.refresh, _bearer_of(old.refresh), deadline, old.refresh)
            except Refused:
                pass  # a refresh token that is over: sign in with the password
        headers = self._signin.basic(auth) if auth.username else {}
        return self._open_session(name, auth, t.cast(Request, auth.login), headers, deadline, None)

    def _open_session(
        self, name: str, auth: Auth, request: Request, headers: dict[str, str], deadline: Deadline, refresh: str | None
    ) -> Session:
        values = {"refresh_token": refresh} if refresh else {}
        answered = self._exchange(request, auth, headers, values, deadline, write=False, signing_in=True)
        access = self.search(t.cast(Expression, auth.access), answered.body)
        if not isinstance(access, str) or not access:
            raise Denied(f"{request.path}: the answer holds no token", method=request.method, path=request.path)
        again = self.search(auth.refresh_token, answered.body) if auth.refresh_token else None
        session = self._signin.keep(name, access, again or refresh, auth.lifetime)
        for secret in (session.access, session.refresh):
            if secret:
                self.redactor.add(secret)
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
        path = wire.fill_path(request.path, values)
        url = self._bases[request.service] + path
        query = {key: wire.text(wire.fill(item, values)) for key, item in request.query.items()}
        if query:
            url = f"{url}?{urllib.parse.urlencode(query)}"
        content = wire.fill(request.body, values)
        if auth.kind == "body" or (signing_in and auth.fields and "refresh_token" not in values):
            content = {**(content or {}), **self._signin.fields(auth)}
        body, kind = wire.encode(content, request.encoding)
        headers = {"Accept": "application/json", "User-Agent": "tradeops", **kind, **headers}
        self._keep_rate(deadline)
        reply = self._transport.exchange(request.method, url, headers, body, deadline, write=write)
        return self._understand(request, reply, path)

    def _keep_rate(self, deadline: Deadline) -> None:
        rate = self.profile.requests_per_second
        if rate:
            now = time.monotonic()
            deadline.pause(max(0.0, self._next_at - now))
            self._next_at = max(now, self._next_at) + 1.0 / rate

    def _understand(self, request: Request, reply: Reply, path: str) -> Answered:
        body, readable = wire.parse(reply)
        means, say = self._meaning(request, reply.status, body)
        where: dict[str, t.Any] = {"method": request.method, "path": path, "status": reply.status}
        text = self.redactor.text(say or wire.excerpt(reply))
        said = f"{request.method} {path} answered {reply.status}" + (f": {text}" if text else "")
        if means == "limited":
            raise RateLimited(said, sent=False, retry_after=wire.retry_after(reply), **where)
        if means == "denied":
            raise Denied(f"{said}. Check the site's tradeops_secrets.", sent=False, **where)
        if means in ("refused", "absent"):
            raise Refused(said, sent=True, **where)
        if means == "uncertain":
            raise Unreachable(said, sent=None, **where)
        if not readable:
            kind = reply.headers.get("Content-Type", "no content type")
            raise Unreachable(f"{said} with {kind} instead of JSON", sent=None, **where)
        return Answered(reply.status, body, means, say, reply.at, self.url(request))

    def _meaning(self, request: Request, status: int, body: t.Any) -> tuple[str, str]:
        for answer in (*request.answers, *self.profile.answers):
            if answer.status == status and self._applies(answer, body):
                return answer.means, answer.say
        if status == 429:
            return "limited", ""
        if status in (401, 403):
            return "denied", ""
        if 200 <= status < 300:
            return "done", ""
        return ("uncertain" if status >= 500 or status < 200 else "refused"), ""

    def _applies(self, answer: Answer, body: t.Any) -> bool:
        if answer.when is None:
            return True
        try:
            return jmespath.search(answer.when, body) is True
        except jmespath.exceptions.JMESPathError:
            return False  # an answer of another shape is another answer

    def _stale(self, as_of: Expression | None, body: t.Any, max_age: float) -> str:
        """Say why a reading is too old to be used, or return an empty text."""
        if as_of is None:
            return ""
        stamp = self.search(as_of, body)
        moment = wire.moment(stamp)
        if moment is None:
            return f"it does not say when it was read ({as_of} gives {stamp!r})"
        age = time.time() - moment
        return f"it is {age:.0f} s old, at most {max_age:.0f} s are accepted" if age > max_age else ""

    def _saw(self, sources: t.Mapping[str, Request], saw: t.Any) -> None:
        at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        for name, request in sources.items():
            self.seen.append(Seen(name, request.method, self.url(request), at, self.redactor.clean(saw)))


def _bases(name: str, profile: Profile, urls: t.Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(urls) - set(profile.services))
    if unknown:
        raise InputError(
            f"{name}: tradeops_urls names {', '.join(unknown)}; {profile.name} has the services {', '.join(profile.services)}."
        )
    bases = {}
    for service, url in urls.items():
        parts = urllib.parse.urlsplit(str(url))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise InputError(f"{name}: tradeops_urls.{service} is {url!r}; give http(s)://host[:port][/path] without credentials.")
        bases[service] = str(url).rstrip("/") + profile.services[service].path
    return bases


def _page_key(listing: Listing) -> str:
    return listing.pages.query if listing.pages else ""


def _bearer_of(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _bearer(session: Session) -> dict[str, str]:
    return _bearer_of(session.access)


def _scoped(action: Action, values: t.Mapping[str, t.Any]) -> Request:
    """Return the request of an action with the given scope put where the profile says."""
    request = action.request
    for key, place in action.scopes.items():
        if values.get(key) is not None:
            kind, _dot, name = place.partition(".")
            held = request.query if kind == "query" else (request.body or {})
            request = dataclasses.replace(request, **{kind: {**held, name: values[key]}})
    return request
