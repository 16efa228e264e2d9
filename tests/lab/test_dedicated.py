# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites with servers of their own: the WAL is archived, and the platform survives what a restore does to its stores."""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import stat
import subprocess
import sys
import typing as t

import boto3
import psycopg
import pytest
import redis
from simulator_ground import Ground, request
from simulator_ground import ground as ground_of

from tradeops_lab import dedicated
from tradeops_lab.errors import LabError
from tradeops_lab.processes import User

SITE, OTHER = "ai-trading-primary", "smc-agent-primary"
ground = ground_of(SITE, OTHER)


def supervisorctl(ground: Ground, *arguments: str) -> str:
    program = pathlib.Path(sys.executable).with_name("supervisorctl")
    argv = [str(program), "-c", str(ground.folder / "run" / "supervisord.conf"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300).stdout


def running(ground: Ground, program: str) -> bool:
    """Whether supervisord has seen it run for a second; until then it is STARTING."""
    return supervisorctl(ground, "status", program).split()[1] == "RUNNING"


def session(ground: Ground, site: str, database: str, *, superuser: bool = False) -> psycopg.Connection[t.Any]:
    server = ground.server(site, "postgresql")
    login = server["superuser"] if superuser else {key: server[key] for key in ("user", "password")}
    return psycopg.connect(host=server["host"], port=server["port"], dbname=database, autocommit=True, **login)


def executor(ground: Ground) -> int:
    plan = ground.lab["sites"][SITE]
    headers = {"Authorization": f"Bearer {plan['secrets']['token']}"}
    return request(plan["services"]["trade_executor"], "GET", "/status", None, headers, 15).status


def accepted(ground: Ground, site: str = SITE) -> int:
    return int(ground.truth(site)["orders_accepted"])


def test_wal_of_a_site_is_archived_without_a_secret_in_sight(ground: Ground) -> None:
    server, s3 = ground.server(SITE, "postgresql"), ground.lab["s3"]
    assert server["port"] != ground.lab["postgresql"]["port"] != ground.server(OTHER, "postgresql")["port"]
    with session(ground, SITE, "postgres") as db:
        db.execute("SELECT pg_create_restore_point('marked')")
        (before,) = db.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        archived = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
        ground.until(lambda: (db.execute(archived, [before]).fetchone() or [None])[0])
        for setting, value in (("fsync", "on"), ("wal_level", "replica"), ("archive_mode", "on")):
            assert db.execute(f"SHOW {setting}").fetchone() == (value,)
    client = boto3.client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=s3["access_key"],
        aws_secret_access_key=s3["secret_key"],
    )
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="backups")["Contents"]]
    assert [key for key in keys if key.startswith(f"barman/{SITE}/wals/") and before in key], keys

    home = pathlib.Path(server["data"]).parent
    for name in ("postgresql.conf", "data/postgresql.conf"):
        assert s3["secret_key"] not in (home / name).read_text(encoding="utf-8")
    credentials = (home / "aws-credentials").stat()
    assert stat.S_IMODE(credentials.st_mode) == 0o600
    assert credentials.st_uid == (home / "data").stat().st_uid
    pid = int(supervisorctl(ground, "pid", f"{SITE}:postgresql"))
    assert s3["secret_key"] not in pathlib.Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


def test_a_site_answers_503_while_its_database_is_away_and_trades_on_afterwards(ground: Ground) -> None:
    ground.fresh(SITE, market=True)
    assert executor(ground) == 200
    assert "stopped" in supervisorctl(ground, "stop", f"{SITE}:postgresql")
    assert executor(ground) == 503
    assert ground.truth(OTHER)["state"] == "active"
    assert "started" in supervisorctl(ground, "start", f"{SITE}:postgresql")
    ground.until(lambda: executor(ground) == 200)
    before = accepted(ground)
    ground.until(lambda: accepted(ground) > before)


def test_a_site_obeys_the_database_that_was_put_in_place_of_its_own(ground: Ground) -> None:
    ground.fresh(SITE, market=True)
    database = ground.lab["sites"][SITE]["database"]
    with session(ground, SITE, "postgres", superuser=True) as db:

        def switch(away: str, there: str) -> None:
            # Nobody new may come in while the sessions are ended: a platform that trades is back in a moment.
            db.execute(f'ALTER DATABASE "{database}" CONNECTION LIMIT 0')
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
            db.execute(ended, [database])
            db.execute(f'ALTER DATABASE "{database}" RENAME TO "{away}"')
            db.execute(f'ALTER DATABASE "{away}" CONNECTION LIMIT -1')
            if there:
                db.execute(f'ALTER DATABASE "{there}" RENAME TO "{database}"')

        switch("kept", "")
        assert executor(ground) == 503
        db.execute('CREATE DATABASE "restored" TEMPLATE "kept" OWNER tradeops')
        with session(ground, SITE, "restored") as restored:
            restored.execute("UPDATE settings SET value = '\"halted\"' WHERE key = 'trading'")
            restored.execute("DELETE FROM orders; DELETE FROM venue_orders; DELETE FROM positions")
        db.execute(f'ALTER DATABASE "restored" RENAME TO "{database}"')
        ground.until(lambda: executor(ground) == 200)
        truth = ground.truth(SITE)
        assert (truth["state"], truth["open_orders"], truth["positions"]) == ("halted", 0, {})
        switch("thrown", "kept")
        ground.until(lambda: executor(ground) == 200)
        before = accepted(ground)
        ground.until(lambda: accepted(ground) > before)
        db.execute('DROP DATABASE "thrown"')


def test_sessions_are_those_of_the_redis_that_was_put_in_place(ground: Ground) -> None:
    ground.fresh(OTHER)
    secrets, server = ground.lab["sites"][OTHER]["secrets"], ground.server(OTHER, "redis")

    def login() -> t.Any:
        body = {"username": secrets["username"], "password": secrets["password"]}
        return ground.call(OTHER, "POST", "/api/auth/login", body, token=None)

    def status(token: str) -> int:
        return ground.call(OTHER, "GET", "/api/trading/status", token=token).status

    token = login().json["access_token"]
    assert status(token) == 200
    with redis.Redis(server["host"], server["port"], password=server["password"]) as store:
        assert store.dbsize()
        store.swapdb(0, 7)
        assert status(token) == 401
        store.swapdb(0, 7)
        assert status(token) == 200
    supervisorctl(ground, "stop", f"{OTHER}:redis")
    assert status(token) == login().status == 503
    supervisorctl(ground, "start", f"{OTHER}:redis")
    ground.until(lambda: status(token) == 200)


@pytest.mark.parametrize("victim", [f"{SITE}.postgresql", f"{OTHER}.redis", "supervisor"])
def test_up_repairs_what_was_killed(ground: Ground, victim: str) -> None:
    ground.fresh(SITE, market=True)
    pids = {name: pid for name, pid in ground.lab["pids"].items() if "." in name or name == "supervisor"}
    assert set(pids) == {f"{site}.{kind}" for site in (SITE, OTHER) for kind in dedicated.KINDS} | {"supervisor"}
    if victim != "supervisor":  # which would start it again by itself
        supervisorctl(ground, "stop", victim.replace(".", ":"))
    else:
        os.kill(pids[victim], signal.SIGKILL)
    ground.up()
    for site in (SITE, OTHER):
        for kind in dedicated.KINDS:
            ground.until(functools.partial(running, ground, f"{site}:{kind}"))
    before = accepted(ground)
    ground.until(lambda: accepted(ground) > before)


def test_a_server_gets_a_capability_only_where_its_archive_command_needs_it(tmp_path: pathlib.Path) -> None:
    anybody = User("anybody", 12345, 12345)
    assert dedicated.passage(anybody, [pathlib.Path("/bin/sh")]) == []
    (tmp_path / "private").mkdir(mode=0o700)
    program = tmp_path / "private" / "program"
    program.write_bytes(b"")
    for bounding, capability in ((0b110, "dac_read_search"), (0b010, "dac_override")):
        words = dedicated.passage(anybody, [program], bounding)
        assert words[1:4] == ["--reuid=12345", "--regid=12345", "--clear-groups"]
        assert words[4:] == [f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]
    with pytest.raises(LabError, match="anybody, who cannot pass through"):
        dedicated.passage(anybody, [program], 0)
