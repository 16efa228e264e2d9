# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What sets a site has. Nothing is ever sent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing as t

from ..._common.errors import InputError, TradeopsError
from ..._common.outcome import Outcome, Seen
from ..asked import asked
from ..catalogue import VERIFIED, Catalogue, Listed, catalogue_of, choose, passed_over, read_stamp
from ..manifest import SAFETY, folder
from ..run import Parameters, Run
from ..sets import iso


def gather(run: Run, given: Parameters) -> Outcome:
    """List the sets, the newest first; with ``id`` also tell everything of one. A store that is not read fails it."""
    if given["limit"] < 1:
        raise InputError(f"limit is {given['limit']}; give the number of sets to list, at least 1.")
    catalogue, now = catalogue_of(run.site, run.stores, given), dt.datetime.now(dt.UTC)
    before = moment("before", given["before"]) if given["before"] else None
    everything = catalogue.sets(expected=given["expected"])
    sets = [
        one
        for one in reversed(everything)
        if (not given["types"] or one.type in given["types"]) and (before is None or one.taken <= before)
    ]
    usable = [one for one in sets if one.usable and not one.ahead and (one.type != SAFETY or given["types"])]
    known = [one.facts.components for one in usable if one.facts]
    wanted = None if given["types"] else asked(given["what"], given["parts"], known=known)
    usable = [one for one in usable if not (wanted and one.facts and wanted.lacks(one.facts.components))]
    for text in passed_over(everything, wanted, usable[0]) if usable and before is None else []:
        run.gate.note(text)
    verified = [one for one in usable if one.level]
    for store in run.stores:
        seen = catalogue.problems.get(store.name) or {"sets": sum(store.name in one.copies for one in everything)}
        run.seen.append(Seen(store.name, "list", f"{run.site}/", iso(now), seen))
    run.more = {
        "sets": [one.to_dict(now) for one in sets[: given["limit"]]],
        "rows": [_row(one, now) for one in sets[: given["limit"]]],
        "counts": _counts(sets),
        "latest": usable[0].to_dict(now) if usable else None,
        "latest_verified": verified[0].to_dict(now) if verified else None,
        "strangers": catalogue.strangers,
        "set": None,
    }
    if given["id"]:
        # By its id also one that nobody could use: that is why one looks at it.
        one = next((one for one in sets if one.id == given["id"]), None) or choose(sets, given["id"], asked=wanted)
        run.more["set"] = one.to_dict(now) | _all_of(catalogue, one)
    problems = [problem.removeprefix(f"{run.site}: ") for problem in catalogue.problems.values()]
    return run.outcome("backup_info", "to be read", [], before={}, after={}, problems=problems)


def moment(option: str, text: str) -> dt.datetime:
    """Read a moment with its zone. Raises InputError."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InputError(f"{option} is {text!r}; give date, time and zone, such as '2026-11-26T02:00:00Z'.")
    return found


def _row(one: Listed, now: dt.datetime) -> Parameters:
    """Return one set for people who read a table."""
    return {
        "site": one.site,
        "id": one.id,
        "state": one.state,
        "age": since(one.taken, now),
        "megabytes": round(max((copy.size for copy in one.copies.values()), default=0) / 1e6, 1),
        "level": one.level or None,
        "verified": f"{since(read_stamp(one.verified), now)} ago" if one.verified else None,
        "stores": " ".join(copy.store for copy in one.copies.values() if copy.whole),
        "held": one.held or None,
        "problem": one.problem,
    }


def since(then: dt.datetime, now: dt.datetime) -> str:
    """Return an age in the unit in which people tell it."""
    minutes = (now - then).total_seconds() / 60
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} d"


def _counts(sets: t.Sequence[Listed]) -> dict[str, int]:
    counts: dict[str, int] = {"sets": len(sets)}
    for one in sets:
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts


def _all_of(catalogue: Catalogue, one: Listed) -> Parameters:
    """Return the manifest of a set and the records of its verifications, by store."""
    found: Parameters = {"manifest": None, "verifications": []}
    if one.usable:
        found["manifest"] = dataclasses.asdict(catalogue.manifest(one)[1])
    for copy in one.copies.values():
        store = catalogue.store(copy.store)
        for at, level in copy.records:
            key = f"{folder(one.site, one.id)}{VERIFIED}{at}-{level}.json"
            try:
                record = json.loads(b"".join(store.read(key)))
            except (TradeopsError, ValueError) as exc:
                record = {"problem": str(exc)}
            found["verifications"].append({"store": store.name, "level": level, "at": at, "record": record})
    return found
