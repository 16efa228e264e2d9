# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is brought back to a moment by Barman, on a real PostgreSQL and a real bucket, correct to the row.

The tests share a server with a table of orders, and its bucket; each leaves both so that any other can follow.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import typing as t

import boto3
import psycopg
import pytest
from archiving import BIN, PASSWORD, Archiving, programs
from kept import Kept
from psycopg.rows import dict_row
from simulator_ground import Ground
from taking import by_hand

from ansible_collections.tradeops.core.plugins.module_utils._backup import recovery, scratch, trial
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import barman, physical
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.barman import Barman, BarmanCloud
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.physical import archiver_problem
from ansible_collections.tradeops.core.plugins.module_utils._backup.wal import Target, choose
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import (
    Damaged,
    InputError,
    Refused,
    Unproven,
)
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground as Sets

NAMES = [
    f"barman-cloud-{name}"
    for name in ("backup", "backup-list", "backup-delete", "backup-keep", "restore", "wal-archive", "wal-restore")
]

RULES = {"floor": 1, "at_most": 100}
COUNT = "SELECT count(*) AS value FROM orders"


@dataclasses.dataclass
class Place:
    server: Archiving
    given: dict[str, t.Any]
    root: pathlib.Path


@pytest.fixture(scope="module")
def place(ground: Ground) -> t.Iterator[Place]:
    settings = ground.lab["s3"]
    keys = {"aws_access_key_id": settings["access_key"], "aws_secret_access_key": settings["secret_key"]}
    boto3.client("s3", endpoint_url=settings["endpoint"], region_name="us-east-1", **keys).create_bucket(Bucket="pitr")
    with programs(NAMES) as folder, tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        user = scratch.server_user()
        scratch.give(root, user)
        root.chmod(0o711)
        file = root / "keys"
        file.touch(mode=0o600)
        text = f"aws_access_key_id = {settings['access_key']}\naws_secret_access_key = {settings['secret_key']}\n"
        file.write_text(f"[default]\n{text}")
        scratch.give(file, user)
        url = "s3://pitr/site"
        command = f"{folder}/barman-cloud-wal-archive --endpoint-url {settings['endpoint']} {url} main %p"
        environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_DEFAULT_REGION": "us-east-1"}
        server = Archiving(root, archive_command=command, environment=environment)
        given = server.given(
            barman={"cloud_url": url, "server": "main", "endpoint": settings["endpoint"], "bin": str(folder)}
        )
        given["secrets"] |= {
            "backup_s3_access_key": settings["access_key"],
            "backup_s3_secret_key": settings["secret_key"],
        }
        with server.session() as session:
            session.execute("CREATE TABLE orders (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
        try:
            yield Place(server, given, root)
        finally:
            server.stop()


@pytest.fixture(autouse=True)
def _orders(place: Place) -> None:
    with place.server.session() as session:
        session.execute("TRUNCATE orders")
        session.execute("INSERT INTO orders SELECT generate_series(1, 1000)")


def captured(place: Place, **options: t.Any) -> tuple[t.Any, Kept]:
    kept = Kept("site", place.given)
    Barman().check("site", options, place.given)
    return Barman().capture("wal", options, t.cast(t.Any, kept)), kept


def now(session: t.Any) -> str:
    return t.cast(str, one(session, "SELECT clock_timestamp() AS value").isoformat())


def one(session: t.Any, statement: str) -> t.Any:
    return session.execute(statement).fetchone()["value"]


def test_a_base_backup_of_a_set_is_verified_by_its_tool(place: Place) -> None:
    component, _kept = captured(place, max_age="24h")
    with scratch.folder() as room:
        said = trial.physical("site", component, place.given, room / "one")
        assert said == {"tool": f"barman found nothing wrong with {component.facts['backup_id']}"}
        gone = dataclasses.replace(component, facts={**component.facts, "backup_id": "20200101T000000"})
        with pytest.raises(Damaged, match="barman has no base backup 20200101T000000 any more"):
            trial.physical("site", gone, place.given, room / "two")


def test_a_server_is_brought_back_to_a_moment_and_to_a_place(place: Place) -> None:
    with place.server.session() as session, place.server.session("postgres", "site") as admin:
        component, kept = captured(place)
        facts = component.facts
        assert (component.artefacts, facts["taken"], kept.notes) == ((), True, [])
        assert facts["newest_wal"] > facts["end_wal"] and component.moment > facts["end"]
        session.execute("INSERT INTO orders SELECT generate_series(1001, 1500)")
        time.sleep(0.02)
        moment = now(session)
        time.sleep(0.02)
        session.execute("INSERT INTO orders SELECT generate_series(1501, 1600)")
        admin.execute("SELECT pg_create_restore_point('before-deploy')")
        session.execute("INSERT INTO orders SELECT generate_series(1601, 1700)")
        lsn = one(session, "SELECT pg_current_wal_insert_lsn()::text AS value")
        session.execute("INSERT INTO orders SELECT generate_series(1701, 1800)")
        # With a base backup that is young, only the log is brought up to date.
        again, _kept = captured(place, max_age="1h")
        assert (again.facts["taken"], again.facts["backup_id"]) == (False, facts["backup_id"])
        assert again.facts["newest_wal"] > facts["newest_wal"]

    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)  # one serves them all
        for target, rows in (
            (Target("time", moment), 1500),
            (Target("name", "before-deploy"), 1600),
            (Target("lsn", lsn), 1700),
        ):
            assert count(place, tool, target) == rows, target


def test_what_is_not_in_the_log_is_not_reached(place: Place) -> None:
    captured(place, max_age="1h")
    with place.server.session() as session:
        moment = now(session)
    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)
        with pytest.raises(Unproven, match=f"the log ends before {moment[:19]}.*its last transaction is of"):
            count(place, tool, Target("time", moment))
        with pytest.raises(Unproven, match="the log ends before restore point nobody-made-it"):
            count(place, tool, Target("name", "nobody-made-it"))


def test_a_server_is_brought_back_by_the_lines_of_the_page(place: Place) -> None:
    captured(place, max_age="1h")
    with place.server.session() as session:
        rows, moment = one(session, COUNT), now(session)
        time.sleep(0.02)
        session.execute("DELETE FROM orders")
        facts = captured(place, max_age="1h")[0].facts
    work = place.root / "by hand"
    work.mkdir()
    scratch.give(work, place.server.user)
    named, begin, end = (block for block in by_hand() if "barman" in block)
    tools = place.given["postgresql_server"]["barman"]["bin"]
    environment = {
        "PATH": f"{tools}:{place.server.bin}:/usr/bin:/bin",
        "WORK": str(work),
        "TARGET": moment,
    }
    (work / "manifest.json").write_text(json.dumps({"components": [{"engine": "barman", "facts": facts}]}))
    said = subprocess.run(["bash", "-euc", named], cwd=work, capture_output=True, text=True, check=True).stdout
    environment |= dict(line.split("=", maxsplit=1) for line in said.splitlines())
    try:
        done = place.server.run_as(
            "bash", "-euo", "pipefail", "-c", begin, cwd=work, env=environment, capture_output=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with psycopg.connect(
            host="127.0.0.1",
            port=5499,
            user="postgres",
            password=PASSWORD,
            dbname="site",
            autocommit=True,
            row_factory=dict_row,
        ) as session:
            assert until(lambda: one(session, "SELECT pg_get_wal_replay_pause_state() AS value") == "paused")
            assert "recovery stopping before commit of transaction" in (work / "recovery.log").read_text()
            assert one(session, COUNT) == rows
            session.execute("SELECT pg_wal_replay_resume()")
            assert until(lambda: not one(session, "SELECT pg_is_in_recovery() AS value"))
        done = place.server.run_as(
            "bash", "-euo", "pipefail", "-c", end, cwd=work, env=environment, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with scratch.folder() as room:
            tool = barman.opened("site", place.given, room)
            history = max(path.name for path in (work / "data" / "pg_wal").glob("*.history"))
            assert history in tool.segments()
            # Nobody goes on from there: it is forgotten, so that the next recovery follows the server's own timeline.
            for entry in [item for item in tool._store.entries("main/wals/") if history in item.key]:
                tool._store.delete(entry.key)
    finally:
        stop = [str(place.server.bin / "pg_ctl"), "-D", str(work / "data"), "-m", "immediate", "-w", "stop"]
        place.server.run_as(*stop, cwd=work, env=environment)
        shutil.rmtree(work)


def until(true: t.Callable[[], bool]) -> bool:
    """Wait for something that takes a moment."""
    end = time.monotonic() + 180
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def count(place: Place, tool: BarmanCloud, target: Target) -> int:
    """Recover beside, and count there; nothing of it is left, and the live server does not notice."""
    beside = place.root / "data.restoring"
    with scratch.folder() as room:
        base = choose("site", tool.bases(), target)
        try:
            recovery.fetch(tool, base, beside, place.server.user, print)
            with recovery.recovering(
                room, tool, beside, target, bin=str(BIN), user="tradeops", budget=300, progress=print
            ) as found:
                with found.session("site") as session:
                    return t.cast(int, one(session, COUNT))
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def test_a_recovered_server_takes_the_place_of_the_old_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log is fetched segment by segment, as one that is too long to be fetched beforehand."""
    monkeypatch.setattr(barman, "_SHORT", 0)
    captured(place)
    with place.server.session() as session:
        moment = now(session)
        time.sleep(0.02)
        session.execute("DELETE FROM orders")
        captured(place, max_age="1h")
    data, beside = place.server.data, place.root / "data.restoring"
    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)
        target = Target("time", moment)
        recovery.fetch(tool, choose("site", tool.bases(), target), beside, place.server.user, print)
        with recovery.recovering(
            room, tool, beside, target, bin=str(BIN), user="tradeops", budget=300, progress=print
        ) as found:
            before = found.reached
            after = found.promote()
        assert (after.timeline, after.system) == (before.timeline + 1, before.system)
        place.server.stop()
        data.rename(place.root / "data.before")
        beside.rename(data)
        tool.push(recovery.history(data, after.timeline))
        place.server.start()
        with place.server.session() as session:
            assert one(session, COUNT) == 1000
            session.execute("INSERT INTO orders SELECT generate_series(2001, 2100)")
        shutil.rmtree(place.root / "data.before")
        component, _kept = captured(place)
        assert component.facts["timeline"] == after.timeline
        assert f"{after.timeline:08X}.history" in tool.segments()
        base = choose("site", tool.bases(), Target("end"))
        assert (base.id, tool.verify(base)) == (component.facts["backup_id"], [])


def test_holds_and_removal_are_read_back(place: Place) -> None:
    for _each in range(2):
        captured(place)
    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)
        first = tool.bases()[0]
        tool.keep(first, True)
        with pytest.raises(Refused, match=first.id):
            tool.delete(first)
        assert first.id in [base.id for base in tool.bases()]
        tool.keep(first, False)
        before = tool.segments()
        tool.delete(first)
        assert first.id not in [base.id for base in tool.bases()]
        assert tool.segments() < before


def test_a_base_backup_and_its_log_go_with_the_last_set_that_has_it(place: Place, tmp_path: pathlib.Path) -> None:
    sets = Sets(tmp_path)
    del sets.stores[1:]
    bases = [captured(place)[0].facts["backup_id"]]
    bases += [bases[0], captured(place)[0].facts["backup_id"]]
    for day, base in enumerate(bases, 1):
        set_id = f"202611{day:02}T020000Z-daily-aaaaaa"
        sets.write(set_id, "local", base=base)
        sets.put("local", set_id, f"verified/{set_id[:16]}-hashes.json")
    given = {name: place.given[name] for name in ("postgresql", "postgresql_server", "secrets")}
    with scratch.folder() as room:
        tool = barman.opened("here", place.given, room)

        def retained(keep: int) -> dict[str, str]:
            done = sets.run("backup_retention", retention={"local": {**RULES, "keep_last": keep}}, **given)
            assert not done["failed"], done["msg"]
            return {item["id"]: item["result"] for item in done["proof"]["objects"] if item["kind"] == "barman"}

        # Those that other tests took belong to no set, and go once a set has a later one.
        assert retained(2).get(bases[0]) is None and bases[0] in [base.id for base in tool.bases()]
        before = tool.segments()
        assert retained(1) == {bases[0]: "proven"}
        assert [base.id for base in tool.bases()] == [bases[2]]
        assert tool.segments() < before
        assert tool.verify(tool.bases()[0]) == []


def test_a_hole_in_the_log_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    component, _kept = captured(place)
    monkeypatch.setattr(physical, "_ARCHIVED", 3.0)  # nobody will fill it
    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)
        base = {one.id: one for one in tool.bases()}[component.facts["backup_id"]]
        names = sorted(name for name in tool.segments() if name > base.end_wal and not name.endswith("history"))
        entries = list(tool._store.entries("main/wals/"))
        (hole,) = [entry.key for entry in entries if entry.key.rpartition("/")[2].startswith(base.end_wal)][:1]
        assert names
        segment = b"".join(tool._store.read(hole))
        tool._store.delete(hole)
        try:
            assert tool.verify(base) == [f"the log lacks what the base backup itself needs: {base.end_wal}"]
            with pytest.raises(Unproven, match=base.end_wal):
                captured(place, max_age="1h")
        finally:
            tool._store.put(hole, segment)
        assert tool.verify(base) == []


def test_secrets_are_in_files_of_the_server_only(place: Place) -> None:
    with scratch.folder() as room:
        tool = barman.opened("site", place.given, room)
        command, environment = tool.restore_command(place.server.data), tool.environment()
        keys = [value for name, value in place.given["secrets"].items() if name.startswith("backup")]
        assert not any(key in f"{command}{environment}{tool.described}" for key in keys)
        file = pathlib.Path(environment["AWS_SHARED_CREDENTIALS_FILE"])
        found = file.stat()
        assert found.st_mode & 0o777 == 0o600
        assert found.st_uid == (place.server.user.uid if place.server.user else os.getuid())
    assert not file.exists()


def test_what_cannot_work_is_refused_before_anything_is_taken(place: Place) -> None:
    given = place.given
    server = given["postgresql_server"]
    for changes, says in (
        ({"postgresql_server": None}, "tradeops_postgresql_server is not given"),
        ({"postgresql_server": {"data": "/srv"}}, "has no barman"),
        (
            {"postgresql_server": {**server, "barman": {**server["barman"], "cloud_url": "/srv"}}},
            "no place in a bucket",
        ),
        ({"postgresql_server": {**server, "data": "/srv/nothing"}}, "no data folder of a server"),
        ({"secrets": {"backup_s3_access_key": "x"}}, "needs both"),
    ):
        with pytest.raises(InputError, match=says):
            Barman().check("site", {}, {**given, **t.cast("dict[str, t.Any]", changes)})
    with pytest.raises(InputError, match="max_age"):
        Barman().check("site", {"max_age": "often"}, given)


def test_an_archive_that_is_away_is_told_by_the_server_itself(place: Place) -> None:
    good = {"recovering": False, "archive_mode": "on", "last_failed_time": None, "last_archived_time": None}
    moment = dt.datetime.now(dt.UTC)
    failing = {**good, "last_failed_time": moment, "last_failed_wal": "0001", "failed_count": 3}
    assert archiver_problem(good) == ""
    assert "archive_mode is off" in archiver_problem({**good, "archive_mode": "off"})
    assert "3 failures" in archiver_problem(failing)
    assert archiver_problem({**failing, "last_archived_time": moment + dt.timedelta(seconds=1)}) == ""
    assert "standby" in archiver_problem({**good, "recovering": True})
