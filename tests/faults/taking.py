# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site whose backups tests take: a database of its own on the lab's server, files, a folder and a bucket as stores."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t
import uuid

import psycopg
import psycopg.sql
import pyrage
import redis
import zstandard
from simulator_ground import Ground

ROOT = pathlib.Path(__file__).resolve().parents[2]
Result = dict[str, t.Any]
LONGEST = 300.0  # s for one run


class Site:
    """``given`` are the options that every verb gets; ``work`` is a folder for whatever a test needs."""

    def __init__(self, ground: Ground, work: pathlib.Path, *, database: str | None = None) -> None:
        self.ground = ground
        self.work = work
        self.name = "flashmm-primary"
        self.server = ground.lab["postgresql"]
        self.database = f"proof_{uuid.uuid4().hex[:8]}" if database is None else database
        self.store = work / "store"
        self.files = work / "files"
        self.files.mkdir()
        self.identity = pyrage.x25519.Identity.generate()
        self.given: dict[str, t.Any] = {
            "site": self.name,
            "profile": "flashmm",
            "urls": ground.lab["sites"][self.name]["services"],
            "postgresql": {
                "host": self.server["host"],
                "port": self.server["port"],
                "user": self.server["user"],
                "database": self.database,
            },
            "postgresql_bin": self.server["bin"],
            "redis_bin": ground.lab["redis"]["bin"],
            "stores": [{"name": "local", "kind": "local", "path": str(self.store)}],
            "components": [{"name": "database", "engine": "postgresql"}],
            "recipients": [str(self.identity.to_public())],
            "secrets": {
                **ground.lab["sites"][self.name]["secrets"],
                "postgresql_password": self.server["password"],
                "backup_identity": str(self.identity),
                "backup_manifest_key": "the key of the manifests",
            },
            "operation": "proof",
            "operator": "maria",
            "reason": "test",
        }
        with self.session("postgres") as session:
            session.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(self.database)))

    def with_files(self, name: str = "files") -> None:
        """Capture the folder of files from now on, too."""
        self.given["components"].append({"name": name, "engine": "files", "paths": [str(self.files)]})

    def with_redis(self) -> None:
        """Capture the lab's Redis from now on, too, with one key in a database of ours."""
        settings = self.ground.lab["redis"]
        self.given["redis"] = {"host": settings["host"], "port": settings["port"], "db": 9}
        with redis.Redis(**self.given["redis"], password=settings["password"]) as client:
            client.set("proof", "of the tests")
        self.given["secrets"]["redis_password"] = settings["password"]
        self.given["components"].append({"name": "redis", "engine": "redis"})

    def drop(self) -> None:
        with self.session("postgres") as session:
            name = psycopg.sql.Identifier(self.database)
            session.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    @contextlib.contextmanager
    def session(self, database: str | None = None) -> t.Iterator[psycopg.Connection[tuple[t.Any, ...]]]:
        settings = {key: self.server[key] for key in ("host", "port", "user", "password")}
        with psycopg.connect(**settings, dbname=database or self.database, autocommit=True) as session:
            yield session

    def fill(self, megabytes: int) -> None:
        """Rows that hardly compress, so that a pass takes its time."""
        with self.session() as session:
            session.execute("CREATE TABLE noise (id bigint PRIMARY KEY, what text NOT NULL)")
            session.execute(
                "INSERT INTO noise SELECT n, (SELECT string_agg(md5(random()::text || n || k), '')"
                " FROM generate_series(1, 30) AS k) FROM generate_series(1, %s) AS n",
                (megabytes * 1000,),
            )

    @contextlib.contextmanager
    def beside(self, name: str) -> t.Iterator[str]:
        """Another empty database, for as long as the block."""
        name = f"{name}_{uuid.uuid4().hex[:8]}"
        made = psycopg.sql.Identifier(name)
        with self.session("postgres") as session:
            session.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(made))
            try:
                yield name
            finally:
                session.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))

    @property
    def login(self) -> dict[str, str]:
        """The environment in which programs of PostgreSQL reach the server."""
        server = self.server
        return {
            **os.environ,
            "PATH": f"{server['bin']}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "PGHOST": server["host"],
            "PGPORT": str(server["port"]),
            "PGUSER": server["user"],
            "PGPASSWORD": server["password"],
        }

    # -- runs ----------------------------------------------------------------------------------------------------

    def run(self, verb: str, *, check_mode: bool = False, **changes: t.Any) -> Result:
        return self.begin(verb, check_mode=check_mode, **changes).end()

    def take(self, **changes: t.Any) -> Result:
        """A backup that has to succeed."""
        result = self.run("backup", **changes)
        assert result["result"] == "proven", result
        return result

    def set_clock(self, seconds: float) -> list[str]:
        """Set the clock of the runs that have what is returned as their ``prefix``, also while they run."""
        file = self.work / "clock"
        scratch = file.with_suffix(".new")
        scratch.write_text(str(seconds))
        scratch.replace(file)
        return ["env", f"TEST_CLOCK={file}"]

    def begin(self, verb: str, *, check_mode: bool = False, prefix: t.Sequence[str] = (), **changes: t.Any) -> Run:
        given = {**self.given, "lease_dir": str(self.work / "leases"), **changes}
        given["secrets"] = {**self.given["secrets"], **changes.get("secrets", {})}
        return Run(prefix, {"verb": verb, "given": given, "check_mode": check_mode})

    def restore(self, set_id: str, **changes: t.Any) -> Result:
        """Put a set back at the site, which is halted for it."""
        self.ground.fresh(self.name)
        self.ground.control("POST", f"/sites/{self.name}/state", {"trading": "halted"})
        return self.run("restore", id=set_id, **changes)

    # -- what is in the store, past the product ------------------------------------------------------------------

    def counted(self, store: pathlib.Path | None = None) -> list[str]:
        """The sets with a manifest."""
        return sorted(path.parent.name for path in (store or self.store).glob(f"{self.name}/*/manifest.json"))

    def left(self) -> list[str]:
        """Every file of the store."""
        found = (path for path in self.store.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.store)) for path in found)

    def stored(self) -> int:
        """Bytes in the store, also of what is not finished."""
        total = 0
        for path in self.store.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    def folder(self, set_id: str) -> pathlib.Path:
        return self.store / self.name / set_id

    def plain(self, set_id: str, artefact: str) -> bytes:
        """What an artefact holds, as anybody with the key can read it."""
        packed = pyrage.decrypt((self.folder(set_id) / artefact).read_bytes(), [self.identity])
        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


class Run:
    """A verb in a process of its own."""

    def __init__(self, prefix: t.Sequence[str], asked: dict[str, t.Any]) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(pathlib.Path(__file__).with_name("one_run.py"))],
            env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        self.process.stdin.write(json.dumps(asked))
        self.process.stdin.close()
        self.process.stdin = None

    def until(self, check: t.Callable[[], t.Any]) -> t.Any:
        """Poll until ``check`` gives something true. Fails when the run ends before, or takes too long."""
        end = time.monotonic() + LONGEST
        while not (seen := check()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.002)
        return seen

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> Result:
        output, errors = self.process.communicate(timeout=LONGEST)
        assert self.process.returncode == 0, errors
        return t.cast(Result, json.loads(output.splitlines()[-1]))

    def children(self, name: str) -> list[int]:
        """The processes below this one whose program is called so."""
        return [pid for pid in _below(self.process.pid) if _program(pid) == name]


def by_hand() -> list[str]:
    """The lines of docs/backup.md that restore a set without tradeops: indented blocks, in their order."""
    section = (
        (ROOT / "docs" / "backup.md").read_text(encoding="utf-8").split("## Restore by hand\n")[1].split("\n### ")[0]
    )
    found: list[list[str]] = [[]]
    for line in section.splitlines():
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif found[-1]:
            found.append([])
    return ["\n".join(lines) for lines in found if lines]


def _below(pid: int) -> list[int]:
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text(encoding="ascii").split():
                found += [int(child), *_below(int(child))]
    return found


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name
    return ""
