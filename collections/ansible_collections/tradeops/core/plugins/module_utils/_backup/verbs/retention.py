# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Remove the sets that no rule keeps: marked first, then their artefacts, their place in the catalogue last."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import functools
import json
import typing as t

from ..._common.errors import TradeopsError, Unproven
from ..._common.outcome import Object, Outcome, Seen
from .. import scratch
from ..catalogue import DELETING, HOLD, RUNNING, Catalogue, Listed, catalogue_of, rank, told
from ..engine import Base, Physical
from ..manifest import MANIFEST, folder
from ..retention import Decision, Policy, Subject, decide, needless, parse
from ..run import Parameters, Run
from ..store import Store
from ..trial import TOOLS

_AT_ONCE = 8
# Of what stays, this many are told one by one for each store; what goes is always told.
_SHOWN = 200


def ensure_retention(run: Run, given: Parameters) -> Outcome:
    """Let the rules of every store hold. Nothing is removed anywhere unless every store can be listed."""
    catalogue = catalogue_of(run.site, run.stores, given)
    policies = parse(run.site, given["retention"], [store.name for store in run.stores])
    now = dt.datetime.now(dt.UTC)
    sets = catalogue.sets()
    if catalogue.problems:
        said = "; ".join(problem.removeprefix(f"{run.site}: ") for problem in catalogue.problems.values())
        raise Unproven(f"not every store can be listed, so nothing was removed: {said}")
    decisions = {name: decide(subjects(sets, name, policy), policy, now) for name, policy in policies.items()}
    by_id, bases = {one.id: one for one in sets}, _bases(catalogue, sets)
    objects, before, after = [], {}, {}
    for store in run.stores:
        if store.name not in policies:
            run.gate.note(f"the store {store.name} has no rules in tradeops_backup_retention; nothing is removed there")
            continue
        judged = decisions[store.name]
        run.seen.append(Seen(store.name, "list", f"{run.site}/", told(now), {"sets": len(judged)}))
        objects += _kept(store, judged, by_id, run)
        gone = [_remove(run, given, store, one, by_id[one.id]) for one in judged if not one.keep]
        objects += gone
        before[store.name] = {"sets": len(judged), "good": sum(one.counts for one in judged)}
        after[store.name] = {"sets": len(judged) - sum(item.result in ("proven", "planned") for item in gone)}
    removed = {(item.id, item.kind) for item in objects if item.result in ("proven", "planned")}
    kept = [one.id for one in sets if any((one.id, name) not in removed for name in one.copies)]
    had = set().union(*bases.values())
    used = set().union(*(bases.get(set_id, set()) for set_id in kept))
    unread = [one.id for one in sets if not one.facts and any(copy.manifest for copy in one.copies.values())]
    if had and unread:
        run.gate.note(
            f"the base backups stay, for nobody knows which one the set {unread[0]} has: {by_id[unread[0]].problem}"
        )
    else:
        for engine in sorted({engine for engine, _id in had}):
            of_tool = [{name for tool, name in all_ if tool == engine} for all_ in (had, used)]
            objects += _forget(run, given, engine, *of_tool)
    run.more = {"rows": [_row(run.site, item) for item in objects]}
    return run.outcome("backup_retention", "the rules to hold", objects, before=before, after=after)


def _row(site: str, item: Object) -> Parameters:
    """Return the fate of one set for people who read a table."""
    fate = {"proven": "removed", "planned": "would be removed"}.get(item.result, item.result)
    return {"site": site, "store": item.kind, "id": item.id, "fate": fate, "why": item.why}


def subjects(sets: t.Sequence[Listed], store: str, policy: Policy) -> list[Subject]:
    """Return the sets as the rules of one store see them."""
    found = []
    for one in sets:
        copy = one.copies.get(store)
        if copy is None:
            continue
        flaw = copy.flaw
        if not flaw and rank(copy.level) < rank(policy.counts_from):
            flaw = f"not verified at level {policy.counts_from}"
        found.append(
            Subject(
                one.id,
                one.type,
                one.taken,
                flaw=flaw,
                held=one.held,  # a hold in one store is meant for the set
                tag=one.facts.tag if one.facts else "",
                parent=one.facts.parent if one.facts else "",
                written=dt.datetime.fromtimestamp(copy.manifest.modified, dt.UTC) if copy.manifest else None,
                running=copy.state == "running",
                begun=copy.state == "deleting",
            )
        )
    return found


def _kept(store: Store, judged: t.Sequence[Decision], sets: t.Mapping[str, Listed], run: Run) -> list[Object]:
    kept = [one for one in judged if one.keep]
    if len(kept) > _SHOWN:
        run.gate.note(f"the store {store.name} keeps {len(kept)} sets; the {_SHOWN} newest are told one by one")
    return [
        Object(one.id, store.name, state, state, "kept", ", ".join(one.reasons))
        for one in kept[:_SHOWN]
        for state in [sets[one.id].copies[store.name].state]
    ]


def _remove(run: Run, given: Parameters, store: Store, decision: Decision, one: Listed) -> Object:
    """Remove one set from one store, and look whether it is gone."""
    base, state = folder(run.site, one.id), one.copies[store.name].state
    item = Object(one.id, store.name, state, state, "planned", ", ".join(decision.reasons))
    try:
        locks = _locks(store, base)
        if locks:
            # Looked at before anything is touched, so a set that is locked in part stays whole.
            item.result, item.why = (
                "locked",
                "; ".join(f"{key.removeprefix(base)}: {why}" for key, why in locks.items()),
            )
            run.gate.note(f"{one.id} stays in the store {store.name}: {item.why}")
            return item
        step = {"action": "remove backup set", "store": store.name, "set": one.id, "why": item.why}
        run.gate.write([step], functools.partial(_erase, store, base, given.get("operation") or ""))
        if run.gate.check_mode:
            item.after = "removed"
            return item
        left = [entry.key for entry in store.entries(base)]
    except TradeopsError as exc:
        item.result, item.after, item.why = exc.result, "unknown", str(exc)
        return item
    run.seen.append(Seen(store.name, "list", base, told(dt.datetime.now(dt.UTC)), {"objects": len(left)}))
    item.result, item.after = ("unproven", "still there") if left else ("proven", "removed")
    item.why = f"{len(left)} objects are still there after it was removed, such as {left[0]}" if left else item.why
    return item


def _bases(catalogue: Catalogue, sets: t.Sequence[Listed]) -> dict[str, set[tuple[str, str]]]:
    """Return the base backups of servers that sets have, each with its engine; several sets may have the same."""
    found: dict[str, set[tuple[str, str]]] = {}
    for one in sets:
        copy = next((copy for copy in one.copies.values() if copy.manifest), None)
        if copy and one.facts and set(one.facts.components.values()) & set(TOOLS):
            parts = catalogue.read(copy, one.id).components
            found[one.id] = {(part.engine, str(part.facts["backup_id"])) for part in parts if part.engine in TOOLS}
    return found


def _forget(run: Run, given: Parameters, engine: str, had: set[str], used: set[str]) -> list[Object]:
    """Remove the base backups that no set has any more. With them goes the log that only they needed."""
    if not given.get("postgresql_server"):
        for name in sorted(had - used):
            run.gate.note(f"the base backup {name} is in no set any more; without tradeops_postgresql_server it stays")
        return [Object(name, engine, "there", "there", "kept", "no set has it") for name in sorted(had - used)]
    found = []
    try:
        with scratch.folder() as place:
            tool = TOOLS[engine](run.site, dict(given), place)
            listed = tool.bases()
            run.seen.append(Seen(engine, "list", run.site, told(dt.datetime.now(dt.UTC)), {"bases": len(listed)}))
            for base, why in needless(listed, had, used):
                item = Object(base.id, engine, "there", "there", "kept", why)
                found.append(item)
                if not why:
                    _drop(run, tool, base, item)
    except TradeopsError as exc:
        found.append(Object(f"{engine} of {run.site}", engine, "unknown", "unknown", exc.result, str(exc)))
    return found


def _drop(run: Run, tool: Physical, base: Base, item: Object) -> None:
    item.why = "no set that is kept has it"
    step = {"action": "remove base backup", "tool": tool.tool, "backup": base.id}
    try:
        run.gate.write([step], lambda: tool.delete(base))
    except TradeopsError as exc:
        item.result, item.after, item.why = exc.result, "unknown", str(exc)
    else:
        item.result, item.after = ("planned" if run.gate.check_mode else "proven"), "removed"


def _locks(store: Store, base: str) -> dict[str, str]:
    keys = [entry.key for entry in store.entries(base)]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return {key: why for key, why in zip(keys, pool.map(store.held, keys), strict=True) if why}


def _erase(store: Store, base: str, operation: str) -> None:
    """Mark, remove the artefacts, then the manifest, the mark last: killed at any point the next run goes on."""
    last = (f"{base}{MANIFEST}", f"{base}{HOLD}", f"{base}{RUNNING}")
    mark = {"operation": operation, "at": told(dt.datetime.now(dt.UTC))}
    # A mark of before is left as it is: in a bucket that locks whatever is put, a new one would be locked anew.
    if store.head(f"{base}{DELETING}") is None:
        store.put(f"{base}{DELETING}", json.dumps(mark).encode())
    keys = [entry.key for entry in store.entries(base) if entry.key not in (*last, f"{base}{DELETING}")]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(store.delete, keys))
    for unfinished in list(store.unfinished(base)):
        store.sweep(unfinished)
    for key in last:
        store.delete(key)
    store.delete(f"{base}{DELETING}")
