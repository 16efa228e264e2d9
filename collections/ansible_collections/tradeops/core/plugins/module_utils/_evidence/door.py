# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the evidence modules take, and which journal they mean."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible.module_utils.basic import env_fallback

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError
from .chain import parse_head, verify
from .facts import ENV_JOURNAL_DIR, ENV_OPERATION, check_operation_id
from .history import is_of_ours, load

LATEST = "latest"

_JOURNAL = ArgumentSpec(
    {
        "path": {"type": "path"},
        "operation_id": {"type": "str"},
        "journal_dir": {
            "type": "path",
            "default": "~/.local/state/tradeops/journal",
            "fallback": (env_fallback, [ENV_JOURNAL_DIR]),
        },
    },
    mutually_exclusive=(("path", "operation_id"),),
    required_one_of=(("path", "operation_id"),),
)
VERIFY = _JOURNAL.merge(ArgumentSpec({"head": {"type": "str"}}))
REPORT = _JOURNAL.merge(ArgumentSpec({"dest": {"type": "path"}}))


def journal_path(given: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> pathlib.Path:
    """Return the journal that is meant. Raises InputError for an operation id that cannot be one."""
    if given.get("path"):
        return pathlib.Path(given["path"])
    folder = pathlib.Path(given["journal_dir"]).expanduser()
    if given.get("operation_id") == LATEST:
        return _latest(folder, environ.get(ENV_OPERATION, ""))
    if not given.get("operation_id"):
        raise InputError(
            "no operation is named, and none goes on here: enable the callback tradeops.core.journal, or give "
            "operation_id"
        )
    return folder / f"{check_operation_id(given['operation_id'])}.jsonl"


def _latest(folder: pathlib.Path, current: str) -> pathlib.Path:
    """Return the journal that was written last; not of the operation that asks, nor of one that only made reports."""
    journals = [path for path in folder.glob("*.jsonl") if path.stem != current]
    for path in sorted(journals, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if any(is_of_ours(record) for record in load(path)):
            return path
    raise InputError(f"{folder}: no journal there holds a step of a module of tradeops")


def verify_journal(given: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Return what the module evidence_verify returns. Raises InputError when there is no journal to read."""
    path = journal_path(given, environ)
    if not path.is_file():
        raise InputError(f"{path}: there is no such journal. Name it with path, or with operation_id and journal_dir.")
    found = verify(path, parse_head(given["head"]) if given.get("head") else None)
    said = [found.problem] if found.problem else [f"{found.records} valid records"]
    if found.torn:
        said.append("the last record was torn when it was written: a crash, not tampering")
    return {
        "changed": False,
        "failed": not found.valid,
        "path": str(path),
        **dataclasses.asdict(found),
        "head": str(found.head),
        "msg": f"{path}: {'; '.join(said)}",
    }
