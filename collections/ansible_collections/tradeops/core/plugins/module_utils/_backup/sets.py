# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A set while it is made: its id, the mark that says who is at it, its end, and what killed runs have left."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import platform
import re
import secrets
import threading
import typing as t

from .._common.errors import LeaseHeld, Refused, TradeopsError
from .._common.lease import born
from .._common.waiter import Deadline, poll
from .manifest import MANIFEST, Manifest, folder, to_json
from .store import Store
from .stream import Targets

MARKER = "running.json"
_ID = re.compile(r"\d{8}T\d{6}Z-[a-z-]+-[0-9a-f]{6}")
_LIFE = 1200.0  # s after which the mark of a run on another machine counts no more
_RENEWED = 300.0  # s
_SLEW = 5.0  # s by which a clock may be corrected during a run without a word
_GIVES_WAY = 15.0  # s that a run waits for one that began at the same moment and gives way


@dataclasses.dataclass(frozen=True)
class Running:
    """Who makes a set. Times are Unix times in seconds; ``born`` tells a process from a later one with its number.

    ``pid``: the process without which it does not go on, 0 where nobody can know. ``was``: the trading state of the
    site before it was halted for the set, empty where it was not.
    """

    operation: str
    host: str
    pid: int
    born: str
    started: float
    expires: float
    was: str = ""

    @property
    def left_halted(self) -> str:
        """Say that trading was halted for it, which nobody resumes when it is dead, or return an empty text."""
        if not self.was:
            return ""
        return (
            f"{self} had halted trading for the capture (the site was {self.was}), and ended without resuming it: "
            "look whether the site is still halted, and resume it with playbooks/emergency_resume.yml"
        )

    @property
    def alive(self) -> bool:
        """Whether that run may still be at it. Of this machine the process counts, whatever its clock says."""
        if self.pid and self.host == platform.node():
            return born(self.pid) == self.born
        return self.expires > _now().timestamp()

    def __str__(self) -> str:
        since = dt.datetime.fromtimestamp(self.started, dt.UTC)
        return f"{self.operation or 'a run'} on {self.host} (process {self.pid}), since {iso(since)}"


class Clock:
    """The time of one run: the machine's clock when it began, and what has gone by since, whoever sets that clock."""

    def __init__(self) -> None:
        self.started = _now()
        self._watch = Deadline(float("inf"))

    def now(self) -> dt.datetime:
        return self.started + dt.timedelta(seconds=self._watch.elapsed)

    @property
    def jump(self) -> float:
        """By how many seconds the machine's clock was set since; 0 for what it may be off by itself."""
        off = (_now() - self.now()).total_seconds()
        return round(off, 1) if abs(off) > _SLEW else 0.0


def new_id(kind: str, now: dt.datetime) -> str:
    """Return an id: its second, its kind, and three digits of the fraction before three that mean nothing."""
    return f"{now:%Y%m%dT%H%M%SZ}-{kind}-{now.microsecond * 4096 // 1_000_000:03x}{secrets.randbits(12):03x}"


def age(set_id: str) -> tuple[str, str]:
    """Return what sorts ids by time, also two of one second that differ in kind."""
    return set_id[:16], set_id[-6:]


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def iso(moment: dt.datetime) -> str:
    """Return a time in UTC as manifests have it."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_running(store: Store, site: str, set_id: str) -> Running | None:
    """Return the mark of a set, None when there is none. One that cannot be read counts as of nobody: expired."""
    key = f"{folder(site, set_id)}{MARKER}"
    if store.head(key) is None:
        return None
    try:
        found = running_of(json.loads(b"".join(store.read(key))))
    except Refused as exc:
        if exc.status == 404 or store.head(key) is None:  # it went away meanwhile
            return None
        raise
    except ValueError:
        found = None
    return found or Running("a run with a damaged mark", "", 0, "", 0.0, 0.0)


def running_of(mark: t.Any) -> Running | None:
    """Return who a mark names, None for a damaged one."""
    try:
        return Running(**mark)
    except TypeError:
        return None


class Making:
    """One set on its way into its stores: marked before anything else, published last, or taken back.

    ``pid`` and ``was``: see ``Running``; by default our own process. ``left_halted``: what dead runs have said of that.
    A site is halted for a set between ``begin``, with ``leave``, and ``take_up``, each in a process of its own; then
    the mark stays until ``settle``, for until then somebody has to resume the site.
    """

    def __init__(
        self,
        targets: Targets,
        site: str,
        set_id: str,
        operation: str,
        note: t.Callable[[str], None],
        *,
        was: str = "",
        pid: int | None = None,
    ) -> None:
        self.site = site
        self.id = set_id
        self.base = folder(site, set_id)
        self._targets = targets
        self._note = note
        self._stays = False
        started, process = _now().timestamp(), os.getpid() if pid is None else pid
        begun = born(process) if process else ""
        self._mark = Running(operation, platform.node(), process, begun, started, started + _LIFE, was)
        self.left_halted: list[str] = []
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name=f"mark {set_id}", daemon=True)

    def begin(self) -> None:
        """Mark the set and sweep what killed runs have left. Raises LeaseHeld when another run is at this site."""
        self._targets.each(lambda store: self._put(store, new=True))
        try:
            self._targets.each(self._alone)
        except LeaseHeld:
            self.discard()
            raise
        self._renewing.start()

    def leave(self) -> None:
        """Let another process of this run go on with the set."""
        self._end()

    def take_up(self) -> None:
        """Go on with a set that this run has begun. Raises Refused where it has not."""
        marks = self._targets.each(lambda store: read_running(store, self.site, self.id)).values()
        ours = next((mark for mark in marks if mark and mark.operation == self._mark.operation), None)
        if ours is None:
            raise Refused(
                f"{self.site}: {self.id} was not begun by this run, or another one has swept it. Nothing was captured.",
                method="read",
                path=self.id,
                sent=False,
            )
        self._stays, self._mark = True, ours
        self._targets.each(self._put)
        self._renewing.start()

    def publish(self, manifest: t.Callable[[dict[str, str]], Manifest], key: str) -> Manifest:
        """Make the set count: the manifest last. It is ``manifest`` of the fates of the stores.

        A store that refuses the manifest is out, too, and the others are told.
        """
        while True:
            made, fates = manifest(dict(self._targets.fates)), dict(self._targets.fates)
            data = to_json(made, key)
            self._targets.each(lambda store, data=data: store.put(f"{self.base}{MANIFEST}", data))  # type: ignore[misc]
            if fates == self._targets.fates:
                break
        self._end()
        for store in () if self._stays else self._targets.alive.values():
            self._quietly(store, lambda store: store.delete(f"{self.base}{MARKER}"))
        for store in self._targets.lost:
            self._quietly(store, self._clear)
        return made

    def discard(self) -> None:
        """Take everything back; what cannot be taken back now keeps its mark and is swept by the next run."""
        self._end()
        for store in (*self._targets.alive.values(), *self._targets.lost):
            self._quietly(store, self._clear)

    def _end(self) -> None:
        self._over.set()
        if self._renewing.is_alive():
            self._renewing.join()

    def _clear(self, store: Store) -> None:
        clear(store, self.base, marked=self._stays and store.name in self._targets.alive)

    def _quietly(self, store: Store, do: t.Callable[[Store], None]) -> None:
        try:
            do(store)
        except TradeopsError as exc:
            self._note(f"the next run has to remove the rest of {self.id} from the store {store.name}: {exc}")

    def _put(self, store: Store, *, new: bool = False) -> None:
        mark = dataclasses.replace(self._mark, expires=_now().timestamp() + _LIFE)
        store.put(f"{self.base}{MARKER}", json.dumps(dataclasses.asdict(mark)).encode(), new=new)

    def _renew(self) -> None:
        while not self._over.wait(_RENEWED):
            for store in list(self._targets.alive.values()):
                # One that cannot take the mark now is met by what is written into it, and out then.
                with contextlib.suppress(TradeopsError):
                    self._put(store)

    def _found_dead(self, mark: Running) -> None:
        if mark.left_halted and mark.left_halted not in self.left_halted:
            self.left_halted.append(mark.left_halted)

    def _alone(self, store: Store) -> None:
        """Sweep one store. Raises LeaseHeld when another run is at work in it."""
        for _attempt in poll(Deadline(_GIVES_WAY), first=0.2, longest=1.0):
            others = sweep(store, self.site, self.id, self._note, self._found_dead)
            if not others:
                return
            # Of two that began together the earlier goes on, once the other has given way. One that is at work already
            # does not, and then it is we who give way.
            if any((mark.started, name) < (self._mark.started, self.id) for name, mark in others.items()):
                break
        name, mark = min(others.items())
        raise LeaseHeld(
            f"{self.site} is being backed up by {mark}, as {name} in the store {store.name}. Wait until it ends; if "
            f"it is dead, its mark counts no more after {iso(dt.datetime.fromtimestamp(mark.expires, dt.UTC))}."
        )


def sweep(
    store: Store, site: str, own: str, note: t.Callable[[str], None], dead: t.Callable[[Running], None]
) -> dict[str, Running]:
    """Remove what killed runs have left of a site, and return the runs that are at work, by the id of their set.

    ``dead`` is told of each of them whose mark is removed.

    Only a set without a manifest and with the mark of a dead run is removed: one that lost its manifest otherwise is
    damage, and evidence.
    """
    marked: set[str] = set()
    whole: set[str] = set()
    for entry in store.entries(f"{site}/"):
        set_id, _slash, name = entry.key.removeprefix(f"{site}/").partition("/")
        if is_id(set_id) and set_id != own:
            if name == MARKER:
                marked.add(set_id)
            elif name == MANIFEST:
                whole.add(set_id)
    running: dict[str, Running] = {}
    for set_id in sorted(marked):
        mark = read_running(store, site, set_id)
        if mark is None:
            continue
        if set_id in whole:
            # It was killed, or denied, between its manifest and the end of its mark: the set is whole.
            with contextlib.suppress(TradeopsError):
                if not mark.alive:
                    dead(mark)
                    store.delete(f"{folder(site, set_id)}{MARKER}")
        elif mark.alive:
            running[set_id] = mark
        elif read_running(store, site, set_id) == mark:
            held = _held(store, folder(site, set_id))
            if held:
                # It counts for nothing, and retention removes it after the lock.
                note(f"what {mark} had left of {set_id} stays in the store {store.name}: {held}")
                continue
            dead(mark)
            clear(store, folder(site, set_id))
            note(f"removed from the store {store.name} what {mark} had left of {set_id} when it was ended")
    for left in list(store.unfinished(f"{site}/")):
        set_id = left.removeprefix(f"{site}/").partition("/")[0]
        if is_id(set_id) and set_id != own and set_id not in running and set_id not in whole:
            store.sweep(left)
            note(f"removed from the store {store.name} an unfinished upload of {set_id}")
    return running


def _held(store: Store, base: str) -> str:
    """Say which object below ``base`` is locked, and until when; empty when none is."""
    for entry in store.entries(base):
        why = store.held(entry.key)
        if why:
            return f"{entry.key.removeprefix(base)} is held by {why}"
    return ""


def settle(store: Store, site: str, set_id: str) -> None:
    """Take the mark of a set away, and the set with it where it was not published."""
    base = folder(site, set_id)
    if store.head(f"{base}{MANIFEST}") is None:
        clear(store, base)
    elif store.head(f"{base}{MARKER}") is not None:
        store.delete(f"{base}{MARKER}")


def clear(store: Store, base: str, *, marked: bool = False) -> None:
    """Remove everything below ``base``: first what would make it count, last the mark, which stays if ``marked``."""
    for left in list(store.unfinished(base)):
        store.sweep(left)
    keys = [entry.key for entry in store.entries(base)]
    manifest, marker = f"{base}{MANIFEST}", f"{base}{MARKER}"
    for key in sorted(keys, key=lambda key: (key == marker, key != manifest, key)):
        if key != marker or not marked:
            store.delete(key)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
