# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The hash chain: how records are sealed one to the next, and how a chain is checked.

A journal is a text of JSON lines. Each record carries ``seq`` (1, 2, 3 ...), ``prev`` (the hash of the record before,
64 zeros for the first) and ``hash``: SHA-256 over the canonical JSON of the record without ``hash``. Canonical JSON has
sorted keys, no blanks and ASCII only, so the same record has the same bytes everywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import re
import typing as t

from .._common.errors import InputError

GENESIS = "0" * 64
FIRST_KIND = "operation_start"


class NotARecord(ValueError):
    """A line that is not a record as this module writes them."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The end of a chain. Its text form ``seq:hash`` is what a report shows and what ``verify`` takes."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclasses.dataclass(frozen=True)
class Verification:
    """``records`` counts the good ones; ``first_bad`` is a line number from 1, 0 when no single line is to blame."""

    valid: bool
    records: int
    head: Head
    first_bad: int | None = None
    problem: str = ""
    torn: bool = False


def canonical(record: t.Mapping[str, t.Any]) -> str:
    """Return the one JSON text of ``record``. Raises ValueError for NaN and infinities."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(record: t.Mapping[str, t.Any]) -> str:
    """Return the SHA-256 (hexadecimal) of ``record`` without its ``hash``."""
    content = {key: value for key, value in record.items() if key != "hash"}
    return hashlib.sha256(canonical(content).encode("ascii")).hexdigest()


def seal(record: t.Mapping[str, t.Any], after: Head) -> tuple[Head, bytes]:
    """Return the new head and the line (with its end) of ``record``, chained to ``after``."""
    sealed = {**record, "seq": after.seq + 1, "prev": after.hash}
    sealed["hash"] = digest(sealed)
    return Head(sealed["seq"], sealed["hash"]), f"{canonical(sealed)}\n".encode("ascii")


def parse(line: bytes) -> dict[str, t.Any]:
    """Return the record of one line (without its end). Raises NotARecord."""
    try:
        text = line.decode("ascii")
        record = json.loads(text)
    except ValueError as exc:
        raise NotARecord("it is not a line of JSON") from exc
    if not isinstance(record, dict):
        raise NotARecord("it is not a JSON object")
    for key, kind in (("seq", int), ("kind", str), ("at", str), ("prev", str), ("hash", str)):
        if not isinstance(record.get(key), kind):
            raise NotARecord(f"it has no {key!r} of the right type")
    try:
        same = canonical(record) == text
    except ValueError:
        same = False
    if not same:
        raise NotARecord("it is not written in the canonical form: it was edited")
    return record


def parse_head(text: str) -> Head:
    """Read ``seq:hash`` or a bare hash (``seq`` is then 0). Raises InputError."""
    match = re.fullmatch(r"(?:([1-9][0-9]*):)?([0-9a-f]{64})", text.strip().lower())
    if not match:
        raise InputError(
            f"head: {text!r} is not a chain head. Give it as the report shows it: the record number, a colon and 64 "
            "hexadecimal digits, or the 64 digits alone."
        )
    return Head(int(match[1] or 0), match[2])


def read(path: pathlib.Path) -> t.Iterator[tuple[int, bytes, bool]]:
    """Yield (line number from 1, line without its end, whether the line is complete) of a journal."""
    try:
        with path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                yield number, line.rstrip(b"\n"), line.endswith(b"\n")
    except OSError as exc:
        raise InputError(f"{path}: the journal cannot be read: {exc.strerror}") from exc


def verify(path: pathlib.Path, expected: Head | None = None) -> Verification:
    """Check the whole chain of the journal ``path``.

    A chain alone shows edits, deletions in the middle, insertions and reordering. Only ``expected``, a head that was
    kept elsewhere, shows that records were cut off at the end or that the whole journal was written anew.
    """
    head, found, torn = Head(), expected is None, False
    for number, line, complete in read(path):
        if not complete:
            torn = True
            break
        problem, record = _check(number, line, head)
        if problem:
            return Verification(False, head.seq, head, number, f"line {number}: {problem}")
        head = Head(record["seq"], record["hash"])
        if expected and expected.seq in (0, head.seq) and expected.hash == head.hash:
            found = True
    if not head.seq:
        return Verification(False, 0, head, 0, "the journal holds no complete record", torn)
    if not found and expected is not None:
        return Verification(False, head.seq, head, 0, _missing(expected, head), torn)
    return Verification(True, head.seq, head, None, "", torn)


def _check(number: int, line: bytes, head: Head) -> tuple[str, dict[str, t.Any]]:
    """Return (what is wrong with the line or "", its record)."""
    try:
        record = parse(line)
    except NotARecord as exc:
        return f"this is not a record of a journal: {exc}", {}
    expected = head.seq + 1
    if digest(record) != record["hash"]:
        return f"record {record['seq']} ({record['kind']}) does not match its hash: it was edited", {}
    if record["seq"] > expected:
        lost = f"record {expected}" if record["seq"] == expected + 1 else f"records {expected} to {record['seq'] - 1}"
        return f"record {record['seq']} ({record['kind']}) stands where {lost} should be: deleted or moved", {}
    if record["seq"] < expected:
        return f"record {record['seq']} ({record['kind']}) stands after record {head.seq}: inserted or moved", {}
    if record["prev"] != head.hash:
        return (
            f"record {record['seq']} ({record['kind']}) does not continue the record before it: one of the two was "
            "inserted or replaced"
        ), {}
    if number == 1 and record["kind"] != FIRST_KIND:
        return f"a journal begins with {FIRST_KIND}, not with {record['kind']}: its beginning is missing", {}
    return "", record


def _missing(expected: Head, head: Head) -> str:
    if expected.seq > head.seq:
        return f"the journal ends at record {head.seq}, but the given head is record {expected.seq}: it was truncated"
    if expected.seq:
        return f"record {expected.seq} has another hash than the given head: the journal was written anew"
    return "no record has the hash of the given head: the journal was truncated or written anew"
