# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Which backup sets of a store stay, and why. Pure functions; the rules are those of restic.

Sets of one type are a group, and the rules hold for each group. A set stays when any rule wants it: of the last ``n``
hours, days, weeks (Monday to Sunday), months or years *that have a set* the latest one, and where fewer exist than
asked the oldest one too; what lies within a time before the *latest* set, for the clock may be wrong. All in UTC.

Beyond restic: a set that is damaged, unfinished, partial or not verified counts for no rule. It is removed only where
``remove_failed_after`` says so, and never while its group has fewer good sets than the floor.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t

from .._common.errors import InputError, Unproven
from .._common.typed import Data
from .engine import Base
from .sets import age

LEVELS = ("listed", "sizes", "hashes", "tools", "restored")
_DURATION = re.compile(r"(?=\d)(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)d)?(?:(\d+)h)?")
_SKEW = dt.timedelta(minutes=5)
_ALL = -1

Bucket = t.Callable[[dt.datetime, int], int]
_BUCKETS: dict[str, Bucket] = {
    "last": lambda _at, number: number,
    "hourly": lambda at, _number: int(at.strftime("%Y%m%d%H")),
    "daily": lambda at, _number: int(at.strftime("%Y%m%d")),
    "weekly": lambda at, _number: int(at.strftime("%G%V")),
    "monthly": lambda at, _number: int(at.strftime("%Y%m")),
    "yearly": lambda at, _number: at.year,
}


class Duration(str):
    """Years, months, days and hours, such as ``7d`` or ``1y6m``."""

    parts: tuple[int, int, int, int]

    @classmethod
    def from_text(cls, text: str) -> Duration:
        """Read a duration. Raises ValueError with a sentence."""
        found = _DURATION.fullmatch(text.strip())
        if not found or not re.search("[1-9]", text):
            raise ValueError(f"{text!r} is no duration; give years, months, days, hours, such as '7d' or '1y6m'")
        result = cls(text.strip())
        years, months, days, hours = (int(part or 0) for part in found.groups())
        result.parts = (years, months, days, hours)
        return result

    def before(self, moment: dt.datetime) -> dt.datetime:
        """Return the moment that lies that long before. A day that a month lacks is one of the next month."""
        years, months, days, hours = self.parts
        month = moment.year * 12 + moment.month - 1 - years * 12 - months
        if month < 12:
            return dt.datetime.min.replace(tzinfo=moment.tzinfo)
        first = moment.replace(year=month // 12, month=month % 12 + 1, day=1)
        try:
            return first + dt.timedelta(days=moment.day - 1 - days, hours=-hours)
        except OverflowError:
            return dt.datetime.min.replace(tzinfo=moment.tzinfo)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """What stays. Numbers: -1 is all. ``keep_tags``: sets with one of these tags."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: t.Optional[Duration] = None
    keep_within_hourly: t.Optional[Duration] = None
    keep_within_daily: t.Optional[Duration] = None
    keep_within_weekly: t.Optional[Duration] = None
    keep_within_monthly: t.Optional[Duration] = None
    keep_within_yearly: t.Optional[Duration] = None
    keep_tags: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> t.Any:
        for name in _BUCKETS:
            if self.number(name) < _ALL:
                return (f"keep_{name}",), f"{self.number(name)} is neither a number of sets nor -1 for all"
        return None

    def number(self, bucket: str) -> int:
        return t.cast(int, getattr(self, f"keep_{bucket}"))

    def within(self, bucket: str) -> Duration | None:
        return t.cast("Duration | None", getattr(self, f"keep_within_{bucket}", None))

    @property
    def empty(self) -> bool:
        return self == Rules()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy(Rules):
    """The rules of one store.

    ``counts_from``: the level at which a set must have been verified to count. ``floor``: this many of the newest good
    sets of a type always stay. ``remove_failed_after``: how long before the latest good set one that does not count
    must lie to be removed; without it none is. ``at_most``: percent of the good sets of a type that one run may
    remove; more look like a clock that has jumped. ``types``: other rules for sets of one type.
    """

    counts_from: t.Literal["listed", "sizes", "hashes", "tools", "restored"] = "hashes"
    floor: int = 2
    remove_failed_after: t.Optional[Duration] = None
    at_most: int = 50
    types: dict[str, Rules] = dataclasses.field(default_factory=dict)

    def check(self) -> t.Any:
        if self.floor < 1:
            return ("floor",), f"{self.floor} would let the last set of a type be removed; give 1 or more"
        if not 0 < self.at_most <= 100:
            return ("at_most",), f"{self.at_most} is no percentage from 1 to 100"
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(Rules)}
        for name, rules in {"": Rules(**own), **self.types}.items():
            if rules.empty:
                return ("types", name) if name else (), "no rule says what to keep, and so nothing is removed"
        return super().check()

    def rules(self, kind: str) -> Rules:
        """Return the rules for sets of one type."""
        return self.types.get(kind, self)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A set as retention sees it, in one store. ``flaw``: why it counts for nothing, empty when it is good.

    ``held``: why it must not be removed. ``written``: when the store got it, by the clock of the store. ``begun``: a
    removal of it was begun, and it is no longer whole.
    """

    id: str
    type: str
    taken: dt.datetime
    flaw: str = ""
    held: str = ""
    tag: str = ""
    parent: str = ""
    written: dt.datetime | None = None
    running: bool = False
    begun: bool = False


@dataclasses.dataclass(frozen=True)
class Decision:
    """What becomes of one set, with every reason for it."""

    id: str
    type: str
    keep: bool
    reasons: tuple[str, ...]
    counts: bool


def parse(site: str, given: t.Mapping[str, t.Any], stores: t.Sequence[str]) -> dict[str, Policy]:
    """Return the policy of each store that has one. Raises InputError, also when there is none at all."""
    where = f"{site}: tradeops_backup_retention"
    common = {"floor": given["floor"]} if "floor" in given else {}
    found: dict[str, Policy] = {}
    for name, rules in given.items():
        if name == "floor":
            continue
        if name not in stores:
            raise InputError(f"{where}: {name!r} is no store; there are {', '.join(stores)}. Nothing was removed.")
        if not isinstance(rules, dict):
            raise InputError(f"{where}: {name}: expected a mapping with rules, found {rules!r}. Nothing was removed.")
        found[name] = Data({**common, **rules}, f"{where}: {name}").read(Policy)
    if not found:
        raise InputError(f"{where} has no rules for any store; without rules nothing is ever removed.")
    return found


def decide(subjects: t.Sequence[Subject], policy: Policy, now: dt.datetime) -> list[Decision]:
    """Say for every set whether it stays, the newest first. Raises Unproven when a clock has jumped."""
    ahead = [one for one in subjects if one.written and one.written > now + _SKEW]
    if ahead:
        raise Unproven(
            f"our clock says {_told(now)}, and the store got {ahead[0].id} at {_told(ahead[0].written or now)}: one of "
            f"the two clocks has jumped. Nothing was removed; put the clock right."
        )
    groups: dict[str, list[Subject]] = {}
    for one in sorted(subjects, key=lambda one: (one.taken, age(one.id)), reverse=True):
        groups.setdefault(one.type, []).append(one)
    reasons: dict[str, list[str]] = {one.id: [] for one in subjects}
    removable: dict[str, str] = {}
    good: set[str] = set()
    for kind, group in groups.items():
        good |= _judge_group(group, policy, policy.rules(kind), now, reasons, removable)
    _keep_parents(subjects, reasons)
    decisions = [
        Decision(one.id, one.type, bool(said), tuple(said) or (removable[one.id],), one.id in good)
        for one in sorted(subjects, key=lambda one: (one.taken, age(one.id)), reverse=True)
        for said in [reasons[one.id]]
    ]
    for kind in groups:
        _check_share(kind, [one for one in decisions if one.type == kind and one.counts], policy)
    return decisions


def _judge_group(
    group: list[Subject],
    policy: Policy,
    rules: Rules,
    now: dt.datetime,
    reasons: dict[str, list[str]],
    removable: dict[str, str],
) -> set[str]:
    """Add the reasons to keep the sets of one group, and why others go; return the good ones. The newest is first."""
    counting: list[Subject] = []
    for one in group:
        late = _future(one, now)
        if late:
            reasons[one.id].append(late)
        elif one.running:
            reasons[one.id].append("it is being made")
        elif not one.flaw and not one.begun:
            counting.append(one)
        if one.held:
            reasons[one.id].append(f"held: {one.held}")
    for one in counting[: policy.floor]:
        reasons[one.id].append(f"floor of {policy.floor}")
    for one, said in zip(counting, restic(counting, rules), strict=True):
        reasons[one.id] += said
        removable[one.id] = "no rule keeps it"
    for one in group:
        if one.begun and not reasons[one.id]:
            removable[one.id] = "its removal was begun"
        elif one.flaw and not reasons[one.id]:
            why = _flawed(one, counting, policy)
            if why:
                reasons[one.id].append(why)
            else:
                removable[one.id] = (
                    f"it counts for nothing ({one.flaw}), and is older than {policy.remove_failed_after}"
                )
    return {one.id for one in counting}


def restic(group: t.Sequence[Subject], rules: Rules) -> list[list[str]]:
    """Return, for each of some good sets, the newest first, the reasons to keep it: restic's rules and its words."""
    left = {name: rules.number(name) for name in _BUCKETS}
    last: dict[str, int | None] = {}
    found: list[list[str]] = []
    for number, one in enumerate(group):
        oldest, said = number == len(group) - 1, []
        latest = group[0].taken
        if one.tag and one.tag in rules.keep_tags:
            said.append(f"has tag {one.tag}")
        if rules.keep_within and one.taken > rules.keep_within.before(latest):
            said.append(f"within {rules.keep_within}")
        for name, bucket in _BUCKETS.items():
            value = bucket(one.taken, number)
            if left[name] and (value != last.get(name) or oldest):
                said.append(f"{'oldest ' if value == last.get(name) else ''}{name} set")
                last[name] = value
                left[name] -= left[name] > 0
            within, key = rules.within(name), f"within {name}"
            if within and one.taken > within.before(latest) and (value != last.get(key) or oldest):
                said.append(f"{'oldest ' if value == last.get(key) else ''}{name} within {within}")
                last[key] = value
        found.append(said)
    return found


def needless(bases: t.Sequence[Base], had: t.Container[str], used: t.Collection[str]) -> list[tuple[Base, str]]:
    """Return the base backups of a server that no set has any more, the newest first, each with why it stays after all.

    ``had`` are those that sets had before this run, ``used`` those that sets have which stay. One of ours that no set
    ever had, of a run that failed, goes with those that are older than what a set has. The newest always stays: the
    server goes on with its log, which is worth nothing without it.
    """
    whole = [base.id for base in bases if base.usable]
    newest = whole[-1] if whole else ""
    since = max((base.ended for base in bases if base.id in used), default="")
    gone = {base.id for base in bases if base.id not in used and (base.id in had or (base.ours and base.ended < since))}
    found = []
    for base in reversed(bases):
        if base.id not in gone:
            continue
        built = [one.id for one in bases if base.id in one.needs and one.id not in gone]
        why = f"{built[0]} is built on it, and stays" if built else ""
        if base.id == newest:
            why = "it is the newest base backup of the server, whose log goes on from it"
        if why:
            gone.discard(base.id)
        found.append((base, why))
    return found


def _future(one: Subject, now: dt.datetime) -> str:
    if one.taken > now + _SKEW:
        return "dated in the future, left alone"
    if one.written and one.taken > one.written + _SKEW:
        return f"dated after the store got it ({_told(one.written)}), left alone"
    return ""


def _flawed(one: Subject, counting: list[Subject], policy: Policy) -> str:
    """Say why a set that does not count stays, or nothing when it may go."""
    if not policy.remove_failed_after:
        return f"counts for nothing ({one.flaw}); nothing says when such a set may go"
    if len(counting) < policy.floor:
        return f"counts for nothing ({one.flaw}), but there are fewer than {policy.floor} good ones"
    if one.taken > policy.remove_failed_after.before(counting[0].taken):
        return f"counts for nothing ({one.flaw}), within {policy.remove_failed_after}"
    return ""


def _keep_parents(subjects: t.Sequence[Subject], reasons: dict[str, list[str]]) -> None:
    parents = {one.id: one.parent for one in subjects if one.parent}
    for one in subjects:
        child, parent = one.id, parents.get(one.id, "") if reasons[one.id] else ""
        # A chain that bites its own tail is not followed twice.
        followed = {child}
        while parent in reasons and parent not in followed:
            followed.add(parent)
            said = f"parent of {child}"
            if said not in reasons[parent]:
                reasons[parent].append(said)
            child, parent = parent, parents.get(parent, "")


def _check_share(kind: str, good: list[Decision], policy: Policy) -> None:
    removed = [one for one in good if not one.keep]
    if removed and len(removed) * 100 > policy.at_most * len(good):
        raise Unproven(
            f"{len(removed)} of {len(good)} good sets of type {kind} would be removed, more than {policy.at_most} %. A "
            f"clock that has jumped looks like this. When it is meant, allow more with at_most. Nothing was removed."
        )


def _told(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
