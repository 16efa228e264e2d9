# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real labs side by side: they start, are damaged, are repaired, and leave nothing."""

from __future__ import annotations

import asyncio
import collections.abc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as t

import asyncpg
import pytest
import redis
from prometheus_programs import ABSENT, find, query

import tradeops_lab
from tradeops_lab.kubernetes import authority, programs
from tradeops_lab.ports import BLOCK
from tradeops_lab.waiting import NotYet, wait_for
from tradeops_lab.web import call

ENVIRONMENT = os.environ | {"PYTHONPATH": str(pathlib.Path(tradeops_lab.__file__).parents[1])}
ENVIRONMENT.pop("TRADEOPS_LAB_DIR", None)


class Lab:
    """A lab as its users see it: the command line and lab.json."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tradeops_lab", *arguments, "--dir", str(self.path)]
        return subprocess.Popen(
            argv, env=ENVIRONMENT | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, status: int = 0) -> dict[str, t.Any]:
        return finish(self.begin(*arguments, "--json"), status)

    def facts(self) -> dict[str, t.Any]:
        facts: dict[str, t.Any] = json.loads((self.path / "lab.json").read_text(encoding="utf-8"))
        return facts

    def kill(self, *parts: str) -> None:
        for part in parts:
            os.kill(self.facts()["pids"][part], signal.SIGKILL)

    def store(self) -> redis.Redis:
        server = self.facts()["redis"]
        return redis.Redis(server["host"], server["port"], password=server["password"])

    def cluster(self, method: str, body: t.Any = None) -> dict[str, t.Any]:
        """One request about the strategic agent of GrandModel, as its site sends it."""
        facts = self.facts()
        site = facts["sites"]["grandmodel-primary"]
        url = f"{site['services']['kubernetes']}/apis/apps/v1/namespaces/{site['namespace']}/deployments/strategic-marl"
        token = site["secrets"]["kubernetes_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        content = None if body is None else json.dumps(body).encode()
        answer = call(method, url, content, headers, context=authority.client_context(self.path / "kubernetes"))
        assert answer.status == 200, answer.body
        return t.cast("dict[str, t.Any]", answer.json())

    def query(self, statement: str) -> t.Any:
        facts = self.facts()
        server, (site, *_) = facts["postgresql"], facts["sites"].values()

        async def ask() -> t.Any:
            keys = ("host", "port", "user", "password")
            session = await asyncpg.connect(**{key: server[key] for key in keys}, database=site["database"])
            try:
                return await session.fetchval(statement)
            finally:
                await session.close()

        return asyncio.run(ask())


def finish(process: subprocess.Popen[str], status: int = 0) -> dict[str, t.Any]:
    output, progress = process.communicate(timeout=600)
    assert process.returncode == status, progress
    answer: dict[str, t.Any] = json.loads(output)
    return answer


def processes_of(path: pathlib.Path) -> dict[int, str]:
    """Every process that runs in the folder, writes to it or names it: pid and command line. Not the lab's own way."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            links = [os.readlink(link) for link in (entry / "cwd", *(entry / "fd").iterdir())]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if any(str(path) in text for text in (command, *links)):
            found[int(entry.name)] = command
    return found


def listeners(first_port: int) -> set[str]:
    """The addresses on which something listens on a port of the block, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and first_port <= int(port, 16) < first_port + BLOCK:
                found.add(address)
    return found


def texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    else:
        yield str(value)


def secrets_of(facts: dict[str, t.Any]) -> set[str]:
    servers = {
        facts["postgresql"]["password"],
        facts["postgresql"]["superuser"]["password"],
        facts["redis"]["password"],
    }
    sites = {text for site in facts["sites"].values() for text in texts(site["secrets"])}
    return servers | sites | {facts["s3"]["secret_key"]}


@pytest.fixture
def labs() -> collections.abc.Iterator[tuple[Lab, Lab]]:
    # Not below tmp_path, which only its owner may enter: root's lab runs PostgreSQL as another user.
    base = pathlib.Path(tempfile.mkdtemp(prefix="tradeops-", dir=pathlib.Path("/", "var", "tmp")))
    base.chmod(0o711)
    pair = Lab(base / "one"), Lab(base / "two")
    try:
        yield pair
    finally:
        for lab in pair:
            lab.begin("down", "--purge").communicate(timeout=600)
        shutil.rmtree(base)


def test_labs_start_are_repaired_and_leave_nothing(labs: tuple[Lab, Lab]) -> None:
    one, two = labs
    starting = [
        one.begin("up", "--sites", "flashmm-primary", "--without", "kubernetes", "--json"),
        two.begin("up", "--sites", "flashmm-dr", "--without", "kubernetes", "--json"),
    ]
    assert [finish(process)["sites"] for process in starting] == [["flashmm-primary"], ["flashmm-dr"]]

    # Private, on loopback, side by side; no secret where other users see it.
    facts, other = one.facts(), two.facts()
    assert (one.path / "lab.json").stat().st_mode & 0o777 == 0o600
    assert facts["first_port"] != other["first_port"]
    assert listeners(facts["first_port"]) == listeners(other["first_port"]) == {"0100007F"}
    commands = " ".join(processes_of(one.path).values())
    assert not [secret for secret in secrets_of(facts) if secret in commands]

    # A second `up` changes nothing.
    assert one.run("up")["changed"] is False
    assert one.facts() == facts

    # Storage is killed: what was stored is there after the repair, and the other lab has not noticed.
    assert one.query("SHOW fsync") == "on"
    one.query("CREATE TABLE kept AS SELECT 42 AS answer")
    with one.store() as store:
        store.set("kept", "42")
        asyncio.run(_saved(store))
    one.kill("postgresql", "redis")
    assert one.run("status", status=1)["parts"]["postgresql"] == "stopped"
    assert one.run("up")["changed"] is True
    assert one.query("SELECT answer FROM kept") == 42
    with one.store() as store:
        assert store.get("kept") == b"42"
    assert one.run("status")["parts"].keys() == facts["pids"].keys()
    assert two.facts() == other

    # Everything is killed: the same.
    one.kill(*one.facts()["pids"])
    assert one.run("up")["changed"] is True
    assert one.query("SELECT answer FROM kept") == 42

    # Down, and down again; then with everything.
    assert one.run("down")["changed"] is True
    assert processes_of(one.path) == {}
    assert not (one.path / "lab.json").exists()
    assert one.run("down")["changed"] is False
    one.run("status", status=3)
    assert two.run("down", "--purge")["changed"] is True
    assert processes_of(two.path) == {}
    assert not two.path.exists()
    assert two.run("down", "--purge")["changed"] is False
    ports = range(facts["first_port"], facts["first_port"] + BLOCK)
    left = [path for path in pathlib.Path("/", "tmp").glob("seaweedfs-*-grpc-*.sock") if int(path.stem[-5:]) in ports]
    assert not left


def test_clusters_run_side_by_side_are_repaired_and_leave_nothing(labs: tuple[Lab, Lab]) -> None:
    assert programs.is_made(), "`make kubernetes` first: it takes minutes on a new machine"
    one, two = labs
    starting = [lab.begin("up", "--sites", "grandmodel-primary", "--json") for lab in labs]
    assert [finish(process)["sites"] for process in starting] == [["grandmodel-primary"]] * 2
    facts, other = one.facts(), two.facts()
    servers = {"etcd", "apiserver", "controllers", "scheduler", "nodes"}
    assert servers < facts["pids"].keys()
    assert listeners(facts["first_port"]) == listeners(other["first_port"]) == {"0100007F"}
    commands = " ".join(processes_of(one.path).values())
    assert not [secret for secret in secrets_of(facts) | {facts["kubernetes"]["token"]} if secret in commands]
    assert one.run("up")["changed"] is False
    assert one.facts() == facts

    # What was changed there is there after a crash of the API server, of its storage, and of everything.
    site = facts["sites"]["grandmodel-primary"]
    assert one.cluster("PATCH", {"spec": {"replicas": 1}})["spec"]["replicas"] == 1
    for killed in ({"apiserver"}, {"etcd"}, {"controllers", "nodes"}, facts["pids"].keys()):
        one.kill(*killed)
        assert one.run("status", status=1)["parts"][min(killed)] == "stopped"
        assert one.run("up")["changed"] is True
        assert one.cluster("GET")["spec"]["replicas"] == 1
    assert one.facts()["sites"]["grandmodel-primary"] == site
    assert two.facts() == other

    # Down and up again: the same cluster. A lab may also go without.
    assert one.run("down")["changed"] is True
    assert processes_of(one.path) == {}
    one.run("up", "--sites", "grandmodel-primary")
    assert one.cluster("GET")["spec"]["replicas"] == 1
    one.run("down")
    one.run("up", "--sites", "grandmodel-primary", "--without", "kubernetes")
    assert not servers & one.facts()["pids"].keys()
    assert "kubernetes" not in one.facts()["sites"]["grandmodel-primary"]["services"]
    assert one.run("down", "--purge")["changed"] is True
    assert not one.path.exists()


def test_a_lab_does_without_prometheus_where_there_is_none_and_says_so(labs: tuple[Lab, Lab]) -> None:
    lab, _other = labs
    arguments = ("up", "--sites", "adaptive-order-book-primary", "--without", "kubernetes")
    nowhere = str(lab.path.parent / "nowhere")
    output, progress = lab.begin(*arguments, "--json", PATH=nowhere, TRADEOPS_CACHE_DIR=nowhere).communicate(
        timeout=600
    )
    assert json.loads(output)["changed"] is True, progress
    assert f"not in this lab: no prometheus on PATH or in {nowhere}" in progress
    assert "`make prometheus`" in progress
    assert lab.facts()["prometheus"] is None
    assert set(lab.run("status")["parts"]) == {"postgresql", "redis", "s3", "sink", "simulator"}


@pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
def test_prometheus_has_a_past_that_it_keeps(labs: tuple[Lab, Lab]) -> None:
    lab, _other = labs
    arguments = ("up", "--sites", "adaptive-order-book-primary", "--without", "kubernetes")
    lab.run(*arguments)
    facts = lab.facts()
    assert listeners(facts["first_port"]) == {"0100007F"}

    def points() -> int:
        hours = 'count_over_time(trading_orders_total{site="adaptive-order-book-primary"}[24h:1h] offset 5m)'
        (row,) = query(lab.facts()["prometheus"]["url"], hours)
        return int(row["value"][1])

    assert points() == 24
    lab.kill("prometheus")
    assert lab.run("status", status=1)["parts"]["prometheus"] == "stopped"
    assert lab.run("up")["changed"] is True
    assert points() == 24
    lab.run("down")
    assert processes_of(lab.path) == {}
    lab.run(*arguments)
    assert points() == 24
    lab.run("down")
    lab.run("up", "--sites", "adaptive-order-book-primary", "--without", "kubernetes,prometheus")
    assert "prometheus" not in lab.facts()["pids"]
    assert lab.run("down", "--purge")["changed"] is True
    assert not lab.path.exists()


async def _saved(store: redis.Redis) -> None:
    """Wait until Redis has given its append-only file to the kernel: what is still in its own memory dies with it."""

    async def look() -> None:
        if pending := store.info("persistence")["aof_buffer_length"]:
            raise NotYet(f"{pending} bytes pending")

    await wait_for(look, 60, "the append-only file")
