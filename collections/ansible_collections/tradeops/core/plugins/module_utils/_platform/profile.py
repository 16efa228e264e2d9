# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a platform profile may say. The type hints are the schema (see ``_common/typed.py`` and docs/profiles.md)."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import typing as t

from .._common.errors import InputError, ProfileError
from .._common.typed import Document, Expression, Path
from .states import STRICTNESS
from .wire import placeholders

State = t.Literal["active", "reducing", "halted", "flat", "stopped"]
ScopeKey = t.Literal["account", "venue", "strategy", "symbol", "owner"]
SCOPE_KEYS: tuple[str, ...] = t.get_args(ScopeKey)
Meaning = t.Literal["done", "refused", "denied", "absent", "uncertain", "deferred", "empty"]


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
    encoding: t.Literal["json", "form"] = "json"
    answers: list[Answer] = dataclasses.field(default_factory=list)

    def check(self) -> t.Optional[str]:
        return None if self.path.startswith("/") else f"the path {self.path!r} must begin with a slash"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Read:
    """A state that is read from one or several requests; ``value`` sees their bodies under the names of ``sources``."""

    sources: dict[str, Request]
    value: Expression
    map: dict[str, str] = dataclasses.field(default_factory=dict)
    as_of: t.Optional[Expression] = None
    max_age: float = 10.0

    def check(self) -> t.Optional[str]:
        return None if self.sources else "at least one source is needed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Witness:
    """An independent sign of order flow: ``marker`` must not move during ``quiet`` seconds of a halt."""

    sources: dict[str, Request]
    marker: Expression
    quiet: float = 0.5


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
        return None if "id" in self.fields else "fields must name an id"


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
    """

    request: Request
    repeatable: bool = False
    scopes: dict[ScopeKey, str] = dataclasses.field(default_factory=dict)
    items: t.Optional[Items] = None
    requires: list[State] = dataclasses.field(default_factory=list)

    def check(self) -> t.Optional[str]:
        wrong = [place for place in self.scopes.values() if not place.startswith(("query.", "body."))]
        return f"scopes: {wrong[0]!r} must begin with query. or body." if wrong else None


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
        unknown = sorted(set(self.read.map.values()) - set(t.get_args(State)))
        if unknown:
            return ("read", "map"), f"gives {', '.join(unknown)}, which is no trading state"
        reachable = {step.to for step in self.transitions}
        for level, target in self.levels.items():
            if STRICTNESS[target] < STRICTNESS[level]:
                return ("levels", level), f"{target} is looser than {level}"
            if target not in reachable:
                return ("levels", level), f"no transition leads to {target}"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orders:
    list: Listing
    cancel_all: t.Optional[Action] = None
    cancel_one: t.Optional[Action] = None
    lookup: t.Optional[Lookup] = None
    witness: t.Optional[Listing] = None

    def check(self) -> t.Optional[str]:
        return None if self.cancel_all or self.cancel_one else "cancel_all or cancel_one is needed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Positions:
    list: Listing
    close_all: t.Optional[Action] = None
    close_one: t.Optional[Action] = None
    witness: t.Optional[Listing] = None

    def check(self) -> t.Optional[str]:
        if "quantity" not in self.list.fields:
            return "the fields of list must name a quantity (signed: negative is short)"
        return None if self.close_all or self.close_one else "close_all or close_one is needed"


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
        return _fields(self.list, "open")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """Gradual migrations. ``list.fields``: id (the pair) and percentage."""

    list: Listing
    set_one: t.Optional[Action] = None
    set_all: t.Optional[Action] = None
    stop_all: t.Optional[Action] = None
    emergency_stop: t.Optional[Action] = None

    def check(self) -> t.Any:
        return _fields(self.list, "percentage")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """``list.fields``: id (the name of the limit) and value (a number). ``set`` gets ``{id}`` and ``{value}``."""

    list: Listing
    set: Action

    def check(self) -> t.Any:
        return _fields(self.list, "value")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeadManSwitch:
    """``read.value`` gives the seconds left, or null when it is not armed. ``arm`` gets ``{timeout}`` (seconds)."""

    read: Read
    arm: Action
    disarm: Action


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capabilities:
    trading: t.Optional[Trading] = None
    orders: t.Optional[Orders] = None
    positions: t.Optional[Positions] = None
    maintenance: t.Optional[Maintenance] = None
    circuit_breakers: t.Optional[Breakers] = None
    rollout: t.Optional[Rollout] = None
    risk_limits: t.Optional[Limits] = None
    dead_man_switch: t.Optional[DeadManSwitch] = None
    market: t.Optional[Read] = None
    health: t.Optional[Read] = None
    metrics: dict[str, Read] = dataclasses.field(default_factory=dict)

    def check(self) -> t.Any:
        found = self.health and _words(self.health, ("pass", "warn", "fail"))
        return (("health", *found[0]), found[1]) if found else None


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
        if self.username and not self.password:
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
    transport: t.Literal["http"] = "http"
    documentation: str = ""
    default_auth: str = "operator"
    requests_per_second: t.Optional[float] = None
    answers: list[Answer] = dataclasses.field(default_factory=list)

    def check(self) -> t.Any:
        return _check_requests(self)


# What requests may be filled with: what every operation has, and what the objects of verbs have.
PLACEHOLDERS = frozenset(
    "reason operator operation id symbol account strategy owner venue side quantity percentage mode value timeout "
    "refresh_token".split()
)


def _fields(listing: Listing, name: str) -> tuple[Path, str] | None:
    return None if name in listing.fields else (("list", "fields"), f"must name {name}")


def _words(read: Read, known: tuple[str, ...]) -> tuple[Path, str] | None:
    strange = sorted(set(read.map.values()) - set(known))
    return (("read", "map"), f"gives {', '.join(strange)}; it may give {', '.join(known)}") if strange else None


def _requests(value: t.Any, path: Path = ()) -> t.Iterator[tuple[Path, Request]]:
    """Yield every request below ``value``, with its path in the document."""
    if isinstance(value, Request):
        yield path, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _requests(getattr(value, field.name), (*path, field.name.rstrip("_")))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _requests(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _requests(item, (*path, index))


def _check_requests(profile: Profile) -> tuple[Path, str] | None:
    """Find the first request that names a service, a way of signing in or a placeholder that does not exist."""
    if profile.default_auth not in profile.auth:
        return ("auth",), f"has no {profile.default_auth!r}, which is the default_auth"
    for path, request in _requests(profile):
        if request.service not in profile.services:
            return (*path, "service"), f"services has no {request.service!r}"
        if request.auth and request.auth not in profile.auth:
            return (*path, "auth"), f"auth has no {request.auth!r}"
        strange = sorted(placeholders([request.path, request.query, request.body]) - PLACEHOLDERS)
        if strange:
            return path, f"unknown placeholder {{{strange[0]}}}; known: {', '.join(sorted(PLACEHOLDERS))}"
    return None


def parse(text: str, name: str) -> Profile:
    """Read a profile from its text; ``name`` is the file that errors name. Raises ProfileError."""
    return Document(text, name).read(Profile)


@functools.lru_cache(maxsize=64)
def _load(path: str, _stamp: int) -> Profile:
    try:
        return parse(pathlib.Path(path).read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as exc:
        raise ProfileError(f"{path}:1: not UTF-8: {exc.reason}") from exc


def load(path: pathlib.Path) -> Profile:
    """Read a profile from a file, once for every version of the file. Raises ProfileError."""
    return _load(str(path), path.stat().st_mtime_ns)


def find(name: str, folders: t.Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the file of the profile ``name``: a path to a YAML file, or a name looked up in ``folders``."""
    if name.endswith((".yml", ".yaml")):
        path = pathlib.Path(name).expanduser()
        if path.is_file():
            return path
        raise InputError(f"profile: the file {name} does not exist")
    for folder in folders:
        path = folder / f"{name}.yml"
        if path.is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yml")})
    raise InputError(
        f"profile: there is no profile {name!r} in {', '.join(map(str, folders))}; "
        f"known: {', '.join(known)}. Set tradeops_profile to one of them or to the path of your own YAML file."
    )
