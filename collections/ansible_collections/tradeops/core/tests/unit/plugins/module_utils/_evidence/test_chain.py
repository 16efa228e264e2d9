# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of changing a journal is found, and named."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._evidence.chain import (
    GENESIS,
    Head,
    canonical,
    digest,
    parse_head,
    seal,
    verify,
)


def lines(path: pathlib.Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def rewrite(path: pathlib.Path, content: t.Iterable[bytes]) -> None:
    path.write_bytes(b"".join(content))


def forged(line: bytes, **changes: t.Any) -> bytes:
    """Return the line with another content and a hash that fits it."""
    record = json.loads(line) | changes
    record["hash"] = digest(record)
    return f"{canonical(record)}\n".encode()


def test_a_record_is_chained_to_the_one_before() -> None:
    head, line = seal({"kind": "operation_start", "at": "now"}, Head())
    record = json.loads(line)
    assert (record["seq"], record["prev"], record["hash"]) == (1, GENESIS, head.hash)
    assert digest(record) == head.hash
    following, line = seal({"kind": "x", "at": "now"}, head)
    assert json.loads(line)["prev"] == head.hash
    assert str(following) == f"2:{following.hash}"


def test_canonical_is_one_text_for_one_record() -> None:
    assert canonical({"b": 1, "a": "ä\udc80"}) == '{"a":"\\u00e4\\udc80","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


def test_an_untouched_journal_is_valid(small: t.Any) -> None:
    found = verify(small.path)
    assert (found.valid, found.records, found.first_bad, found.problem, found.torn) == (True, 6, None, "", False)
    assert verify(small.path, found.head).valid
    assert verify(small.path, Head(0, found.head.hash)).valid
    assert verify(small.path, Head(0, json.loads(lines(small.path)[2])["hash"])).valid


def test_an_edit_is_found(small: t.Any) -> None:
    content = lines(small.path)
    content[3] = content[3].replace(b'"proven"', b'"unchanged"')
    rewrite(small.path, content)
    found = verify(small.path)
    assert (found.valid, found.first_bad, found.records) == (False, 4, 3)
    assert found.problem == "line 4: record 4 (task_result) does not match its hash: it was edited"


def test_an_edit_with_a_new_hash_breaks_the_next_line(small: t.Any) -> None:
    content = lines(small.path)
    content[3] = forged(content[3], result="unchanged")
    rewrite(small.path, content)
    found = verify(small.path)
    assert found.first_bad == 5
    assert "does not continue the record before it" in found.problem


def test_a_deletion_is_found(small: t.Any) -> None:
    content = lines(small.path)
    rewrite(small.path, content[:2] + content[4:])
    found = verify(small.path)
    assert found.first_bad == 3
    assert found.problem == "line 3: record 5 (task_result) stands where records 3 to 4 should be: deleted or moved"


def test_an_insertion_is_found(small: t.Any) -> None:
    content = lines(small.path)
    rewrite(small.path, [*content[:3], content[1], *content[3:]])
    found = verify(small.path)
    assert found.first_bad == 4
    assert found.problem == "line 4: record 2 (play_start) stands after record 3: inserted or moved"


def test_a_new_order_is_found(small: t.Any) -> None:
    content = lines(small.path)
    rewrite(small.path, [*content[:2], content[3], content[2], *content[4:]])
    found = verify(small.path)
    assert found.first_bad == 3
    assert "stands where record 3 should be" in found.problem


def test_a_lost_beginning_is_found(small: t.Any) -> None:
    content = lines(small.path)
    rewrite(small.path, [forged(content[1], seq=1, prev=GENESIS)])
    assert verify(small.path).problem == (
        "line 1: a journal begins with operation_start, not with play_start: its beginning is missing"
    )


@pytest.mark.parametrize("junk", [b"hello\n", b"{}\n", b"[1]\n", b"\n", b"\xff\xfe\n"])
def test_a_line_that_is_no_record_is_found(small: t.Any, junk: bytes) -> None:
    content = lines(small.path)
    rewrite(small.path, [*content[:4], junk, *content[4:]])
    found = verify(small.path)
    assert found.first_bad == 5
    assert "not a record of a journal" in found.problem


def test_a_change_of_blanks_is_found(small: t.Any) -> None:
    content = lines(small.path)
    content[2] = content[2].replace(b'","', b'", "', 1)
    rewrite(small.path, content)
    assert "canonical form" in verify(small.path).problem


def test_a_truncation_shows_against_the_head(small: t.Any) -> None:
    head = verify(small.path).head
    rewrite(small.path, lines(small.path)[:-2])
    assert verify(small.path).valid, "a chain alone cannot show it"
    found = verify(small.path, head)
    assert (found.valid, found.first_bad) == (False, 0)
    assert found.problem == "the journal ends at record 4, but the given head is record 6: it was truncated"
    assert "truncated or written anew" in verify(small.path, Head(0, head.hash)).problem


def test_a_journal_written_anew_shows_against_the_head(small: t.Any) -> None:
    old = verify(small.path).head
    head, content = Head(), []
    for line in lines(small.path):
        record = {key: value for key, value in json.loads(line).items() if key not in ("seq", "prev", "hash")}
        head, new = seal(record | {"reason": "another"}, head)
        content.append(new)
    rewrite(small.path, content)
    assert verify(small.path).valid
    assert "another hash than the given head: the journal was written anew" in verify(small.path, old).problem


def test_a_torn_last_record_is_not_tampering(small: t.Any) -> None:
    small.path.write_bytes(small.path.read_bytes()[:-40])
    found = verify(small.path)
    assert (found.valid, found.torn, found.records, found.problem) == (True, True, 5, "")


def test_an_empty_journal_is_not_valid(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.jsonl"
    path.touch()
    assert verify(path).problem == "the journal holds no complete record"
    with pytest.raises(InputError, match="cannot be read"):
        verify(tmp_path / "none.jsonl")


def test_no_changed_byte_goes_unnoticed(small: t.Any) -> None:
    whole = small.path.read_bytes()
    head = verify(small.path).head
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        small.path.write_bytes(changed)
        assert not verify(small.path, head).valid, position


@pytest.mark.parametrize("text", ["", "12", "x" * 64, "0:" + "a" * 64, "a" * 63, "1:2:" + "a" * 64])
def test_a_head_is_a_number_and_a_hash(text: str) -> None:
    with pytest.raises(InputError, match="not a chain head"):
        parse_head(text)


def test_a_head_is_read_back() -> None:
    head = Head(7, "ab" * 32)
    assert parse_head(f" {head} ") == head
    assert parse_head("AB" * 32) == Head(0, "ab" * 32)
