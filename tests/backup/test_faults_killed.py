# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed: nothing of them counts, what they left is swept by the next one, which is whole."""

from __future__ import annotations

import json
import os
import signal
import time
import typing as t

import pytest
from simulator_ground import Ground
from taking import Run, Site

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store

MIB = 1 << 20
# Bytes that are stored when the blow falls: the mark alone, the begin, the middle and nearly the end of the dump.
POINTS = (1, MIB, 3 * MIB, 6 * MIB)


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    made = Site(ground, tmp_path_factory.mktemp("killed"))
    made.fill(40)
    yield made
    made.drop()


@pytest.fixture(autouse=True)
def _nothing_stored(site: Site) -> None:
    site.work.joinpath("seen").mkdir(exist_ok=True)
    if site.store.exists():
        site.store.rename(site.work / "seen" / str(len(os.listdir(site.work / "seen"))))


def _sessions(site: Site) -> int:
    with site.session("postgres") as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        row = session.execute(query, (site.database,)).fetchone()
    assert row
    return int(row[0])


def _next_is_whole(site: Site, before: list[str]) -> None:
    """The next run removes what is left, and its set is the only one beside those of before."""
    result = site.take()
    assert site.counted() == sorted([*before, result["backup_id"]])
    assert {path.split("/")[1] for path in site.left()} == {*before, result["backup_id"]}
    assert not [path for path in site.left() if path.endswith(("running.json", ".partial"))]


@pytest.mark.parametrize("stored", POINTS)
def test_the_controller(site: Site, stored: int) -> None:
    before = [site.take()["backup_id"]]
    base = site.stored()
    run = site.begin("backup")
    run.until(lambda: site.stored() >= base + stored)
    run.kill()
    assert site.counted() == before
    assert len({path.split("/")[1] for path in site.left()}) == 2, "it was killed in the middle"
    Ground.until(lambda: _sessions(site) == 0)  # pg_dump has ended, too
    _next_is_whole(site, before)


@pytest.mark.parametrize("stored", POINTS[:3])
def test_pg_dump(site: Site, stored: int) -> None:
    run = site.begin("backup")
    run.until(lambda: run.children("pg_dump") and site.stored() >= stored)
    os.kill(run.children("pg_dump")[0], signal.SIGKILL)
    result = run.end()
    assert (result["result"], result["failed"]) == ("refused", True), result
    assert site.name in result["msg"] and "pg_dump was killed by SIGKILL" in result["msg"]
    assert site.left() == [], "it takes back what it stored"
    _next_is_whole(site, [])


def test_what_counts_the_rows(site: Site) -> None:
    """The session of the snapshot is ended by the server; pg_dump is left with a snapshot that nobody holds."""
    run = site.begin("backup")
    run.until(lambda: run.children("pg_dump") and site.stored() >= MIB)
    with site.session("postgres") as session:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        session.execute(query, (site.database,))
    result = run.end()
    assert result["failed"] and site.name in result["msg"], result
    assert site.left() == []
    _next_is_whole(site, [])


def test_the_controller_while_it_uploads(site: Site, bucket: tuple[dict[str, t.Any], dict[str, str]]) -> None:
    entry, secrets = bucket
    store = open_store(entry, secrets)
    options: dict[str, t.Any] = {"stores": [entry, *site.given["stores"]], "secrets": secrets}
    run = site.begin("backup", **options)
    run.until(lambda: list(store.unfinished(f"{site.name}/")))
    run.kill()
    assert not [item.key for item in store.entries(f"{site.name}/") if item.key.endswith("/manifest.json")]
    result = site.take(**options)
    assert {item.key.split("/")[1] for item in store.entries("")} == {result["backup_id"]}
    assert list(store.unfinished("")) == []
    assert site.counted() == [result["backup_id"]]


def test_a_run_that_is_asked_to_end_takes_everything_back(site: Site) -> None:
    run = site.begin("backup")
    run.until(lambda: site.stored() >= MIB)
    run.process.send_signal(signal.SIGINT)
    run.process.communicate(timeout=120)
    assert site.left() == []
    Ground.until(lambda: _sessions(site) == 0)


def test_two_at_once(site: Site) -> None:
    first = site.begin("backup")
    first.until(lambda: site.stored() >= MIB)
    first.process.send_signal(signal.SIGSTOP)  # so that it is still at it, however slow the second begins
    second = site.run("backup")
    first.process.send_signal(signal.SIGCONT)
    assert second["failed"] and second["result"] == "refused", second
    assert f"{site.name} is " in second["msg"] and f"process {first.process.pid}" in second["msg"], second["msg"]
    done = first.end()
    assert done["result"] == "proven", done
    assert site.counted() == [done["backup_id"]]
    _next_is_whole(site, [done["backup_id"]])


def test_two_that_begin_together(site: Site) -> None:
    """One of them goes on, at least; what counts afterwards is what said so."""
    runs: list[Run] = [site.begin("backup"), site.begin("backup")]
    results = [run.end() for run in runs]
    proven = sorted(result["backup_id"] for result in results if result["result"] == "proven")
    assert proven and site.counted() == proven, results
    assert {path.split("/")[1] for path in site.left()} == set(proven)


def test_a_mark_of_another_machine_holds_until_it_ends(site: Site) -> None:
    folder = site.folder("20261101T020000Z-daily-abcdef")
    folder.mkdir(parents=True)
    mark = {"operation": "op", "host": "elsewhere", "pid": 1, "born": "x", "started": time.time() - 60}
    (folder / "running.json").write_text(json.dumps({**mark, "expires": time.time() + 600}))
    refused = site.run("backup")
    assert refused["failed"] and "elsewhere" in refused["msg"] and "Wait until it ends" in refused["msg"], refused
    (folder / "running.json").write_text(json.dumps({**mark, "expires": time.time() - 1}))
    _next_is_whole(site, [])
