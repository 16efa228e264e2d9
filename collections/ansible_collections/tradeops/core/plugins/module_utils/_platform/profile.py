# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a platform profile may say. The type hints are the schema (see ``_common/typed.py`` and docs/profiles.md)."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing as t

from .._common.typed import Expression, Path
from .states import STRICTNESS

State = t.Literal["active", "reducing", "halted", "flat", "stopped"]
ScopeKey = t.Literal["account", "venue", "strategy", "symbol", "owner"]
SCOPE_KEYS: tuple[str, ...] = t.get_args(ScopeKey)
Meaning = t.Literal["done", "refused", "denied", "absent", "uncertain", "limited", "deferred", "empty"]

PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PATH = re.compile(r"/[!-~]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What one answer of the platform means. The first entry whose status and ``when`` fit decides."""

    status: int
    means: Meaning
    when: t.Optional[Expression] = None
    say: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request. Texts may hold ``{name}`` placeholders; a text that is only a placeholder keeps its type."""

    path: str
    method: t.Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    service: str = "api"
    auth: t.Optional[str] = None
    query: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    body: t.Any = None
    encoding: t.Literal["json", "form", "merge_patch", "apply"] = "json"
    answers: list[Answer] = dataclasses.field(default_factory=list)

    def check(self) -> t.Optional[str]:
        if not _PATH.fullmatch(self.path) or {"?", "#"} & set(self.path):
            return f"the path {self.path!r} must begin with a slash and hold no blank, ? or #; use query"
        if self.encoding == "form" and not isinstance(self.body, (dict, types.NoneType)):
            return "a body with encoding form must be a mapping"
        return None if _is_json([self.query, self.body]) else "query and body may hold JSON values only; quote dates"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Read:
    """A state that is read from one or several requests; ``value`` sees their bodies under the names of ``sources``.

    ``why`` gives a text that says why a value has no meaning.
    """

    sources: dict[str, Request]
    value: Expression
    map: dict[str, str] = dataclasses.field(default_factory=dict)
    why: t.Optional[Expression] = None
    as_of: t.Optional[Expression] = None
    max_age: float = 10.0

    def check(self) -> t.Optional[str]:
        return _check_reading(self.sources, self.max_age)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Witness:
    """An independent sign of order flow: ``marker`` must not move during ``quiet`` seconds of a halt."""

    sources: dict[str, Request]
    marker: Expression
    quiet: float = 0.5

    def check(self) -> t.Optional[str]:
        return _check_reading(self.sources, self.quiet)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pages:
    """How a listing is read to its end. ``next`` (JMESPath on the body) gives the value of the next ``query`` key."""

    query: str
    next: Expression
    limit: int = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of objects with the same fields on every platform; ``select`` gives the rows of one answer."""

    request: Request
    select: Expression
    fields: dict[str, Expression]
    pages: t.Optional[Pages] = None
    as_of: t.Optional[Expression] = None
    max_age: float = 10.0

    def check(self) -> t.Optional[str]:
        return (
            "max_age must be more than 0"
            if self.max_age <= 0
            else None
            if "id" in self.fields
            else "fields must name an id"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """Results per object inside one answer (HTTP 207 and its relatives)."""

    select: Expression
    id: Expression
    ok: Expression
    why: t.Optional[Expression] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Action:
    """One write.

    ``repeatable``: sending it twice has the effect of sending it once. ``scopes``: where a scope key is put, as
    ``query.<name>`` or ``body.<name>``. ``requires``: the trading states in which the platform can do it at all.
    ``each``: the request is sent once for every mapping, all at the same time, with its values; ``id`` names what it
    is sent to.
    """

    request: Request
    repeatable: bool = False
    each: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    scopes: dict[ScopeKey, str] = dataclasses.field(default_factory=dict)
    items: t.Optional[Items] = None
    requires: list[State] = dataclasses.field(default_factory=list)

    def check(self) -> t.Optional[str]:
        for place in self.scopes.values():
            if not place.startswith(("query.", "body.")):
                return f"scopes: {place!r} must begin with query. or body."
            if place.startswith("body.") and not isinstance(self.request.body, (dict, types.NoneType)):
                return f"scopes: {place!r} needs a body that is a mapping"
        if self.each and self.items:
            return "an action has each or items, not both"
        return None if all(entry.get("id") for entry in self.each) else "every entry of each must give an id"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transition(Action):
    """A write that moves the trading state.

    ``blind``: may be sent when the state cannot be read, because from no state does it start or loosen anything.
    """

    to: State
    from_: list[State]
    blind: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lookup:
    """The final state of one object by ``{id}``: ``value`` through ``map``; used to say why it was not cancelled."""

    request: Request
    value: Expression
    map: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trading:
    """``levels`` names the state that the platform uses for a level it does not have (always a stricter one)."""

    read: Read
    transitions: list[Transition]
    witness: t.Optional[Witness] = None
    levels: dict[State, State] = dataclasses.field(default_factory=dict)

    def check(self) -> t.Any:
        if not self.read.map:
            return ("read",), "a map must say which values mean which trading state"
        strange = _words(self.read, t.get_args(State))
        if strange:
            return strange
        wrong = _levels(self.levels, {step.to for step in self.transitions})
        if wrong:
            return wrong
        loose = [index for index, step in enumerate(self.transitions) if step.blind and step.to == "active"]
        return (("transitions", loose[0], "blind"), "a transition to active is never blind") if loose else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TradingByWorkloads:
    """Trading states as numbers of pods (state -> Deployment -> pods); ``_platform/kubernetes.py`` makes a ``Trading``
    of it. A state is seen when no pod of those at 0 runs, and as many pods of the others are ready.

    ``resting``: numbers that are enough for a state while no pod of any of them comes or goes: agents that are kept
    warm at night send no order without their engine.
    """

    states: dict[State, dict[str, int]]
    resting: dict[State, dict[str, int]] = dataclasses.field(default_factory=dict)
    witness: t.Optional[Witness] = None
    levels: dict[State, State] = dataclasses.field(default_factory=dict)

    def check(self) -> t.Any:
        for state, numbers in self.states.items():
            if not numbers or min(numbers.values()) < 0:
                return ("states", state), "must give a Deployment or more, each with a number of pods"
        if not any(numbers and max(numbers.values()) == 0 for numbers in self.states.values()):
            return ("states",), "one of the states must have all its Deployments at 0"
        if self.states.get("active") and max(self.states["active"].values()) == 0:
            return ("states", "active"), "active with no pod is no trading"
        for state, numbers in self.resting.items():
            if not numbers or not numbers.items() <= self.states.get(state, {}).items():
                return ("resting", state), f"must be a part of what states gives for {state}"
        return _levels(self.levels, set(self.states))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orders:
    list: Listing
    cancel_all: t.Optional[Action] = None
    cancel_one: t.Optional[Action] = None
    lookup: t.Optional[Lookup] = None
    witness: t.Optional[Listing] = None

    @property
    def can(self) -> bool:
        """Whether orders can be cancelled, and not only be listed."""
        return bool(self.cancel_all or self.cancel_one)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Positions:
    list: Listing
    close_all: t.Optional[Action] = None
    close_one: t.Optional[Action] = None
    witness: t.Optional[Listing] = None

    def check(self) -> t.Optional[str]:
        found = "quantity" in self.list.fields
        return None if found else "the fields of list must name a quantity (signed: negative is short)"

    @property
    def can(self) -> bool:
        """Whether positions can be closed, and not only be listed."""
        return bool(self.close_all or self.close_one)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Maintenance:
    """``read.map`` gives disabled, maintenance or read_only; ``in_flight`` counts what has to drain first."""

    read: Read
    enable: Action
    disable: Action
    modes: dict[t.Literal["maintenance", "read_only"], str]
    in_flight: t.Optional[Read] = None

    def check(self) -> t.Any:
        return _words(self.read, ("disabled", "maintenance", "read_only"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Breakers:
    """``list.fields``: id (the pair) and open (true or false)."""

    list: Listing
    open_all: t.Optional[Action] = None
    open_one: t.Optional[Action] = None
    close_all: t.Optional[Action] = None
    close_one: t.Optional[Action] = None

    def check(self) -> t.Any:
        return _field(self.list, "open")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """Gradual migrations. ``list.fields``: id (the pair) and percentage."""

    list: Listing
    set_one: t.Optional[Action] = None
    set_all: t.Optional[Action] = None
    stop_all: t.Optional[Action] = None
    emergency_stop: t.Optional[Action] = None

    def check(self) -> t.Any:
        return _field(self.list, "percentage")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """``list.fields``: id (the name of the limit) and value (a number). ``set`` gets ``{id}`` and ``{value}``."""

    list: Listing
    set: Action

    def check(self) -> t.Any:
        return _field(self.list, "value")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """What runs has these settings. ``list.fields``: id (the name of the setting) and value. ``set`` gets ``{id}`` and
    ``{value}``."""

    list: Listing
    set: Action

    def check(self) -> t.Any:
        return _field(self.list, "value")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeadManSwitch:
    """``read.value`` gives the seconds left; 0, or a key that holds null, when it is not armed. ``arm`` gets
    ``{timeout}`` (seconds)."""

    read: Read
    arm: Action
    disarm: Action


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capabilities:
    trading: t.Optional[Trading] = None
    trading_by_workloads: t.Optional[TradingByWorkloads] = None
    orders: t.Optional[Orders] = None
    positions: t.Optional[Positions] = None
    maintenance: t.Optional[Maintenance] = None
    circuit_breakers: t.Optional[Breakers] = None
    rollout: t.Optional[Rollout] = None
    risk_limits: t.Optional[Limits] = None
    configuration: t.Optional[Configuration] = None
    dead_man_switch: t.Optional[DeadManSwitch] = None
    market: t.Optional[Read] = None
    health: t.Optional[Read] = None
    metrics: dict[str, Read] = dataclasses.field(default_factory=dict)

    def check(self) -> t.Any:
        if self.trading and self.trading_by_workloads:
            return ("trading_by_workloads",), "the trading state is told by trading or by workloads, not by both"
        return _words(self.health, ("pass", "warn", "fail"), "health") if self.health else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Auth:
    """How requests prove who they are; the values name keys of the site's secrets.

    ``bearer`` needs token; ``basic`` needs username and password; ``headers`` and ``body`` need fields (header or
    body key -> secret). ``login`` needs the request ``login`` and where its answer holds the token (``access``); it
    signs in with HTTP basic when username and password are given, or with ``fields`` in the body of the request;
    ``lifetime`` is in seconds. ``refresh`` is sent with the refresh token as bearer, or with ``{refresh_token}`` in
    its body.
    """

    kind: t.Literal["none", "bearer", "basic", "headers", "body", "login"]
    token: t.Optional[str] = None
    username: t.Optional[str] = None
    password: t.Optional[str] = None
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    login: t.Optional[Request] = None
    access: t.Optional[Expression] = None
    lifetime: float = 900.0
    refresh: t.Optional[Request] = None
    refresh_token: t.Optional[Expression] = None

    def check(self) -> t.Optional[str]:
        needs = {
            "bearer": ("token",),
            "basic": ("username", "password"),
            "headers": ("fields",),
            "body": ("fields",),
            "login": ("login", "access"),
        }
        missing = [name for name in needs.get(self.kind, ()) if not getattr(self, name)]
        if self.username and not self.password and "password" not in missing:
            missing.append("password")
        return f"an auth of kind {self.kind} needs {' and '.join(missing)}" if missing else None

    def secrets(self) -> list[str]:
        """The names of the site's secrets that this way of signing in needs."""
        return [name for name in (self.token, self.username, self.password, *self.fields.values()) if name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """A base URL that every site gives in ``tradeops_urls``; ``path`` is put in front of every request's path."""

    description: str = ""
    path: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    name: str
    title: str
    services: dict[str, Service]
    auth: dict[str, Auth]
    capabilities: Capabilities
    schema: t.Literal[1] = 1
    documentation: str = ""
    default_auth: str = "operator"
    requests_per_second: t.Optional[float] = None
    answers: list[Answer] = dataclasses.field(default_factory=list)

    def check(self) -> t.Optional[str]:
        slow = self.requests_per_second is not None and self.requests_per_second <= 0
        return "requests_per_second must be more than 0" if slow else None


def _is_json(value: t.Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return isinstance(value, (str, bool, int, types.NoneType)) or (isinstance(value, float) and math.isfinite(value))


def _field(listing: Listing, name: str) -> tuple[Path, str] | None:
    return None if name in listing.fields else (("list", "fields"), f"must name {name}")


def _levels(levels: t.Mapping[State, State], reachable: set[State]) -> tuple[Path, str] | None:
    for level, target in levels.items():
        if STRICTNESS[target] < STRICTNESS[level] or level == "active":
            return ("levels", level), f"{target} is no stricter state than {level}"
        if target not in reachable:
            return ("levels", level), f"no transition leads to {target}"
    return None


def _words(read: Read, known: tuple[str, ...], name: str = "read") -> tuple[Path, str] | None:
    strange = sorted(set(read.map.values()) - set(known))
    return ((name, "map"), f"gives {', '.join(strange)}; it may give {', '.join(known)}") if strange else None


def _check_reading(sources: dict[str, Request], seconds: float) -> str | None:
    if not sources:
        return "at least one source is needed"
    return None if seconds > 0 else f"{seconds:g} seconds are not more than 0"
