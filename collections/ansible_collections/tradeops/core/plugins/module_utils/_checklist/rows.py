# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The steps of a checklist: what a result of Ansible means for its step, and what the steps mean together."""

from __future__ import annotations

import typing as t

from .._common.argspec import ArgumentSpec
from .._common.outcome import Object, Outcome, Proof, Result, tally
from .._platform.states import UNKNOWN
from .._report.daily import plain

# From bad to good. `planned` was not done: in check mode, or because nothing does it yet; it is never called done.
WORDS = (
    "fail",
    "unreachable",
    "unproven",
    "refused",
    "unknown",
    "not reached",
    "warn",
    "planned",
    "proven",
    "unchanged",
    "pass",
)
BAD = frozenset({"fail", "unreachable", "unproven", "refused", "unknown", "not reached"})
_READS = frozenset({"health", "limits", "readings", "report"})
_VERDICTS = frozenset({"pass", "warn", "fail", "unknown"})
_FEW = 3  # checks that are shown with their values
_LONGEST = 300  # characters of what a step says in a table

SPEC = ArgumentSpec(
    {
        "name": {"type": "str", "required": True},
        "rows": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "site": {"type": "str"},
                "step": {"type": "str", "required": True},
                "do": {"type": "str", "default": ""},
                "result": {"type": "str", "choices": list(WORDS), "required": True},
                "said": {"type": "str", "default": ""},
            },
        },
    }
)

Facts = t.Mapping[str, t.Any]


def row(site: str, step: Facts, result: Facts, earlier: t.Iterable[Facts], *, check_mode: bool) -> dict[str, str]:
    """Return the row of a step: its word, and in one line what it said. ``result`` is what its last task returned.

    In check mode nothing was done. What is read after a plan is then not how it would be, and judges nothing.
    """
    word, said = _word(step, result)
    does = str(step.get("do", ""))
    after_a_plan = check_mode and any(item["result"] == "planned" != item["do"] for item in earlier)
    if word in BAD and after_a_plan and does in _READS:
        word, said = "planned", f"to be looked at when the steps before are done; now: {said}"
    return {"site": site, "step": str(step["name"]), "do": does, "result": word, "said": _line(said, site)}


def missing(rows: t.Iterable[Facts], step: Facts, *, go_on: bool) -> list[str]:
    """Return the steps that keep this one from being taken: those that it needs, or all that failed before it."""
    left_out = {"not reached"}
    bad = [item for item in rows if item["result"] in BAD]
    if not go_on:
        return [item["step"] for item in bad if item["result"] not in left_out]
    return [item["step"] for item in bad if item["step"] in (step.get("needs") or ())]


def _word(step: Facts, result: Facts) -> tuple[str, str]:
    found = str(result.get("result") or "")
    verdict = str(result.get("verdict") or "")
    # Health says in `explain` why; on success most results say it in the summary of their proof only.
    said = str(result.get("msg") or "")
    if verdict == "pass":
        said = said or _values(result.get("checks"))
    said = said or "; ".join(result.get("explain") or ())
    said = said or "; ".join(filter(None, (_moves(result), str((result.get("proof") or {}).get("summary") or ""))))
    if result.get("failed") or result.get("unreachable"):
        word = verdict if verdict in BAD else found if found in BAD else "fail"
        return word, said or "it failed and did not say why"
    if step.get("do") == "planned":
        return "planned", said
    if "problems" in result:
        return _readings(step, result)
    if verdict in _VERDICTS:
        return verdict, said
    return (found if found in WORDS else "pass"), said


def _values(checks: t.Any) -> str:
    """Say what a few checks read; of many, the summary says how many pass."""
    few = checks if isinstance(checks, list) and len(checks) <= _FEW else []
    read = [check for check in few if check.get("value") is not None]
    return ", ".join(f"{check['name']} {_value(check['value'])} {check.get('unit') or ''}".strip() for check in read)


def _moves(result: Facts) -> str:
    """Say what an act changed, such as ``state active -> stopped, positions 5 -> 0``."""
    before, after = result.get("before"), result.get("after")
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    keys = [key for key in ("state", "open_orders", "positions") if after.get(key) is not None]
    return ", ".join(
        f"{key} {after[key]}" if before.get(key) in (None, after[key]) else f"{key} {before[key]} -> {after[key]}"
        for key in keys
    ).replace("_", " ")


def _readings(step: Facts, result: Facts) -> tuple[str, str]:
    """Judge what trading_info returned; what could not be read is unknown."""
    seen = {key: value for key, value in (result.get("summary") or {}).items() if value is not None}
    seen = {key: value for key, value in seen.items() if key not in ("site", "problem")} | (result.get("metrics") or {})
    books = result.get("reconciliation")
    if books:
        seen["books"] = {True: "agree", False: f"differ: {books['differences']}"}.get(books["clean"], UNKNOWN)
    problems = dict(result.get("problems") or {})
    said = ", ".join(f"{key} {_value(value)}" for key, value in seen.items())
    if problems or UNKNOWN in seen.values():
        return "unknown", "; ".join([*(f"{key}: {why}" for key, why in problems.items()), said])
    over = [
        f"{key} is {_value(seen.get(key))}, at most {most}"
        for key, most in _most(step).items()
        if _over(seen.get(key), most)
    ]
    if over or (books and books["clean"] is False):
        return "fail", "; ".join([*over, said])
    return "pass", said


def _most(step: Facts) -> dict[str, float]:
    return dict(step.get("at_most") or {})


def _over(value: t.Any, most: float) -> bool:
    """A limit on something that the platform does not have, or that is no number, cannot be kept."""
    return not isinstance(value, (int, float)) or isinstance(value, bool) or value > most


def _value(value: t.Any) -> str:
    return plain(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _line(text: str, site: str) -> str:
    line = " ".join(text.split()).removeprefix(f"{site}: ")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]} …"


def conclude(site: str, given: Facts, *, check_mode: bool = False) -> Outcome:
    """Return the verdict over the steps of a checklist. What is bad fails; what is planned is named, and no failure."""
    rows = given["rows"]
    counts = {word: sum(item["result"] == word for item in rows) for word in WORDS}
    bad = [item for item in rows if item["result"] in BAD]
    good: Result = "proven" if counts["proven"] else "planned" if check_mode and counts["planned"] else "unchanged"
    msg = ""
    if bad:
        each = "; ".join(f"{item['step']} ({item['result']}): {item['said'] or 'it did not say why'}" for item in bad)
        msg = f"{site}: {given['name']}: {len(bad)} of {len(rows)} steps did not pass: {each}"
    elif not rows:
        msg = f"{site}: {given['name']}: it has no step, so nothing is shown"
    objects = [Object(item["step"], "step", None, item["said"], item["result"]) for item in rows]
    return Outcome(
        site=site,
        capability="checklist",
        wanted=given["name"],
        result="unproven" if msg else good,
        changed=False,
        before={},
        after={word: count for word, count in counts.items() if count},
        proof=Proof(summary=tally(objects), objects=objects),
        msg=msg,
    )
