# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probes of what the profile of a platform can tell."""

from __future__ import annotations

import typing as t

from ..._common.errors import InputError
from ..._platform import wire
from ..._platform.profile import Read
from ..._platform.site import Reading as Seen
from ..._platform.verbs import info
from ..asked import Asked
from ..checks import Platform
from ..reading import Reading, Unreadable

_COUNTS = {"orders": "orders", "positions": "positions", "circuit_breakers": "breakers", "rollout": "migrations"}


def platform(check: Platform, asked: Asked) -> Reading:
    able = asked.site.profile.capabilities
    where = asked.site.profile.name
    if check.read == "health":
        word = str(_read(t.cast(Read, able.health), asked).value)
        if word not in ("pass", "warn", "fail"):
            raise Unreadable(f"the platform says {word!r}, and its profile maps it to no level")
        return Reading(word, where, level=t.cast(t.Any, word), note=f"the platform itself says {word}")
    if check.read == "state":
        state = str(_read(t.cast(t.Any, able.trading).read, asked).value)
        good = state in check.states
        return Reading(state, where, level="pass" if good else "fail", note=f"wanted is {' or '.join(check.states)}")
    if check.read == "metric":
        value = _read(able.metrics[t.cast(str, check.metric)], asked).value
        number = wire.number(value)
        if number is None:
            raise Unreadable(f"{check.metric} is {value!r}, which is no number")
        return Reading(number, where)
    if check.read == "maintenance":
        mode = str(_read(t.cast(t.Any, able.maintenance).read, asked).value)
        return Reading(0.0 if mode == "disabled" else 1.0, where, note=mode)
    facts = info.gather(asked.run, [check.read])
    if facts["problems"]:
        raise Unreadable("; ".join(facts["problems"].values()))
    if check.read == "reconciliation":
        differences = facts["reconciliation"]["differences"]
        return Reading(float(len(differences)), where, note=", ".join(str(row["id"]) for row in differences[:3]))
    return Reading(float(facts["summary"][_COUNTS[check.read]]), where)


def prepare(check: Platform, asked: Asked) -> None:
    """Refuse what the platform cannot tell. Raises InputError."""
    site = asked.site
    if check.read == "metric":
        known = site.profile.capabilities.metrics
        if check.metric not in known:
            has = ", ".join(sorted(known)) or "none"
            raise InputError(
                f"{site.name}: check {check.name}: {site.profile.title} has no metric {check.metric!r}; it has {has}. "
                "Nothing was read."
            )
    elif check.read == "reconciliation":
        site.require("positions")
    else:
        site.require({"state": "trading"}.get(check.read, check.read))


def _read(read: Read, asked: Asked) -> Seen:
    seen = asked.site.read(read, asked.deadline, attempts=1)
    if not seen.known:
        raise Unreadable(seen.problem)
    return seen
