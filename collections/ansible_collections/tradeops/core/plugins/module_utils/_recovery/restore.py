# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A set is put back: planned from the live site, read whole, restored beside, switched to, and looked at again.

Until the first switch nothing that the site uses has changed. When a switch fails, those before it are taken back.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from .._backup import scratch
from .._backup.asked import LOGICAL, PHYSICAL, asked
from .._backup.asked import PARTS as WHAT
from .._backup.catalogue import Listed, catalogue_of, choose, passed_over
from .._backup.ciphers import identities
from .._backup.manifest import SAFETY, Component, Manifest, folder
from .._backup.run import ENGINES, STORES, Run
from .._backup.store import Store
from .._common.argspec import SITE, ArgumentSpec
from .._common.errors import InputError, Refused, TradeopsError
from .._common.outcome import Object, Outcome, Result, Seen
from .._common.times import iso
from .back import Back, Halfway, Part, room_of
from .guard import ensure_quiet, ensure_quiet_again
from .parts import PARTS
from .parts.physical import bring_back, listings
from .plan import Plan, left_out, plan, selected
from .wish import At, parse_at

Parameters = dict[str, t.Any]
_UNTOUCHED = "Nothing that the site uses was changed."

RESTORE = STORES.merge(
    ENGINES,
    SITE,
    ArgumentSpec(
        {
            "id": {"type": "str", "default": "latest"},
            "what": {"type": "str", "choices": list(WHAT), "default": "full"},
            "at": {"type": "str", "default": ""},
            "only": {"type": "list", "elements": "str", "default": []},
            "parts": {"type": "dict", "default": {}},
            "jobs": {"type": "int", "default": 2},
            "force": {"type": "bool", "default": False},
            "recreate": {"type": "bool", "default": False},
            "scratch_dir": {"type": "path"},
        }
    ),
)


def ensure_restored(run: Run, given: Parameters) -> Outcome:
    """The components of a set that are asked for are at the site as they were captured, and nothing else is lost."""
    _check(run.site, given)
    at = parse_at(run.site, given["at"])
    options = _options(run.site, given["components"])
    to_moment = _to_moment(run.site, at, options, given["what"])
    # Whoever looks at a site whose database a killed restore had stopped sees nothing.
    again = [bring_back(run, given, engine) for engine in sorted(_servers(options))]
    with scratch.folder(given["scratch_dir"]) as place, contextlib.ExitStack() as stack:
        listed = listings(run.site, given, sorted(_servers(options)) if to_moment else [], place, stack)
        wait = given["wait_timeout"]
        state = ensure_quiet_again(run.site, given, wait) if any(again) else ensure_quiet(run.site, given)
        _saw(run, "trading state", "GET", given["profile"], {"state": state})
        store, manifest = _chosen(run, given, given["id"], at, to_moment=to_moment)
        chosen = selected(run.site, manifest, given["what"], given["parts"], given["only"], to_moment=to_moment)
        back = Back(
            site=run.site,
            given=given,
            gate=run.gate,
            redactor=run.redactor,
            store=store,
            base=folder(run.site, manifest.id),
            set_id=manifest.id,
            at=at,
            identities=identities(str(given["secrets"].get("backup_identity") or "")),
            folder=place,
            stack=stack,
            tell=run.tell,
            listings=listed,
        )
        parts = [
            PARTS[item.engine](back, item, options.get(item.name, {}))
            for item in chosen
            if not left_out(item, given["only"])
        ]
        made = _plan(run, back, chosen, parts)
        _read_all(run, back, parts)
        if run.gate.check_mode:
            run.gate.plan += made.told(manifest.id)
            return _outcome(run, manifest, made, [])
        try:
            _prepare(back, made, parts)
            _still_quiet(run, back, parts)
            _switch(back, made, parts)
        except Halfway as exc:
            return run.outcome(
                "restore", f"{manifest.id} in place", [], before=made.before, after={}, problems=[str(exc)]
            )
        except TradeopsError as exc:
            return _unchanged(run, manifest, made, exc)
        run.tell(f"{run.site}: looking at what is in place now")
        # Until there is a base backup of the new timeline, the way back leads over the old one.
        run.more["base_backups_due"] = [part.component.name for part in parts if part.component.engine in PHYSICAL]
        return _outcome(run, manifest, made, [item for part in parts for item in part.prove()])


def _plan(run: Run, back: Back, chosen: t.Sequence[Component], parts: t.Sequence[Part]) -> Plan:
    """Look at every target and plan. Raises Refused with everything that is in the way."""
    targets = {part.component.name: part.look() for part in parts}
    for part in parts:
        target = targets[part.component.name]
        _saw(run, part.component.name, "look", target.name, target.shown if target.exists else "nothing")
    decrypted = sum(artefact.plain.size for part in parts for artefact in part.wanted())
    made = plan(run.site, chosen, targets, room_of(back.folder.parent), decrypted=decrypted)
    for note in made.notes:
        run.gate.note(note)
    if made.refusals:
        raise _refused(f"{run.site}: {back.set_id} cannot be restored: {'; '.join(made.refusals)}. {_UNTOUCHED}")
    return made


def _read_all(run: Run, back: Back, parts: t.Sequence[Part]) -> None:
    """Read everything that is needed and compare every hash, before anything is touched. Raises Damaged, Refused.

    What is restored while it is read has its hashes compared then, before the switch.
    """
    for part in parts:
        wanted, later = part.wanted(), [] if run.gate.check_mode else part.streamed()
        for artefact in part.component.artefacts:
            if artefact in later:
                continue
            back.progress(f"reading {artefact.name}, {artefact.stored.size / 1e6:.1f} MB")
            try:
                if artefact in wanted:
                    back.fetch(artefact)
                else:
                    back.check(artefact)
            except OSError as exc:
                text = (
                    f"{run.site}: {artefact.name} cannot be put on disk in {back.folder}: {exc.strerror}. {_UNTOUCHED}"
                )
                raise _refused(text) from exc
    problems = [f"{part.component.name}: {problem}" for part in parts for problem in part.inspect()]
    if problems:
        raise _refused(f"{run.site}: {back.set_id} cannot be restored: {'; '.join(problems)}. {_UNTOUCHED}")


def _prepare(back: Back, made: Plan, parts: t.Sequence[Part]) -> None:
    """Restore everything beside. What fails here has changed nothing; what was prepared is removed."""
    steps = {step["component"]: step for step in made.told(back.set_id)}
    begun: list[Part] = []
    try:
        for part in parts:
            back.progress(f"{part.component.name}: restoring beside")
            step = steps[part.component.name]
            known = len(back.gate.notes)
            back.gate.write([step], part.sweep)
            for text in back.gate.notes[known:]:
                back.progress(f"{part.component.name}: {text}")
            begun.append(part)
            back.gate.write([step], part.prepare)
    except BaseException:
        _discard(back, begun)
        raise


def _still_quiet(run: Run, back: Back, parts: t.Sequence[Part]) -> None:
    """A restore may take long, and somebody may have resumed the site meanwhile. Raises Refused."""
    try:
        state = ensure_quiet(run.site, back.given)
    except BaseException:
        _discard(back, parts)
        raise
    _saw(run, "trading state", "GET", back.given["profile"], {"state": state})


def _unchanged(run: Run, manifest: Manifest, made: Plan, exc: TradeopsError) -> Outcome:
    """Report a restore that has switched nothing, or has taken back what it had: the site is as it was."""
    text = str(exc).removeprefix(f"{run.site}: ").removesuffix("Nothing was touched.").rstrip()
    found = run.outcome(
        "restore", f"{manifest.id} in place", [], before=made.before, after=made.before, problems=[text]
    )
    found.result, found.changed = t.cast(Result, exc.result), run.touched
    found.msg = f"{found.msg.rstrip('.')}. {_UNTOUCHED}"
    return found


def _switch(back: Back, made: Plan, parts: t.Sequence[Part]) -> None:
    """Put everything in place, one after the other; when one fails, those before it are taken back."""
    steps = {step["component"]: step for step in made.told(back.set_id)}
    done: list[Part] = []
    try:
        for part in parts:
            back.progress(f"{part.component.name}: switching over")
            back.gate.write([steps[part.component.name]], part.switch)
            done.append(part)
    except BaseException as exc:
        left = []
        for part in reversed(done):
            try:
                part.undo()
            except TradeopsError as problem:
                left.append(f"{part.component.name}: {problem}")
        _discard(back, [part for part in parts if part not in done or not left])
        if left:
            text = f"{exc} What had been switched could not be taken back: {'; '.join(left)}. Look at the site."
            raise Halfway(text) from exc
        raise


def _discard(back: Back, parts: t.Sequence[Part]) -> None:
    for part in parts:
        try:
            part.discard()
        except TradeopsError as exc:
            back.note(
                f"{part.component.name}: what was prepared is still there, and the next restore removes it: {exc}"
            )


def _chosen(run: Run, given: Parameters, wanted: str, at: At, *, to_moment: bool) -> tuple[Store, Manifest]:
    """Return the set that is asked for, where it is whole. Raises InputError, Refused or Damaged."""
    catalogue = catalogue_of(run.site, run.stores, given)
    sets = catalogue.sets()
    for name, problem in catalogue.problems.items():
        run.gate.note(f"the store {name} was left out: {problem}")
    if at.moment:
        # A set that began before a moment may hold what came after it.
        sets = [one for one in sets if one.facts and _ended(one) <= at.moment]
    if to_moment:
        sets = [one for one in sets if one.facts and set(PHYSICAL) & set(one.facts.components.values())]
    what, types, only = given["what"], given["parts"], given["only"]
    known = [one.facts.components for one in sets if one.facts and one.usable and one.type != SAFETY]
    fitting = asked(what, types, only, known=known, to_moment=to_moment)
    try:
        one = choose(sets, wanted or "latest", asked=fitting)
    except InputError as exc:
        when = f" for {at.text}" if at.text else ""
        raise InputError(f"{run.site}: {str(exc).rstrip('.')}{when}. {_UNTOUCHED}") from exc
    for text in passed_over(sets, fitting, one) if one.id != wanted else []:
        run.gate.note(text)
    store, manifest = catalogue.manifest(one)
    has = {item.name for item in manifest.components}
    absent = set(asked(what, types, only, known=known).names - has)
    if to_moment:  # its log brings the database back
        absent = {name for name in absent if not any(of.get(name) == LOGICAL for of in known)}
    if absent and one.type != SAFETY:
        run.gate.note(f"{one.id} has no {', '.join(sorted(absent))}: what is there at the site stays as it is")
    if manifest.clock or one.ahead:
        run.gate.note(f"{one.id}: {one.problem}")
    _saw(
        run,
        "manifest",
        "read",
        f"{store.name}:{manifest.site}/{manifest.id}",
        {"type": manifest.type, "ended": manifest.ended},
    )
    return store, manifest


def _ended(one: Listed) -> dt.datetime:
    return dt.datetime.fromisoformat(one.facts.ended) if one.facts else one.taken


def _to_moment(site: str, at: At, options: t.Mapping[str, Parameters], what: str) -> bool:
    """Whether a server is to be recovered from its log. Raises InputError where it would have to be and has none."""
    physical = bool(_servers(options)) and what in ("full", "database")
    if at.log_only and not physical:
        raise InputError(
            f"{site}: {at.kind}:{at.text} is a place in the log of a server, and tradeops_backup_components has no "
            f"barman or pgbackrest, or restore_what is {what!r}. Ask for a set, a date or a time instead. {_UNTOUCHED}"
        )
    return physical and at.kind in ("time", "lsn", "name")


def _servers(options: t.Mapping[str, Parameters]) -> set[str]:
    """Return the engines of base backups that the site has components of."""
    return {option["engine"] for option in options.values()} & set(PHYSICAL)


def _options(site: str, components: t.Sequence[Parameters]) -> dict[str, Parameters]:
    """Return the options of each component by its name. Raises InputError."""
    for component in components:
        if not component.get("name") or not component.get("engine"):
            raise InputError(f"{site}: tradeops_backup_components: an entry has no name or no engine. {_UNTOUCHED}")
    return {component["name"]: dict(component) for component in components}


def _outcome(run: Run, manifest: Manifest, made: Plan, objects: list[Object]) -> Outcome:
    """Weigh what was seen. In check mode ``after`` is what would be there."""
    seen = {item.id: item.after for item in objects} if objects else made.after
    return run.outcome("restore", f"{manifest.id} in place", objects, before=made.before, after=seen)


def _saw(run: Run, source: str, method: str, url: str, what: t.Any) -> None:
    """Keep one reading for the proof."""
    run.seen.append(Seen(source, method, url, iso(), what))


def _refused(text: str) -> Refused:
    return Refused(text, method="restore", path="", sent=False)


def _check(site: str, given: Parameters) -> None:
    if not 0 < given["wait_timeout"] <= 86400:
        wait = f"{given['wait_timeout']:g}"
        raise InputError(f"{site}: wait_timeout is {wait}; give seconds, up to a day. {_UNTOUCHED}")
    if not 1 <= given["jobs"] <= 64:
        raise InputError(f"{site}: jobs is {given['jobs']}; give 1 to 64. {_UNTOUCHED}")
