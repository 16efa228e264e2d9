# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database comes back whole from its dump, or stays as it was: on a real PostgreSQL, with everything that goes wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import threading
import typing as t
from unittest import mock

import psycopg
import pyrage
import pytest
from restoring import SITE, Site, until
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused
from ansible_collections.tradeops.core.plugins.module_utils._recovery.parts import logical
from ansible_collections.tradeops.core.plugins.module_utils._recovery.roles import Roles

# Some megabytes that cannot be compressed.
FILLER = "SELECT n, gen_random_uuid() AS one, gen_random_uuid() AS other FROM generate_series(1, 150000) AS n"
LARGE = 424242
SCHEMA = f"""
CREATE SCHEMA rich;
CREATE TYPE rich.side AS ENUM ('buy', 'sell');
CREATE FUNCTION rich.half(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n / 2';
CREATE TABLE rich.venues (name text PRIMARY KEY, CHECK (name <> ''));
CREATE TABLE rich.orders (id serial PRIMARY KEY, venue text NOT NULL REFERENCES rich.venues, side rich.side DEFAULT 'buy',
    amount int NOT NULL, doubled int GENERATED ALWAYS AS (amount * 2) STORED);
CREATE TABLE rich.ticks (at date NOT NULL, venue text, price int) PARTITION BY RANGE (at);
CREATE TABLE rich.ticks_2025 PARTITION OF rich.ticks FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE rich.ticks_2026 PARTITION OF rich.ticks FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO rich.venues VALUES ('north'), ('south');
INSERT INTO rich.orders (venue, amount) SELECT (ARRAY['north', 'south'])[1 + n % 2], 60 + 5 * (n % 2) FROM generate_series(1, 40) AS n;
UPDATE rich.orders SET amount = CASE venue WHEN 'north' THEN 75 ELSE 80 END;
INSERT INTO rich.ticks SELECT date '2025-06-01' + n * 10, 'north', n FROM generate_series(1, 50) AS n;
CREATE INDEX half_amount ON rich.orders (rich.half(amount)) WHERE side = 'buy';
CREATE INDEX ON rich.ticks (at, venue);
CREATE STATISTICS rich.together ON venue, side FROM rich.orders;
CREATE MATERIALIZED VIEW rich.totals AS SELECT venue, sum(amount) AS total FROM rich.orders GROUP BY venue;
CREATE UNIQUE INDEX ON rich.totals (venue);
CREATE VIEW rich.north AS SELECT * FROM rich.orders WHERE venue = 'north';
CREATE RULE nothing AS ON DELETE TO rich.venues DO INSTEAD NOTHING;
CREATE FUNCTION rich.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$not while it is loaded$$; END';
CREATE TRIGGER noted BEFORE INSERT ON rich.orders FOR EACH ROW EXECUTE FUNCTION rich.noted();
ALTER TABLE rich.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON rich.orders USING (venue = current_user);
COMMENT ON TABLE rich.orders IS 'what was sent';
COMMENT ON INDEX rich.half_amount IS 'for looks';
COMMENT ON CONSTRAINT orders_venue_fkey ON rich.orders IS 'known ones only';
GRANT SELECT, INSERT ON rich.orders TO pg_monitor;
GRANT SELECT (total) ON rich.totals TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA rich GRANT SELECT ON TABLES TO pg_monitor;
REVOKE INSERT, UPDATE, REFERENCES ON rich.venues, rich.orders FROM CURRENT_USER;
REVOKE EXECUTE ON FUNCTION rich.half(int) FROM PUBLIC;
SELECT lo_from_bytea({LARGE}, 'large');
GRANT SELECT ON LARGE OBJECT {LARGE} TO pg_monitor;
"""
LOST = "DELETE FROM trades WHERE id IN (SELECT id FROM trades ORDER BY id LIMIT 20)"


@pytest.fixture(params=["loaded while it is read", "loaded from a file"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to load a dump, whatever this machine would take."""
    monkeypatch.setattr(logical, "in_one_pass", lambda _rows, **_given: request.param == "loaded while it is read")


@pytest.mark.usefixtures("way")
def test_a_database_comes_back_to_the_row_and_the_old_one_is_kept(site: Site) -> None:
    wanted = site.fingerprint()
    made = site.store.put(site.captured())
    with site.session() as session:
        session.execute(LOST)
    lost = site.fingerprint()
    assert lost != wanted
    planned = site.restore(check_mode=True)
    assert (planned["result"], planned["changed"]) == ("planned", True)
    assert (
        planned["plan"][0]["why"] == f"from {made}; what is there stays as the database {site.database}_before_{made}"
    )
    assert (site.fingerprint(), site.databases()) == (lost, [site.database])
    result = site.restore()
    assert result["result"] == "proven", result["msg"]
    assert site.fingerprint() == wanted
    assert site.databases() == [site.database, f"{site.database}_before_{made}"]
    assert site.fingerprint(f"{site.database}_before_{made}") == lost


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _contents(site: Site, dump: bytes) -> bytes:
    """A dump as text, without what is another one in each."""
    tool = f"{site.server['bin']}/pg_restore"
    done = subprocess.run([tool, "--file=-"], input=dump, capture_output=True, check=True, timeout=60)
    return b"\n".join(line for line in done.stdout.split(b"\n") if not line.startswith((b"--", b"\\")))


@pytest.mark.parametrize("damage", ["flipped", "short", "missing", "swapped", "edited", "unsigned", "key"])
def test_what_is_damaged_is_refused_and_nothing_is_touched(site: Site, damage: str) -> None:
    made = site.store.put(site.captured())
    other = site.store.put(site.captured(), kind="weekly", age=60)
    dump, manifest = (site.store.file(made, name) for name in ("database/database.dump.zst.age", "manifest.json"))
    options: dict[str, t.Any] = {"id": made}
    stored = bytearray(dump.read_bytes())
    if damage == "flipped":
        stored[len(stored) // 2] ^= 1
        dump.write_bytes(stored)
    elif damage == "short":
        dump.write_bytes(stored[:-1])
    elif damage == "missing":
        dump.unlink()
    elif damage == "swapped":
        dump.write_bytes(site.store.file(other, "database/database.dump.zst.age").read_bytes())
    elif damage == "edited":
        manifest.write_text(manifest.read_text().replace('"type": "manual"', '"type": "weekly"'))
    elif damage == "unsigned":
        options["secrets"] = {"backup_manifest_key": "another key"}
    else:
        options["secrets"] = {"backup_identity": str(pyrage.x25519.Identity.generate())}
    before = site.everything()
    for check_mode in (True, False):
        result = site.restore(check_mode=check_mode, **options)
        assert (result["result"], result["failed"], result["changed"]) == ("refused", True, False)
        assert SITE in result["msg"] and made in result["msg"]
    assert site.everything() == before


@pytest.mark.parametrize("damage", ["middle", "end", "key"])
def test_what_is_damaged_behind_the_contents_is_told_as_that_while_it_is_loaded(site: Site, damage: str) -> None:
    """It lies beyond what is read for a look at the contents, and pg_restore fails of it as well."""
    with site.session() as session:
        session.execute(f"CREATE TABLE filler AS {FILLER}")
    try:
        made = site.store.put(site.captured())
        dump = site.store.file(made, "database/database.dump.zst.age")
        stored = dump.read_bytes()
        place = {"middle": len(stored) * 3 // 4, "end": len(stored) - 1, "key": 0}[damage]
        assert len(stored) > 4 << 20
        before = site.everything()
        if damage != "key":
            dump.write_bytes(_flipped(stored, place))
        other = {"backup_identity": str(pyrage.x25519.Identity.generate())}
        result = site.restore(id=made, secrets=other if damage == "key" else {})
        assert (result["result"], result["changed"]) == ("refused", False)
        wanted = "no identity opens" if damage == "key" else "database.dump.zst.age in the store local is damaged"
        assert wanted in result["msg"] and "pg_restore" not in result["msg"], result["msg"]
        assert site.everything() == before
        dump.write_bytes(stored)
        assert site.restore()["result"] == "proven"
        assert site.everything()[1] == before[1]
    finally:
        with site.session() as session:
            session.execute("DROP TABLE filler")


@pytest.mark.usefixtures("way")
def test_everything_that_a_schema_can_have_comes_back_as_it_was(site: Site) -> None:
    """Also what only works in the order that pg_restore keeps: an owner who may not write into a table any more."""
    with site.session() as session:
        session.execute(SCHEMA)
    try:
        wanted = site.dump("--schema=rich", "--schema-only"), site.fingerprint()
        made = site.store.put(site.captured())
        with site.session() as session:
            session.execute("DROP SCHEMA rich CASCADE")
        result = site.restore(jobs=4)
        assert result["result"] == "proven", result["msg"]
        assert _contents(site, site.dump("--schema=rich", "--schema-only")) == _contents(site, wanted[0])
        assert site.fingerprint() == wanted[1]
        assert site.rows("SELECT total FROM rich.totals ORDER BY 1") == [(1500,), (1600,)]
        assert site.rows("SELECT nextval('rich.orders_id_seq')") == [(41,)]
        assert site.rows(f"SELECT convert_from(lo_get({LARGE}), 'UTF8')") == [("large",)]
        site.take_back(made)
    finally:
        with site.session() as session:
            session.execute(f"DROP SCHEMA IF EXISTS rich CASCADE; SELECT lo_unlink({LARGE})")


def test_a_site_that_trades_is_refused_and_so_is_one_of_which_that_is_unknown(site: Site, ground: Ground) -> None:
    site.store.put(site.captured())
    before = site.databases()
    ground.faults(SITE, {"kind": "dead"})
    result = site.restore()
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "whether it trades is unknown" in result["msg"]
    ground.faults(SITE)
    ground.fresh(SITE, market=True)
    result = site.restore()
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "it is active, and data are not exchanged under a site that trades" in result["msg"]
    assert site.databases() == before


def test_rows_that_are_not_those_of_the_manifest_are_found_before_anything_is_switched(site: Site) -> None:
    component, artefacts = site.captured()
    rows = component.facts["rows"]
    wrong = dataclasses.replace(component, facts={**component.facts, "rows": {**rows, "public.trades": 7}})
    site.store.put((wrong, artefacts))
    before = site.everything()
    result = site.restore()
    assert (result["result"], result["changed"]) == ("refused", False), result["msg"]
    assert "and had 7" in result["msg"] and "Nothing that the site uses was changed" in result["msg"]
    assert site.everything() == before


def test_versions_and_extensions_are_compared(site: Site) -> None:
    for facts, said in (
        ({"server_version": "99.1"}, "older than the server that was backed up (99.1)"),
        ({"extensions": {"timescaledb": "2.99.0"}}, "the server has no extension timescaledb; install version 2.99.0"),
        ({"size": 1 << 50}, "make room there"),
    ):
        made = site.store.put(site.captured(**facts))
        before = site.everything()
        result = site.restore(id=made)
        assert (result["result"], result["changed"]) == ("refused", False)
        assert said in result["msg"]
        assert site.everything() == before
    made = site.store.put(site.captured(server_version="14.2"))
    result = site.restore(id=made)
    assert result["result"] == "proven", result["msg"]
    assert any("newer than what was backed up (14.2)" in note for note in result["notes"])


@pytest.fixture
def people(site: Site) -> t.Iterator[list[str]]:
    """Two roles of the platform, one that owns and one that may read; they are gone afterwards."""
    found = ["a trader", "reporting"]
    with site.session(superuser=True) as session:
        session.execute('CREATE ROLE "a trader" LOGIN CREATEDB; CREATE ROLE reporting')
        session.execute('CREATE SCHEMA theirs AUTHORIZATION "a trader"; CREATE TABLE theirs.own AS SELECT 1 AS id')
        session.execute('ALTER TABLE theirs.own OWNER TO "a trader"')
        session.execute("GRANT SELECT ON trades TO reporting")
    yield found
    for name in site.databases():
        with site.session(name, superuser=True) as session:
            for role in found:
                if session.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
                    session.execute(f'DROP OWNED BY "{role}" CASCADE')
    with site.session("postgres", superuser=True) as session:
        session.execute('DROP ROLE IF EXISTS "a trader", reporting')


def _forget(site: Site, roles: list[str]) -> None:
    """The server is a new one, which never heard of these."""
    with site.session(superuser=True) as session:
        for role in roles:
            session.execute(f'DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"')


def test_roles_that_the_server_lacks_are_named_before_anything_is_done(site: Site, people: list[str]) -> None:
    options: dict[str, t.Any] = {"recipients": [str(site.store.identity.to_public())]}
    with site.session(superuser=True) as session:
        session.execute(f"GRANT pg_read_all_data TO {site.server['user']}")  # so that it can dump what is not its own
    made = site.backup(**options)
    facts = made["set"]["components"][0]["facts"]
    assert set(people) <= set(facts["roles"])
    _forget(site, people)
    before = site.everything()
    for check_mode in (True, False):
        refused = site.restore(check_mode=check_mode, id=made["backup_id"])
        assert (refused["result"], refused["changed"]) == ("refused", False)
        assert "the server has no role a trader (CREATEDB, LOGIN), reporting" in refused["msg"], refused["msg"]
        assert "give it CREATEROLE" in refused["msg"]
    assert site.everything() == before
    user = site.server["user"]
    try:
        with site.session(superuser=True) as session:
            session.execute(f"ALTER ROLE {user} CREATEROLE")
        planned = site.restore(check_mode=True, id=made["backup_id"])
        assert planned["plan"][0]["roles"] == people and site.everything() == before
        # A dump that is damaged at its very end leaves no role behind, either.
        dump = site.store.file(made["backup_id"], "database/database.dump.zst.age")
        stored = dump.read_bytes()
        dump.write_bytes(_flipped(stored, len(stored) - 1))
        refused = site.restore(id=made["backup_id"])
        assert refused["result"] == "refused" and "dump.zst.age in the store local is damaged" in refused["msg"], (
            refused
        )
        known = {row[0] for row in site.rows("SELECT rolname FROM pg_roles")}
        assert site.everything() == before and not known & set(people)
        dump.write_bytes(stored)
        result = site.restore(id=made["backup_id"])
        assert result["result"] == "proven", result["msg"]
        assert any("made as NOLOGIN, without a password" in note for note in result["notes"])
        with site.session(superuser=True) as session:
            query = "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = ANY(%s)"
            assert session.execute(query, (people,)).fetchall() == [(False, None), (False, None)]
            query = "SELECT tableowner, has_table_privilege('reporting', 'trades', 'SELECT') FROM pg_tables WHERE tablename = 'own'"
            assert session.execute(query).fetchone() == ("a trader", True)
    finally:
        with site.session(superuser=True) as session:
            session.execute(f"ALTER ROLE {user} NOCREATEROLE; REVOKE pg_read_all_data FROM {user}")


def test_a_role_that_somebody_uses_by_now_stays_and_is_told(site: Site, people: list[str]) -> None:
    _forget(site, people)
    back, component = mock.Mock(), mock.Mock(facts={"roles": people}, artefacts=[])
    component.name = "database"
    roles = Roles(back, component)
    with site.session(superuser=True) as session:
        session.row_factory = psycopg.rows.dict_row
        roles.look(session)
        roles.make(session)
        session.execute("GRANT SELECT ON trades TO reporting")
        roles.unmake(session)
        left = session.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (people,)).fetchall()
    assert left == [{"rolname": "reporting"}]
    (((said,), _named),) = back.note.call_args_list
    assert said.startswith("database: the role reporting that was made for it stays: role") and "depend on it" in said


def test_sessions_that_come_again_and_again_do_not_hold_up_the_switch(site: Site) -> None:
    wanted = site.fingerprint()
    site.store.put(site.captured())
    over, seen = threading.Event(), []

    def knock() -> None:
        while not over.is_set():
            with contextlib.suppress(psycopg.Error), site.session() as session:
                seen.append(session.execute("SELECT count(*) FROM trades, pg_sleep(0.2)").fetchone())

    knocking = [threading.Thread(target=knock) for _number in range(4)]
    for thread in knocking:
        thread.start()
    try:
        result = site.restore()
    finally:
        over.set()
        for thread in knocking:
            thread.join()
    assert result["result"] == "proven", result["msg"]
    assert seen
    assert site.fingerprint() == wanted


def test_settings_grants_and_limits_of_the_database_are_kept(site: Site) -> None:
    site.store.put(site.captured())
    with site.session() as session:
        name = site.database
        session.execute(f'ALTER DATABASE "{name}" SET search_path TO public, "a b"')
        session.execute(f"""ALTER DATABASE "{name}" SET application_name TO 'it''s ours'""")
        session.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 300')
        session.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
        session.execute(f'GRANT CONNECT ON DATABASE "{name}" TO pg_monitor')
    before = site.dress()
    try:
        assert site.restore()["result"] == "proven"
        assert site.dress() == before
    finally:
        with site.session("postgres") as session:
            session.execute(f'ALTER DATABASE "{name}" RESET ALL')
            session.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
            session.execute(f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')


def test_a_second_restore_keeps_both_copies_of_before(site: Site) -> None:
    made = site.store.put(site.captured())
    first = site.restore()
    assert first["result"] == "proven"
    assert site.restore()["result"] == "proven"
    kept = f"{site.database}_before_{made}"
    assert site.databases() == [site.database, kept, f"{kept}_2"]


@pytest.mark.parametrize("moment", ["dump fetched", "restoring", "restored"])
def test_a_restore_that_is_killed_leaves_the_target_whole_and_the_next_one_carries_on(site: Site, moment: str) -> None:
    wanted = site.fingerprint()
    made = site.store.put(site.captured())
    with site.session() as session:
        session.execute(LOST)
    before = site.fingerprint()
    process = site.start()
    try:
        beside = f"{site.database}_restoring_{made}"
        if moment == "dump fetched":
            until(lambda: any(process.scratch.glob("tradeops-scratch-*/database_*")))
        elif moment == "restoring":
            until(lambda: beside in site.databases())
        else:
            until(lambda: f"{site.database}_before_{made}" in site.databases() or process.child.poll() is not None)
        process.child.send_signal(signal.SIGKILL)
    finally:
        process.child.kill()
        process.child.wait()
    found = site.fingerprint()
    assert found in (before, wanted)
    assert found == (wanted if moment == "restored" else before)
    result = site.restore(scratch_dir=str(process.scratch))
    assert result["result"] == "proven", result["msg"]
    assert site.fingerprint() == wanted
    assert not [name for name in site.databases() if "_restoring_" in name]
    assert not list(process.scratch.iterdir())
    assert before in [site.fingerprint(name) for name in site.databases() if "_before_" in name]


def test_an_empty_database_comes_back_too(site: Site) -> None:
    with site.session() as session:
        session.execute("CREATE TABLE only_now (id int)")
        session.execute('CREATE TABLE "odd name\nüñ" (id int)')
        session.execute('INSERT INTO "odd name\nüñ" VALUES (1)')
    empty = Component(
        "database", "postgresql", "", "", "", facts={"server_version": "16.1", "rows": {}, "extensions": {}}
    )
    dump = site.dump("--exclude-schema=public")
    made = site.store.put((empty, {"database.dump": dump}))
    try:
        result = site.restore()
        assert result["result"] == "proven", result["msg"]
        assert site.fingerprint() == ({}, {})
    finally:
        site.take_back(made)


def test_timescaledb_is_loaded_between_its_hooks_by_one_job(site: Site) -> None:
    """A load that fails must leave the hook of after run, too; there is no TimescaleDB here, so a double notes the calls."""
    asked: list[str] = []

    class Double(logical.Logical):
        def _hook(self, statement: t.Any) -> None:
            asked.append(statement if isinstance(statement, str) else "create extension")

        def _load(self, *, jobs: int) -> None:
            asked.append(f"load with {jobs}")
            raise Refused("pg_restore ended", method="run", path="", sent=True)

    part = Double.__new__(Double)
    part.component = Component("database", "postgresql", "", "", "", facts={"extensions": {"timescaledb": "2.17.2"}})
    with pytest.raises(Refused):
        part._with_hooks()
    assert asked == [
        "create extension",
        "SELECT timescaledb_pre_restore()",
        "load with 1",
        "SELECT timescaledb_post_restore()",
    ]


def test_the_latest_is_the_newest_that_has_what_is_asked(site: Site) -> None:
    """A set of the configuration that is younger is passed over by name, and a full restore finds that it has no set."""
    made = site.store.put(site.captured(), age=60)
    config = site.store.put((Component("config", "files", "", "", ""), {"files.tar": b""}), kind="config")
    planned = site.restore(check_mode=True, what="database")
    assert planned["result"] == "planned", planned["msg"]
    assert planned["plan"][0]["why"].startswith(f"from {made};")
    (note,) = [note for note in planned["notes"] if "passed over" in note]
    assert note.startswith(f"the latest set that has what 'database' asks for is {made}; passed over {config} lacks")
    full = site.restore(check_mode=True)
    assert (full["result"], full["changed"]) == ("refused", False)
    assert "there is no set with config, database, which 'full' asks for," in full["msg"], full["msg"]
    assert f"{config} lacks database, {made} lacks config" in full["msg"]
    # By its id it is had, and what it does not have is told.
    named = site.restore(check_mode=True, id=made)
    assert named["result"] == "planned", named["msg"]
    assert f"{made} has no config: what is there at the site stays as it is" in named["notes"]
