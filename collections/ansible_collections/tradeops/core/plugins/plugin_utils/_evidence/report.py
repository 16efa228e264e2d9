# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Make the report of an operation: the HTML page and, beside it, the same as JSON."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts
from ansible_collections.tradeops.core.plugins.module_utils._evidence.door import journal_path
from ansible_collections.tradeops.core.plugins.module_utils._evidence.summary import Evidence, gather, to_summary

from .page import render


def make(given: t.Mapping[str, t.Any], environ: t.Mapping[str, str], *, check_mode: bool) -> dict[str, t.Any]:
    """Write page and summary when they differ from what is there; return what the module returns. Raises InputError."""
    journal = journal_path(given, environ)
    evidence = _gather(journal, given, environ)
    page = _destination(given.get("dest"), journal)
    summary = page.with_suffix(".json")
    texts = {page: render(evidence), summary: f"{json.dumps(to_summary(evidence), indent=2, sort_keys=True)}\n"}
    stale = {path: text for path, text in texts.items() if read(path) != text.encode()}
    if not check_mode:
        for path, text in stale.items():
            write(path, text.encode())
    broken = not evidence.verification.valid and journal.exists()
    return {
        "changed": bool(stale),
        "failed": broken,
        "msg": f"{journal}: {evidence.verification.problem}" if broken else evidence.verdict.text,
        "operation_id": evidence.operation,
        "path": str(page),
        "summary_path": str(summary),
        "verdict": evidence.verdict.word,
        "counts": evidence.verdict.counts,
        "complete": not evidence.gaps,
        "gaps": evidence.gaps,
        "valid": evidence.verification.valid,
        "head": str(evidence.head),
    }


def _gather(journal: pathlib.Path, given: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> Evidence:
    operation = journal.stem
    ours = operation == environ.get(facts.ENV_OPERATION)
    problem = environ.get(facts.ENV_PROBLEM, "") if ours else ""
    if not journal.is_file() and not problem:
        raise InputError(
            f"{journal}: there is no such journal. Enable the callback tradeops.core.journal for the operation, or "
            "name the journal with path, or with operation_id and journal_dir."
        )
    return gather(journal, operation, current=environ.get(facts.ENV_RUN, "") if ours else "", problem=problem)


def _destination(dest: str | None, journal: pathlib.Path) -> pathlib.Path:
    if dest and dest.endswith(".html"):
        return pathlib.Path(dest)
    return (pathlib.Path(dest) if dest else journal.parent) / f"{journal.stem}.html"


def read(path: pathlib.Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror}; give another dest") from exc


def write(path: pathlib.Path, content: bytes) -> None:
    """Put the file there as a whole or not at all, readable for its owner only."""
    scratch = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        os.replace(scratch, path)
    except OSError as exc:
        if scratch:
            pathlib.Path(scratch).unlink(missing_ok=True)
        raise InputError(f"{path}: the report cannot be written: {exc.strerror}; give another dest") from exc
