# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import stat
import sys
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Damaged, Refused, Unreachable
from ansible_collections.tradeops.core.plugins.module_utils._recovery.dump import Dump, in_one_pass, left, owners

CONTENTS = """;
; Archive created at 2026-11-26 02:00:00 UTC
; Selected TOC Entries:
;
219; 1259 16385 TABLE public orders a trader
3401; 0 16385 TABLE DATA public orders tradeops
3215; 2606 16390 CONSTRAINT public orders orders_pkey tradeops
3; 3079 16384 EXTENSION - pg_trgm -
3402; 0 0 ACL public TABLE orders tradeops
"""
HEAD = b"contents"
PIECES = [HEAD, *(b"rows %d" % number for number in range(500))]
# Takes from its standard input the table of contents, and then rows for as long as it is told; notes how it was called.
TOOL = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "--list" in sys.argv:
    if sys.argv[-1] == "--list":
        assert os.read(0, {head}) == {contents!r}, "no archive"
    lines = {listed!r}.splitlines()
    rows = [line for line in lines if "CONSTRAINT" not in line and "ACL" not in line]
    print("\\n".join(rows if "--section=data" in sys.argv else lines))
    sys.exit(0)
if len(sys.argv) > 1 and not sys.argv[-1].startswith("--"):
    assert open(sys.argv[-1], "rb").read({head}) == {contents!r}, "no archive"
    sys.exit(0)
if os.read(0, {head}) != {contents!r}:
    sys.exit("no archive")
{then}
"""
ALL = "while os.read(0, 65536): pass"


class Ground:
    """A pg_restore that is a double, and one dump for it."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place, self.calls = place, place / "calls"
        self.file = place / "scratch" / "database.dump"
        self.file.parent.mkdir()

    def dump(self, then: str = ALL) -> Dump:
        tool = self.place / "pg_restore"
        made = {"python": sys.executable, "calls": str(self.calls), "head": len(HEAD), "contents": HEAD}
        tool.write_text(TOOL.format(**made, listed=CONTENTS, then=then))
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        return Dump(str(tool), self.file, "the dump of orders", lambda text: text.replace("secret", "***"))

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


def test_a_dump_is_loaded_while_it_is_read_unless_jobs_can_share_its_tables() -> None:
    even = {f"t{number}": 1000 for number in range(20)}
    assert not in_one_pass(even, jobs=4, processors=8)
    assert not in_one_pass(even, jobs=2, processors=None)
    assert in_one_pass(even, jobs=1, processors=8)
    # On two processors one loads, and the other has to read and to decrypt.
    assert in_one_pass(even, jobs=4, processors=2)
    assert in_one_pass(even, jobs=4, processors=1)
    assert in_one_pass({**even, "ticks": 1_000_000}, jobs=8, processors=16)
    assert in_one_pass({}, jobs=8, processors=16)
    assert in_one_pass({"empty": 0}, jobs=8, processors=16)


def test_owners_are_those_of_the_list() -> None:
    assert owners(CONTENTS) == {"trader", "tradeops"}
    assert owners("") == set()


def test_what_is_left_is_what_the_other_list_has_not_in_its_order() -> None:
    lines = CONTENTS.splitlines()
    assert left(CONTENTS, "\n".join(lines[4:6] + lines[7:8])) == [lines[6], lines[8]]
    assert left(CONTENTS, CONTENTS) == []


def test_only_as_much_is_read_for_the_contents_as_that_takes(ground: Ground) -> None:
    taken: list[bytes] = []

    def pieces() -> t.Iterator[bytes]:
        for piece in [HEAD, *[b"x" * 65536] * 500]:
            taken.append(piece)
            yield piece

    assert "orders_pkey" in ground.dump().peek(pieces())
    assert 0 < len(taken) < 100


def test_rows_come_from_the_stream_and_the_rest_from_the_file_with_jobs(ground: Ground) -> None:
    dump, seen = ground.dump(), []
    dump.peek(iter(PIECES))

    def pieces() -> t.Iterator[bytes]:
        for piece in PIECES:
            seen.append(piece)
            yield piece

    dump.load_while_read(pieces(), "--exit-on-error", jobs=4, env={})
    assert seen == PIECES
    assert ground.file.read_bytes().startswith(HEAD)
    first, *_lists, last = ground.called()[1:]
    assert first == '["--exit-on-error", "--section=pre-data", "--section=data", "--no-privileges"]'
    wanted = f"{ground.file}.rest"
    assert last == f'["--exit-on-error", "--jobs=4", "--use-list={wanted}", "{ground.file}"]'
    lines = CONTENTS.splitlines()
    assert pathlib.Path(wanted).read_text().splitlines() == [lines[6], lines[8]]


def test_one_job_makes_all_of_it_and_needs_no_file(ground: Ground) -> None:
    ground.dump().load_while_read(iter(PIECES), "--exit-on-error", jobs=1, env={})
    assert ground.called() == ['["--exit-on-error"]']
    assert not ground.file.exists()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("error", [Damaged("its SHA-256 is another"), Unreachable("gone", method="read", path="x")])
def test_a_stream_that_breaks_is_the_cause_and_not_what_pg_restore_says_of_it(
    ground: Ground, jobs: int, error: Exception
) -> None:
    def pieces() -> t.Iterator[bytes]:
        yield from PIECES
        raise error

    dump = ground.dump()
    dump.peek(iter(PIECES))
    with pytest.raises(type(error)) as told:
        dump.load_while_read(pieces(), jobs=jobs, env={})
    assert told.value is error
    assert not any("--use-list" in call for call in ground.called())


def test_a_load_that_ends_early_is_no_end_of_the_reading(ground: Ground) -> None:
    """All went well for pg_restore; the hash at the end is wrong all the same."""

    def pieces() -> t.Iterator[bytes]:
        yield from PIECES
        raise Damaged("its SHA-256 is another")

    dump = ground.dump(then="pass")
    dump.peek(iter(PIECES))
    with pytest.raises(Damaged):
        dump.load_while_read(pieces(), jobs=2, env={})


def test_bytes_that_cannot_be_loaded_because_they_are_wrong_are_told_as_that(ground: Ground) -> None:
    def pieces() -> t.Iterator[bytes]:
        yield from [b"no dump."] * 500
        raise Damaged("its SHA-256 is another")

    for read in (ground.dump().peek, lambda given: ground.dump().load_while_read(given, jobs=1, env={})):
        with pytest.raises(Damaged):
            read(pieces())


def test_what_the_server_refuses_is_told_also_when_the_store_fails_afterwards(ground: Ground) -> None:
    def pieces() -> t.Iterator[bytes]:
        yield from [HEAD, *[b"x" * 65536] * 500]
        raise Unreachable("gone", method="read", path="x")

    for given in (iter(PIECES), pieces()):
        dump = ground.dump(then="sys.exit('No space left on device for secret')")
        with pytest.raises(
            Refused, match=r"the dump of orders: pg_restore ended .* No space left on device for \*\*\*"
        ):
            dump.load_while_read(given, jobs=1, env={})


def test_a_place_without_room_is_told_as_that(ground: Ground) -> None:
    dump = ground.dump()
    dump.peek(iter(PIECES))
    ground.file.parent.rmdir()
    with pytest.raises(Refused, match=r"database\.dump cannot be put on disk in .*scratch"):
        dump.load_while_read(iter(PIECES), jobs=2, env={})
