# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The plan of a restore: a pure function of a set, of the live targets and of what was asked for.

It says for each component what will be replaced by what, in which way, how much room that takes, and why it cannot be.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._backup.asked import KEPT, PHYSICAL
from .._backup.manifest import Component, Manifest
from .._common.errors import InputError

# In which order components are put back: what others refer to comes first, the objects that may start pods last.
ORDER = ("barman", "pgbackrest", "postgresql", "redis", "files", "kubernetes")
# An extension whose catalogue is data of the dump: only the very version that wrote it can read it.
_SAME_VERSION = ("timescaledb",)
_SPARE = 1.05  # how much more room than the bytes themselves a restore needs


@dataclasses.dataclass(frozen=True)
class Room:
    """Where a component is restored. ``free``: bytes, None where nobody can know. ``device``: two places on one disk
    have one number."""

    place: str
    free: int | None
    device: int = 0

    @property
    def disk(self) -> int | str:
        return self.device or self.place


@dataclasses.dataclass(frozen=True)
class Role:
    """A role that is missing. ``was``: what it could do where it was captured, empty where that is not known."""

    name: str
    was: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.was})" if self.was else self.name


@dataclasses.dataclass(frozen=True)
class Target:
    """What a component would be restored over, as observed. ``version`` is the server's, such as (18, 4).

    ``extensions``: name -> versions that the server could install. ``tool``: the version of the program that reads the
    artefact. ``needs``: bytes that the restore takes there. ``shown``: what the diff tells of it. ``problems``: what
    makes it impossible. ``roles``: those that the server lacks; ``may_create_roles``: whether they can be made.
    """

    name: str
    exists: bool
    shown: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    version: tuple[int, ...] = ()
    tool: tuple[int, ...] = ()
    extensions: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    room: Room | None = None
    needs: int = 0
    way: str = ""
    safety: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    may_create_roles: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """What becomes of one component: what is there (``replaces``), what the set has (``by``), what stays of the first
    (``safety``), which ``roles`` are made."""

    component: str
    engine: str
    target: str
    replaces: dict[str, t.Any] | None
    by: dict[str, t.Any]
    way: str
    safety: str
    needs: int
    free: int | None
    roles: tuple[str, ...] = ()


@dataclasses.dataclass
class Plan:
    """``refusals``: why nothing may be done, all of them."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    refusals: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def before(self) -> dict[str, t.Any]:
        return {step.component: step.replaces for step in self.steps}

    @property
    def after(self) -> dict[str, t.Any]:
        return {step.component: step.by for step in self.steps}

    def told(self, set_id: str) -> list[dict[str, t.Any]]:
        """Return the steps as results tell them."""
        return [
            {
                "action": "restore",
                "method": step.way,
                "path": step.target,
                "service": step.engine,
                "component": step.component,
                "why": f"from {set_id}" + (f"; what is there stays as {step.safety}" if step.safety else ""),
                **({"roles": list(step.roles)} if step.roles else {}),
                "needs": step.needs,
                "free": step.free,
            }
            for step in self.steps
        ]


def selected(
    site: str, manifest: Manifest, what: str, types: t.Mapping[str, t.Any], only: t.Sequence[str], *, to_moment: bool
) -> list[Component]:
    """Return the components that are asked for, in the order in which they are put back. Raises InputError.

    ``types`` are tradeops_backup_types: what a backup of type ``database`` or ``config`` has is what such a restore
    puts back, and ``data`` is the rest. ``to_moment``: a server is recovered from its log, so its dump is not;
    otherwise the dump is restored where there is one.
    """
    have = {component.name: component for component in manifest.components}
    names = set(have)
    if what != "full":
        parts = {part: set(_of_type(site, types, part)) for part in ("database", "config")}
        names &= parts[what] if what in parts else names - parts["database"] - parts["config"]
    unknown = sorted(set(only) - set(have))
    if unknown:
        raise InputError(
            f"{site}: the set {manifest.id} has no component {', '.join(unknown)}; it has {', '.join(sorted(have))}. "
            "Nothing was touched."
        )
    chosen = [have[name] for name in names if not only or name in only]
    engines = {component.engine for component in chosen}
    if to_moment:
        chosen = [item for item in chosen if item.engine != "postgresql"]
    elif "postgresql" in engines:
        chosen = [item for item in chosen if item.engine not in PHYSICAL]
    if all(left_out(item, only) for item in chosen):
        raise InputError(
            f"{site}: the set {manifest.id} has nothing that {what!r} asks for; it has {', '.join(sorted(have))}. "
            "Nothing was touched."
        )
    return sorted(
        chosen, key=lambda item: (ORDER.index(item.engine) if item.engine in ORDER else len(ORDER), item.name)
    )


def left_out(component: Component, only: t.Container[str]) -> str:
    """Say why a component is kept for reading and not put back, or return an empty text."""
    if component.engine not in ORDER:
        return KEPT.get(component.engine, f"nothing restores what {component.engine} captured")
    if component.facts.get("newer_than") and component.name not in only:
        return f"it has files of the last {component.facts['newer_than']} only; name it to put them back"
    return ""


def plan(
    site: str, components: t.Sequence[Component], targets: t.Mapping[str, Target], scratch: Room, *, decrypted: int
) -> Plan:
    """Return what would be done. ``scratch`` is where ``decrypted`` bytes are put for the time of the restore."""
    made = Plan()
    needed: dict[int | str, int] = {scratch.disk: decrypted}
    rooms: dict[int | str, Room] = {scratch.disk: scratch}
    for component in components:
        if component.name not in targets:
            made.notes.append(f"{component.name} is left out: {left_out(component, ())}")
            continue
        target = targets[component.name]
        made.refusals += [f"{component.name}: {problem}" for problem in target.problems]
        made.notes += [f"{component.name}: {note}" for note in target.notes]
        _compare_versions(component, target, made)
        _compare_extensions(component, target, made)
        _compare_roles(component, target, made)
        if target.room:
            rooms.setdefault(target.room.disk, target.room)
            needed[target.room.disk] = needed.get(target.room.disk, 0) + target.needs
        made.steps.append(
            Step(
                component.name,
                component.engine,
                target.name,
                target.shown if target.exists else None,
                _content(component),
                target.way,
                target.safety if target.exists else "",
                target.needs,
                target.room.free if target.room else None,
                tuple(role.name for role in target.roles),
            )
        )
    for disk, size in needed.items():
        place, free = rooms[disk].place, rooms[disk].free
        if free is None:
            made.notes.append(f"how much room {place} has is not known; {_megabytes(size)} are needed")
        elif size * _SPARE > free:
            made.refusals.append(
                f"{place} has {_megabytes(free)} free and {_megabytes(int(size * _SPARE))} are needed: make room there"
            )
    return made


def _compare_versions(component: Component, target: Target, made: Plan) -> None:
    wrote = _version(component.facts.get("server_version") or component.facts.get("version"))
    if wrote and target.version and target.version[0] < wrote[0]:
        made.refusals.append(
            f"{component.name}: {target.name} is of version {_dotted(target.version)}, older than the server that was "
            f"backed up ({_dotted(wrote)}); restore onto {wrote[0]} or newer"
        )
    elif wrote and target.version and target.version[0] > wrote[0]:
        made.notes.append(
            f"{component.name}: {target.name} is of version {_dotted(target.version)}, newer than what was backed up "
            f"({_dotted(wrote)})"
        )
    tool = _version(component.facts.get("client_version"))
    if tool and target.tool and target.tool[0] < tool[0]:
        made.refusals.append(
            f"{component.name}: pg_restore is of version {_dotted(target.tool)}, and {_dotted(tool)} made the dump; "
            f"set tradeops_postgresql_bin to programs of version {tool[0]} or newer"
        )


def _compare_extensions(component: Component, target: Target, made: Plan) -> None:
    if component.engine != "postgresql":
        return
    for name, version in sorted(component.facts.get("extensions", {}).items()):
        can = target.extensions.get(name, ())
        if not can:
            made.refusals.append(
                f"{component.name}: the server has no extension {name}; install version {version} of it there"
            )
        elif version not in can and name in _SAME_VERSION:
            made.refusals.append(
                f"{component.name}: the data need {name} {version} exactly, and the server has {', '.join(can)}; "
                f"install {version} there, and update it after the restore"
            )
        elif version not in can:
            made.notes.append(f"{component.name}: {name} was {version}, and the server has {', '.join(can)}")


def _compare_roles(component: Component, target: Target, made: Plan) -> None:
    if problem := roles_refused(target.roles, may_create=target.may_create_roles):
        made.refusals.append(f"{component.name}: {problem}")
    elif target.roles:
        made.notes.append(f"{component.name}: {roles_made(target.roles)}")


def roles_refused(roles: t.Sequence[Role], *, may_create: bool) -> str:
    """Say why roles that are missing cannot be made, or return an empty text."""
    names = ", ".join(map(str, roles))
    reserved = ", ".join(role.name for role in roles if role.name.startswith("pg_"))
    if not roles or (may_create and not reserved):
        return ""
    if reserved:
        return f"the server has no role {reserved}, which only a newer server has; restore onto one of that version"
    return (
        f"the server has no role {names}, which the database needs for what they own or may do, and this login may "
        "not make roles: make them (globals.sql of the set has them), or give it CREATEROLE"
    )


def roles_made(roles: t.Sequence[Role]) -> str:
    """Say which roles are made, and what the operator has to do about them."""
    names = ", ".join(map(str, roles))
    return (
        f"the server has no role {names}: made as NOLOGIN, without a password, and with no more rights than the dump "
        f"gives; globals.sql of the set has what they could do"
    )


def _content(component: Component) -> dict[str, t.Any]:
    """Return what the diff shows of a component: its moment and its amounts, never its content."""
    rows = component.facts.get("rows") or {}
    shown: dict[str, t.Any] = {"moment": component.moment}
    if rows:
        shown |= {"tables": len(rows), "rows": sum(rows.values())}
    for fact in ("keys", "files", "objects", "server_version", "version"):
        value = component.facts.get(fact)
        if value is not None:
            shown[fact] = len(value) if isinstance(value, (dict, list)) else value
    return shown


def _of_type(site: str, types: t.Mapping[str, t.Any], part: str) -> list[str]:
    """Return the names of components that a type of backup has. Raises InputError."""
    found = types.get(part)
    names = found.get("components") if isinstance(found, dict) else None
    if not isinstance(names, list):
        raise InputError(
            f"{site}: tradeops_backup_types does not say which components are {part}; give it a type {part!r} with its "
            "components. Nothing was touched."
        )
    return [str(name) for name in names]


def _version(text: t.Any) -> tuple[int, ...]:
    """Return the numbers at the beginning of a version, such as (18, 4) of ``18.4 (Debian)``."""
    numbers = []
    for part in str(text or "").split(" ", maxsplit=1)[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
