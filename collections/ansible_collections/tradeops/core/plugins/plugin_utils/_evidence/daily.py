# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a day: the HTML page and, beside it, the same as JSON."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import Outcome, Proof, Result, tally
from ansible_collections.tradeops.core.plugins.module_utils._report.daily import (
    HEIGHT,
    WIDTH,
    Report,
    build,
    history_of,
    plain,
)

from .page import environment
from .report import read, write

SIGNS = {"met": "✓", "missed": "✕", "unknown": "?", "no target": "·"}
TONES = {"met": "proven", "missed": "unproven", "unknown": "unreachable", "no target": "unchanged"}


def make(site: str, given: t.Mapping[str, t.Any], today: dt.date, *, check_mode: bool) -> dict[str, t.Any]:
    """Write page and summary when they differ from what is there; return what the module returns. Raises InputError."""
    day = _day(site, given["day"]) if given["day"] else today
    folder = pathlib.Path(given["dest"]).expanduser()
    report = build(site, given, day, history_of(_summaries(folder, site), day))
    page = folder / f"{site}-{day}.html"
    summary = page.with_suffix(".json")
    texts = {page: render(report), summary: f"{json.dumps(report.to_summary(), indent=2, sort_keys=True)}\n"}
    stale = {path: text for path, text in texts.items() if read(path) != text.encode()}
    if not check_mode:
        for path, text in stale.items():
            write(path, text.encode())
    objects = [figure.to_object() for figure in report.figures]
    unknown = report.named("unknown")
    done: Result = "planned" if check_mode else "proven"
    outcome = Outcome(
        site=site,
        capability="report",
        wanted=f"{given['title']}, {day}",
        result="unproven" if unknown else done if stale else "unchanged",
        changed=bool(stale),
        before={},
        after={"met": len(report.named("met")), "missed": len(report.named("missed")), "unknown": len(unknown)},
        proof=Proof(summary=tally(objects), objects=objects),
        msg=f"{site}: {report.text}",
    )
    return outcome.to_result() | {"path": str(page), "summary_path": str(summary)}


def render(report: Report) -> str:
    """Return the page."""
    template = environment().get_template("daily.html.j2")
    return template.render(report=report, marks=SIGNS, tones=TONES, plain=plain, width=WIDTH, height=HEIGHT)


def _day(site: str, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{site}: day: {text!r} is no day. Write it such as 2026-11-27.") from None


def _summaries(folder: pathlib.Path, site: str) -> t.Iterator[t.Any]:
    for path in folder.glob(f"{site}-????-??-??.json"):
        try:
            yield json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a report of an earlier day that is damaged is none; its day is a gap in the line
