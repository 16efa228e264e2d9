# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SM-PITR: a site's own server goes back to a second, by Barman: rows of before are there, rows of after are gone."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import time
import typing as t

import psycopg
import pytest
from restoring import SITE, Result, Site, until

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch, trial
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import barman
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Component
from ansible_collections.tradeops.core.plugins.module_utils._recovery import restore
from ansible_collections.tradeops.core.plugins.module_utils._recovery.places import Place

COMPONENTS = [{"name": "wal", "engine": "barman"}]
PARTS = {"database": {"components": ["wal"]}, "config": {"components": []}}
COUNT = "SELECT count(*) FROM trades"


@pytest.fixture
def physical(site: Site) -> t.Iterator[dict[str, t.Any]]:
    """What the inventory of the lab says of a site with a server of its own."""
    lab, server = site.ground.lab, site.server
    yield {
        "components": COMPONENTS,
        "postgresql_server": {
            "data": server["data"],
            "owner": server["owner"],
            "service": f"{SITE}:postgresql",
            "runtime": "supervisor",
            "supervisor": {
                "config": str(site.ground.folder / "run" / "supervisord.conf"),
                "supervisorctl": str(pathlib.Path(sys.executable).with_name("supervisorctl")),
            },
            "database": "postgres",
            "barman": server["archive"],
        },
        "secrets": {
            "backup_s3_access_key": lab["s3"]["access_key"],
            "backup_s3_secret_key": lab["s3"]["secret_key"],
        },
    }
    for folder in pathlib.Path(server["data"]).parent.glob("data.*"):
        shutil.rmtree(folder)


def backup(site: Site, physical: dict[str, t.Any]) -> Result:
    return site.backup(**physical, recipients=[str(site.store.identity.to_public())])


def component_of(found: dict[str, t.Any]) -> Component:
    return Component(found["name"], found["engine"], "", found["moment"], "", facts=found["facts"])


def test_a_server_goes_back_to_the_second_before(site: Site, physical: dict[str, t.Any]) -> None:
    taken = backup(site, physical)
    (component,) = taken["set"]["components"]
    assert component["facts"]["backup_id"]
    with site.session() as session:
        session.execute("CREATE TABLE marks (name text, at timestamptz DEFAULT clock_timestamp())")
        session.execute("INSERT INTO marks VALUES ('before')")
        ((moment,),) = session.execute("SELECT clock_timestamp()").fetchall()
        time.sleep(0.02)
        session.execute("INSERT INTO marks VALUES ('after')")
        wanted = session.execute(COUNT).fetchone()
        session.execute("DELETE FROM trades")
    with scratch.folder() as room:
        verified = trial.physical(site.name, component_of(component), site.given(**physical), room / "of", restore=True)
    assert verified["rows"] > 0 and component["facts"]["backup_id"] in verified["tool"], verified
    options: dict[str, t.Any] = {**physical, "parts": PARTS, "at": moment.isoformat(), "what": "database"}
    planned = site.restore(check_mode=True, **options)
    assert (planned["result"], planned["changed"]) == ("planned", True), planned["msg"]
    assert "recovered beside from the base backup" in planned["plan"][0]["method"]
    assert site.rows("SELECT name FROM marks ORDER BY at") == [("before",), ("after",)]
    began = time.monotonic()
    result = site.restore(**options)
    print(f"recovered and switched over in {time.monotonic() - began:.1f} s")
    assert result["result"] == "proven", result["msg"]
    assert site.rows("SELECT name FROM marks") == [("before",)]
    assert site.rows(COUNT) == [wanted]
    (server,) = result["proof"]["objects"]
    assert (server["result"], server["after"]["timeline"]) == ("proven", 2), server
    assert server["after"]["last_transaction"] < moment.isoformat()
    assert result["base_backups_due"] == [component["name"]]
    # A base backup of before is young, and of the old timeline.
    protected = backup(site, {**physical, "components": [{**one, "max_age": "1h"} for one in physical["components"]]})
    ((facts,),) = [[one["facts"] for one in protected["set"]["components"]]]
    assert (facts["taken"], facts["timeline"]) == (True, 2)
    kept = pathlib.Path(str(server["before"]["kept"]))
    assert (kept / "PG_VERSION").is_file() and not list(kept.parent.glob("*restoring*"))
    with scratch.folder() as room:
        assert "00000002.history" in barman.opened(site.name, site.given(**physical), room).segments()
    text = json.dumps([taken, planned, result])
    assert not any(secret in text for secret in physical["secrets"].values())


def test_what_cannot_be_reached_or_stopped_changes_nothing(site: Site, physical: dict[str, t.Any]) -> None:
    backup(site, physical)
    options: dict[str, t.Any] = {**physical, "parts": PARTS, "what": "database"}
    before = site.everything()
    missed = site.restore(**options, at="name:nobody-made-it")
    assert (missed["failed"], missed["changed"]) == (True, False)
    assert "the log ends before restore point nobody-made-it" in missed["msg"]
    old = site.restore(**options, at="2020-01-01 00:00:00+00:00")
    assert (old["failed"], old["changed"]) == (True, False)
    nobody = {**physical["postgresql_server"], "runtime": "", "service": ""}
    unknown = site.restore(**{**options, "postgresql_server": nobody}, at="name:nobody-made-it")
    assert (unknown["result"], "which service of systemd" in unknown["msg"]) == ("refused", True)
    assert site.everything() == before
    assert not list(pathlib.Path(site.server["data"]).parent.glob("*restoring*"))


@pytest.mark.parametrize("moment", ["fetched", "stopped", "exchanged"])
def test_a_recovery_that_is_killed_is_gone_on_with(site: Site, physical: dict[str, t.Any], moment: str) -> None:
    """From the moment at which it stops the server, its API knows nothing: the next restore starts it before it looks."""
    backup(site, physical)
    with site.session() as session:
        wanted = session.execute(COUNT).fetchone()
        ((target,),) = session.execute("SELECT clock_timestamp()").fetchall()
        time.sleep(0.02)
        session.execute("DELETE FROM trades")
    options: dict[str, t.Any] = {**physical, "parts": PARTS, "at": target.isoformat(), "what": "database"}
    parent = pathlib.Path(site.server["data"]).parent
    started = site.start(**options)
    pattern = {"fetched": "data.restoring-*/PG_VERSION", "stopped": ".data.stopped.json", "exchanged": "data.before-*"}[
        moment
    ]
    until(lambda: any(parent.glob(pattern)) or started.child.poll() is not None)
    started.child.kill()
    started.child.wait()
    assert (parent / "data" / "PG_VERSION").is_file()
    copies = len(list(parent.glob("data.before-*")))
    assert copies == (1 if moment == "exchanged" else 0)
    if moment != "fetched":
        planned = site.restore(check_mode=True, **options)
        assert (planned["result"], planned["changed"]) == ("refused", False)
        assert "A restore starts it first" in planned["msg"]
    result = site.restore(**options)
    assert result["result"] == "proven", (result["msg"], result["notes"])
    assert (moment == "fetched") is not any("was started again" in note for note in result["notes"])
    assert not list(parent.glob(".data.*"))
    assert site.rows(COUNT) == [wanted]
    assert not list(parent.glob("*restoring*"))
    assert len(list(parent.glob("data.before-*"))) == copies + 1


@pytest.fixture
def stopped(site: Site, physical: dict[str, t.Any]) -> t.Iterator[t.Callable[[], None]]:
    """Stop the site's server by hand; it runs again afterwards."""
    supervisor = physical["postgresql_server"]["supervisor"]
    control = [supervisor["supervisorctl"], "-c", supervisor["config"]]
    name = physical["postgresql_server"]["service"]

    def stop() -> None:
        subprocess.run([*control, "stop", name], check=True, capture_output=True, timeout=300)

    yield stop
    subprocess.run([*control, "start", name], check=False, capture_output=True, timeout=300)
    until(lambda: _answers(site))


def _runs(site: Site) -> bool:
    return (pathlib.Path(site.server["data"]) / "postmaster.pid").exists()


def test_a_server_that_somebody_else_stopped_is_left_to_them(
    site: Site, physical: dict[str, t.Any], stopped: t.Callable[[], None]
) -> None:
    """Without the note of a restore nobody knows why it is stopped, and the guard sees a site that it knows nothing of."""
    stopped()
    result = site.restore(**physical, parts=PARTS, what="database")
    assert (result["result"], result["changed"]) == ("refused", False)
    assert "whether it trades is unknown" in result["msg"]
    assert not _runs(site)


def test_a_server_that_somebody_stopped_after_the_guard_runs_again_only_as_the_recovered_one(
    site: Site, physical: dict[str, t.Any], stopped: t.Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(site, physical)
    wanted = site.rows(COUNT)
    monkeypatch.setattr(restore, "ensure_quiet", lambda *_given: "halted")
    stopped()
    options: dict[str, t.Any] = {**physical, "parts": PARTS, "what": "database"}
    missed = site.restore(**options, at="name:nobody-made-it")
    assert missed["failed"] and "the log ends before restore point nobody-made-it" in missed["msg"]
    assert any("is stopped, and no restore has stopped it" in note for note in missed["notes"])
    assert not _runs(site)
    # One that cannot take the place of the other leaves it stopped, too.
    with monkeypatch.context() as broken:
        broken.setattr(Place, "switch", _cannot)
        failed = site.restore(**options)
    assert failed["failed"] and "it cannot be renamed" in failed["msg"]
    assert not _runs(site) and not list(pathlib.Path(site.server["data"]).parent.glob(".data.*"))
    result = site.restore(**options)
    assert result["result"] == "proven", result["msg"]
    assert site.rows(COUNT) == wanted


def _cannot(_place: Place) -> None:
    raise OSError("it cannot be renamed")


def _answers(site: Site) -> bool:
    try:
        return bool(site.rows("SELECT 1"))
    except psycopg.Error:
        return False
