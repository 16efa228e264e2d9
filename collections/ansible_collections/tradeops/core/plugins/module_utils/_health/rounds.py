# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""All checks of a site at once: each in a thread of its own, so that one that hangs costs its own time and no more."""

from __future__ import annotations

import dataclasses
import datetime
import queue
import threading
import time
import typing as t

from .._common.errors import TradeopsError
from .._common.waiter import Deadline
from .._platform.site import Site
from .asked import Asked
from .checks import Check, Maintenance
from .hysteresis import Retries, flapping, settle
from .probes.table import PROBES, load
from .reading import Judged, NoAnswer, Unreadable, failed, judged
from .thresholds import Level
from .verdict import Result, maintained

# Seconds beyond its own time in which a check is awaited: a thread that was slow to be scheduled is no failure.
_GRACE = 0.5
_KEPT = 100  # levels of a check that are remembered


@dataclasses.dataclass
class Watch:
    """One check over time: the levels of its readings, the level that is believed, and the newest reading."""

    check: Check
    retries: Retries
    levels: list[Level] = dataclasses.field(default_factory=list)
    believed: Level | None = None
    newest: Judged | None = None
    values: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    taken: int = 0
    violations: int = 0

    @property
    def longest(self) -> float:
        """Seconds that the readings of one round may take."""
        again = self.retries.of - 1 if self.believed is None else 0
        return self.check.timeout + again * (self.check.timeout + self.retries.pause)

    def add(self, found: t.Iterable[Judged]) -> None:
        for seen in found:
            self.levels = [*self.levels, seen.level][-_KEPT:]
            self.newest = seen
            self.taken += 1
            self.violations += seen.level != "pass"
            if isinstance(seen.value, (int, float)):
                self.values.append((seen.at, float(seen.value)))
        # A window that was cut short by the end of the time is taken for its last reading.
        self.believed = settle(self.levels, self.retries, self.believed) or self.levels[-1]

    def result(self, maintenance: Maintenance | None, now: datetime.datetime) -> Result:
        level, newest = t.cast("tuple[Level, Judged]", (self.believed, self.newest))
        return Result(self.check, level, newest, flapping(self.levels), maintained(self.check, maintenance, now))


def read_all(watches: t.Sequence[Watch], site: Site, given: t.Mapping[str, t.Any], deadline: Deadline) -> None:
    """Take one reading of every check, more where its level is not decided yet. Never raises for what a check does."""
    answers: queue.SimpleQueue[tuple[str, list[Judged]]] = queue.SimpleQueue()
    began: dict[str, float] = {}
    waiting = {watch.check.name: watch for watch in watches}

    def begin(watch: Watch) -> None:
        began[watch.check.name] = time.monotonic()
        arguments = (watch, site, given, deadline, answers)
        threading.Thread(target=_take, args=arguments, name=watch.check.name, daemon=True).start()

    # What only waits begins first: libraries are loaded and the others work in the meantime.
    for watch in watches:
        if watch.check.waits:
            begin(watch)
    load(watch.check for watch in watches)
    for watch in watches:
        if not watch.check.waits:
            begin(watch)
    while waiting:
        now = time.monotonic()
        left = {
            name: began[name] + min(watch.longest, deadline.seconds) + _GRACE - now for name, watch in waiting.items()
        }
        for name in [name for name, seconds in left.items() if seconds <= 0]:
            watch = waiting.pop(name)
            said = f"no answer within {watch.longest:g} s"
            watch.add([failed(watch.check, silent(watch.check), said, "", seconds=now - began[name])])
        if not waiting:
            return
        try:
            name, found = answers.get(timeout=max(0.001, min(left[name] for name in waiting)))
        except queue.Empty:
            continue
        if name in waiting:
            waiting.pop(name).add(found)


def silent(check: Check) -> Level:
    """Return what it means that nothing answers: where that is the question it fails, else nothing is known."""
    asks = check.kind in ("http", "latency", "tcp") or getattr(check, "read", "") == "ping"
    return "fail" if asks else "unknown"


def _take(
    watch: Watch,
    site: Site,
    given: t.Mapping[str, t.Any],
    deadline: Deadline,
    answers: queue.SimpleQueue[tuple[str, list[Judged]]],
) -> None:
    found: list[Judged] = []
    while True:
        found.append(_one(watch.check, site, given, deadline))
        levels = [*watch.levels, *(seen.level for seen in found)]
        enough = settle(levels, watch.retries, watch.believed) is not None
        if enough or deadline.remaining <= watch.retries.pause:
            break
        deadline.pause(watch.retries.pause)
    answers.put((watch.check.name, found))


def _one(check: Check, site: Site, given: t.Mapping[str, t.Any], deadline: Deadline) -> Judged:
    budget = Deadline(min(check.timeout, deadline.remaining))
    mine = site.apart(check.timeout)
    clean = site.redactor.text
    try:
        reading = PROBES[check.kind](check, Asked(mine, given, budget))
        found = judged(check, reading, now=time.time(), seconds=budget.elapsed)
        return dataclasses.replace(found, why=clean(found.why))
    except NoAnswer as exc:
        return failed(check, "fail", clean(str(exc)), "", seconds=budget.elapsed)
    except (Unreadable, TradeopsError) as exc:
        return failed(check, "unknown", clean(str(exc)), "", seconds=budget.elapsed)
    except Exception as exc:  # noqa: BLE001 - a defect of one check must not hide the others; what it asked is unknown
        return failed(check, "unknown", clean(f"{type(exc).__name__}: {exc}"), "", seconds=budget.elapsed)
    finally:
        mine.close()
