# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Files against a manifest of SHA-256 sums, as ``sha256sum`` writes it: present, whole and not too old."""

from __future__ import annotations

import hashlib
import pathlib
import re
import typing as t

from .._common.argspec import ArgumentSpec
from .._common.errors import InputError
from .._common.outcome import Object, Outcome, Proof, tally

SPEC = ArgumentSpec(
    {
        "site": {"type": "str", "required": True},
        "dir": {"type": "path", "required": True},
        "manifest": {"type": "str", "default": "SHA256SUMS"},
        "max_age_hours": {"type": "float"},
    }
)
_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_HOUR = 3600.0
# A file that says it comes from the future was copied from a machine with another clock: its age is not known.
_CLOCKS_DIFFER = 300.0


def read(text: str, where: str) -> dict[str, str]:
    """Return the sums of a manifest by name of the file. Raises InputError."""
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.rstrip())
        if not found:
            raise InputError(
                f"{where}:{number}: {line[:80]!r} is no line of sha256sum: 64 hex digits, two blanks, a name"
            )
        name = pathlib.PurePosixPath(found["name"])
        if name.is_absolute() or ".." in name.parts:
            raise InputError(f"{where}:{number}: {found['name']!r} leads out of the folder")
        sums[str(name)] = found["sum"].lower()
    if not sums:
        raise InputError(f"{where}: the manifest names no file, so it shows nothing")
    return sums


def verify(given: t.Mapping[str, t.Any], now: float) -> Outcome:
    """Return what became of each file of the manifest; ``now`` is in seconds of the epoch. Raises InputError."""
    folder = pathlib.Path(given["dir"])
    manifest = folder / given["manifest"]
    try:
        sums = read(manifest.read_text(encoding="utf-8"), str(manifest))
    except (OSError, UnicodeDecodeError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise InputError(
            f"{given['site']}: {manifest} cannot be read: {said}. Nothing is known of the files."
        ) from None
    except InputError as exc:
        raise InputError(f"{given['site']}: {exc}") from None
    objects = [
        _judge(folder / name, name, wanted, given["max_age_hours"], now) for name, wanted in sorted(sums.items())
    ]
    bad = [item for item in objects if item.result != "whole"]
    msg = ""
    if bad:
        each = "; ".join(f"{item.id}: {item.result}{', ' + item.why if item.why else ''}" for item in bad)
        msg = f"{given['site']}: {len(bad)} of {len(objects)} files in {folder} are not as the manifest says: {each}"
    return Outcome(
        site=given["site"],
        capability="files",
        wanted="as in the manifest",
        result="unproven" if bad else "unchanged",
        changed=False,
        before={},
        after={"files": len(objects), "whole": len(objects) - len(bad)},
        proof=Proof(summary=tally(objects), objects=objects),
        msg=msg,
    )


def _judge(path: pathlib.Path, name: str, wanted: str, max_age: float | None, now: float) -> Object:
    def found(result: str, why: str = "", after: t.Any = None) -> Object:
        return Object(name, "file", wanted[:12], after, result, why)

    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        age = now - path.stat().st_mtime
    except FileNotFoundError:
        return found("not there")
    except OSError as exc:
        return found("not readable", str(exc.strerror))
    said = f"{actual[:12]}, {age / _HOUR:.1f} h old"
    if actual != wanted:
        return found("not the same", f"its sum is {actual[:12]}, the manifest has {wanted[:12]}", said)
    if age < -_CLOCKS_DIFFER:
        return found("not known", f"its time lies {-age / _HOUR:.1f} h in the future", said)
    if max_age is not None and age > max_age * _HOUR:
        return found("not fresh", f"{age / _HOUR:.1f} h old, at most {max_age:g} h", said)
    return found("whole", "", said)
