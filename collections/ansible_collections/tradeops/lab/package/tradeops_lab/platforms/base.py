# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an adapter is made of: Platform, routes, ways of signing in, the Call a handler gets, its answers."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ..simulator.engine import Engine
    from ..simulator.site import Site

Body = dict[str, t.Any]
Row = t.Mapping[str, t.Any]


@dataclasses.dataclass
class Call:
    """One request as a handler sees it. ``engine`` works inside the request's own transaction."""

    site: Site
    engine: Engine
    method: str
    path: dict[str, str]
    query: dict[str, str]
    body: Body
    headers: t.Mapping[str, str]
    actor: str = "anonymous"

    @property
    def platform(self) -> Platform:
        return self.site.platform

    @property
    def reason(self) -> str:
        return str(self.body.get("reason") or self.query.get("reason") or "")


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer whose status is not 200, or that needs headers. ``body`` None sends no body, a str plain text."""

    body: t.Any = None
    status: int = 200
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


class Refusal(Exception):
    """The platform says no. Everything the handler did is undone; ``Platform.error`` shapes the answer."""

    def __init__(
        self, status: int, code: str, message: str, headers: t.Mapping[str, str] | None = None, **extra: t.Any
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra
        self.headers = dict(headers or {})


Handler = t.Callable[[Call], t.Awaitable[t.Any]]


@dataclasses.dataclass(frozen=True)
class Bearer:
    """``Authorization: Bearer <secret>``. ``denied`` is the status for a token that does not fit (none at all: 401)."""

    secret: str
    denied: int = 401


@dataclasses.dataclass(frozen=True)
class Headers:
    """Every header of ``fields`` (header -> name of the secret) must carry its secret."""

    fields: t.Mapping[str, str]
    denied: int = 403


@dataclasses.dataclass(frozen=True)
class InBody:
    """Every key of ``fields`` (key of the request body -> name of the secret) must carry its secret."""

    fields: t.Mapping[str, str]
    denied: int = 403


@dataclasses.dataclass(frozen=True)
class Session:
    """A bearer token that a sign-in route made with ``simulator.sessions`` (kept in the site's Redis)."""

    denied: int = 401


Auth = Bearer | Headers | InBody | Session


@dataclasses.dataclass(frozen=True)
class Route:
    """One endpoint. ``path`` comes after the prefix of its service; ``auth`` names an entry of ``Platform.auth``."""

    method: str
    path: str
    handler: Handler
    auth: str | None = "operator"
    writes: bool = False
    service: str = "api"


def plain_error(refusal: Refusal) -> t.Any:
    return {"error": refusal.code, "message": refusal.message}


def plain_id(number: int) -> str:
    return f"O-{number:x}"


@dataclasses.dataclass(frozen=True)
class Platform:
    """A kind of trading system. ``services``: name -> prefix of its paths; services may share one port.

    ``symbols`` maps the five seeded pairs to a price. ``states`` maps the engine's states to the platform's words.
    ``trading_state`` may derive the state from the settings where it is not simply stored (default: key ``trading``).
    ``models`` names the model files that a site has. ``trades_with`` names what has to be there for orders to be
    placed: services that processes hold, and in a cluster workloads that have a pod at work. There the API is answered
    while the workload ``served_by`` has a ready pod.
    ``config`` names the folder of ``platforms/config/`` with its configuration files, ``parquet_days`` says
    for how many days it has a data file for each symbol.
    ``history`` names the tables of ``simulator/history.py`` that the platform has.
    ``exits_while_reducing`` is False where nobody is left then who would place orders that reduce positions.
    ``order_id`` makes an order's id from a number that only grows (microseconds of a clock).
    """

    name: str
    services: t.Mapping[str, str]
    auth: t.Mapping[str, Auth]
    routes: t.Sequence[Route]
    states: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    symbols: t.Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"BTC-USD": 64_000, "ETH-USD": 3_100, "SOL-USD": 145, "ADA-USD": 0.45, "DOT-USD": 6.2}
    )
    accounts: t.Sequence[str] = ("main", "hedge")
    venues: t.Sequence[str] = ("north", "south")
    strategies: t.Sequence[str] = ("maker", "momentum", "carry")
    owners: t.Sequence[str] = ("desk-a", "desk-b")
    limits: t.Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"max_position": 250_000, "max_daily_loss": 5_000, "max_leverage": 3}
    )
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    models: t.Sequence[str] = ()
    config: str = ""
    parquet_days: int = 0
    history: t.Sequence[str] = ()
    error: t.Callable[[Refusal], t.Any] = plain_error
    trading_state: t.Callable[[t.Mapping[str, t.Any]], str] = lambda settings: str(settings["trading"])
    trades_with: t.Sequence[str] = ()
    exits_while_reducing: bool = True
    order_id: t.Callable[[int], str] = plain_id
    served_by: str = ""

    def word(self, state: str) -> str:
        """The platform's word for a trading state of the engine."""
        return self.states.get(state, state.upper())
