# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database verbs on a real PostgreSQL: what they claim is what the server holds, also when something goes wrong."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import typing as t

import psycopg
import pytest
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._database.registry import VERBS, run_verb

SITE = "smc-agent-primary"
TRADES = {"table": "trades", "column": "timestamp", "older_than": "1 year", "into": "trades_archive", "batch": 50}
COLLECTIONS = pathlib.Path(__file__).parents[2] / "collections"
Result = dict[str, t.Any]


@pytest.fixture(autouse=True)
def _fresh(ground: Ground) -> None:
    ground.fresh(SITE)


class Databases:
    """Runs verbs on the database of the site, and opens sessions of other people there."""

    def __init__(self, ground: Ground, leases: pathlib.Path) -> None:
        self.ground, self.leases = ground, leases

    def given(self, site: str = SITE, **options: t.Any) -> dict[str, t.Any]:
        server, plan = self.ground.server(site, "postgresql"), self.ground.lab["sites"][site]
        return {
            "site": site,
            "postgresql": {
                "host": server["host"],
                "port": server["port"],
                "database": plan["database"],
                "user": server["user"],
            },
            "secrets": {"postgresql_password": server["password"]},
            "lease_dir": str(self.leases),
            "wait_timeout": 120,
            "lock_timeout": 20,
            **options,
        }

    def run(self, verb: str, *, check_mode: bool = False, **options: t.Any) -> Result:
        parameters = VERBS[verb].spec.validate(SITE, self.given(**options))
        result = run_verb(verb, parameters, check_mode=check_mode)
        assert self.ground.server(SITE, "postgresql")["password"] not in json.dumps(result)
        return result

    @contextlib.contextmanager
    def session(self, *, superuser: bool = False) -> t.Iterator[psycopg.Connection[t.Any]]:
        server = self.ground.server(SITE, "postgresql")
        login = server["superuser"] if superuser else {key: server[key] for key in ("user", "password")}
        with psycopg.connect(
            host=server["host"],
            port=server["port"],
            dbname=self.ground.lab["sites"][SITE]["database"],
            application_name="somebody",
            **login,
        ) as session:
            yield session

    def ids(self, table: str) -> list[int]:
        if not self.ground.sql(SITE, f"SELECT 1 WHERE to_regclass('{table}') IS NOT NULL"):
            return []
        return [row["id"] for row in self.ground.sql(SITE, f"SELECT id FROM {table} ORDER BY id")]

    def old(self) -> int:
        query = """SELECT count(*) AS n FROM trades WHERE "timestamp" < now() - interval '1 year'"""
        return int(self.ground.sql(SITE, query)[0]["n"])


@pytest.fixture
def databases(ground: Ground, tmp_path: pathlib.Path) -> Databases:
    return Databases(ground, tmp_path / "leases")


# -- archive -----------------------------------------------------------------------------------------------------------


def test_old_rows_move_and_none_is_lost(databases: Databases) -> None:
    before, old = databases.ids("trades"), databases.old()
    assert 0 < old < len(before)
    planned = databases.run("database_archive", rules=[TRADES], check_mode=True)
    assert (planned["result"], databases.ids("trades"), databases.ids("trades_archive")) == ("planned", before, [])
    assert planned["plan"][0]["action"] == f"archive {old} rows"

    done = databases.run("database_archive", rules=[TRADES])
    assert done["result"] == "proven", done["msg"]
    (item,) = done["proof"]["objects"]
    assert item["before"] == {"old": old, "kept": len(before) - old, "archived": 0}
    assert item["after"] == {"old": 0, "kept": len(before) - old, "archived": old, "moved": old}
    assert sorted(databases.ids("trades") + databases.ids("trades_archive")) == before
    assert databases.old() == 0

    again = databases.run("database_archive", rules=[TRADES])
    assert (again["result"], again["changed"], again["plan"]) == ("unchanged", False, [])


def test_without_an_archive_old_rows_are_gone_for_good(databases: Databases) -> None:
    before, old = databases.ids("trades"), databases.old()
    rule = {key: value for key, value in TRADES.items() if key != "into"}
    done = databases.run("database_archive", rules=[rule])
    assert done["result"] == "proven", done["msg"]
    assert len(databases.ids("trades")) == len(before) - old
    assert databases.ids("trades_archive") == []


def test_killed_in_the_middle_nothing_is_lost_or_doubled(databases: Databases, tmp_path: pathlib.Path) -> None:
    before = databases.ids("trades")
    # A trigger makes every batch slow enough to be hit.
    with databases.session() as session:
        session.execute(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END'"
        )
        session.execute("CREATE TRIGGER slow BEFORE DELETE ON trades FOR EACH ROW EXECUTE FUNCTION slow()")
    code = (
        "import json, sys\n"
        "from ansible_collections.tradeops.core.plugins.module_utils._database.registry import VERBS, run_verb\n"
        "given = VERBS['database_archive'].spec.validate('x', json.load(open(sys.argv[1])))\n"
        "run_verb('database_archive', given, check_mode=False)\n"
    )
    arguments = tmp_path / "given.json"
    arguments.write_text(json.dumps(databases.given(rules=[{**TRADES, "batch": 20}])), encoding="utf-8")
    try:
        with subprocess.Popen([sys.executable, "-c", code, str(arguments)], cwd=COLLECTIONS) as process:
            Ground.until(lambda: len(databases.ids("trades_archive")) >= 60)
            process.send_signal(signal.SIGKILL)
        kept, moved = databases.ids("trades"), databases.ids("trades_archive")
        assert sorted(kept + moved) == before
        assert databases.old() > 0, "it was killed too late to prove anything"
    finally:
        with databases.session() as session:
            session.execute("SET lock_timeout = '10s'")
            session.execute("DROP TRIGGER slow ON trades")
    # The lease of the dead process is no obstacle; the rest is moved.
    done = databases.run("database_archive", rules=[TRADES])
    assert done["result"] == "proven", done["msg"]
    assert sorted(databases.ids("trades") + databases.ids("trades_archive")) == before


def test_a_row_that_the_archive_has_already_rolls_the_batch_back(databases: Databases) -> None:
    databases.run("database_archive", rules=[TRADES])
    with databases.session() as session:
        session.execute(
            'INSERT INTO trades (id, "timestamp", order_id, symbol, side, quantity, price)'
            """ SELECT id, "timestamp", 'ANOTHER', symbol, side, quantity, price FROM trades_archive LIMIT 1"""
        )
    done = databases.run("database_archive", rules=[TRADES])
    assert done["result"] == "refused"
    assert "duplicate key" in done["msg"]
    assert databases.old() == 1


def test_a_trigger_that_changes_what_is_archived_rolls_the_batch_back(databases: Databases) -> None:
    databases.run("database_archive", rules=[TRADES])
    with databases.session() as session:
        session.execute(
            'INSERT INTO trades ("timestamp", order_id, symbol, side, quantity, price)'
            " VALUES (now() - interval '2 years', 'X', 'BTC-USD', 'buy', 1, 1)"
        )
        session.execute(
            "CREATE OR REPLACE FUNCTION cheat() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN NEW.quantity = 2; RETURN NEW; END'"
        )
        session.execute("CREATE TRIGGER cheat BEFORE INSERT ON trades_archive FOR EACH ROW EXECUTE FUNCTION cheat()")
    done = databases.run("database_archive", rules=[TRADES])
    assert done["result"] == "unproven" or done["result"] == "refused"
    assert "the counts of a batch differ: {'listed': 1, 'copied': 1, 'equal': 0, 'deleted': 1}" in done["msg"]
    assert databases.old() == 1


def test_a_lock_is_waited_for_no_longer_than_said(databases: Databases) -> None:
    before = databases.ids("trades")
    with databases.session() as session:
        session.execute("SELECT 1 FROM trades ORDER BY id LIMIT 1 FOR UPDATE")
        began = time.monotonic()
        done = databases.run("database_archive", rules=[TRADES], lock_timeout=0.5)
        assert time.monotonic() - began < 15
        assert "lock timeout" in done["msg"]
        assert done["result"] == "refused"
    assert sorted(databases.ids("trades") + databases.ids("trades_archive")) == before
    assert databases.run("database_archive", rules=[TRADES])["result"] == "proven"


def test_a_table_that_is_written_meanwhile_is_archived_all_the_same(databases: Databases) -> None:
    ended = threading.Event()
    written: list[int] = []

    def write() -> None:
        with databases.session() as session:
            session.autocommit = True
            while not ended.is_set():
                row = session.execute(
                    'INSERT INTO trades ("timestamp", order_id, symbol, side, quantity, price)'
                    " VALUES (now() - interval '1 year' - interval '1 day', 'LATE', 'BTC-USD', 'buy', 1, 1) RETURNING id"
                ).fetchone()
                assert row
                written.append(row[0])
                ended.wait(0.002)

    before = databases.ids("trades")
    writer = threading.Thread(target=write)
    writer.start()
    Ground.until(lambda: len(written) > 5)
    done = databases.run("database_archive", rules=[{**TRADES, "batch": 20}])
    ended.set()
    writer.join()
    # Old rows that arrive all the time are either all moved, or it is said that some are still there.
    assert done["result"] == "proven" or "old rows are still there" in done["msg"]
    assert sorted(databases.ids("trades") + databases.ids("trades_archive")) == sorted(before + written)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"table": "trade"}, "has no table 'trade'"),
        ({"column": "at"}, "has no column 'at'; it has id, timestamp,"),
        ({"older_than": "a while"}, "older_than is 'a while'; give an interval such as '90 days'"),
        ({"older_than": "-1 day"}, "give more than nothing"),
        ({"batch": 0}, "batch is 0; give 1 or more"),
        ({"into": "trades"}, "cannot be its own archive"),
        ({"into": "positions"}, "the archive public.positions lacks id bigint"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_rule_moves_nothing(databases: Databases, change: dict[str, t.Any], text: str) -> None:
    before = databases.ids("trades")
    done = databases.run("database_archive", rules=[TRADES, {**TRADES, **change}])
    assert done["result"] == "refused"
    assert text in done["msg"], done["msg"]
    assert databases.ids("trades") == before


# -- tables ------------------------------------------------------------------------------------------------------------


def test_vacuum_and_analyze_are_read_back(databases: Databases) -> None:
    with databases.session() as session:
        session.execute("UPDATE trades SET price = price + 1")
    dead = "SELECT n_dead_tup AS n FROM pg_stat_user_tables WHERE relname = 'trades'"
    Ground.until(lambda: databases.ground.sql(SITE, dead)[0]["n"] > 1000)
    planned = databases.run("database_tables", tables=["trades"], check_mode=True)
    assert planned["result"] == "planned"
    assert databases.ground.sql(SITE, dead)[0]["n"] > 1000
    done = databases.run("database_tables", tables=["trades"])
    assert done["result"] == "proven", done["msg"]
    assert done["before"]["dead"] > 1000 > done["after"]["dead"]
    assert {item["id"] for item in done["proof"]["objects"]} == {"public.trades vacuum", "public.trades analyze"}


def test_a_table_that_somebody_holds_keeps_no_other_from_its_turn(databases: Databases) -> None:
    with databases.session() as session:
        session.execute("LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
        done = databases.run("database_tables", operations=["vacuum"], lock_timeout=0.3)
        failed = {item["id"] for item in done["proof"]["objects"] if item["result"] != "proven"}
        assert failed == {"public.positions vacuum"}
        assert "lock timeout" in done["msg"]


def test_every_table_is_done_when_none_is_named(databases: Databases) -> None:
    done = databases.run("database_tables")
    tables = databases.ground.sql(SITE, "SELECT count(*) AS n FROM pg_stat_user_tables")[0]["n"]
    assert (done["result"], done["after"]["tables"]) == ("proven", tables)


def test_a_table_of_another_owner_is_left_out_by_the_server_and_that_is_no_success(databases: Databases) -> None:
    """The server answers VACUUM with success and a warning."""
    with databases.session(superuser=True) as session:
        session.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
    try:
        login = {**databases.given()["postgresql"], "user": "guest"}
        secrets = {"postgresql_password": "guest-password"}
        done = databases.run("database_tables", tables=["trades"], postgresql=login, secrets=secrets)
    finally:
        with databases.session(superuser=True) as session:
            session.execute("DROP ROLE guest")
    assert done["result"] == "unproven"
    assert {item["result"] for item in done["proof"]["objects"]} == {"unproven"}
    assert "permission denied to vacuum" in done["msg"]


def test_a_reindex_gives_every_index_a_new_file(databases: Databases) -> None:
    files = "SELECT c.relname AS name, pg_relation_filenode(c.oid) AS file FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'orders'::regclass"
    before = {row["name"]: row["file"] for row in databases.ground.sql(SITE, files)}
    assert (
        databases.run("database_tables", operations=["reindex"], tables=["orders"], check_mode=True)["result"]
        == "planned"
    )
    assert {row["name"]: row["file"] for row in databases.ground.sql(SITE, files)} == before
    done = databases.run("database_tables", operations=["reindex"], tables=["orders"])
    assert done["result"] == "proven", done["msg"]
    after = {row["name"]: row["file"] for row in databases.ground.sql(SITE, files)}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_an_interrupted_reindex_is_told_and_its_leftovers_are_dropped(databases: Databases) -> None:
    invalid = "SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid"
    with databases.session() as session:
        # A transaction that reads the table and stays open holds the last steps of the reindex up.
        session.execute("SELECT count(*) FROM trades")
        done = databases.run("database_tables", operations=["reindex"], tables=["trades"], lock_timeout=0.5)
        assert done["result"] == "unproven", done
        assert "lock timeout" in done["msg"]
    left = {row["name"] for row in databases.ground.sql(SITE, invalid)}
    assert "trades_pkey_ccold" in left
    again = databases.run("database_tables", operations=["reindex"], tables=["trades"])
    results = {item["id"]: item["result"] for item in again["proof"]["objects"]}
    assert results["public.trades_pkey"] == "proven"
    # What lies in the schema of the system only a superuser may drop: the operator has to know of it.
    stays = {row["name"] for row in databases.ground.sql(SITE, invalid)}
    assert stays == {name for name in left if name.startswith("pg_toast")}
    assert {name for name, result in results.items() if result == "refused"} == {f"pg_toast.{name}" for name in stays}
    assert again["result"] == "unproven"
    assert "a leftover that cannot be dropped" in again["msg"]
    with databases.session(superuser=True) as session:
        for name in stays:
            session.execute(f"DROP INDEX pg_toast.{name}")


def test_an_unknown_table_is_one_message(databases: Databases) -> None:
    done = databases.run("database_tables", tables=["trade"])
    assert (done["result"], done["changed"]) == ("refused", False)
    assert "has no table 'trade'; did you mean trades?" in done["msg"]


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_long_query_is_ended_and_named_without_what_it_quotes(databases: Databases) -> None:
    ended: list[BaseException] = []

    def query() -> None:
        with databases.session() as session:
            try:
                session.execute("SELECT pg_sleep(120), 'hunter2-secret' AS password")
            except psycopg.Error as exc:
                ended.append(exc)

    asleep = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(120)%'"
    user = threading.Thread(target=query)
    user.start()
    Ground.until(lambda: databases.ground.sql(SITE, asleep)[0]["n"] == 1)
    time.sleep(1.1)  # the query has to be older than a second
    planned = databases.run("database_sessions", older_than=1, check_mode=True)
    assert planned["result"] == "planned"
    assert databases.ground.sql(SITE, asleep)[0]["n"] == 1
    done = databases.run("database_sessions", older_than=1)
    user.join(timeout=60)
    assert done["result"] == "proven", done["msg"]
    assert len(ended) == 1
    (item,) = [item for item in done["proof"]["objects"] if item["before"]["application"] == "somebody"]
    assert item["before"]["query"] == "SELECT pg_sleep(120), '?' AS password"
    assert item["after"] == "gone"
    assert "hunter2" not in json.dumps(done) + json.dumps(planned)
    again = databases.run("database_sessions", older_than=1)
    assert (again["result"], again["changed"]) == ("unchanged", False)


# -- the server --------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_unreachable_and_not_shown(databases: Databases) -> None:
    done = databases.run("database_tables", secrets={"postgresql_password": "wrong-password"})
    assert (done["result"], done["changed"]) == ("unreachable", False)
    assert "does not let tradeops in" in done["msg"]
    assert "wrong-password" not in json.dumps(done)


def test_a_server_that_is_away_is_unreachable(databases: Databases) -> None:
    away = {**databases.given()["postgresql"], "port": 1}
    done = databases.run("database_archive", postgresql=away, rules=[TRADES])
    assert (done["result"], done["changed"]) == ("unreachable", False)


def test_a_server_that_ends_the_session_in_a_batch_is_unproven_and_loses_nothing(databases: Databases) -> None:
    before = databases.ids("trades")
    with databases.session() as session:
        session.execute(
            "CREATE OR REPLACE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END'"
        )
        session.execute("CREATE TRIGGER gone BEFORE DELETE ON trades FOR EACH STATEMENT EXECUTE FUNCTION gone()")
    try:
        done = databases.run("database_archive", rules=[TRADES])
    finally:
        with databases.session() as session:
            session.execute("DROP TRIGGER gone ON trades")
    assert done["failed"], done
    assert "went away" in done["msg"]
    assert sorted(databases.ids("trades") + databases.ids("trades_archive")) == before
