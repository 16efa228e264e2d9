# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Facts about an operation: its id, who runs it, and which code it runs."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import pathlib
import re
import secrets
import typing as t

from .._common.errors import InputError

ENV_OPERATION = "TRADEOPS_OPERATION_ID"
ENV_OPERATOR = "TRADEOPS_OPERATOR"
ENV_JOURNAL_DIR = "TRADEOPS_JOURNAL_DIR"
ENV_STATE_DIR = "TRADEOPS_STATE_DIR"
ENV_RUN = "TRADEOPS_JOURNAL_RUN"  # the run that writes the journal now: a report made inside it cannot see its end
ENV_PROBLEM = "TRADEOPS_JOURNAL_PROBLEM"  # why the journal of this run is incomplete

_OPERATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def new_operation_id(at: datetime.datetime | None = None) -> str:
    """Return an id that sorts by time and is safe as a file name, such as ``20261121T030405Z-9f3a6c1b``."""
    moment = at or datetime.datetime.now(datetime.UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def journal_dir(environ: t.Mapping[str, str]) -> str:
    """Return the folder of the journals when none is named."""
    return f"{environ.get(ENV_STATE_DIR) or '~/.local/state/tradeops'}/journal"


def check_operation_id(text: str) -> str:
    """Return ``text`` when it can be an operation id. Raises InputError."""
    if not _OPERATION.fullmatch(text):
        raise InputError(
            f"operation id: {text[:120]!r} cannot be a file name here. Use up to 100 letters, digits, dots, dashes and "
            "underscores, beginning with a letter or digit."
        )
    return text


def find_operator(environ: t.Mapping[str, str], extra_vars: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return ``{name, source}`` of the person who decided: as AWX knows, which has asked for a password, as told, or as
    logged in."""
    for name in ("awx_user_name", "tower_user_name"):
        if extra_vars.get(name):
            return {"name": str(extra_vars[name]), "source": name}
    if environ.get(ENV_OPERATOR):
        return {"name": environ[ENV_OPERATOR], "source": ENV_OPERATOR}
    return {"name": login_name(), "source": "login"}


def login_name() -> str:
    """Return the name of the user of this process, or its number when it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a uid without an entry; OSError since Python 3.13
        return f"uid {os.getuid()}"


def collection_version(root: pathlib.Path) -> str:
    """Return the version of the collection in ``root``, installed or as a source tree; "" when it cannot be told."""
    manifest = _text(root / "MANIFEST.json")
    if manifest:
        try:
            return str(json.loads(manifest)["collection_info"]["version"])
        except (ValueError, KeyError, TypeError):
            return ""
    found = re.search(r"^version:\s*[\"']?([^\s\"'#]+)", _text(root / "galaxy.yml"), re.MULTILINE)
    return found[1] if found else ""


def git_commit(start: pathlib.Path) -> str:
    """Return the commit that is checked out around ``start``, read from ``.git`` without running git; or ""."""
    for folder in (start, *start.parents):
        git = folder / ".git"
        if git.is_file():  # a worktree or a submodule
            pointer = _text(git).removeprefix("gitdir:").strip()
            return _commit_of(folder / pointer)
        if git.is_dir():
            return _commit_of(git)
    return ""


def _commit_of(git: pathlib.Path) -> str:
    head = _text(git / "HEAD")
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    ref = head.removeprefix("ref:").strip()
    shared = git / (_text(git / "commondir") or ".")
    for base in (git, shared):
        commit = _text(base / ref)
        if _COMMIT.fullmatch(commit):
            return commit
    for line in _text(shared / "packed-refs").splitlines():
        commit, _blank, name = line.partition(" ")
        if name == ref and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
