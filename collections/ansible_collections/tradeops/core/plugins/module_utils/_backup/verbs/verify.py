# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Verify sets, each copy in each store for itself, and keep what was found beside it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import platform
import time
import typing as t

from ..._common.errors import Damaged, InputError, TradeopsError, Unproven
from ..._common.outcome import Object, Outcome, Seen
from ..asked import Asked, asked
from ..catalogue import (
    FAILED,
    ID,
    VERIFIED,
    Catalogue,
    Copy,
    Listed,
    catalogue_of,
    choose,
    passed_over,
    rank,
    stamp,
    told,
)
from ..ciphers import identities
from ..manifest import SAFETY, folder
from ..run import Parameters, Run
from ..store import Store
from ..verify import Verified, Verifier, reached, subset


def ensure_verified(run: Run, given: Parameters) -> Outcome:
    """Verify the chosen sets up to a level. One that is damaged is recorded as that, and fails."""
    catalogue = catalogue_of(run.site, run.stores, given)
    stores = _stores(run, given)
    sets = catalogue.sets()
    unread = [problem for name, problem in catalogue.problems.items() if name in stores]
    if unread:
        raise Unproven(f"not every store can be listed, so nothing was verified: {'; '.join(unread)}")
    known = [one.facts.components for one in sets if one.facts and one.usable and one.type != SAFETY]
    whole = None if given["types"] else asked(given["what"], given["parts"], known=known)
    chosen = _chosen(sets, given, stores, whole)
    for text in passed_over(sets, whole, chosen[0]) if given["id"] == "latest" else []:
        run.gate.note(text)
    if rank(given["level"]) >= rank("hashes"):
        identities(str(given["secrets"].get("backup_identity") or ""))  # without a key no set can be read
    objects: list[Object] = []
    records: list[Parameters] = []
    for one in chosen:
        for copy in one.copies.values():
            if copy.store in stores and copy.manifest is not None and copy.state != "deleting":
                objects.append(_verify(run, given, catalogue, one, copy, records))
    run.more = {"verified": records, "rows": _rows(run.site, objects, records)}
    part = f" of the part {given['subset']}" if given["subset"] else ""
    wanted = f"{given['id']}{part} verified at level {given['level']}"
    before = {f"{item.id} in {item.kind}": item.before for item in objects}
    after = {f"{item.id} in {item.kind}": item.after for item in objects}
    return run.outcome("backup_verify", wanted, objects, before=before, after=after)


def _rows(site: str, objects: t.Sequence[Object], records: t.Sequence[Parameters]) -> list[Parameters]:
    """Return what became of each copy, for people who read a table."""
    of = {(record["set"], record["store"]): record for record in records}
    rows = []
    for item in objects:
        record = of.get((item.id, item.kind), {})
        seen = [
            f"{part['component']}: " + " ".join(f"{key} {value}" for key, value in part["facts"].items())
            for part in record.get("components", ())
        ]
        row = {"site": site, "id": item.id, "store": item.kind, "before": item.before, "after": item.after}
        rows.append({**row, "seconds": record.get("seconds"), "seen": "; ".join(seen), "problem": item.why})
    return rows


def _stores(run: Run, given: Parameters) -> list[str]:
    names = [store.name for store in run.stores]
    strange = sorted(set(given["only_stores"]) - set(names))
    if strange:
        raise InputError(f"only_stores: {', '.join(strange)} is no store; there are {', '.join(names)}.")
    return given["only_stores"] or names


def _chosen(sets: t.Sequence[Listed], given: Parameters, stores: t.Sequence[str], whole: Asked | None) -> list[Listed]:
    """Return the sets that are meant; none of them is an error, except in a part of all. Raises InputError."""
    wanted = given["id"]
    if wanted == "all":
        fitting = [
            one
            for one in sets
            if (not given["types"] or one.type in given["types"])
            and any(copy.manifest and copy.store in stores for copy in one.copies.values())
        ]
        if not fitting:
            raise InputError("there is no set with a manifest that could be verified.")
        if not given["subset"]:
            return fitting
        mine = set(subset([one.id for one in fitting], given["subset"], dt.datetime.now(dt.UTC).toordinal()))
        return [one for one in fitting if one.id in mine]
    if given["subset"]:
        raise InputError("subset is a part of all sets; give it together with id: all.")
    if ID.fullmatch(wanted):
        # Also one that failed before: what was repaired may pass now.
        one = next(
            (one for one in sets if one.id == wanted and any(copy.manifest for copy in one.copies.values())), None
        )
        return [one or choose(sets, wanted)]
    types = given["types"]
    kind = types[0] if len(types) == 1 else ""
    return [choose([one for one in sets if not types or one.type in types], wanted, kind=kind, asked=whole)]


def _verify(
    run: Run, given: Parameters, catalogue: Catalogue, one: Listed, copy: Copy, records: list[Parameters]
) -> Object:
    """Verify one copy and keep the record. What could not be tried is recorded as nothing at all."""
    store, began, level = catalogue.store(copy.store), time.monotonic(), given["level"]
    before = f"{copy.level or 'not verified'}{f' at {copy.verified}' if copy.verified else ''}"
    item = Object(one.id, store.name, before, before, "refused")
    found: list[Verified] = []
    problem = ""
    try:
        manifest = catalogue.read(copy, one.id)
        found = Verifier(run.site, store, manifest, given, run.tell).verify(level)
        level = reached(found, level)
    except Damaged as exc:
        problem = run.redactor.text(str(exc))
    except TradeopsError as exc:
        item.result, item.why = exc.result, str(exc)
        return item
    now = dt.datetime.now(dt.UTC)
    record = {
        "set": one.id,
        "store": store.name,
        "level": FAILED if problem else level,
        "at": told(now),
        "seconds": round(time.monotonic() - began, 3),
        "operation": given["operation"] or "",
        "operator": given["operator"] or "",
        "host": platform.node(),
        "problem": problem,
        "components": [dataclasses.asdict(component) for component in found],
    }
    records.append(record)
    for component in found:
        for note in component.notes:
            run.gate.note(f"{one.id} in {store.name}: {note}")
    try:
        _keep(run, store, one, record, now)
    except TradeopsError as exc:
        item.result, item.why = exc.result, f"it was verified ({record['level']}), and that could not be kept: {exc}"
        return item
    if problem:
        item.result, item.after, item.why = "unproven", "damaged", problem
        return item
    item.after = f"{level} at {stamp(now)}"
    item.result = "planned" if run.gate.check_mode else "proven"
    if level != given["level"]:
        item.why = f"{level} is as far as it goes here: {'; '.join(n for part in found for n in part.notes)}"
    return item


def _keep(run: Run, store: Store, one: Listed, record: Parameters, now: dt.datetime) -> None:
    key = f"{folder(run.site, one.id)}{VERIFIED}{stamp(now)}-{record['level']}.json"
    step = {"action": "record verification", "store": store.name, "set": one.id, "level": record["level"]}
    entry = run.gate.write([step], lambda: store.put(key, json.dumps(record, indent=1).encode()))
    if entry is not None:
        run.seen.append(Seen(store.name, "head", key, told(dt.datetime.now(dt.UTC)), {"bytes": entry.size}))
