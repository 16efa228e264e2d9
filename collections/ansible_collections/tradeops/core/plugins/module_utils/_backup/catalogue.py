# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The sets of a site over all of its stores: what is there, what counts, and how far it was verified when.

A listing tells almost everything: ids have the time and the type, records of verifications their level and whether it
was reached. Only what a manifest alone can say is read from it, once: an index keeps it, which is a cache and nothing
more. It is asked only about a manifest that the listing shows with the same size and time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import typing as t

from .._common.errors import Damaged, InputError, Refused, TradeopsError, Unproven
from .asked import Asked
from .manifest import MANIFEST, SAFETY, Manifest, folder, from_json
from .retention import LEVELS
from .sets import Running, age, running_of
from .store import Entry, Store

RUNNING = "running.json"
HOLD = "hold.json"
DELETING = "deleting.json"
VERIFIED = "verified/"
FAILED = "failed"
ID = re.compile(r"(?P<at>\d{8}T\d{6}Z)-(?P<type>[a-z][a-z-]*)-(?P<rest>[0-9a-f]{6})")
_RECORD = re.compile(r"verified/(?P<at>\d{8}T\d{6}Z)-(?P<level>[a-z]+)\.json")
_STAMP = "%Y%m%dT%H%M%SZ"
_AT_ONCE = 8
_SHOWN = 3  # sets that a message names

State = t.Literal["whole", "partial", "running", "unfinished", "damaged", "deleting"]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the catalogue keeps of a manifest. ``moment``: the earliest one of its components."""

    started: str
    ended: str
    moment: str
    tag: str
    parent: str
    consistency: str
    components: dict[str, str]
    stores: dict[str, str]
    objects: int
    size: int
    clock: float = 0.0


@dataclasses.dataclass
class Copy:
    """A set in one store. ``flaw``: why it counts for nothing there. ``level``: the highest that it was verified at
    since it last failed, and ``verified`` when; ``failed`` when a verification last failed. ``run``: who makes it, or
    has still to resume the site that was halted for it."""

    store: str
    manifest: Entry | None = None
    objects: int = 0
    size: int = 0
    marks: set[str] = dataclasses.field(default_factory=set)
    records: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    flaw: str = ""
    state: State = "unfinished"
    held: str = ""
    level: str = ""
    verified: str = ""
    failed: str = ""
    run: Running | None = None

    @property
    def whole(self) -> bool:
        return not self.flaw


@dataclasses.dataclass
class Listed:
    """One set. ``taken`` is when it began, so it has everything from before. ``state`` is ``partial`` when it is whole
    in one store, and another one that was asked for never got it."""

    id: str
    site: str
    type: str
    taken: dt.datetime
    copies: dict[str, Copy]
    facts: Facts | None = None

    @property
    def usable(self) -> bool:
        """Whether a restore may begin with it."""
        return any(copy.whole for copy in self.copies.values())

    @property
    def state(self) -> State:
        if not self.usable:
            found = {copy.state for copy in self.copies.values()}
            order: tuple[State, ...] = ("damaged", "deleting", "running", "unfinished")
            return next(state for state in order if state in found)
        return "partial" if self.facts and any(fate != "stored" for fate in self.facts.stores.values()) else "whole"

    @property
    def problem(self) -> str:
        """Say what is wrong with it, and where."""
        said = [f"{copy.store}: {copy.flaw}" for copy in self.copies.values() if copy.flaw]
        if self.facts and self.usable:
            said += [f"{name}: {fate}" for name, fate in self.facts.stores.items() if fate != "stored"]
        runs = [copy.run for copy in self.copies.values() if copy.manifest and copy.run]
        said += [run.left_halted for run in runs if run.left_halted and not run.alive]
        if self.facts and self.facts.clock:
            said.append(f"the clock was set by {self.facts.clock:+g} s while it was made: its times may be wrong")
        if self.ahead:
            said.append("it says that it began in the future: a clock was wrong")
        return "; ".join(dict.fromkeys(said))

    @property
    def ahead(self) -> bool:
        """Whether it says that it began in the future: then nobody knows whether it is the newest one."""
        return self.taken > dt.datetime.now(dt.UTC)

    @property
    def held(self) -> str:
        return next((copy.held for copy in self.copies.values() if copy.held), "")

    @property
    def level(self) -> str:
        """The highest level at which a copy that is whole was verified, empty for none."""
        return max((copy.level for copy in self.copies.values() if copy.whole), key=rank, default="")

    @property
    def verified(self) -> str:
        """When that level was reached last."""
        level = self.level
        return max((copy.verified for copy in self.copies.values() if copy.whole and copy.level == level), default="")

    def reached(self, level: str) -> bool:
        """Whether it was verified at ``level`` or a higher one."""
        return rank(self.level) >= rank(level)

    def to_dict(self, now: dt.datetime) -> dict[str, t.Any]:
        """Return what is shown of it. Ages are seconds."""
        facts = self.facts
        verified = read_stamp(self.verified) if self.verified else None
        return {
            "id": self.id,
            "type": self.type,
            "state": self.state,
            "problem": self.problem,
            "taken": told(self.taken),
            "age": round((now - self.taken).total_seconds()),
            "moment": facts.moment if facts else "",
            "ended": facts.ended if facts else "",
            "size": max((copy.size for copy in self.copies.values()), default=0),
            "components": dict(facts.components) if facts else {},
            "consistency": facts.consistency if facts else "",
            "tag": facts.tag if facts else "",
            "parent": facts.parent if facts else "",
            "held": self.held,
            "level": self.level,
            "verified": told(verified) if verified else "",
            "verified_age": round((now - verified).total_seconds()) if verified else None,
            "stores": {
                copy.store: {"state": copy.state, "size": copy.size, "level": copy.level, "problem": copy.flaw}
                for copy in self.copies.values()
            },
        }


class Catalogue:
    """The sets of ``site``. ``key`` is the key of the manifests, ``index`` the folder of the cache (None: no cache).

    After ``sets``, ``problems`` says of each store that could not be listed why, ``strangers`` what else was there.
    """

    def __init__(
        self, stores: t.Sequence[Store], site: str, *, key: str = "", index: str | os.PathLike[str] | None = None
    ) -> None:
        if not site or "/" in site or site in (".", ".."):
            raise InputError(f"{site!r} is no name of a site that could be a folder of a store.")
        self.stores = list(stores)
        self.site = site
        self.problems: dict[str, str] = {}
        self.strangers: list[str] = []
        self._errors: dict[str, TradeopsError] = {}
        self._key = key
        self._index = _Index(pathlib.Path(index) if index else None, site, key)

    def sets(self, *, expected: bool = True) -> list[Listed]:
        """Return every set, the oldest first. Raises what a store raised when none could be listed.

        ``expected``: a store without anything of this site is then one that cannot be listed: a wrong folder, bucket
        or prefix looks just like that.
        """
        now, ordered = dt.datetime.now(dt.UTC), self._listed(expected)
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            self._fill(ordered, pool)
            list(pool.map(lambda job: self._mark(job[0], job[1], job[2], now), _marked(ordered)))
        self._index.save(ordered)
        for one in ordered:
            for copy in one.copies.values():
                _judge(copy, one.facts)
        return ordered

    def newest(
        self, level: str, types: t.Sequence[str] = (), components: t.Sequence[str] = (), *, expected: bool = True
    ) -> Listed | None:
        """Return the newest set with ``components`` that can be used and was verified at ``level``; raises as ``sets``.

        Only the manifests that decide it are read.
        """
        for one in reversed(self._listed(expected)):
            if one.type not in types if types else one.type == SAFETY:
                continue
            for copy in one.copies.values():
                _levels(copy)
            if any(rank(copy.level) >= rank(level) for copy in one.copies.values()):
                self._fill_one(one)
                for copy in one.copies.values():
                    _judge(copy, one.facts)
                has = set(components) <= one.facts.components.keys() if one.facts else not components
                if has and one.usable and one.reached(level) and not one.ahead:
                    return one
        return None

    def store(self, name: str) -> Store:
        return next(store for store in self.stores if store.name == name)

    def manifest(self, one: Listed) -> tuple[Store, Manifest]:
        """Return a store that has the set whole, and its manifest, read now and checked. Raises Refused or Damaged."""
        problem: TradeopsError = Refused(
            f"{self.site}: the set {one.id} is {one.state} ({one.problem}); it cannot be used.",
            method="read",
            path=one.id,
        )
        for copy in one.copies.values():
            if copy.whole:
                try:
                    return self.store(copy.store), self.read(copy, one.id)
                except TradeopsError as exc:
                    problem = exc
        raise problem

    def read(self, copy: Copy, set_id: str) -> Manifest:
        """Return the manifest of one copy, read now and checked. Raises Damaged, and what the store raises."""
        store = self.store(copy.store)
        where = f"{self.site}/{set_id} in the store {store.name}"
        found = from_json(b"".join(store.read(f"{folder(self.site, set_id)}{MANIFEST}")), where, self._key)
        if (found.site, found.id) != (self.site, set_id):
            raise Damaged(f"the manifest of {where} is that of {found.site}/{found.id}. Do not restore it.")
        return found

    def _listed(self, expected: bool) -> list[Listed]:
        """Merge the listings of all stores, the oldest set first."""
        with concurrent.futures.ThreadPoolExecutor(len(self.stores) or 1) as pool:
            listings = list(pool.map(lambda store: self._list(store, expected), self.stores))
        if self.stores and len(self._errors) == len(self.stores):
            raise self._errors[self.stores[0].name]
        found: dict[str, Listed] = {}
        for listing in listings:
            for set_id, copy in listing.items():
                if set_id not in found:
                    parts = t.cast("re.Match[str]", ID.fullmatch(set_id))
                    found[set_id] = Listed(set_id, self.site, parts["type"], read_stamp(parts["at"]), {})
                found[set_id].copies[copy.store] = copy
        return [found[set_id] for set_id in sorted(found, key=age)]

    def _list(self, store: Store, expected: bool) -> dict[str, Copy]:
        copies: dict[str, Copy] = {}
        start, found = f"{self.site}/", False
        try:
            for entry in store.entries(start):
                found = True
                set_id, _slash, name = entry.key[len(start) :].partition("/")
                copy = copies.get(set_id)
                if copy is None:
                    if not name or not _is_id(set_id):
                        if set_id not in self.strangers:
                            self.strangers.append(set_id)
                        continue
                    copy = copies[set_id] = Copy(store.name)
                _add(copy, name, entry)
            if expected and not found:
                raise Unproven(
                    f"{self.site}: the store {store.name} has nothing of this site. Where sets are expected that is "
                    f"an error: look at its path, bucket and prefix in tradeops_backup_stores."
                )
        except TradeopsError as exc:
            self.problems[store.name] = str(exc)
            self._errors[store.name] = exc
            return {}
        return copies

    def _fill(self, sets: t.Sequence[Listed], pool: concurrent.futures.Executor) -> None:
        """Find the facts of every set that has a manifest: from the index, else from the manifest itself."""
        list(pool.map(self._read_facts, [one for one in sets if not self._known(one)]))

    def _fill_one(self, one: Listed) -> None:
        if not self._known(one):
            self._read_facts(one)

    def _known(self, one: Listed) -> bool:
        """Take the facts of a set from the index; return whether there is nothing to read."""
        found = [self._index.get(one.id, copy) for copy in one.copies.values() if copy.manifest]
        one.facts = found[0] if found and all(found) else None
        return not found or one.facts is not None

    def _read_facts(self, one: Listed) -> None:
        read: dict[int, Facts] = {}
        for copy in one.copies.values():
            if copy.manifest is None:
                continue
            facts = read.get(copy.manifest.size)  # the same in every store, so one is read
            if facts is None:
                try:
                    facts = facts_of(self.read(copy, one.id))
                except TradeopsError as exc:
                    copy.state, copy.flaw = "damaged", str(exc)
                    continue
                read[copy.manifest.size] = facts
            one.facts = one.facts or facts
            self._index.put(one.id, copy, facts)

    def _mark(self, one: Listed, copy: Copy, mark: str, now: dt.datetime) -> None:
        """Read what a hold or a run says of itself."""
        try:
            found = json.loads(b"".join(self.store(copy.store).read(f"{folder(self.site, one.id)}{mark}")))
            until = str(found.get("until" if mark == HOLD else "expires") or "")
            over = bool(until) and _moment(until) <= now
        except (TradeopsError, ValueError, AttributeError) as exc:
            # What cannot be read holds: nothing is removed on a guess.
            found, until, over = {"reason": f"its {mark} cannot be read: {exc}"}, "", False
        if mark == HOLD and not over:
            by = f", by {found['by']}" if found.get("by") else ""
            copy.held = f"{found.get('reason') or 'no reason given'}{by}{f', until {until}' if until else ''}"
        if mark == RUNNING:
            copy.run = running_of(found)
            if copy.run.alive if copy.run else not over:
                copy.state = "running"


def catalogue_of(site: str, stores: t.Sequence[Store], given: t.Mapping[str, t.Any]) -> Catalogue:
    """Return the catalogue that a verb with the parameters ``given`` reads; its index lies beside the leases."""
    leases = os.path.expanduser(given["lease_dir"]).rstrip("/")
    key = str(given["secrets"].get("backup_manifest_key") or "")
    return Catalogue(stores, site, key=key, index=os.path.join(os.path.dirname(leases), "catalogue"))


def facts_of(manifest: Manifest) -> Facts:
    """Return what the catalogue keeps of a manifest."""
    artefacts = [artefact for component in manifest.components for artefact in component.artefacts]
    return Facts(
        started=manifest.started,
        ended=manifest.ended,
        moment=min((component.moment for component in manifest.components), default=manifest.started),
        tag=manifest.tag,
        parent=manifest.parent,
        consistency=manifest.consistency,
        components={component.name: component.engine for component in manifest.components},
        stores=dict(manifest.stores),
        objects=len(artefacts),
        size=sum(artefact.stored.size for artefact in artefacts),
        clock=manifest.clock,
    )


def choose(
    sets: t.Sequence[Listed],
    wanted: str = "latest",
    *,
    before: dt.datetime | None = None,
    kind: str = "",
    component: str = "",
    asked: Asked | None = None,
) -> Listed:
    """Return one set: by its id, by a day (UTC, ``2026-11-26``), or the latest one that is usable. Raises InputError.

    ``before``: only what was taken until then; ``kind``: only sets of this type; ``component``: only with this one;
    ``asked``: only with what is asked. A set that says it began in the future is only found by its id; ``passed_over``
    tells of those. What a restore kept of before (type ``safety``) is only found by its id and by its type.
    """
    if ID.fullmatch(wanted):
        found = next((one for one in sets if one.id == wanted), None)
        if found is None:
            raise InputError(f"there is no set {wanted}; {_newest(sets)}.")
        if not found.usable:
            raise InputError(
                f"the set {wanted} is {found.state} ({found.problem}): it cannot be used; {_newest(sets)}."
            )
        return found
    day: dt.date | None = None
    if wanted != "latest":
        try:
            day = dt.date.fromisoformat(wanted)
        except ValueError:
            raise InputError(
                f"{wanted!r} is neither 'latest' nor the id of a set nor a day such as 2026-11-26; {_newest(sets)}."
            ) from None
    fitting = [
        one
        for one in sets
        if one.usable
        and not one.ahead
        and (day is None or one.taken.date() == day)
        and (before is None or one.taken <= before)
        and (one.type == kind if kind else one.type != SAFETY)
        and (not component or (one.facts and component in one.facts.components))
        and not (asked and one.facts and asked.lacks(one.facts.components))
    ]
    if not fitting:
        limits = [
            f"of {wanted}" if wanted != "latest" else "",
            f"of type {kind}" if kind else "",
            f"taken until {told(before)}" if before else "",
            f"with the component {component}" if component else "",
            f"with {', '.join(sorted(asked.names))}, which {asked.what!r} asks for," if asked and asked.names else "",
        ]
        over = "".join(f"; {text}" for text in passed_over(sets, asked))
        limits.append("that can be used")
        raise InputError(f"there is no set {' '.join(filter(None, limits))}; {_newest(sets)}{over}.")
    return max(fitting, key=lambda one: age(one.id))


def passed_over(sets: t.Sequence[Listed], asked: Asked | None = None, chosen: Listed | None = None) -> list[str]:
    """Say which sets that are newer than the ``chosen`` one ``choose`` does not take for the latest, and why."""
    poor = [
        f"{one.id} lacks {asked.lacks(one.facts.components)}"
        for one in reversed(sets)
        if asked and one.facts and one.usable and not one.ahead and one.type != SAFETY
        if (chosen is None or age(one.id) > age(chosen.id)) and asked.lacks(one.facts.components)
    ]
    said = []
    if asked and poor:
        more = f" and {len(poor) - _SHOWN} more" if len(poor) > _SHOWN else ""
        what = f"the latest set that has what {asked.what!r} asks for is {chosen.id}; " if chosen else ""
        said = [f"{what}passed over {', '.join(poor[:_SHOWN])}{more}; name one by its id if it is the one"]
    return said + [
        f"passed over {one.id}: it says that it began in the future, so the clock of its machine is wrong, or "
        "ours is; name it by its id if it is the one"
        for one in sets
        if one.usable and one.ahead
    ]


def rank(level: str) -> int:
    """Return how much a level of verification means; nothing is -1."""
    return LEVELS.index(level) if level in LEVELS else -1


def stamp(moment: dt.datetime) -> str:
    """Return a moment as ids and names of records have it."""
    return moment.astimezone(dt.UTC).strftime(_STAMP)


def read_stamp(text: str) -> dt.datetime:
    # By hand, for there are tens of thousands. Raises ValueError for a 31 November.
    day, time = text[:8], text[9:15]
    parts = (day[:4], day[4:6], day[6:], time[:2], time[2:4], time[4:])
    return dt.datetime(*[int(part) for part in parts], tzinfo=dt.UTC)  # type: ignore[arg-type,misc]  # six numbers


def told(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest(sets: t.Sequence[Listed]) -> str:
    usable = [one.id for one in sets if one.usable and not one.ahead]
    return f"the newest that can be used: {', '.join(usable[-3:])}" if usable else "none can be used"


def _is_id(text: str) -> bool:
    if not ID.fullmatch(text):
        return False
    try:
        read_stamp(text[:16])
    except ValueError:  # a 31 November
        return False
    return True


def _add(copy: Copy, name: str, entry: Entry) -> None:
    """Put one object of the listing where it belongs."""
    if name == MANIFEST:
        copy.manifest = entry
    elif name in (RUNNING, HOLD, DELETING):
        copy.marks.add(name)
    elif name.startswith(VERIFIED):
        found = _RECORD.fullmatch(name)
        if found and (found["level"] in LEVELS or found["level"] == FAILED):
            copy.records.append((found["at"], found["level"]))
    else:
        copy.objects += 1
        copy.size += entry.size


def _marked(sets: t.Iterable[Listed]) -> list[tuple[Listed, Copy, str]]:
    return [
        (one, copy, mark)
        for one in sets
        for copy in one.copies.values()
        for mark in (HOLD, RUNNING)
        if mark in copy.marks
    ]


def _levels(copy: Copy) -> None:
    """Say how far a copy was verified, from the names of its records."""
    copy.records.sort()
    copy.failed = next((at for at, level in reversed(copy.records) if level == FAILED), "")
    passed = [(rank(level), at) for at, level in copy.records if level != FAILED and at > copy.failed]
    if passed:
        best, copy.verified = max(passed)
        copy.level = LEVELS[best]


def _judge(copy: Copy, facts: Facts | None) -> None:
    """Say in which state a copy is."""
    _levels(copy)
    if copy.flaw:
        return
    if DELETING in copy.marks:
        copy.state, copy.flaw = "deleting", "it is being removed"
    elif copy.manifest is None:
        if copy.state == "running":
            copy.flaw = f"it is being made by {copy.run}" if copy.run else "it is being made"
        else:
            copy.flaw = f"it has no manifest: {copy.run or 'the run that made it'} did not end"
            if copy.run and copy.run.left_halted:
                copy.flaw += f"; {copy.run.left_halted}"
    elif facts and (copy.objects, copy.size) != (facts.objects, facts.size):
        seen = f"{copy.objects} artefacts of {copy.size} bytes are there"
        copy.state, copy.flaw = "damaged", f"{seen}, its manifest has {facts.objects} of {facts.size}"
    elif copy.failed and not copy.level:
        copy.state, copy.flaw = "damaged", f"its verification failed at {told(read_stamp(copy.failed))}"
    else:
        copy.state = "whole"


def _moment(text: str) -> dt.datetime:
    """Read the time of a mark: ISO 8601, or seconds since the epoch."""
    try:
        return dt.datetime.fromtimestamp(float(text), dt.UTC)
    except ValueError:
        found = dt.datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


class _Index:
    """Facts of manifests by store, id, size and time: a file that may be lost or damaged at any time."""

    def __init__(self, place: pathlib.Path | None, site: str, key: str) -> None:
        # Under another key other manifests are accepted, so that key has an index of its own.
        self._seal = hmac.new(key.encode(), b"index of a catalogue, 1", hashlib.sha256).hexdigest()[:16]
        self._path = place / f"{site}.json" if place else None
        self._known: dict[str, list[t.Any]] = {}
        self._new: dict[str, list[t.Any]] = {}
        if self._path:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                found = json.loads(self._path.read_bytes())
                if found["seal"] == self._seal:
                    self._known = dict(found["sets"])

    def get(self, set_id: str, copy: Copy) -> Facts | None:
        known = self._known.get(f"{copy.store}/{set_id}")
        entry = copy.manifest
        if entry is None or not known or known[:2] != [entry.size, entry.modified]:
            return None
        try:
            return Facts(*known[2:])
        except TypeError:
            return None

    def put(self, set_id: str, copy: Copy, facts: Facts) -> None:
        if copy.manifest:
            entry = copy.manifest
            self._new[f"{copy.store}/{set_id}"] = [entry.size, entry.modified, *vars(facts).values()]

    def save(self, sets: t.Sequence[Listed]) -> None:
        """Keep what was learned. What cannot be kept is learned again."""
        if not self._path or not self._new:
            return
        names = {f"{copy.store}/{one.id}" for one in sets for copy in one.copies.values()}
        known = {name: facts for name, facts in {**self._known, **self._new}.items() if name in names}
        scratch = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch.write_text(json.dumps({"seal": self._seal, "sets": known}), encoding="utf-8")
            os.replace(scratch, self._path)
        except OSError:
            scratch.unlink(missing_ok=True)
