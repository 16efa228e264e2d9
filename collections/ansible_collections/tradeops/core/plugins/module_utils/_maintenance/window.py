# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A maintenance window at one site: may it begin, what is left to do, is it over; with its record, kept by the gate."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .._common.argspec import OPERATION, ArgumentSpec
from .._common.errors import InputError, TradeopsError
from .._common.gate import Gate, gate_of
from .record import Record, Shelf, read, stamp
from .windows import Window, occurrence, parse

Parameters = dict[str, t.Any]
Result = dict[str, t.Any]

SPEC = ArgumentSpec(
    {
        "site": {"type": "str"},
        "state": {"type": "str", "choices": ["observed", "opened", "noted", "failed", "closed"], "required": True},
        "name": {"type": "str", "required": True},
        "windows": {"type": "dict", "required": True},
        "directory": {"type": "path", "required": True},
        "override": {"type": "str", "default": ""},
        "known": {"type": "list", "elements": "str", "default": []},
        "body": {"type": "list", "elements": "str", "default": []},
        "found": {"type": "dict", "default": {}},
        "change": {"type": "str", "default": ""},
        "approver": {"type": "str", "default": ""},
        "step": {"type": "str"},
        "status": {"type": "str", "choices": ["begun", "done", "nothing", "planned", "left"], "default": "begun"},
        "why": {"type": "str", "default": ""},
    },
    required_if=(("state", "noted", ("step",)),),
).merge(OPERATION)


def run(given: Parameters, *, check_mode: bool, process: int, moment: dt.datetime | None = None) -> Result:
    """Do what the module is asked for and return its result; never raises a TradeopsError."""
    now = moment or dt.datetime.now(dt.UTC)
    site = given.get("site") or "this site"
    gate = gate_of(site, given, check_mode=check_mode, process=process)
    if given["state"] in ("failed", "closed"):
        # Also an operation whose site a stop has taken over says what is left. It touches nothing but its record.
        gate = Gate(check_mode=check_mode)
    try:
        window = parse(site, given["name"], given["windows"])
        result = _STATES[given["state"]](site, window, Shelf(given["directory"], site), given, gate, now)
    except TradeopsError as exc:
        said = str(exc)
        return {"failed": True, "changed": False, "result": exc.result, "site": site, "msg": said, "notes": gate.notes}
    finally:
        gate.close()
    return {
        "failed": False,
        "site": site,
        "msg": "",
        "notes": gate.notes,
        "window": dataclasses.asdict(window),
        **result,
    }


def _observe(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Result:
    when = occurrence(window, now)
    record = shelf.load(window.name)
    return {
        "changed": False,
        "result": "unchanged",
        "is_open": when.holds(now),
        "begins": stamp(when.begins),
        "ends": stamp(when.ends),
        "record": dataclasses.asdict(record) if record else {},
        "text": str(window),
    }


def _open(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Result:
    body = _body(site, window, given)
    others = shelf.others(window.name)
    if others:
        raise InputError(
            f"{site}: its window {others[0].window} of {others[0].opened} is not closed. Carry it on first, with "
            f"-e maintenance_window_name={others[0].window}. Nothing was sent."
        )
    record = shelf.load(window.name)
    if record and record.unfinished:
        # The gate wants the lease of the site for this: two controllers never carry on with one window.
        record.status, record.operations = "open", [*record.operations, given["operation"] or "?"]
        if not record.touched:
            record.found = given["found"]
        return _kept(gate, shelf, record, "continue", now, body) | {"continued": True, "already": False}
    if record and record.status == "closed" and _same(record, window, given, now):
        return _told(record, now, body, "unchanged", changed=False) | {"continued": False, "already": True}
    record = _begin(site, window, given, now)
    return _kept(gate, shelf, record, "open", now, body) | {"continued": False, "already": False}


def _begin(site: str, window: Window, given: Parameters, now: dt.datetime) -> Record:
    """Return the record of a new window. Raises InputError outside of it, or without what a change needs."""
    when = occurrence(window, now)
    if not when.holds(now):
        if not given["override"]:
            raise InputError(
                f"{site}: it is {stamp(now)}, and the window {window} begins at {stamp(when.begins)}. Wait for it, or "
                "say why not with -e maintenance_window_override=<reason>. Nothing was sent."
            )
        when = when._replace(begins=now, ends=now + window.length)
    if window.approval and not given["approver"]:
        raise InputError(
            f"{site}: the window {window.name} needs an approver: say -e maintenance_window_approver=<who>. "
            "Nothing was sent."
        )
    return Record(
        site=site,
        window=window.name,
        begins=stamp(when.begins),
        ends=stamp(when.ends),
        opened=stamp(now),
        operator=given["operator"] or "unknown",
        reason=given["reason"],
        override=given["override"],
        found=given["found"],
        change=_change(window, given, now),
        operations=[given["operation"] or "?"],
    )


def _change(window: Window, given: Parameters, now: dt.datetime) -> dict[str, t.Any]:
    if not window.change:
        return {}
    review = stamp(now + dt.timedelta(hours=window.review_hours)) if window.review_hours else ""
    made = f"{window.change}-{now.astimezone(dt.UTC):%Y%m%d-%H%M%S}"
    return {"id": given["change"] or made, "approver": given["approver"], "review_by": review}


def _same(record: Record, window: Window, given: Parameters, now: dt.datetime) -> bool:
    """Whether a closed record is of the occurrence that is asked for: then there is nothing left to do."""
    if given["change"]:
        return bool(record.change.get("id") == given["change"])
    if given["override"] != record.override or record.over(now):
        return False
    return bool(given["override"]) or (not window.any_time and stamp(occurrence(window, now).begins) == record.begins)


def _note(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Result:
    record = _current(site, window, shelf, given, gate, now)
    over = record.over(now)
    alarms = record.due(now)
    status = given["status"]
    if status == "begun" and over and given["step"] in _body(site, window, given):
        status, given = "left", {**given, "why": f"the window ended at {record.ends}"}
    record.note(given["step"], status, given["why"], now)
    return _kept(gate, shelf, record, f"note {given['step']} {status}", now, _body(site, window, given)) | {
        "alarms": alarms,
        "begin": status == "begun",
    }


def _fail(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Result:
    record = _current(site, window, shelf, given, gate, now)
    body = _body(site, window, given)
    # What has not touched the site is over; what has stays to be carried on.
    record.status = "failed" if record.touched else "refused"
    record.left = _left(record, body)
    return _kept(gate, shelf, record, "note the failure", now, body)


def _close(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Result:
    record = _current(site, window, shelf, given, gate, now)
    body = _body(site, window, given)
    record.status, record.closed, record.left = "closed", stamp(now), _left(record, body)
    return _kept(gate, shelf, record, "close", now, body)


_STATES: dict[str, t.Callable[[str, Window, Shelf, Parameters, Gate, dt.datetime], Result]] = {
    "observed": _observe,
    "opened": _open,
    "noted": _note,
    "failed": _fail,
    "closed": _close,
}


def _current(site: str, window: Window, shelf: Shelf, given: Parameters, gate: Gate, now: dt.datetime) -> Record:
    record = shelf.load(window.name)
    if record and record.unfinished:
        return record
    if gate.check_mode:  # nothing was opened: this is how it would be
        asked = {"override": given["override"] or "check", "approver": given["approver"] or "check"}
        return _begin(site, window, {**given, **asked}, now)
    raise InputError(f"{site}: the window {window.name} is not open.")


def _body(site: str, window: Window, given: Parameters) -> list[str]:
    body = given["body"] or window.body
    strangers = [step for step in body if given["known"] and step not in given["known"]]
    if strangers:
        known = ", ".join(given["known"])
        raise InputError(
            f"{site}: the window {window.name} has no step {strangers[0]!r}; there are {known}. Nothing was sent."
        )
    return body


def _left(record: Record, body: list[str]) -> list[str]:
    return [step for step in body if record.steps.get(step, {}).get("status") not in ("done", "nothing", "planned")]


def _kept(gate: Gate, shelf: Shelf, record: Record, action: str, now: dt.datetime, body: list[str]) -> Result:
    step = {
        "action": action,
        "method": "write",
        "path": str(shelf.path(record.window)),
        "service": "record",
        "why": record.window,
    }
    gate.write([step], lambda: shelf.store(record))
    return _told(record, now, body, "planned" if gate.check_mode else "proven", changed=True)


def _told(record: Record, now: dt.datetime, body: list[str], result: str, *, changed: bool) -> Result:
    return {
        "changed": changed,
        "result": result,
        "record": dataclasses.asdict(record),
        "body": body,
        "touched": record.touched,
        "over": record.over(now),
        "seconds_left": max(0, int((read(record.ends) - now).total_seconds())),
        "left": _left(record, body),
    }
