# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ansible-playbook`` itself is killed, in the middle of a backup and of a restore: nothing goes on without it."""

from __future__ import annotations

import json
import pathlib
import typing as t

import psycopg
import pytest
from playing import Controller, Playing
from simulator_ground import Ground

SITE = "smc-agent-primary"
BACKUP = ("playbooks/backup.yml", "-l", SITE, "-e", json.dumps({"backup_components_only": ["database", "config"]}))
RESTORE = (
    "playbooks/restore.yml",
    "-l",
    SITE,
    "-e",
    json.dumps({"restore_only": ["database"], "tradeops_confirm": SITE}),
)
LARGE = """
    CREATE TABLE noise AS SELECT n AS id,
        (SELECT string_agg(md5(random()::text || n || k), '') FROM generate_series(1, 30) AS k) AS what
    FROM generate_series(1, 20000) AS n
"""


@pytest.fixture(scope="module")
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Controller]:
    ground.fresh(SITE)
    run(ground, LARGE)
    yield Controller(ground, tmp_path_factory.mktemp("controller"))
    run(ground, "DROP TABLE noise")


def run(ground: Ground, statement: str, database: str = "") -> list[tuple[t.Any, ...]]:
    server = {key: ground.server(SITE, "postgresql")[key] for key in ("host", "port", "user", "password")}
    name = database or ground.lab["sites"][SITE]["database"]
    with psycopg.connect(**server, dbname=name, autocommit=True) as session:
        done = session.execute(statement)
        return done.fetchall() if done.description else []


def databases(ground: Ground) -> list[str]:
    name = ground.lab["sites"][SITE]["database"]
    return [row[0] for row in run(ground, f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%' ORDER BY 1")]


def folders(ground: Ground) -> dict[str, list[str]]:
    """The files of each set in the folder of the lab."""
    found: dict[str, list[str]] = {}
    for path in pathlib.Path(ground.lab["backup"]["folder"], SITE).rglob("*"):
        if path.is_file():
            found.setdefault(_set_of(path), []).append(path.name)
    return found


def _set_of(path: pathlib.Path) -> str:
    return path.parts[path.parts.index(SITE) + 1]


def whole(ground: Ground) -> list[str]:
    return sorted(name for name, files in folders(ground).items() if "manifest.json" in files)


def stored(ground: Ground) -> int:
    """Bytes of the set that is being made, also of what is not finished."""
    made = set(folders(ground)) - set(whole(ground))
    paths = (path for path in pathlib.Path(ground.lab["backup"]["folder"], SITE).rglob("*") if _set_of(path) in made)
    return sum(path.stat().st_size for path in paths if path.is_file())


def workers(ground: Ground) -> list[str]:
    """What still works at the site's database: sessions of programs and of whoever counts."""
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name IN ('pg_dump', 'pg_restore')"
    return [row[0] for row in run(ground, query, "postgres")]


def kill(playing: Playing, ground: Ground) -> None:
    playing.kill()
    ground.until(lambda: not workers(ground), 120)


def test_in_the_middle_of_a_backup(ground: Ground, controller: Controller) -> None:
    controller.play(*BACKUP)
    before = whole(ground)
    playing = controller.start(*BACKUP)
    ground.until(lambda: stored(ground) > 1 << 20, 240)
    kill(playing, ground)
    (left,) = set(folders(ground)) - set(before)
    assert whole(ground) == before, "nobody went on with it"
    info = controller.play("playbooks/backup_info.yml", "-l", SITE)
    assert left in info.text and f"it has no manifest: {playing.operation} on " in info.text
    after = controller.play(*BACKUP)
    assert f"had left of {left} when it was ended" in after.text and playing.operation in after.text
    assert left not in folders(ground)
    made = whole(ground)
    assert len(made) == len(before) + 1 and set(folders(ground)) == set(made)
    assert not [name for files in folders(ground).values() for name in files if name.endswith(("g.json", ".partial"))]


def test_in_the_middle_of_a_restore(ground: Ground, controller: Controller) -> None:
    ground.control("PUT", f"/sites/{SITE}/settings", {"trading": "halted"})
    controller.play(*BACKUP)
    database = ground.lab["sites"][SITE]["database"]
    ((rows,),) = run(ground, "SELECT count(*) FROM noise")
    run(ground, "DELETE FROM noise WHERE id % 2 = 0")
    playing = controller.start(*RESTORE)
    ground.until(lambda: any("_restoring_" in name for name in databases(ground)), 240)
    kill(playing, ground)
    (beside,) = [name for name in databases(ground) if name != database]
    assert "_restoring_" in beside, "nobody went on with it"
    assert run(ground, "SELECT count(*) FROM noise") == [(rows // 2,)]
    played = controller.play(*RESTORE)
    assert f"what a restore that was killed had left is removed: the database {beside}" in played.text
    assert run(ground, "SELECT count(*) FROM noise") == [(rows,)]
    (kept,) = [name for name in databases(ground) if name != database]
    assert "_before_" in kept and run(ground, "SELECT count(*) FROM noise", kept) == [(rows // 2,)]
    assert ground.truth(SITE)["state"] == "halted"


@pytest.mark.parametrize("moment", ["halting", "capturing", "resuming"])
def test_in_the_middle_of_a_quiesced_backup(ground: Ground, controller: Controller, moment: str) -> None:
    """Nobody can resume from a dead process; whoever looks next is told who halted the site, since when, and what to do.

    The site is halted before the capture begins and longer than it takes, and no worker resumes it without the playbook.
    """
    ground.fresh(SITE, market=True)
    before = whole(ground)
    if moment == "halting":  # it is done, and nobody gets to know
        ground.faults(SITE, {"kind": "slow", "path": "/trading/emergency-stop", "seconds": 300})
    if moment == "resuming":
        ground.faults(SITE, {"kind": "hang", "path": "/trading/start", "seconds": 300})
    playing = controller.start(*BACKUP, "-e", "backup_consistency=quiesced")
    if moment == "halting":
        ground.until(lambda: ground.truth(SITE)["state"] == "halted", 240)
    elif moment == "capturing":
        ground.until(lambda: stored(ground) > 1 << 20, 240)
    else:
        ground.until(lambda: any(row["path"].endswith("/trading/start") for row in ground.requests(SITE)), 240)
    kill(playing, ground)
    ground.faults(SITE)
    assert (whole(ground) != before) == (moment == "resuming")
    assert ground.truth(SITE)["state"] == "halted"
    said = f"{playing.operation} on "
    halted = "had halted trading for the capture (the site was active), and ended without resuming it"
    info = controller.play("playbooks/backup_info.yml", "-l", SITE)
    assert said in info.text and halted in info.text and "playbooks/emergency_resume.yml" in info.text
    controller.forget_messages()
    after = controller.play(*BACKUP, "-e", "backup_consistency=quiesced")
    assert said in after.text and halted in after.text and "playbooks/emergency_resume.yml" in after.text
    assert ground.truth(SITE)["state"] == "halted", "a site that did not trade before does not trade afterwards"
    assert any(f"TRADING LEFT HALTED by a run that ended: {SITE}" in str(item) for item in controller.messages())
    assert not [name for files in folders(ground).values() for name in files if name == "running.json"]
    controller.play(
        *("playbooks/emergency_resume.yml", "-l", SITE, "-e", f"tradeops_confirm={SITE}"),
        *("-e", "emergency_resume_health_hold=0.5"),
    )
    assert ground.truth(SITE)["state"] == "active"
