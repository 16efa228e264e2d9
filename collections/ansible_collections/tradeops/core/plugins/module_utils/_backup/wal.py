# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Base backups and the log of a server: which backup serves a moment, whether the log is whole. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t

from .._common.errors import InputError
from .engine import Base

SEGMENT_SIZE = 16 << 20  # bytes, unless the server was made with another
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")

Kind = t.Literal["time", "lsn", "name", "immediate", "end"]


@dataclasses.dataclass(frozen=True)
class Target:
    """Up to where a recovery goes. ``immediate``: as early as the backup is consistent; ``end``: all of the log.

    ``text`` is a time with its zone (ISO 8601), a position or the name of a restore point. With ``inclusive`` what is
    exactly there is taken, too. ``timeline`` is ``latest``, ``current`` (that of the backup) or a number.
    """

    kind: Kind
    text: str = ""
    inclusive: bool = True
    timeline: str = "latest"

    def __str__(self) -> str:
        names = {
            "immediate": "the end of the backup",
            "end": "the end of the log",
            "name": f"restore point {self.text}",
        }
        return names.get(self.kind, self.text)

    @property
    def moment(self) -> dt.datetime:
        """The time of a target of kind ``time``."""
        return dt.datetime.fromisoformat(self.text)

    def settings(self) -> dict[str, str]:
        """Return the parameters of PostgreSQL for it, in the order in which they have to be given.

        The kinds of target that are not meant are emptied first, for a server may be left with those of another day.
        """
        meant = {"immediate": "recovery_target", "end": ""}.get(self.kind, f"recovery_target_{self.kind}")
        kinds = [f"recovery_target{name}" for name in ("", "_time", "_lsn", "_name", "_xid")]
        found = {name: "" for name in kinds if name != meant}
        if meant:
            moment = self.moment.astimezone(dt.UTC).isoformat(" ") if self.kind == "time" else ""
            found[meant] = "immediate" if self.kind == "immediate" else moment or self.text
        return {
            **found,
            "recovery_target_action": "pause",
            "recovery_target_inclusive": "on" if self.inclusive else "off",
            "recovery_target_timeline": self.timeline,
        }


def check_target(site: str, target: Target) -> None:
    """Raise InputError for a target that cannot be."""
    problem = ""
    if target.kind == "time":
        try:
            moment = target.moment
        except ValueError:
            problem = f"{target.text!r} is no time"
        else:
            if moment.tzinfo is None:
                problem = f"{target.text!r} has no zone, so it is another moment in every place"
            elif moment > dt.datetime.now(dt.UTC):
                problem = f"{target.text} lies in the future"
    elif target.kind == "lsn" and not re.fullmatch(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", target.text):
        problem = f"{target.text!r} is no position of a log"
    elif target.kind == "name" and not 0 < len(target.text.encode()) < 64:
        problem = f"{target.text!r} is no name of a restore point"
    if not problem and not re.fullmatch(r"latest|current|[1-9]\d{0,9}", target.timeline):
        problem = f"{target.timeline!r} is no timeline; give latest, current or a number"
    if problem:
        raise InputError(f"{site}: {problem}. Nothing was touched.")


def position(lsn: str) -> int:
    """Return a position of the log as a number of bytes."""
    high, _slash, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def choose(site: str, bases: t.Sequence[Base], target: Target, wanted: str = "") -> Base:
    """Return the newest usable base backup that ended before the target; ``wanted`` is the id of the one to take.

    Raises InputError.
    """
    usable = [base for base in bases if base.usable and base.ended]
    if wanted:
        for base in usable:
            if base.id == wanted:
                if not _serves(base, target):
                    raise InputError(
                        f"{site}: the base backup {wanted} ended at {base.ended} ({base.end}), after {target}; a "
                        "recovery goes forward only. Nothing was touched."
                    )
                return base
        raise InputError(f"{site}: there is no finished base backup {wanted}{_among(usable)}. Nothing was touched.")
    serving = [base for base in usable if _serves(base, target)]
    if not serving:
        raise InputError(
            f"{site}: no base backup ended before {target}{_among(usable)}; a recovery goes forward only. Nothing was "
            "touched."
        )
    return max(serving, key=lambda base: (base.timeline, position(base.end)))


def _serves(base: Base, target: Target) -> bool:
    if target.kind == "time":
        return dt.datetime.fromisoformat(base.ended) <= target.moment
    if target.kind == "lsn":
        return position(base.end) <= position(target.text)
    return True


def _among(usable: t.Sequence[Base]) -> str:
    if not usable:
        return "; there is none at all"
    return f"; the oldest is {usable[0].id}, which ended at {usable[0].ended} ({usable[0].end})"


# -- the log -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Continuity:
    """What is missing of the log that a base backup needs. ``lost``: without these it is of no use at all. ``gaps``:
    no recovery gets past the first of these. ``newest``: the last segment that it can get to."""

    lost: tuple[str, ...]
    gaps: tuple[str, ...]
    newest: str

    @property
    def problem(self) -> str:
        if self.lost:
            return f"the log lacks what the base backup itself needs: {_some(self.lost)}"
        return f"the log has a gap, and no recovery gets past it: {_some(self.gaps)} missing" if self.gaps else ""


def continuity(base: Base, names: t.Iterable[str], size: int = SEGMENT_SIZE) -> Continuity:
    """Weigh the names in an archive against what a base backup needs, from its begin to the newest of its timeline and
    of those that followed."""
    per_log = (4 << 30) // size
    have: dict[int, set[int]] = {}
    for name in names:
        found = _SEGMENT.fullmatch(name)
        if found:
            timeline, log, segment = (int(part, 16) for part in found.groups())
            have.setdefault(timeline, set()).add(log * per_log + segment)

    def named(timeline: int, number: int) -> str:
        return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"

    begin, end = (_number(name, per_log) for name in (base.begin_wal, base.end_wal))
    own = have.get(base.timeline, set())
    lost = tuple(named(base.timeline, number) for number in range(begin, end + 1) if number not in own)
    gaps: list[str] = []
    newest, reached, timeline = base.end_wal, end, base.timeline
    for later in sorted(number for number in have if number >= base.timeline):
        numbers = {number for number in have[later] if number > end or later > base.timeline}
        numbers = {number for number in numbers if number >= begin}
        if not numbers:
            continue
        # A timeline begins in the segment in which it left the one before.
        first = reached + 1 if later == timeline else min(*numbers, reached + 1)
        gaps += [named(later, number) for number in range(first, max(numbers) + 1) if number not in numbers]
        reached, timeline, newest = max(numbers), later, named(later, max(numbers))
    return Continuity(lost, tuple(gaps), newest)


def history_of(timeline: int) -> str:
    """Return the name of the file that says where a timeline comes from."""
    return f"{timeline:08X}.history"


def is_log(name: str) -> bool:
    """Whether a name in an archive is a segment of the log or the history of a timeline."""
    return bool(_SEGMENT.fullmatch(name) or _HISTORY.fullmatch(name))


def _number(name: str, per_log: int) -> int:
    found = _SEGMENT.fullmatch(name)
    if not found:
        raise InputError(f"{name!r} is no segment of a log")
    _timeline, log, segment = (int(part, 16) for part in found.groups())
    return log * per_log + segment


def _some(names: t.Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
