# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""From the levels of the checks to one verdict, with the checks that decided it. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .checks import Check, Group, Maintenance
from .reading import Judged
from .thresholds import Level, rank, worst

STATES: dict[str, str] = {"pass": "healthy", "warn": "degraded", "unknown": "unknown", "fail": "unhealthy"}


@dataclasses.dataclass(frozen=True)
class Result:
    """A check, the level that is believed, and the newest reading behind it."""

    check: Check
    level: Level
    newest: Judged
    flaps: bool = False
    maintained: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
    """What a check or a group adds to the verdict."""

    name: str
    level: Level
    why: str
    degraded: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """``state``: healthy, unhealthy or unknown, or the names of the ways in which it is degraded. ``decided_by``: the
    checks and groups that made the level what it is."""

    level: Level
    state: str
    decided_by: list[str]
    explain: list[str]


def maintained(check: Check, maintenance: Maintenance | None, now: datetime.datetime) -> bool:
    """Whether a check is in a maintenance that has not run out."""
    if maintenance is None or now >= maintenance.until.at:
        return False
    return not maintenance.checks or check.name in maintenance.checks


def compose(results: t.Sequence[Result], groups: t.Sequence[Group], maintenance: Maintenance | None = None) -> Verdict:
    """Return the verdict: the worst of what the checks and groups add. Without anything that counts it is unknown."""
    grouped = {member for group in groups for member in group.members}
    counting = [result for result in results if result.check.criticality != "informational"]
    parts = [_of_check(result) for result in counting if result.check.name not in grouped]
    by_name = {result.check.name: result for result in results}
    parts += [_of_group(group, by_name) for group in groups if group.criticality != "informational"]
    if not parts:
        return Verdict("unknown", "unknown", [], ["no check counts for the verdict"])
    level = worst(part.level for part in parts)
    deciding = [part for part in parts if part.level == level]
    names = list(dict.fromkeys(part.degraded for part in deciding if part.degraded)) if level == "warn" else []
    if level == "warn" and maintenance and all(part.degraded == "maintenance" for part in deciding):
        names = [f"maintenance by {maintenance.owner} until {maintenance.until}"]
    explain = [f"{len(parts)} of {len(parts)} pass"]
    if level != "pass":
        explain = [
            f"{part.name} is {part.level}: {part.why}" for part in sorted(parts, key=lambda part: -rank(part.level))
        ]
        explain = explain[: sum(part.level != "pass" for part in parts)]
    return Verdict(level, ", ".join(names) or STATES[level], [part.name for part in deciding], explain)


def _of_check(result: Result) -> Part:
    level, why, degraded = result.level, result.newest.why, result.check.degraded
    if result.newest.level != level:
        why = f"believed after several readings; the last one was {result.newest.level}{f': {why}' if why else ''}"
    if result.maintained and level == "fail":
        return Part(result.check.name, "warn", f"in maintenance; {why}", "maintenance")
    return Part(result.check.name, _weigh(level, result.check.criticality), why, degraded)


def _of_group(group: Group, results: t.Mapping[str, Result]) -> Part:
    members = [results[name] for name in group.members]
    good = [member for member in members if member.level in ("pass", "warn")]
    unknown = [member for member in members if member.level == "unknown"]
    bad = ", ".join(f"{member.check.name} {member.level}" for member in members if member not in good)
    said = f"{len(good)} of {len(members)} are good, {group.at_least} must be{f' ({bad})' if bad else ''}"
    if len(good) == len(members):
        level = worst(member.level for member in members)
        warned = ", ".join(member.check.name for member in members if member.level == "warn")
        return Part(group.name, level, f"a warning of {warned}" if warned else "")
    if len(good) >= group.at_least:
        return Part(group.name, "warn", said, group.degraded)
    level = "unknown" if len(good) + len(unknown) >= group.at_least else "fail"
    if level == "fail" and all(member.maintained for member in members if member.level == "fail"):
        return Part(group.name, "warn", f"in maintenance; {said}", "maintenance")
    return Part(group.name, _weigh(level, group.criticality), said, group.degraded)


def _weigh(level: Level, criticality: str) -> Level:
    # What is major fails nobody: at worst it is a warning, also when it is not known.
    return "warn" if criticality == "major" and level in ("fail", "unknown") else level
