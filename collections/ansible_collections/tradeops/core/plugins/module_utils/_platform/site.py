# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One site of a platform: reads its states and lists, sends its writes, and keeps what was seen."""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import datetime
import time
import typing as t

from .._common.errors import CallError, RateLimited, Refused, Unreachable, Unsupported
from .._common.outcome import Seen
from .._common.typed import Expression
from .._common.waiter import Deadline
from . import wire
from .caller import Answered, Caller, unusable
from .http import HttpTransport
from .profile import Action, Listing, Lookup, Profile, Read, Request
from .states import UNKNOWN

READ_ATTEMPTS = 3
# Seconds between the first and the second attempt; it grows.
_PAUSE = 0.1
# How many requests of one action travel at the same time.
_AT_ONCE = 16
# Begins the id of a row that has none: it exists, and cannot be acted on by its id.
NO_ID = "(no id)"

Rows = list[dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A value that was read; ``value`` is ``unknown`` when it could not be, and ``problem`` says why.

    ``error``: the call that failed, if it was that.
    """

    value: t.Any
    problem: str = ""
    error: CallError | None = None

    @property
    def known(self) -> bool:
        return self.value is not None and self.value != UNKNOWN


@dataclasses.dataclass(frozen=True)
class Ack:
    """What the platform said to a write. It proves nothing.

    ``certain``: it said that it accepted it. ``landed``: it did not say that, and the effect was seen.
    """

    status: int
    say: str
    items: Rows
    deferred: bool = False
    certain: bool = True
    landed: bool = False

    def refusals(self) -> dict[str, str]:
        """Return the objects that the platform refused, with its reason."""
        return {item["id"]: item["why"] or "refused" for item in self.items if not item["ok"]}

    def accepted(self) -> set[str]:
        """Return the objects that the platform said it accepted."""
        return {item["id"] for item in self.items if item["ok"]}


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
        self.values = dict(values or {})
        self.seen: list[Seen] = []
        self._caller = Caller(
            name=name, profile=profile, urls=urls, secrets=secrets, transport=transport, values=self.values
        )
        self.redactor = self._caller.redactor
        self.close = self._caller.close

    def apart(self, timeout: float) -> Site:
        """Return the same site for another thread; ``timeout``: seconds for one of its requests."""
        other = copy.copy(self)
        other.seen = []
        other._caller = self._caller.apart(timeout)
        other.close = other._caller.close
        return other

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
        for request in requests:
            if request is not None:
                self._caller.check(request)

    def read(self, read: Read, deadline: Deadline, *, attempts: int = READ_ATTEMPTS, null: t.Any = None) -> Reading:
        """Read a state through its map. Never raises for what the site does: it is then ``unknown``, with a problem.

        ``null``: what a null stands for that the answer really holds; a key that is missing stands for nothing.
        """
        try:
            bodies = {
                name: self.get(request, deadline, attempts=attempts).body for name, request in read.sources.items()
            }
            first = next(iter(read.sources.values()))
            raw = self._caller.search(read.value, bodies, first)
            why = self._caller.search(read.why, bodies, first) if read.why else None
            if raw is None and read.value.names(bodies):
                raw = null
            stale = self._stale(read.as_of, bodies, read.max_age, first)
        except CallError as exc:
            return Reading(UNKNOWN, str(exc), exc)
        value, problem = _mapped(read, raw, why)
        problem = stale or problem
        said = value if value == raw else f"{value} ({wire.text(raw)})"
        self.saw(read.sources, f"{said}; not used: {problem}" if problem else said)
        return Reading(UNKNOWN, problem) if problem else Reading(value)

    def rows(self, listing: Listing, deadline: Deadline) -> Rows:
        """Return all different rows of a listing, every page. Raises CallError when it cannot be read whole and fresh.

        Every row has an id, as a text; that of a row without one begins with ``NO_ID``.
        """
        found: Rows = []
        known: set[str] = set()
        for body in self._pages(listing, deadline):
            stale = self._stale(listing.as_of, body, listing.max_age, listing.request)
            items = self._caller.search(listing.select, body, listing.request)
            if stale or not isinstance(items, list):
                raise unusable(listing.request, stale or f"{listing.select} gives no list")
            for item in items:
                row = {
                    name: self._caller.search(field, item, listing.request) for name, field in listing.fields.items()
                }
                # A row on two pages is one row; rows that only share an id (accounts of a symbol) are not.
                if row["id"] is None or repr(row) not in known:
                    found.append(row)
                known.add(repr(row))
        for number, row in enumerate(found, 1):
            row["id"] = f"{NO_ID} {number}" if row["id"] in (None, "") else str(row["id"])
        self.saw({"list": listing.request}, f"{len(found)} rows")
        return found

    def unusable(self, request: Request, problem: str) -> CallError:
        """Return the error of an answer that came and cannot be used."""
        return unusable(request, self.redactor.text(problem))

    def look_up(self, lookup: Lookup, identity: str, deadline: Deadline) -> str:
        """Return the final state of one object, or ``unknown``."""
        try:
            answered = self.get(lookup.request, deadline, {"id": identity}, attempts=1)
            value = self._caller.search(lookup.value, answered.body, lookup.request)
        except CallError:
            return UNKNOWN
        return wire.mapped(value, lookup.map) or UNKNOWN

    def get(
        self,
        request: Request,
        deadline: Deadline,
        values: t.Mapping[str, t.Any] | None = None,
        *,
        attempts: int = READ_ATTEMPTS,
    ) -> Answered:
        """Send a request that only reads, again if it must be. Raises CallError."""
        attempt = 1
        while True:
            try:
                return self._caller.call(request, values or {}, deadline, write=False)
            except (Unreachable, RateLimited) as exc:
                wait = exc.retry_after if exc.retry_after is not None else _PAUSE * attempt
                if attempt >= attempts or deadline.remaining <= wait:
                    raise
                deadline.pause(wait)
            attempt += 1

    def send(self, action: Action, values: t.Mapping[str, t.Any], deadline: Deadline) -> Ack:
        """Send a write once. Only the gate calls this. Raises CallError; ``sent`` tells whether it may have landed."""
        request = wire.scoped(action, values)
        if action.each:
            return self._send_each(request, action.each, values, deadline)
        answered = self._caller.call(request, values, deadline, write=True)
        try:
            items = self._items(action, answered.body, request)
        except Unreachable as exc:
            # It was accepted, and only the list of what became of each object makes no sense.
            return Ack(answered.status, f"{answered.say} ({exc})".strip(), [], deferred=answered.means == "deferred")
        return Ack(answered.status, answered.say, items, deferred=answered.means == "deferred")

    def _send_each(self, request: Request, each: Rows, values: t.Mapping[str, t.Any], deadline: Deadline) -> Ack:
        """Send one write for every entry, side by side. When one is lost, the whole is, and has to be read back."""
        self.check(request)

        def one(entry: dict[str, t.Any]) -> CallError | None:
            try:
                self._caller.call(request, {**values, **entry}, deadline, write=True)
            except CallError as exc:
                return exc
            return None

        with concurrent.futures.ThreadPoolExecutor(min(len(each), _AT_ONCE)) as pool:
            fates = dict(zip((str(entry["id"]) for entry in each), pool.map(one, each), strict=True))
        errors = [error for error in fates.values() if error]
        lost = [error for error in errors if not isinstance(error, Refused)]
        if lost:
            unsent = len(errors) == len(each) and all(error.sent is False for error in errors)
            lost[0].sent = False if unsent else None
            raise lost[0]
        if len(errors) == len(each):
            raise errors[0]
        items = [{"id": key, "ok": not error, "why": str(error or "")} for key, error in fates.items()]
        return Ack(200, "; ".join(map(str, errors)), items)

    def url(self, request: Request) -> str:
        """Return the address of a request, which never holds a secret."""
        return self._caller.url(request)

    def _items(self, action: Action, body: t.Any, request: Request) -> Rows:
        described = action.items
        if described is None:
            return []

        def find(expression: Expression | None, row: t.Any) -> t.Any:
            return None if expression is None else self._caller.search(expression, row, request)

        found = find(described.select, body)
        return [
            {
                "id": str(find(described.id, row)),
                "ok": find(described.ok, row) is True,
                "why": self.redactor.text(wire.text(find(described.why, row) or "")),
            }
            for row in (found if isinstance(found, list) else [])
        ]

    def _pages(self, listing: Listing, deadline: Deadline) -> t.Iterator[t.Any]:
        """Yield the bodies of all pages. Raises Unreachable when they do not come to an end."""
        request, pages = listing.request, listing.pages
        turns: list[t.Any] = []
        for _page in range(pages.limit if pages else 1):
            query = {**request.query, pages.query: turns[-1]} if pages and turns else request.query
            answered = self.get(dataclasses.replace(request, query=query), deadline)
            if answered.means == "empty":
                return
            yield answered.body
            turn = self._caller.search(pages.next, answered.body, request) if pages else None
            if turn in (None, "", False):
                return
            if turn in turns:
                raise unusable(request, f"the pages do not move on: {turn!r} came again")
            turns.append(turn)
        raise unusable(request, f"not at its end after {len(turns)} pages")

    def _stale(self, as_of: Expression | None, body: t.Any, max_age: float, request: Request) -> str:
        """Say why a reading is too old to be used, or return an empty text."""
        if as_of is None:
            return ""
        stamp = self._caller.search(as_of, body, request)
        moment = wire.moment(stamp)
        if moment is None:
            return f"it does not say when it was read ({as_of} gives {stamp!r})"
        age = time.time() - moment
        if age < -max_age:
            return f"its clock is {-age:.0f} s ahead of ours, at most {max_age:.0f} s are accepted"
        return f"it is {age:.0f} s old, at most {max_age:.0f} s are accepted" if age > max_age else ""

    def saw(self, sources: t.Mapping[str, Request], saw: t.Any) -> None:
        """Keep what was seen for the proof."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        saw = self.redactor.clean(saw)
        for name, request in sources.items():
            seen = Seen(name, request.method, self.url(request), at, saw)
            before = [entry for entry in self.seen if (entry.source, entry.url) == (seen.source, seen.url)][-2:]
            if len(before) == 2 and all(entry.saw == saw for entry in before):
                self.seen.remove(before[1])  # of a long wait, the first and the last equal reading are kept
            self.seen.append(seen)


def _mapped(read: Read, raw: t.Any, why: t.Any) -> tuple[t.Any, str]:
    """Return what a raw value means, and why it cannot be used, or an empty text."""
    if not read.map:
        return (UNKNOWN, f"{read.value} gives nothing") if raw is None else (raw, "")
    value = wire.mapped(raw, read.map) or UNKNOWN
    problem = why if isinstance(why, str) and why else f"the value {raw!r} has no meaning in the profile"
    return value, problem if value == UNKNOWN else ""
