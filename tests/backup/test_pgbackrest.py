# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second tool of base backups, where it and a server that it knows are installed: the same questions, the same answers."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import typing as t

import pytest
from archiving import Archiving
from kept import Kept

from ansible_collections.tradeops.core.plugins.module_utils._backup import recovery, scratch
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import pgbackrest
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.pgbackrest import PgBackRest, ruled, verdict
from ansible_collections.tradeops.core.plugins.module_utils._backup.wal import Target, choose
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground as Sets

RULES = {"floor": 1, "at_most": 100}
COUNT = "SELECT count(*) AS value FROM orders"


def _newest_server() -> pathlib.Path | None:
    """Return the programs of a server that the installed pgBackRest knows: 2.45 knows 15 and older."""
    program = shutil.which("pgbackrest")
    if not program:
        return None
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    minor = int(re.findall(r"\.(\d+)", said)[0])
    last = 15 if minor < 46 else 16 if minor < 52 else 17 if minor < 56 else 18
    found = {int(path.parent.name): path for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin")}
    known = [version for version in found if 15 <= version <= last and (found[version] / "postgres").exists()]
    return found[max(known)] if known else None


BIN = _newest_server()
ABSENT = "pgBackRest with a PostgreSQL from 15 on that it knows is not installed (Debian: pgbackrest, postgresql-15)"
needed = pytest.mark.skipif(BIN is None, reason=ABSENT)


@pytest.fixture(scope="module")
def place() -> t.Iterator[tuple[Archiving, dict[str, t.Any]]]:
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        scratch.give(root, scratch.server_user())
        root.chmod(0o711)
        config = root / "pgbackrest.conf"
        folders = {key: root / key for key in ("repo", "log", "lock", "spool")}
        for folder in folders.values():
            folder.mkdir()
            scratch.give(folder, scratch.server_user())
        config.write_text(
            f"[global]\nrepo1-path={folders['repo']}\nlog-path={folders['log']}\nlock-path={folders['lock']}\n"
            f"spool-path={folders['spool']}\nlog-level-file=off\nrepo1-retention-full=9999999\n"
            f"[main]\npg1-path={root / 'data'}\npg1-socket-path={root}\n",
            encoding="utf-8",
        )
        command = f"pgbackrest --config={config} --stanza=main archive-push %p"
        server = Archiving(root, archive_command=command, environment={}, installed=t.cast(pathlib.Path, BIN))
        try:
            given = server.given(pgbackrest={"stanza": "main", "config": str(config)})
            with scratch.folder() as room:
                tool = pgbackrest.opened("site", given, room)
                tool._call(["stanza-create"], None, "the stanza", {**tool._reach})
            yield server, given
        finally:
            server.stop()


def one(session: t.Any, statement: str) -> t.Any:
    return session.execute(statement).fetchone()["value"]


@needed
def test_a_server_is_brought_back_to_a_moment(place: tuple[Archiving, dict[str, t.Any]]) -> None:
    server, given = place
    kept = t.cast(t.Any, Kept("site", given))
    with server.session() as session:
        session.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        session.execute("INSERT INTO orders SELECT generate_series(1, 1000)")
        PgBackRest().check("site", {}, given)
        component = PgBackRest().capture("wal", {}, kept)
        assert component.facts["tool"].startswith("pgBackRest 2.") and component.facts["stanza"] == "main"
        assert component.facts["newest_wal"] >= component.facts["end_wal"]
        time.sleep(1.1)  # it tells whole seconds
        session.execute("INSERT INTO orders SELECT generate_series(1001, 1500)")
        moment = one(session, "SELECT clock_timestamp() AS value").isoformat()
        time.sleep(0.02)
        session.execute("DELETE FROM orders")
        again = PgBackRest().capture("wal", {"max_age": "1h"}, kept)
        assert (again.facts["taken"], again.facts["backup_id"]) == (False, component.facts["backup_id"])
    beside = server.root / "data.restoring"
    target = Target("time", moment)
    with scratch.folder() as room:
        tool = pgbackrest.opened("site", given, room)
        base = choose("site", tool.bases(), target)
        assert tool.verify(base) == []
        recovery.fetch(tool, base, beside, server.user, print)
        with recovery.recovering(
            room, tool, beside, target, bin=str(server.bin), user="tradeops", budget=300, progress=print
        ) as found:
            with found.session("site") as session:
                assert one(session, COUNT) == 1500
            after = found.promote()
        assert (found.reached.timeline, after.timeline) == (1, 2)
        server.stop()
        server.data.rename(server.root / "data.before")
        beside.rename(server.data)
        tool.push(recovery.history(server.data, 2))
        server.start()
        with server.session() as session:
            assert one(session, COUNT) == 1500
        assert tool.take(print).timeline == 2


def changed(given: dict[str, t.Any], **tool: t.Any) -> dict[str, t.Any]:
    """The same server, with other facts of the tool."""
    server = given["postgresql_server"]
    return {**given, "postgresql_server": {**server, "pgbackrest": {**server["pgbackrest"], **tool}}}


@needed
def test_a_damaged_backup_is_found_though_the_tool_ends_well(place: tuple[Archiving, dict[str, t.Any]]) -> None:
    server, given = place
    with scratch.folder() as room:
        tool = pgbackrest.opened("site", given, room)
        base = tool.bases()[-1]
        files = sorted((server.root / "repo/backup/main" / base.id).rglob("*.gz"), key=lambda path: path.stat().st_size)
        data = bytearray(files[-1].read_bytes())
        data[len(data) // 2] ^= 1
        files[-1].write_bytes(bytes(data))
        problems = tool.verify(base)
        assert problems, "a flipped bit was not found"


@needed
def test_a_base_backup_goes_with_its_sets_and_one_that_a_kept_set_needs_stays(
    place: tuple[Archiving, dict[str, t.Any]], tmp_path: pathlib.Path
) -> None:
    _server, given = place
    with scratch.folder() as room, scratch.folder() as other:
        tool = pgbackrest.opened("here", given, room)
        first, lost = tool.bases()  # the second is of no set: the run that took it may have failed
        middle = tool.take(print)
        built = pgbackrest.opened("here", changed(given, type="incr"), other).take(print)
        last = tool.take(print)
        assert (built.needs, last.needs, last.ours) == ((middle.id,), (), True)
        sets = Sets(tmp_path)
        del sets.stores[1:]
        for day, base in enumerate((first, middle, built, last), 1):
            set_id = f"202611{day:02}T020000Z-daily-aaaaaa"
            sets.write(set_id, "local", base=base.id, engine="pgbackrest")
            sets.put("local", set_id, f"verified/{set_id[:16]}-hashes.json")
        given = {name: given[name] for name in ("postgresql", "postgresql_server", "secrets")}

        def retained(keep: int, **how: t.Any) -> dict[str, str]:
            done = sets.run("backup_retention", retention={"local": {**RULES, "keep_last": keep}}, **how, **given)
            assert not done["failed"], done["msg"]
            return {item["id"]: item["result"] for item in done["proof"]["objects"] if item["kind"] == "pgbackrest"}

        def listed() -> list[str]:
            return [base.id for base in tool.bases()]

        before, every = tool.segments(), listed()
        assert min(before) <= first.begin_wal
        assert retained(2, check=True) == {first.id: "planned", lost.id: "planned", middle.id: "kept"}
        assert (listed(), tool.segments()) == (every, before)
        assert retained(2) == {first.id: "proven", lost.id: "proven", middle.id: "kept"}
        assert listed() == [middle.id, built.id, last.id]
        left = {name for name in tool.segments() if not name.endswith("history")}
        assert left < before and all(lost.end_wal < name for name in left), "its log went with it"

        assert retained(1) == {built.id: "proven", middle.id: "proven"}
        assert middle.id not in listed() and built.id not in listed() and last.id in listed()
        assert retained(1) == {}
        assert tool.verify(last) == [], "what is left is whole"


@needed
def test_what_cannot_work_is_refused(place: tuple[Archiving, dict[str, t.Any]]) -> None:
    _server, given = place
    server = given["postgresql_server"]
    for tool, says in (
        ({"stanza": "main", "secrets": {"PATH": "x"}}, "no variable of pgBackRest"),
        ({"stanza": "main", "secrets": {"PGBACKREST_REPO1_S3_KEY": "absent"}}, "'absent' is missing"),
        ({"stanza": "main", "bin": "/nowhere"}, "pgbackrest"),
    ):
        with pytest.raises(InputError, match=says):
            PgBackRest().check("site", {}, {**given, "postgresql_server": {**server, "pgbackrest": tool}})


@needed
def test_rules_of_its_own_are_refused_by_name(place: tuple[Archiving, dict[str, t.Any]]) -> None:
    """Also those that only one of several repositories has, and those of the stanza."""
    server, given = place
    config = server.root / "ruled.conf"
    text = (server.root / "pgbackrest.conf").read_text(encoding="utf-8")
    config.write_text(
        text.replace("=9999999", "=9999999\nrepo1-retention-diff=2") + "repo1-retention-archive=3\n", encoding="utf-8"
    )
    with pytest.raises(
        InputError, match=r"repo1-retention-archive=3, repo1-retention-diff=2\. Set each of them to 999"
    ):
        PgBackRest().check("site", {}, changed(given, config=str(config)))
    config.write_text(text.replace("repo1-retention-full=9999999", ""), encoding="utf-8")
    PgBackRest().check("site", {}, changed(given, config=str(config)))


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        ("--repo1-path=/a --repo2-retention-full=7", ["repo2-retention-full=7"]),
        ("--repo1-retention-full=9999999 --repo1-retention-full-type=time", []),
        ("--repo1-retention-history=5", []),
        ("", []),
    ],
)
def test_its_rules_are_read_from_what_it_reports(more: str, rules: list[str]) -> None:
    said = f"2026-11-26 08:09:51.998 P00   INFO: [DRY-RUN] expire command begin 2.45: --dry-run {more} --stanza=main\n"
    assert ruled(said) == rules
    with pytest.raises(Unproven, match="does not report"):
        ruled("something else")


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("stanza: main\nstatus: ok\n  backup: 1, status: valid, total files checked: 9, total valid files: 9\n", False),
        ("stanza: main\nstatus: error\n  backup: 1, status: invalid\n    missing: 0, checksum invalid: 1\n", True),
        ("stanza: main\nstatus: ok\n    missing: 2, checksum invalid: 0, size invalid: 0, other: 0\n", True),
        ("", True),
        ("something else", True),
    ],
)
def test_the_text_of_verify_decides(text: str, bad: bool) -> None:
    assert bool(verdict(text)) == bad
