# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Capture every component of a site under one id into every store, and read back that it is there."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t

from ..._common.argspec import ArgumentSpec
from ..._common.errors import Damaged, InputError, TradeopsError
from ..._common.outcome import Object, Outcome, Seen
from ..capturing import Capturing
from ..ciphers import recipients
from ..engine import Engine
from ..engines import engine_of
from ..manifest import SAFETY, TYPES, Component, Manifest, folder, read_manifest
from ..run import Parameters, Run
from ..sets import Clock, Making, Running, is_id, iso, new_id, read_running, settle
from ..store import Store
from ..stream import STORED, Targets

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# What a backup is asked besides where to keep it and how to reach the site.
BACKUP = ArgumentSpec(
    {
        "type": {"type": "str", "choices": [kind for kind in TYPES if kind != SAFETY], "default": "manual"},
        "tag": {"type": "str"},
        "consistency": {"type": "str", "choices": ["component", "quiesced"], "default": "component"},
        "phase": {"type": "str", "choices": ["whole", "begin", "capture", "end"], "default": "whole"},
        "id": {"type": "str"},
        "halted_from": {"type": "str"},
        "code_version": {"type": "str"},
    }
)


@dataclasses.dataclass(frozen=True)
class _Part:
    """One component as the inventory has it."""

    name: str
    word: str
    engine: Engine
    options: dict[str, t.Any]


def ensure_backup(run: Run, given: Parameters) -> Outcome:
    """Make one set. Whatever ends it before its manifest is written leaves nothing that counts.

    One for which a site is halted is begun before, in a ``phase`` of its own, and ended after it was resumed: so there
    is a mark as long as somebody has to resume the site.
    """
    phase = given["phase"]
    if phase in ("capture", "end") and not run.gate.check_mode and not is_id(given["id"] or ""):
        raise InputError(
            f"{run.site}: id is {given['id']!r}; in the phase {phase} give the id that the phase begin has returned."
        )
    if phase == "end":
        return _ended(run, given)
    parts = _parts(run.site, given["components"])
    keys = recipients(given["recipients"])
    for part in parts if phase != "capture" else ():
        part.engine.check(run.site, part.options, given)
    wanted = f"a {given['type']} backup of {', '.join(part.name for part in parts)}"
    targets = Targets(run.stores, lambda text: _say(run, text))
    # A store that does not answer is known before anything is captured, also in check mode.
    targets.each(lambda store: store.head(f"{run.site}/none/none"))
    names = list(targets.fates)
    if phase == "begin":
        return _begun(run, given, targets, wanted)
    steps = [{"action": "capture", "component": part.name, "engine": part.word, "stores": names} for part in parts]
    steps.append({"action": "publish", "type": given["type"], "stores": names})
    made = run.gate.write(steps, lambda: _make(run, given, parts, keys, targets))
    if made is None:
        lost = [f"the store {name}: {fate}" for name, fate in targets.fates.items() if fate != STORED]
        return run.outcome("backup", wanted, [], before={}, after={}, problems=lost)
    run.more |= {"set": dataclasses.asdict(made), "backup_id": made.id}
    objects = _proven(run, made, targets, given)
    problems = [f"stored in {_and(names_of(made, True))}, not in {_and(names_of(made, False))}"] if made.partial else []
    after = {"set": made.id, "stores": made.stores, "components": {part.name: _told(part) for part in made.components}}
    return run.outcome("backup", wanted, objects, before={}, after=after, problems=problems)


def names_of(made: Manifest, stored: bool) -> list[str]:
    """Return the stores that have a set, or those that have not with why."""
    if stored:
        return [name for name, fate in made.stores.items() if fate == STORED]
    return [f"{name} ({fate})" for name, fate in made.stores.items() if fate != STORED]


def _make(run: Run, given: Parameters, parts: list[_Part], keys: list[t.Any], targets: Targets) -> Manifest:
    clock = Clock()
    if given["phase"] == "capture":
        making = _making(run, given, targets, given["id"])
        making.take_up()
    else:
        making = _making(run, given, targets, new_id(given["type"], clock.started))
        _begin(run, making)
    try:
        components = tuple(_captured(run, given, part, keys, targets, making.base, clock) for part in parts)
        ended, jump = clock.now(), clock.jump
        if jump:
            _say(run, f"the clock of this machine was set by {jump:+g} s meanwhile; the set has the times of before")

        def manifest(fates: dict[str, str]) -> Manifest:
            return Manifest(
                making.id,
                run.site,
                given["type"],
                iso(clock.started),
                iso(ended),
                components,
                run.redactor.clean(fates),
                given["consistency"],
                tag=given["tag"] or "",
                parent=next((str(c.facts["parent_set"]) for c in components if c.facts.get("parent_set")), ""),
                key_ids=tuple(given["recipients"]),
                operation=given["operation"] or "",
                operator=given["operator"] or "",
                reason=given["reason"] or "",
                code_version=given["code_version"] or "",
                clock=jump,
            )

        return making.publish(manifest, str(given["secrets"].get("backup_manifest_key") or ""))
    except BaseException:
        making.discard()
        raise


def _making(run: Run, given: Parameters, targets: Targets, set_id: str, **more: t.Any) -> Making:
    return Making(targets, run.site, set_id, given["operation"] or "", lambda text: _say(run, text), **more)


def _begin(run: Run, making: Making) -> None:
    try:
        making.begin()
    finally:
        run.more["left_halted"] = making.left_halted


def _begun(run: Run, given: Parameters, targets: Targets, wanted: str) -> Outcome:
    """Mark a set for which the site is going to be halted, and read the mark back."""
    set_id = new_id(given["type"], Clock().started)
    making = _making(run, given, targets, set_id, was=given["halted_from"] or "", pid=run.process)

    def begin() -> None:
        _begin(run, making)
        making.leave()

    step = {"action": "begin", "type": given["type"], "stores": list(targets.fates)}
    run.gate.write([step], begin)
    if run.gate.check_mode:
        return run.outcome("backup", f"{wanted} to be begun", [], before={}, after={})
    run.more["backup_id"] = set_id
    objects = [
        _settled(
            run, store, set_id, "there", lambda mark: mark is not None and mark.operation == (given["operation"] or "")
        )
        for store in targets.alive.values()
    ]
    if any(item.result != "proven" for item in objects):
        making.discard()  # the site is not halted without it, so nobody has to resume it
    after = {"set": set_id, "stores": run.redactor.clean(dict(targets.fates))}
    return run.outcome("backup", f"{wanted} to be begun", objects, before={}, after=after)


def _ended(run: Run, given: Parameters) -> Outcome:
    """Take the mark of a set away, now that the site is resumed."""
    set_id = given["id"] or ""
    targets = Targets(run.stores, lambda text: _say(run, text))
    step = {"action": "end", "set": set_id, "stores": list(targets.fates)}
    run.gate.write([step], lambda: targets.each(lambda store: settle(store, run.site, set_id)))
    if run.gate.check_mode:
        return run.outcome("backup", "to be ended", [], before={}, after={})
    objects = [_settled(run, store, set_id, "gone", lambda mark: mark is None) for store in targets.alive.values()]
    lost = [f"the store {name}: {fate}" for name, fate in targets.fates.items() if fate != STORED]
    return run.outcome("backup", f"{set_id} to be ended", objects, before={}, after={"set": set_id}, problems=lost)


def _settled(run: Run, store: Store, set_id: str, wanted: str, right: t.Callable[[Running | None], bool]) -> Object:
    """Read the mark of a set, and say whether it is as it should be."""
    what = f"the mark of {run.site}/{set_id} in the store {store.name}"
    try:
        mark = read_running(store, run.site, set_id)
    except TradeopsError as exc:
        return Object(what, "mark", None, None, "unproven", str(exc))
    seen = str(mark) if mark else "gone"
    run.seen.append(Seen(store.name, "read", f"{run.site}/{set_id}", iso(dt.datetime.now(dt.UTC)), {"mark": seen}))
    if not right(mark):
        return Object(what, "mark", None, seen, "unproven", f"it should be {wanted}, and is: {seen}")
    return Object(what, "mark", None, seen, "proven")


def _captured(
    run: Run, given: Parameters, part: _Part, keys: list[t.Any], targets: Targets, base: str, clock: Clock
) -> Component:
    capturing = Capturing(
        run.site,
        given,
        part.name,
        targets=targets,
        base=base,
        recipients=keys,
        tell=run.tell,
        note=run.gate.note,
        clean=run.redactor.text,
    )
    started = iso(clock.now())
    found = part.engine.capture(part.name, part.options, capturing)
    done = dataclasses.replace(
        found,
        name=part.name,
        engine=part.word,
        started=started,
        ended=iso(clock.now()),
        artefacts=tuple(capturing.artefacts),
    )
    plain, stored = (sum(getattr(item, which).size for item in done.artefacts) for which in ("plain", "stored"))
    run.tell(f"{run.site}: {part.name}: captured, {plain / 1e6:.1f} MB, {stored / 1e6:.1f} MB as stored")
    return done


def _told(part: Component) -> dict[str, t.Any]:
    """Return what results and evidence say of a component."""
    plain, stored = (sum(getattr(item, which).size for item in part.artefacts) for which in ("plain", "stored"))
    return {"engine": part.engine, "moment": part.moment, "plain": plain, "stored": stored}


def _proven(run: Run, made: Manifest, targets: Targets, given: Parameters) -> list[Object]:
    """List each store again, and compare it with the manifest that is read from it."""
    key = str(given["secrets"].get("backup_manifest_key") or "")
    objects = []
    for store in targets.alive.values():
        what = f"{made.site}/{made.id} in the store {store.name}"
        try:
            _whole(store, made, key)
        except TradeopsError as exc:
            objects.append(Object(what, "set", None, None, "unproven", str(exc)))
            continue
        size = sum(item.stored.size for component in made.components for item in component.artefacts)
        run.seen.append(
            Seen(store.name, "list", f"{made.site}/{made.id}", iso(dt.datetime.now(dt.UTC)), {"bytes": size})
        )
        objects.append(Object(what, "set", None, {"bytes": size}, "proven"))
    return objects


def _whole(store: Store, made: Manifest, key: str) -> None:
    """Raise Damaged unless a store has the manifest and every artefact with its size."""
    base = folder(made.site, made.id)
    if read_manifest(store, made.site, made.id, key) != made:
        raise Damaged("its manifest is another one than was written.")
    sizes = {entry.key: entry.size for entry in store.entries(base)}
    for component in made.components:
        for item in component.artefacts:
            if sizes.get(f"{base}{item.name}") != item.stored.size:
                seen = sizes.get(f"{base}{item.name}", "nothing")
                raise Damaged(f"{item.name} has {item.stored.size} bytes, and {seen} is there.")


def _parts(site: str, components: list[dict[str, t.Any]]) -> list[_Part]:
    parts: list[_Part] = []
    for component in components:
        name = str(component.get("name") or "")
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{site}: tradeops_backup_components: {name!r} is no name for a component; use lower-case letters, "
                f"digits, - and _. Nothing was captured."
            )
        if any(part.name == name for part in parts):
            raise InputError(
                f"{site}: tradeops_backup_components: two components are named {name}. Nothing was captured."
            )
        options = {
            key: value for key, value in component.items() if key not in ("name", "engine") and value is not None
        }
        parts.append(_Part(name, str(component["engine"]), engine_of(site, component), options))
    if not parts:
        raise InputError(
            f"{site}: no component is given: name some in tradeops_backup_components. Nothing was captured."
        )
    return parts


def _say(run: Run, text: str) -> None:
    run.gate.note(text)
    run.tell(f"{run.site}: {text}")


def _and(names: list[str]) -> str:
    return ", ".join(names)
