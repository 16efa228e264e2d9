# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a site is and does right now. Reads only; what cannot be read is ``unknown`` and says why."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._common.errors import CallError, Unproven
from ..profile import Listing, Profile, Read
from ..site import NO_ID
from ..states import STRICTNESS, UNKNOWN
from ..wire import number
from .run import Run

SUBSETS = (
    "capabilities",
    "trading",
    "orders",
    "positions",
    "maintenance",
    "circuit_breakers",
    "rollout",
    "risk_limits",
    "configuration",
    "dead_man_switch",
    "market",
    "health",
    "metrics",
    "reconciliation",
)

# A fill is told to the book a little later than the venue knows it.
_LOOKS_AGAIN = 2
_BETWEEN_LOOKS = 0.25  # s


def capabilities(profile: Profile) -> dict[str, t.Any]:
    """Return what a platform can do; no request is made."""
    found = {
        field.name: bool(getattr(profile.capabilities, field.name))
        for field in dataclasses.fields(profile.capabilities)
    }
    trading = profile.capabilities.trading
    states = sorted({step.to for step in trading.transitions}, key=STRICTNESS.__getitem__) if trading else []
    steps = trading.transitions if trading else []
    transitions = {state: sorted({step.to for step in steps if state in step.from_}) for state in states}
    return {
        **found,
        "states": states,
        "transitions": transitions,
        "levels": dict(trading.levels) if trading else {},
        "cancel_orders": bool(profile.capabilities.orders and profile.capabilities.orders.can),
        "close_positions": bool(profile.capabilities.positions and profile.capabilities.positions.can),
        "metrics": sorted(profile.capabilities.metrics),
        "witness": bool(trading and trading.witness),
    }


def gather(run: Run, subsets: t.Sequence[str], metrics: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """Return the asked subsets that the platform has; ``problems`` says for each what could not be read."""
    able = run.site.profile.capabilities
    problems: dict[str, str] = {}
    facts: dict[str, t.Any] = {"site": run.site.name, "platform": run.site.profile.name, "problems": problems}
    for subset in subsets:
        if subset == "capabilities":
            facts[subset] = capabilities(run.site.profile)
        elif subset == "metrics":
            for name in set(metrics) - set(able.metrics):
                has = ", ".join(sorted(able.metrics)) or "none"
                problems[f"metrics.{name}"] = f"the profile has no such metric; it has {has}"
            wanted = {name: read for name, read in able.metrics.items() if not metrics or name in metrics}
            facts[subset] = {name: _value(run, read, f"metrics.{name}", problems) for name, read in wanted.items()}
        elif subset == "reconciliation":
            facts[subset] = reconcile(run, problems)
        elif getattr(able, subset):
            facts[subset] = _subset(run, subset, getattr(able, subset), problems)
    facts["summary"] = summarise(facts)
    return facts


def summarise(facts: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return one row for a table: what was gathered, counted. None: not asked for, or the platform lacks it."""

    def count(subset: str, counts: t.Callable[[dict[str, t.Any]], bool]) -> t.Any:
        rows = facts.get(subset)
        return sum(1 for row in rows if counts(row)) if isinstance(rows, list) else rows

    return {
        "site": facts["site"],
        "state": facts.get("trading", {}).get("state"),
        "orders": count("orders", lambda row: True),
        "positions": count("positions", lambda row: number(row["quantity"]) != 0),
        "breakers": count("circuit_breakers", lambda row: row.get("open") is not False),
        "migrations": count("rollout", lambda row: number(row.get("percentage")) != 0),
        "maintenance": facts.get("maintenance", {}).get("mode"),
        "health": facts.get("health"),
        "problem": next(iter(facts["problems"].values()), None),
    }


def reconcile(run: Run, problems: dict[str, str]) -> dict[str, t.Any]:
    """Compare the platform's own book with the venue's: ``clean`` is true, false or, without a reading, unknown.

    While a site trades, the two are never read at the same moment: what differs is looked at again, and what then still
    differs is a difference.
    """
    result: dict[str, t.Any] = {"clean": True, "differences": []}
    for capability in ("orders", "positions"):
        found = getattr(run.site.profile.capabilities, capability)
        if not found or not found.witness:
            result["clean"] = UNKNOWN
            problems[f"reconciliation.{capability}"] = "the profile names no witness to compare with"
            continue
        try:
            differences = _differences(run, found)
            for _look in range(_LOOKS_AGAIN):
                if differences:
                    run.deadline.pause(_BETWEEN_LOOKS)
                    again = _differences(run, found)
                    differences = {key: again[key] for key in differences.keys() & again.keys()}
        except (CallError, Unproven) as exc:
            result["clean"] = UNKNOWN
            problems[f"reconciliation.{capability}"] = str(exc)
            continue
        result["differences"] += [
            {"kind": capability, "id": key, "platform": own, "venue": venue}
            for key, (own, venue) in sorted(differences.items())
        ]
    if result["differences"]:
        result["clean"] = False
    return result


def _differences(run: Run, capability: t.Any) -> dict[str, tuple[t.Any, t.Any]]:
    own, venue = _books(run, capability)
    return {key: (own.get(key), venue.get(key)) for key in own.keys() | venue.keys() if own.get(key) != venue.get(key)}


def _books(run: Run, capability: t.Any) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return id -> quantity of what is really there, in the platform's book and in the venue's; rows of one id add up.

    Quantities are compared only if both tell them. Raises CallError, and Unproven for a quantity that is no number.
    """
    counted = all("quantity" in listing.fields for listing in (capability.list, capability.witness))
    own, venue = (_book(run, listing, counted) for listing in (capability.list, capability.witness))
    return own, venue


def _book(run: Run, listing: Listing, counted: bool) -> dict[str, t.Any]:
    book: dict[str, t.Any] = {}
    for row in run.rows(listing):
        quantity = number(row.get("quantity")) if counted else 1.0
        if quantity is None:
            raise Unproven(f"the quantity of {row['id']} is {row.get('quantity')!r}, which is no number")
        # Two rows without an id are never known to be the same thing.
        key = f"{row['id']} of {listing.request.path}" if row["id"].startswith(NO_ID) else row["id"]
        book[key] = round(book.get(key, 0.0) + quantity, 8)
    return {key: quantity for key, quantity in book.items() if quantity != 0}


def _subset(run: Run, subset: str, found: t.Any, problems: dict[str, str]) -> t.Any:
    if subset == "trading":
        return {"state": _value(run, found.read, subset, problems)}
    if subset == "maintenance":
        return {"mode": _value(run, found.read, subset, problems)}
    if subset == "dead_man_switch":
        return {"seconds_left": _value(run, found.read, subset, problems)}
    if isinstance(found, Read):
        return _value(run, found, subset, problems)
    try:
        return run.rows(found.list)
    except CallError as exc:
        problems[subset] = str(exc)
        return UNKNOWN


def _value(run: Run, read: Read, name: str, problems: dict[str, str]) -> t.Any:
    reading = run.site.read(read, run.deadline)
    if not reading.known:
        problems[name] = reading.problem
    return reading.value
