# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a health check may say. The type hints are the schema (see ``_common/typed.py`` and docs/health.md)."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t
import urllib.parse

from .._common.errors import InputError
from .._common.typed import Data, Expression
from .hysteresis import Retries
from .thresholds import Level, Range

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LONGEST = 600.0  # s that one reading may take


class Moment(str):
    """A point in time with its zone, in ISO 8601."""

    at: datetime.datetime

    @classmethod
    def from_text(cls, text: str) -> Moment:
        """Read a moment. Raises ValueError with a sentence."""
        allowed = "give date, time and zone, such as '2026-11-29T02:00:00-05:00'"
        try:
            at = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no moment; {allowed}") from None
        if at.tzinfo is None:
            raise ValueError(f"{text!r} has no time zone; {allowed}")
        result = cls(text)
        result.at = at
        return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """What all kinds have in common.

    ``criticality``: what a failure does to the verdict: ``critical`` fails it, ``major`` makes it a warning,
    ``informational`` is only shown. ``degraded`` names the state that a warning of this check puts the site in.
    ``max_age``: seconds after which a reading that says when it was taken is no longer known.
    """

    name: str
    kind: str
    warning: t.Optional[Range] = None
    critical: t.Optional[Range] = None
    unit: str = ""
    criticality: t.Literal["critical", "major", "informational"] = "critical"
    degraded: str = ""
    timeout: float = 5.0
    max_age: t.Optional[float] = None
    retries: t.Optional[Retries] = None

    @property
    def waits(self) -> float:
        """Return the seconds in which it is known beforehand to do nothing but wait."""
        return 0.0

    def check(self) -> t.Any:
        if not _NAME.fullmatch(self.name):
            return ("name",), f"{self.name!r} must be letters, digits, dots, dashes and underscores"
        if not 0 < self.timeout <= _LONGEST:
            return ("timeout",), f"{self.timeout:g} is not more than 0 and at most {_LONGEST:g} seconds"
        if self.max_age is not None and self.max_age <= 0:
            return ("max_age",), f"{self.max_age:g} is not more than 0 seconds"
        return self.special()

    def special(self) -> t.Any:
        """Say what is wrong with the keys of this kind."""
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Addressed(Check):
    """``service`` and ``path`` of the platform, or a whole ``url``; ``token`` names a secret to send as bearer."""

    service: str = "api"
    path: str = ""
    query: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    url: t.Optional[str] = None
    token: t.Optional[str] = None

    def special(self) -> t.Any:
        if (self.url is None) == (not self.path):
            return "give either a path (of a service) or a url"
        return _url_problem(self.url, ("http", "https")) if self.url else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Http(_Addressed):
    """Whether a page answers as it should; the reading is how long that took, in seconds."""

    status: list[int] = dataclasses.field(default_factory=lambda: [200])
    contains: t.Optional[str] = None
    unit: str = "s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Json(_Addressed):
    """A value of a JSON answer. ``map`` gives words a level; ``age``: the value is a moment, the reading its age."""

    value: Expression
    auth: t.Optional[str] = None
    map: dict[str, Level] = dataclasses.field(default_factory=dict)
    as_of: t.Optional[Expression] = None
    age: bool = False

    def special(self) -> t.Any:
        if self.url and self.auth:
            return ("auth",), "a url is asked with a token, not with a way of signing in of the platform"
        if self.map and (self.age or self.warning or self.critical):
            return ("map",), "words have no thresholds and no age"
        if self.max_age is not None and self.as_of is None and not self.age:
            return ("max_age",), "it needs as_of, which says when the value was taken"
        return super().special()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock(_Addressed):
    """The difference between the clock of a service and ours, in seconds: of its Date header, or of ``as_of``."""

    as_of: t.Optional[Expression] = None
    auth: t.Optional[str] = None
    unit: str = "s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One request of the platform."""

    path: str
    service: str = "api"
    auth: t.Optional[str] = None
    query: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency(Check):
    """How long some requests of the platform take, one after the other, in milliseconds."""

    requests: list[Step]
    unit: str = "ms"

    def special(self) -> t.Any:
        return None if self.requests else (("requests",), "at least one request is needed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tcp(Check):
    """Whether a port takes connections; the reading is how long that took, in seconds."""

    host: str
    port: int
    unit: str = "s"

    def special(self) -> t.Any:
        return _port_problem(self.port)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate(Check):
    """The days for which a certificate is still valid. ``verify``: it must be one that is trusted, for this host."""

    host: str
    port: int = 443
    server_name: t.Optional[str] = None
    verify: bool = True
    unit: str = "days"

    def special(self) -> t.Any:
        return _port_problem(self.port)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostgreSQL(Check):
    """The database of the site, or of ``server``.

    ``ping``: seconds to connect and be answered. ``connections``: percent of those that may be. ``replication_lag``:
    seconds, the worst of all standbys. ``longest_query``: seconds. ``query``: the one number that it gives.
    """

    read: t.Literal["ping", "connections", "replication_lag", "longest_query", "query"] = "ping"
    query: t.Optional[str] = None
    standbys: int = 1
    server: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def special(self) -> t.Any:
        if (self.read == "query") != (self.query is not None):
            return ("query",), "it belongs to read: query, and only to that"
        return _known(self.server, ("host", "port", "database", "user", "sslmode", "ca_path"), "server")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Redis(Check):
    """The Redis of the site, or of ``server``.

    ``ping``: seconds to connect and be answered. ``memory``: percent of its limit, or of the machine where it has
    none. ``info``: the number that INFO gives for ``field``. ``cluster``: nodes that are lost; a failure where the
    cluster is not in order, or not all slots are served.
    """

    read: t.Literal["ping", "memory", "info", "cluster"] = "ping"
    field: t.Optional[str] = None
    server: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def special(self) -> t.Any:
        if (self.read == "info") != (self.field is not None):
            return ("field",), "it belongs to read: info, and only to that"
        return _known(self.server, ("host", "port", "db", "user", "ca_path"), "server")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kubernetes(Check):
    """A workload of the site's namespace. ``ready``: percent of the wanted pods. ``restarts``: of all its pods."""

    workload: str
    read: t.Literal["ready", "restarts"] = "ready"
    namespace: t.Optional[str] = None

    def special(self) -> t.Any:
        kind, _slash, name = self.workload.partition("/")
        if kind not in ("deployment", "statefulset", "daemonset") or not name:
            return ("workload",), f"{self.workload!r} is not deployment/, statefulset/ or daemonset/ and a name"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prometheus(Check):
    """What a query gives; no data is unknown. ``reduce``: what to make of several series."""

    url: str
    query: str
    reduce: t.Optional[t.Literal["max", "min", "sum", "avg", "count"]] = None
    token: t.Optional[str] = None

    def special(self) -> t.Any:
        return _url_problem(self.url, ("http", "https"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alertmanager(Check):
    """How many alerts are active that fit all ``matchers``; silenced and inhibited ones do not count."""

    url: str
    matchers: list[str] = dataclasses.field(default_factory=list)
    token: t.Optional[str] = None

    def special(self) -> t.Any:
        return _url_problem(self.url, ("http", "https"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk(Check):
    """How much of a file system is used, in percent. It is the machine that makes the checks that is looked at."""

    path: str
    read: t.Literal["space", "inodes"] = "space"
    unit: str = "%"


@dataclasses.dataclass(frozen=True, kw_only=True)
class File(Check):
    """The age of a file in seconds, of the newest that fits ``path`` (a pattern). None there is a failure."""

    path: str
    unit: str = "s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Host(Check):
    """Use of the machine that makes the checks: percent of CPU, memory or swap, or load for each CPU."""

    read: t.Literal["cpu", "memory", "swap", "load"]
    interval: float = 0.5

    @property
    def waits(self) -> float:
        return self.interval if self.read == "cpu" else 0.0

    def special(self) -> t.Any:
        if not 0 < self.interval < self.timeout:
            return ("interval",), f"{self.interval:g} must be more than 0 and less than the timeout, {self.timeout:g}"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Platform(Check):
    """What the platform's own profile can tell.

    ``health``: its own verdict. ``state``: its trading state, one of ``states``. ``metric``: one of its metrics.
    ``reconciliation``: differences between its book and the venue's. ``maintenance``: 1 while it is on. ``orders``,
    ``positions``, ``circuit_breakers`` (open), ``rollout`` (not at 0 %): how many.
    """

    read: t.Literal[
        "health",
        "state",
        "metric",
        "reconciliation",
        "maintenance",
        "orders",
        "positions",
        "circuit_breakers",
        "rollout",
    ] = "health"
    metric: t.Optional[str] = None
    states: list[str] = dataclasses.field(default_factory=list)

    def special(self) -> t.Any:
        if (self.read == "metric") != (self.metric is not None):
            return ("metric",), "it belongs to read: metric, and only to that"
        if (self.read == "state") != bool(self.states):
            return ("states",), "they belong to read: state, and only to that"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackupFreshness(Check):
    """The age in hours of the newest backup set that can be used and was verified at ``level`` or a higher one.

    None is a failure. It reads the stores of the backups themselves, so it does not depend on the job that makes them.
    A set without all of ``components`` is none: one of the configuration does not make up for the database.
    """

    level: t.Literal["listed", "sizes", "hashes", "tools", "restored"] = "hashes"
    types: list[str] = dataclasses.field(default_factory=list)
    components: list[str] = dataclasses.field(default_factory=list)
    stores: list[str] = dataclasses.field(default_factory=list)
    unit: str = "h"
    timeout: float = 30.0


KINDS: dict[str, type[Check]] = {
    "http": Http,
    "json": Json,
    "clock": Clock,
    "latency": Latency,
    "tcp": Tcp,
    "certificate": Certificate,
    "postgresql": PostgreSQL,
    "redis": Redis,
    "kubernetes": Kubernetes,
    "prometheus": Prometheus,
    "alertmanager": Alertmanager,
    "disk": Disk,
    "file": File,
    "host": Host,
    "platform": Platform,
    "backup_freshness": BackupFreshness,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Checks that stand for one another: ``at_least`` of the ``members`` must be good. With fewer than all of them the
    site is in the state ``degraded``."""

    name: str
    members: list[str]
    at_least: int
    degraded: str
    criticality: t.Literal["critical", "major", "informational"] = "critical"

    def check(self) -> t.Any:
        if not 1 <= self.at_least <= len(set(self.members)):
            return ("at_least",), f"{self.at_least} must be 1 to the number of members, {len(set(self.members))}"
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Maintenance:
    """What is being worked on, by whom and until when; ``checks``: only these, all without it."""

    owner: str
    until: Moment
    reason: str = ""
    checks: list[str] = dataclasses.field(default_factory=list)


def parse_checks(site: str, given: t.Sequence[t.Any]) -> list[Check]:
    """Return the checks of a site. Raises InputError that names the site, the check, the key and what is allowed."""
    found: list[Check] = []
    for index, item in enumerate(given):
        label = item.get("name") if isinstance(item, dict) else None
        where = f"{site}: checks[{index}]{f' ({label})' if label else ''}"
        kind = item.get("kind") if isinstance(item, dict) else None
        if not isinstance(item, dict) or kind not in KINDS:
            raise InputError(f"{where}: kind {kind!r} is not one of {', '.join(KINDS)}. Nothing was read.")
        check = Data(item, where).read(KINDS[kind])
        if check.name in {other.name for other in found}:
            raise InputError(f"{where}: another check has this name, too. Nothing was read.")
        found.append(check)
    return found


def parse_groups(site: str, given: t.Sequence[t.Any], checks: t.Sequence[Check]) -> list[Group]:
    """Return the groups of a site. Raises InputError, also for a member that is no check or is in two groups."""
    known, taken = {check.name for check in checks}, set[str]()
    groups = []
    for index, item in enumerate(given):
        where = f"{site}: groups[{index}]"
        group = Data(item, where).read(Group)
        for member in group.members:
            if member not in known or member in taken:
                problem = "is in another group, too" if member in taken else "is no check"
                raise InputError(f"{where} ({group.name}): members: {member!r} {problem}. Nothing was read.")
            taken.add(member)
        groups.append(group)
    return groups


def parse_maintenance(site: str, given: t.Any, checks: t.Sequence[Check]) -> Maintenance | None:
    """Return what is in maintenance, or None. Raises InputError."""
    if given is None:
        return None
    found = Data(given, f"{site}: maintenance").read(Maintenance)
    strange = sorted(set(found.checks) - {check.name for check in checks})
    if strange:
        raise InputError(f"{site}: maintenance: checks: {', '.join(strange)} is no check. Nothing was read.")
    return found


def _known(given: t.Mapping[str, t.Any], known: tuple[str, ...], key: str) -> t.Any:
    strange = sorted(set(given) - set(known))
    return ((key,), f"unknown key {strange[0]!r}; known here: {', '.join(known)}") if strange else None


def _port_problem(port: int) -> t.Any:
    return None if 0 < port < 65536 else (("port",), f"{port} is no port")


def _url_problem(url: str, schemes: tuple[str, ...]) -> t.Any:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if "@" in url:
        return ("url",), "it must not hold credentials; name a secret in token"
    return None if usable else (("url",), f"{url!r} is no {' or '.join(schemes)} address")
