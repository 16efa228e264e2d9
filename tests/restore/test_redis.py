# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database of a shared Redis comes back key by key, swapped in one step, and the other databases are as they were."""

from __future__ import annotations

import signal
import subprocess
import typing as t

import pytest
import redis
from restoring import SITE, Site, until

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component

Client = t.Any
ONLY: dict[str, t.Any] = {"components": [{"name": "cache", "engine": "redis"}]}


def client(site: Site, db: int) -> Client:
    place = site.ground.server(site.name, "redis")
    return redis.Redis(host=place["host"], port=place["port"], password=place["password"], db=db, protocol=2)


def content(site: Site, db: int) -> dict[bytes, tuple[t.Any, bool]]:
    """Every key with its packed value, and whether it has an end; but for what signing in to the site writes."""
    with client(site, db) as session:
        keys = [key for key in session.keys("*") if not key.startswith((b"session:", b"refresh:"))]
        with session.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
                pipe.pttl(key)
            answers = pipe.execute()
        return {key: (packed, left > 0) for key, packed, left in zip(keys, answers[::2], answers[1::2], strict=True)}


def everything(site: Site) -> dict[int, dict[bytes, tuple[t.Any, bool]]]:
    return {db: found for db in range(32) if (found := content(site, db))}


def captured(site: Site, **facts: t.Any) -> tuple[Component, dict[str, bytes]]:
    """The whole server as RDB, as ``redis-cli --rdb`` gives it."""
    place, file = site.ground.server(site.name, "redis"), site.folder / "dump.rdb"
    argv = [f"{place['bin']}/redis-cli", "-h", place["host"], "-p", str(place["port"]), "--rdb", str(file)]
    subprocess.run(argv, env={"REDISCLI_AUTH": place["password"]}, capture_output=True, check=True, timeout=300)
    with client(site, site.plan["redis_db"]) as session:
        known = {"db": site.plan["redis_db"], "keys": session.dbsize()}
    return Component("cache", "redis", "", "", "", facts=known | facts), {"dump.rdb": file.read_bytes()}


@pytest.fixture
def seeded(site: Site) -> t.Iterator[Site]:
    with client(site, site.plan["redis_db"]) as session:
        session.set("a key with spaces\nand ü", b"\x00\xff")
        session.set("for a while", "x", px=600_000)
        session.hset("positions", mapping={f"symbol {n}": n for n in range(600)})
        session.rpush("queue", *range(700))
        session.sadd("seen", *(f"order {n}" for n in range(1200)))
        session.zadd("book", {f"level {n}": n / 3 for n in range(500)})
        session.xadd("fills", {"price": "1.5"})
        session.mset({f"many:{n}": n for n in range(2500)})
    with client(site, 30) as session:
        session.set("of another site", "kept")
    yield site
    for db in range(32):
        if db < 10 and db != site.plan["redis_db"]:
            continue
        with client(site, db) as session:
            session.flushdb()


def test_keys_come_back_with_their_times_and_nobody_elses_are_touched(seeded: Site) -> None:
    site, db = seeded, seeded.plan["redis_db"]
    made = site.store.put(captured(site))
    wanted = content(site, db)
    with client(site, db) as session:
        session.delete("positions", "queue")
        session.set("a key with spaces\nand ü", "overwritten")
        session.set("newer", "goes")
    lost, others = content(site, db), {key: value for key, value in everything(site).items() if key != db}
    planned = site.restore(check_mode=True, **ONLY)
    assert planned["result"] == "planned", planned["msg"]
    assert everything(site) == {db: lost} | others
    result = site.restore(**ONLY)
    assert result["result"] == "proven", result["msg"]
    found = everything(site)
    assert {key: value[1] for key, value in found[db].items()} == {key: value[1] for key, value in wanted.items()}
    # Sets and hashes may be packed in another order; everything else is packed as it was.
    loose = (b"seen", b"positions")
    assert {key: value[0] for key, value in found[db].items() if key not in loose} == {
        key: value[0] for key, value in wanted.items() if key not in loose
    }
    with client(site, db) as session:
        assert session.smembers("seen") == {f"order {n}".encode() for n in range(1200)}
        assert session.hgetall("positions") == {f"symbol {n}".encode(): str(n).encode() for n in range(600)}
    (kept,) = found.keys() - others.keys() - {db}
    mark = f"tradeops:before:{SITE}".encode()
    assert {key: value for key, value in found[kept].items() if key != mark} == lost
    with client(site, kept) as session:
        assert session.get(mark) == made.encode()
    assert {key: value for key, value in found.items() if key not in (db, kept)} == others


def test_an_rdb_with_other_keys_than_its_manifest_says_is_refused(seeded: Site) -> None:
    seeded.store.put(captured(seeded, keys=7))
    before = everything(seeded)
    result = seeded.restore(**ONLY)
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "its manifest says 7" in result["msg"]
    assert everything(seeded) == before


def test_a_server_without_room_or_without_a_spare_database_is_refused(seeded: Site) -> None:
    with client(seeded, 0) as session:
        used = session.info("memory")["used_memory"]
        session.config_set("maxmemory", used + 500_000)
        seeded.store.put(captured(seeded, used_memory=10_000_000))
        try:
            result = seeded.restore(**ONLY)
        finally:
            session.config_set("maxmemory", "0")
    assert (result["result"], result["changed"]) == ("refused", False)
    assert f"maxmemory is {used + 500_000} bytes" in result["msg"]
    place = {**seeded.given()["redis"], "spare": 30}
    result = seeded.restore(**ONLY, redis=place)
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "there is none to restore beside" in result["msg"]


@pytest.mark.parametrize("moment", ["moving", "swapped"])
def test_a_killed_restore_leaves_the_keys_whole_and_the_next_one_carries_on(seeded: Site, moment: str) -> None:
    site, db = seeded, seeded.plan["redis_db"]
    site.store.put(captured(site))
    wanted = set(content(site, db))
    with client(site, db) as session:
        session.delete("queue")
    lost = set(content(site, db))
    started = site.start(**ONLY)
    mark = f"tradeops:{'restoring' if moment == 'moving' else 'before'}:{SITE}"

    def marked() -> bool:
        for number in range(10, 32):
            with client(site, number) as session:
                if session.exists(mark):
                    return True
        return started.child.poll() is not None

    until(marked)
    started.child.send_signal(signal.SIGKILL)
    started.child.wait()
    assert set(content(site, db)) == (lost if moment == "moving" else wanted)
    result = site.restore(**ONLY)
    assert result["result"] == "proven", result["msg"]
    assert set(content(site, db)) == wanted
    copies = [set(found) for number, found in everything(site).items() if f"tradeops:before:{SITE}".encode() in found]
    assert any(copy - {f"tradeops:before:{SITE}".encode()} == lost for copy in copies)
    assert not any(f"tradeops:restoring:{SITE}".encode() in found for found in everything(site).values())


def test_both_come_back_or_neither(seeded: Site) -> None:
    """The database is switched first; when Redis then fails to, the database is taken back."""
    site, db = seeded, seeded.plan["redis_db"]
    site.store.put(site.captured(), captured(site))
    both: dict[str, t.Any] = {"components": [{"name": "database", "engine": "postgresql"}, ONLY["components"][0]]}
    with site.session() as session:
        session.execute("DELETE FROM trades")
    with client(site, db) as session:
        session.delete("queue")
    before = site.everything(), everything(site)
    with client(site, 0) as session:
        session.acl_setuser("default", enabled=True, nopass=False, commands=["-swapdb"])
        try:
            result = site.restore(**both)
        finally:
            session.acl_setuser("default", enabled=True, nopass=False, commands=["+@all"])
    assert result["failed"] and not result["changed"], result["msg"]
    assert "swapdb" in result["msg"].lower()
    assert (site.everything(), everything(site)) == before
    result = site.restore(**both)
    assert result["result"] == "proven", result["msg"]
    assert site.rows("SELECT count(*) > 0 FROM trades")[0][0]
    with client(site, db) as session:
        assert session.exists("queue")
