# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that make it hard: tables and files that change meanwhile, odd names, nothing at all, and archives that lie."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import pathlib
import subprocess
import tarfile
import threading
import time
import typing as t

import psycopg
import pyrage
import pytest
from kept import Kept
from simulator_ground import Ground
from taking import Result, Site

from ansible_collections.tradeops.core.plugins.module_utils._backup import programs
from ansible_collections.tradeops.core.plugins.module_utils._backup.ciphers import compressor
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.postgresql import Postgresql
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Digest, from_json, to_json
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused

ODD = 'pa ir "BTC/USD"\nüber\t日本 ;--'


@pytest.fixture
def site(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    made = Site(ground, tmp_path)
    yield made
    made.drop()


@contextlib.contextmanager
def meanwhile(do: t.Callable[[], None]) -> t.Iterator[None]:
    """Do something again and again for as long as the block takes."""
    over, problem = threading.Event(), []

    def repeat() -> None:
        try:
            while not over.is_set():
                do()
        except Exception as exc:  # noqa: BLE001 - told at the end of the block
            problem.append(exc)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert problem == []


def restored(site: Site, set_id: str) -> Result:
    result = site.run("backup_verify", id=set_id, level="restored")
    assert not result["failed"], result
    return result


def members(site: Site, result: Result) -> dict[str, bytes]:
    """The files of the archive of a set, by the end of their path, read past the product."""
    (name,) = [
        item["name"]
        for component in result["set"]["components"]
        if component["engine"] == "files"
        for item in component["artefacts"]
        if ".tar" in item["name"]
    ]
    with tarfile.open(fileobj=io.BytesIO(site.plain(result["backup_id"], name))) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content:
                found[member.name.rpartition("files/")[2]] = content.read()
    return found


def test_a_table_that_changes_meanwhile(site: Site) -> None:
    """What was counted is what was dumped, and no transaction is torn."""
    site.fill(8)
    with site.session() as session:
        session.execute("CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL)")
        session.execute("INSERT INTO account SELECT n, 100 FROM generate_series(1, 50) AS n")
        session.execute("CREATE TABLE moves (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())")

        def move() -> None:
            with session.transaction():
                session.execute("UPDATE account SET amount = amount - 1 WHERE id = 1 + random() * 24")
                session.execute("INSERT INTO moves DEFAULT VALUES")
                session.execute(
                    "UPDATE account SET amount = 5000 - (SELECT sum(amount) FROM account WHERE id < 50) WHERE id = 50"
                )
                session.execute("DELETE FROM moves WHERE id % 7 = 0")

        with meanwhile(move):
            result = site.take()
    dump = site.work / "database.dump"
    dump.write_bytes(site.plain(result["backup_id"], "database/database.dump.zst.age"))
    with site.beside("torn") as name, site.session(name) as session:
        subprocess.run(
            [f"{site.server['bin']}/pg_restore", "--exit-on-error", "-d", name, str(dump)], env=site.login, check=True
        )
        counted = dict(
            session.execute(
                "SELECT 'public.moves', count(*) FROM moves UNION ALL SELECT 'public.noise', count(*) FROM noise"
            ).fetchall()
        )
        assert session.execute("SELECT sum(amount) FROM account").fetchone() == (5000,)
    rows = result["set"]["components"][0]["facts"]["rows"]
    assert {name: rows[name] for name in counted} == counted
    assert counted["public.moves"] > 0
    restored(site, result["backup_id"])


def test_a_table_that_somebody_holds(site: Site) -> None:
    """Nobody waits for it for longer than was said."""
    site.fill(1)
    component = {"name": "database", "engine": "postgresql", "lock_timeout": 0.5}
    with site.session() as session, session.transaction():
        session.execute("LOCK TABLE noise IN ACCESS EXCLUSIVE MODE")
        result = site.run("backup", components=[component])
        ours = "SELECT query FROM pg_stat_activity WHERE application_name = 'tradeops backup' AND state <> 'idle'"
        assert session.execute(ours).fetchall() == []
    assert result["failed"] and "LOCK TABLE public.noise" in result["msg"], result
    assert site.left() == []
    restored(site, site.take()["backup_id"])


class LockedAfterTheDump(Kept):
    """Somebody takes a table when the dump has ended, and before its rows are counted."""

    def __init__(self, site: Site, session: psycopg.Connection[t.Any]) -> None:
        super().__init__(site.name, site.given)
        self._session = session

    def run(self, argv: t.Sequence[str], sink: t.Any, *, env: t.Mapping[str, str], what: str) -> str:
        return programs.run(argv, sink, env=env, what=what)

    def progress(self, text: str) -> None:
        if "counting the rows" in text:
            self._session.execute("LOCK TABLE noise IN ACCESS EXCLUSIVE MODE")


def test_a_table_that_somebody_takes_before_it_is_counted(site: Site) -> None:
    site.fill(1)
    with site.session() as session, session.transaction():
        capture = t.cast(t.Any, LockedAfterTheDump(site, session))
        with pytest.raises(Refused, match=r"database: its rows cannot be counted: .*lock timeout.*who holds a table"):
            Postgresql().capture("database", {"lock_timeout": 0.5}, capture)


def test_a_file_that_changes_while_it_is_read(site: Site) -> None:
    """Half of one state and half of another is worth nothing: it is read again, and then refused by its name."""
    site.with_files()
    restless = site.files / "restless.bin"
    restless.write_bytes(b"x" * 20_000_000)
    (site.files / "still.yml").write_text("limit: 7\n", encoding="utf-8")

    def change() -> None:
        with restless.open("r+b") as file:
            file.write(b"y")

    with meanwhile(change):
        result = site.run("backup")
    assert result["failed"] and site.name in result["msg"], result
    assert f"{restless} changed while it was read" in result["msg"] and "capture it quiesced" in result["msg"]
    assert site.left() == []
    done = site.take()
    assert members(site, done) == {"restless.bin": restless.read_bytes(), "still.yml": b"limit: 7\n"}


def test_a_log_that_grows_while_it_is_read(site: Site) -> None:
    """Of a log everything counts that was there when it was opened."""
    log, line = site.files / "growing.log", b"a line of twenty by\n"
    log.write_bytes(line * 1_000_000)

    def grow() -> None:
        with log.open("ab") as file:
            file.write(line)
        time.sleep(0.005)

    with meanwhile(grow):
        component = {"name": "files", "engine": "files", "paths": [str(site.files)], "growing": True}
        result = site.take(components=[component])
    (content,) = members(site, result).values()
    assert len(content) >= len(line) * 1_000_000
    assert content == (line * (len(content) // len(line) + 1))[: len(content)]


def test_files_with_odd_names(site: Site) -> None:
    names = ["with space.yml", "new\nline.yml", "ünï-日本.yml", "-rf", "a'b\"c", "deep/er/x", ".hidden"]
    for name in names:
        (site.files / name).parent.mkdir(parents=True, exist_ok=True)
        (site.files / name).write_text(name, encoding="utf-8")
    (site.files / "link.yml").symlink_to("with space.yml")
    result = site.take(components=[{"name": "files", "engine": "files", "paths": [str(site.files)]}])
    assert members(site, result) == {name: name.encode() for name in names}
    assert not site.run("backup_verify", id=result["backup_id"], level="tools")["failed"]


def test_a_database_with_odd_names(ground: Ground, tmp_path: pathlib.Path) -> None:
    site = Site(ground, tmp_path, database=f"{ODD} {tmp_path.name}"[:60])
    try:
        with site.session() as session:
            quoted = '"' + ODD.replace('"', '""') + '"'
            session.execute(f"CREATE SCHEMA {quoted}")
            session.execute(f"CREATE TABLE {quoted}.{quoted} ({quoted} text)")
            session.execute(f"INSERT INTO {quoted}.{quoted} SELECT 'x' FROM generate_series(1, 17)")
        result = site.take()
        assert list(result["set"]["components"][0]["facts"]["rows"].values()) == [17]
        restored(site, result["backup_id"])
    finally:
        site.drop()


def test_nothing_at_all(site: Site) -> None:
    """An empty database and an empty folder are a set like any other."""
    site.with_files()
    result = site.take()
    assert result["set"]["components"][0]["facts"]["rows"] == {}
    assert members(site, result) == {}
    restored(site, result["backup_id"])


@pytest.mark.parametrize("kind", ["outside", "absolute", "link"])
def test_an_archive_that_leaves_its_folder(site: Site, kind: str) -> None:
    """Made by somebody who has all the keys: it is refused all the same, and nothing is written anywhere."""
    (site.files / "config.yml").write_text("limit: 7\n", encoding="utf-8")
    component = {"name": "files", "engine": "files", "paths": [str(site.files)]}
    result = site.take(components=[component])
    goal = site.work / "evil"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        if kind == "link":
            link = tarfile.TarInfo("files/way")
            link.type, link.linkname = tarfile.SYMTYPE, str(site.work)
            archive.addfile(link)
        name = {"outside": f"files/{'../' * 30}{goal}", "absolute": str(goal), "link": "files/way/evil"}[kind]
        entry = tarfile.TarInfo(name)
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    forge(site, result["backup_id"], packed.getvalue())

    verified = site.run("backup_verify", id=result["backup_id"], level="tools")
    assert verified["failed"] and "outside" in verified["msg"], verified
    back = site.restore(result["backup_id"], components=[component])
    assert back["failed"], back
    assert not goal.exists()
    assert (site.files / "config.yml").read_text(encoding="utf-8") == "limit: 7\n"


def forge(site: Site, set_id: str, plain: bytes) -> None:
    """Put another archive into a set, with every hash, the digest and the signature right."""
    path = site.folder(set_id) / "manifest.json"
    key = site.given["secrets"]["backup_manifest_key"]
    manifest = from_json(path.read_bytes(), "it", key)
    packer, stored = compressor(), io.BytesIO()
    pyrage.encrypt_io(io.BytesIO(packer.compress(plain) + packer.flush()), stored, [site.identity.to_public()])
    made = []
    for component in manifest.components:
        artefacts = []
        for item in component.artefacts:
            if ".tar" in item.name:
                (site.folder(set_id) / item.name).write_bytes(stored.getvalue())
                item = dataclasses.replace(item, plain=digest(plain), stored=digest(stored.getvalue()))
            artefacts.append(item)
        made.append(dataclasses.replace(component, artefacts=tuple(artefacts)))
    path.write_bytes(to_json(dataclasses.replace(manifest, components=tuple(made)), key))


def digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def test_a_clock_that_was_ahead(site: Site) -> None:
    """A set of a day that has not come yet holds up nothing, and is not removed."""
    site.fill(1)
    early = site.take()
    key = site.given["secrets"]["backup_manifest_key"]
    manifest = from_json((site.folder(early["backup_id"]) / "manifest.json").read_bytes(), "it", key)
    future = f"2099{early['backup_id'][4:]}"
    site.folder(early["backup_id"]).rename(site.folder(future))
    moved = dataclasses.replace(
        manifest, id=future, started=f"2099{manifest.started[4:]}", ended=f"2099{manifest.ended[4:]}"
    )
    (site.folder(future) / "manifest.json").write_bytes(to_json(moved, key))

    kept = [site.take()["backup_id"] for _turn in range(3)]
    assert not site.run("backup_verify", id="all", level="sizes")["failed"]
    policy = {"local": {"keep_last": 1, "floor": 1, "at_most": 100, "counts_from": "sizes"}}
    done = site.run("backup_retention", retention=policy, confirm=site.name)
    assert not done["failed"], done
    assert site.counted() == sorted([future, kept[-1]]), done


def test_a_set_of_a_clock_that_is_ahead_is_not_the_latest(site: Site) -> None:
    site.fill(1)
    wanted = site.take()["backup_id"]
    with site.session() as session:
        session.execute("INSERT INTO noise VALUES (-1, 'of later')")
    future = site.take(prefix=site.set_clock(3600))["backup_id"]
    assert future > wanted
    info = site.run("backup_info")
    assert info["latest"]["id"] == wanted
    assert "it says that it began in the future" in next(row for row in info["rows"] if row["id"] == future)["problem"]
    verified = site.run("backup_verify", level="hashes")
    assert not verified["failed"] and any(f"passed over {future}" in note for note in verified["notes"])
    restored = site.restore("latest")
    assert restored["result"] == "proven", restored
    assert any(f"passed over {future}" in note for note in restored["notes"]), restored["notes"]
    with site.session() as session:
        assert session.execute("SELECT count(*) FROM noise WHERE id = -1").fetchone() == (0,)
    named = site.restore(future)
    assert named["result"] == "proven" and any("in the future" in note for note in named["notes"]), named
    with site.session() as session:
        assert session.execute("SELECT count(*) FROM noise WHERE id = -1").fetchone() == (1,)


def test_a_clock_that_is_set_back_during_a_backup(site: Site) -> None:
    site.fill(8)
    run = site.begin("backup", prefix=site.set_clock(0))
    run.until(lambda: site.stored() >= 1 << 18)
    site.set_clock(-3600)
    result = run.end()
    assert result["result"] == "proven", result
    assert any("the clock of this machine was set by -3600" in note for note in result["notes"]), result["notes"]
    made = result["set"]
    times = [made["started"], *(part[name] for part in made["components"] for name in ("started", "ended"))]
    assert [*times, made["ended"]] == sorted([*times, made["ended"]])
    assert made["clock"] == pytest.approx(-3600, abs=1)
    (row,) = site.run("backup_info")["rows"]
    assert "the clock was set by -3600" in row["problem"]
