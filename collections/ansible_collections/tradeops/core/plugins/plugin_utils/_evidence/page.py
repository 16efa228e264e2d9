# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Render the evidence as one self-contained HTML page: no request leaves it, and it needs no JavaScript."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import jinja2

from ansible_collections.tradeops.core.plugins.module_utils._evidence.chain import canonical
from ansible_collections.tradeops.core.plugins.module_utils._evidence.chart import charts
from ansible_collections.tradeops.core.plugins.module_utils._evidence.history import Step
from ansible_collections.tradeops.core.plugins.module_utils._evidence.summary import Evidence, amount
from ansible_collections.tradeops.core.plugins.module_utils._evidence.timeline import draw, seconds

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_MOST_ROWS = 200
_LONGEST = 600  # characters of one reading; the journal holds all of it

# A sign beside each word, so that no meaning hangs on colour alone.
SIGNS = {
    "proven": "✓",
    "unchanged": "=",
    "ordered": "→",
    "planned": "◇",
    "refused": "⊘",
    "unproven": "✕",
    "unreachable": "↯",
    "not_proven": "✕",
    "nothing": "✕",
    "invalid": "✕",
}
MEANINGS = {
    "proven": "done, and shown to be so by a reading afterwards",
    "unchanged": "it already was so, as observed",
    "ordered": "the order was given; the proof has to come from a later step",
    "planned": "check mode: it would be done",
    "refused": "the system, or a guard, said no",
    "unproven": "no proof of the effect: treat it as not done",
    "unreachable": "the system did not answer",
}
# The levels of a health check, and the word whose colour each has.
LEVELS = {"pass": "✓", "warn": "!", "unknown": "?", "fail": "✕"}
TONES = {"pass": "proven", "warn": "ordered", "unknown": "unreachable", "fail": "unproven"}
_FIRST_KEYS = ("state", "open_orders", "positions", "before", "after")
_UNDONE = frozenset({"refused", "failed", "unproven", "unreachable"})


def render(evidence: Evidence) -> str:
    """Return the page."""
    steps = [step for site in evidence.sites for step in site.steps]
    timelines = [draw(run, steps) for run in evidence.runs if any(step.run is run for step in steps)]
    return environment().get_template("page.html.j2").render(evidence=evidence, timelines=timelines)


@functools.cache
def environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(signs=SIGNS, meanings=MEANINGS, levels=LEVELS, tones=TONES)
    environment.filters.update(
        amount=_amount,
        by_level=_by_level,
        charts=charts,
        clock=_clock,
        ordered=_ordered,
        undone=undone,
        say=say,
        seconds=seconds,
        shown=_shown,
        title=_title,
    )
    return environment


def undone(step: Step) -> list[dict[str, t.Any]]:
    """Return the objects of a step that were not brought where they should be."""
    return [item for item in step.objects if _is_undone(item)]


def say(value: t.Any) -> str:
    """Say any recorded value in one line; a long one is cut, and the cut is said."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else canonical(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters in the journal)"


def _shown(step: Step) -> tuple[list[dict[str, t.Any]], int]:
    """Return the objects to show, the undone ones first, and how many are left out."""
    objects = sorted(step.objects, key=lambda item: not _is_undone(item))
    return objects[:_MOST_ROWS], max(0, len(objects) - _MOST_ROWS)


def _is_undone(item: dict[str, t.Any]) -> bool:
    result = str(item.get("result", ""))
    return result in _UNDONE or result.startswith("not ")


def _amount(value: t.Any) -> str:
    number = amount(value)
    return "—" if number is None else f"{number:,}"


def _by_level(checks: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the checks of a health step, the bad ones first; what has no level that we know is left out."""
    order = [*LEVELS][::-1]
    return sorted(
        (item for item in checks if item.get("result") in LEVELS), key=lambda item: order.index(item["result"])
    )


def _ordered(values: dict[str, t.Any]) -> list[tuple[str, t.Any]]:
    """Return what a reader looks for first before the rest: a journal has its keys in alphabetical order."""
    first = [key for key in _FIRST_KEYS if key in values]
    return [(key, values[key]) for key in (*first, *(key for key in values if key not in _FIRST_KEYS))]


def _clock(at: str) -> str:
    """Say the time of a record so that a person can read it: the journal has the microseconds."""
    return f"{at[:10]} {at[11:23]}" if len(at) > 23 else at


def _title(step: Step) -> str:
    return " → ".join(filter(None, (step.capability, step.wanted))) or step.task
