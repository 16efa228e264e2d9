# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Misbehaviour on request: what a fault is, which requests it fits, and the list of a site's faults.

====================  ==============================================================================================
lie                   answers a write as a success would, and does nothing
delay                 answers a write as a success would, and does it ``seconds`` later (1)
slow                  does it, and answers ``seconds`` later (1)
hang                  answers after ``seconds`` (3600); nothing is done for a client that has left by then
reset                 resets the TCP connection; nothing is done
error_before          answers ``status`` (503); nothing is done
error_after           does it, and answers ``status`` (502)
rate_limit            answers ``status`` (429) with Retry-After ``seconds`` (1); nothing is done
truncate              does it, and cuts the answer in the middle of its body
html                  answers 200 with a page of HTML; nothing is done
stale                 answers reads from a snapshot of the database that was taken when the fault was set
expire_token          answers 401 to every credential of before; only a new sign-in helps
refuse_orders         the first ``ids`` (1) orders that are to be cancelled are not, now and later
reopen                orders that are cancelled are placed again ``seconds`` later (0.5)
market_closed         the market is closed and opens in ``seconds`` (3600): nothing is placed or filled
dead                  all ports of the site (or of ``service``) are closed, for ``seconds`` if given
crash                 a process of ``service`` that starts ends at once (supervised sites)
cut_watch             ends a watch of the Kubernetes API after ``seconds`` (0), in the middle of it
drift                 the venue has an order and a position that the platform does not know
====================  ==============================================================================================
"""

from __future__ import annotations

import dataclasses
import fnmatch
import typing as t

# WIRE is what can happen to a request. The other kinds act elsewhere: where orders are cancelled, where the clock of
# the market is read, where ports are opened.
WIRE = (
    *("hang", "reset", "error_before", "rate_limit", "html"),  # instead of looking at it
    *("lie", "delay", "stale", "expire_token"),  # while it is worked on
    *("error_after", "truncate", "slow"),  # afterwards
)
KINDS = (*WIRE, "refuse_orders", "reopen", "market_closed", "dead", "crash", "cut_watch", "drift")


@dataclasses.dataclass
class Seen:
    """What a fault may look at: the request as it came in. ``short`` is ``path`` without the service's prefix."""

    service: str
    method: str
    path: str
    short: str
    writes: bool
    signed: bool = True
    fault: str | None = None


@dataclasses.dataclass
class Fault:
    """One fault. ``after``: how many requests that fit are left alone first; ``times``: how many it takes then (None:
    all); ``seconds`` means what the kind makes of it."""

    kind: str
    service: str = "*"
    method: str = "*"
    path: str = "*"
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    ids: int = 1
    after: int = 0
    passed: int = 0
    hits: int = 0
    since: float = 0.0
    refused: set[str] = dataclasses.field(default_factory=set, repr=False)

    def lasts(self, default: float) -> float:
        return default if self.seconds is None else self.seconds

    def left(self) -> bool:
        return self.times is None or self.hits < self.times

    def fits(self, seen: Seen | None) -> bool:
        """True when the fault is for this request (None: for the site as a whole)."""
        if seen is None:
            return True
        if (self.kind in ("lie", "delay") and not seen.writes) or (self.kind == "stale" and seen.writes):
            return False
        if self.kind == "expire_token" and not seen.signed:
            return False
        if not fnmatch.fnmatchcase(seen.service, self.service):
            return False
        if not fnmatch.fnmatchcase(seen.method, self.method.upper()):
            return False
        return fnmatch.fnmatchcase(seen.path, self.path) or fnmatch.fnmatchcase(seen.short, self.path)

    def as_dict(self) -> dict[str, t.Any]:
        shown = ("kind", "service", "method", "path", "times", "seconds", "status", "ids", "after", "hits")
        return {name: getattr(self, name) for name in shown}


class FaultError(ValueError):
    """A fault that cannot be: the message says what was found and what may be there."""


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "service": (str,),
    "method": (str,),
    "path": (str,),
    "times": (int, type(None)),
    "seconds": (int, float, type(None)),
    "status": (int, type(None)),
    "ids": (int,),
    "after": (int,),
}


def parse(data: t.Any) -> list[Fault]:
    """Read ``{"faults": [...]}``. Raises FaultError."""
    items = data.get("faults") if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise FaultError('expected {"faults": [...]}')
    return [_parse(item) for item in items]


def _parse(item: t.Any) -> Fault:
    if not isinstance(item, dict) or item.get("kind") not in KINDS:
        found = item.get("kind") if isinstance(item, dict) else item
        raise FaultError(f"kind {found!r} is not one of {', '.join(KINDS)}")
    for key, value in item.items():
        if key not in _TYPES:
            raise FaultError(f"{item['kind']}: unknown key {key!r}; known: {', '.join(_TYPES)}")
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise FaultError(f"{item['kind']}: {key} cannot be {value!r}")
    return Fault(**item)


class Faults:
    """The faults of one site, in the order in which they were given; the first that fits a request is used."""

    def __init__(self) -> None:
        self.current: list[Fault] = []

    def find(self, kinds: t.Container[str], seen: Seen | None) -> Fault | None:
        """The first fault of ``kinds`` that fits and is not used up. It is not used by being found."""
        if not self.current:
            return None
        return next((f for f in self.current if f.kind in kinds and f.left() and f.fits(seen)), None)

    def take(self, kinds: t.Container[str], seen: Seen) -> Fault | None:
        """The fault that spoils this request, counted as such."""
        for fault in self.current:
            if fault.kind in kinds and fault.left() and fault.fits(seen):
                if fault.passed >= fault.after:
                    self.use(fault, seen)
                    return fault
                fault.passed += 1
        return None

    @staticmethod
    def use(fault: Fault, seen: Seen | None) -> None:
        """Count one request that ``fault`` has spoiled, and name it there."""
        fault.hits += 1
        if seen:
            seen.fault = fault.kind
