# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets made byte by byte for a test, and restores of them by the function that module and action plugin call."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t
import uuid

import psycopg
import pyrage
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._backup.ciphers import compressor
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.postgresql import (
    CHECKSUM,
    connect,
    fingerprints,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import (
    Artefact,
    Component,
    Digest,
    Manifest,
    to_json,
)
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS as ON_SETS
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import run_verb
from ansible_collections.tradeops.core.plugins.module_utils._platform.door import execute
from ansible_collections.tradeops.core.plugins.module_utils._platform.registry import VERBS

SITE = "smc-agent-primary"
KEY = "the key of the manifests"
Result = dict[str, t.Any]


def digest(data: bytes) -> Digest:
    return Digest(len(data), hashlib.sha256(data).hexdigest())


def iso(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclasses.dataclass
class Store:
    """A folder with sets of one site, made here byte by byte, and the keys for them."""

    path: pathlib.Path
    site: str = SITE

    def __post_init__(self) -> None:
        self.identity = pyrage.x25519.Identity.generate()

    def put(self, *components: tuple[Component, dict[str, bytes]], kind: str = "manual", age: float = 0.0) -> str:
        """Store a set of components with the plain bytes of their artefacts, ``age`` seconds ago; return its id."""
        moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)
        set_id = f"{moment:%Y%m%dT%H%M%SZ}-{kind}-{uuid.uuid4().hex[:6]}"
        made = []
        for component, artefacts in components:
            kept = [self._keep(set_id, f"{component.name}/{name}", plain) for name, plain in artefacts.items()]
            times: dict[str, t.Any] = {"started": iso(moment), "moment": iso(moment), "ended": iso(moment)}
            made.append(dataclasses.replace(component, artefacts=tuple(kept), **times))
        manifest = Manifest(set_id, self.site, kind, iso(moment), iso(moment), tuple(made), {"local": "stored"})
        (self.path / self.site / set_id / "manifest.json").write_bytes(to_json(manifest, KEY))
        return set_id

    def _keep(self, set_id: str, name: str, plain: bytes) -> Artefact:
        packer = compressor()
        packed = packer.compress(plain) + packer.flush()
        stored = io.BytesIO()
        pyrage.encrypt_io(io.BytesIO(packed), stored, [self.identity.to_public()])
        path = self.path / self.site / set_id / f"{name}.zst.age"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.getvalue())
        return Artefact(f"{name}.zst.age", digest(plain), digest(stored.getvalue()), ("zstd", "age"))

    def file(self, set_id: str, name: str) -> pathlib.Path:
        return self.path / self.site / set_id / name


@dataclasses.dataclass
class Started:
    child: subprocess.Popen[bytes]
    scratch: pathlib.Path


_CHILD = """
import json, sys
from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import run_verb
result = run_verb("restore", json.load(sys.stdin), check_mode=False)
sys.exit(result["msg"])
"""


def until(true: t.Callable[[], t.Any], budget: float = 180.0) -> None:
    """Wait for something, without a pause that could miss it."""
    end = time.monotonic() + budget
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)


class Site:
    """One site of the lab with its sets: restores, and what its database holds."""

    def __init__(self, ground: Ground, folder: pathlib.Path, name: str = SITE) -> None:
        self.ground, self.name = ground, name
        self.folder = folder
        self.places: list[pathlib.Path] = []
        self.store = Store(folder / "store", name)
        self.plan = ground.lab["sites"][name]
        self.server = ground.server(name, "postgresql")
        self.database: str = self.plan["database"]

    @property
    def postgresql(self) -> dict[str, t.Any]:
        return {**{key: self.server[key] for key in ("host", "port", "user")}, "database": self.database}

    def given(self, **options: t.Any) -> dict[str, t.Any]:
        redis = self.ground.server(self.name, "redis")
        secrets = {
            **self.plan["secrets"],
            "postgresql_password": self.server["password"],
            "redis_password": redis["password"],
            "backup_identity": str(self.store.identity),
            "backup_manifest_key": KEY,
        }
        return {
            "site": self.name,
            "profile": self.plan["platform"],
            "urls": self.plan["services"],
            "stores": [{"name": "local", "kind": "local", "path": str(self.store.path)}],
            "components": [{"name": "database", "engine": "postgresql"}],
            "parts": {"database": {"components": ["database"]}, "config": {"components": ["config"]}},
            "postgresql": self.postgresql,
            "postgresql_bin": self.server["bin"],
            "redis": {"host": redis["host"], "port": redis["port"], "db": self.plan["redis_db"]},
            "redis_bin": redis["bin"],
            "lease_dir": str(self.folder / "leases"),
            **options,
            "secrets": secrets | options.get("secrets", {}),
        }

    def restore(self, *, check_mode: bool = False, **options: t.Any) -> Result:
        parameters = ON_SETS["restore"].spec.validate(self.name, self.given(**options))
        result = run_verb("restore", parameters, check_mode=check_mode)
        text = json.dumps(result)
        assert self.server["password"] not in text
        assert str(self.store.identity) not in text
        return result

    def backup(self, **options: t.Any) -> Result:
        """A set as the product makes it."""
        wanted = ON_SETS["backup"].spec
        given = {key: value for key, value in self.given(**options).items() if key in wanted.options}
        result = run_verb("backup", wanted.validate(self.name, given), check_mode=False)
        assert result["result"] == "proven", result["msg"]
        return result

    @contextlib.contextmanager
    def session(self, database: str = "", *, superuser: bool = False) -> t.Iterator[psycopg.Connection[t.Any]]:
        login = self.server["superuser"] if superuser else {key: self.server[key] for key in ("user", "password")}
        with psycopg.connect(
            host=self.server["host"],
            port=self.server["port"],
            dbname=database or self.database,
            application_name="somebody",
            autocommit=True,
            **login,
        ) as session:
            yield session

    def rows(self, query: str, database: str = "") -> list[tuple[t.Any, ...]]:
        with self.session(database) as session:
            return session.execute(query).fetchall()

    def databases(self) -> list[str]:
        """The databases of this site, also those beside it and of before."""
        query = f"SELECT datname FROM pg_database WHERE datname LIKE '{self.database}%' ORDER BY 1"
        return [row[0] for row in self.rows(query, "postgres")]

    def fingerprint(self, database: str = "") -> tuple[dict[str, int], dict[str, str]]:
        with connect(self.name, self.given(), database or self.database) as session:
            return fingerprints(session, 1 << 40)

    def everything(self) -> t.Any:
        """What must not change where a restore is refused."""
        return self.databases(), self.fingerprint()

    def dress(self) -> t.Any:
        """What belongs to the database and is in no dump."""
        query = f"""
            SELECT s.setconfig, d.datconnlimit, pg_get_userbyid(d.datdba), d.datcollate, d.datctype, d.encoding,
                ARRAY(SELECT a::text FROM unnest(d.datacl) AS a ORDER BY 1)
            FROM pg_database AS d LEFT JOIN pg_db_role_setting AS s ON s.setdatabase = d.oid AND s.setrole = 0
            WHERE d.datname = '{self.database}'"""
        return self.rows(query, "postgres")

    def take_back(self, set_id: str) -> None:
        """Put the database of before a restore in place again, as docs/backup.md says."""
        with self.session("postgres") as session:
            session.execute(f'DROP DATABASE "{self.database}" WITH (FORCE)')
            session.execute(f'ALTER DATABASE "{self.database}_before_{set_id}" RENAME TO "{self.database}"')

    def start(self, **options: t.Any) -> Started:
        """Begin a restore in a process of its own, to be killed."""
        # A short path, for the sockets below it, which others may pass through, for the servers that are not ours.
        scratch = pathlib.Path(tempfile.mkdtemp(prefix="r-", dir="/var/tmp"))
        scratch.chmod(0o711)
        self.places.append(scratch)
        parameters = ON_SETS["restore"].spec.validate(self.name, self.given(scratch_dir=str(scratch), **options))
        argv = [sys.executable, "-c", _CHILD]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        child = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE)
        assert child.stdin
        child.stdin.write(json.dumps(parameters).encode())
        child.stdin.close()
        return Started(child, scratch)

    def halt(self) -> None:
        given = {key: value for key, value in self.given().items() if key in ("site", "profile", "urls", "secrets")}
        parameters = VERBS["trading_state"].spec.validate(self.name, {**given, "state": "halted"})
        assert execute("trading_state", parameters, check_mode=False)["result"] in ("proven", "unchanged")

    def dump(self, *options: str) -> bytes:
        login = {"PGPASSWORD": self.server["password"], "PATH": "/usr/bin:/bin"}
        where = [f"--host={self.server['host']}", f"--port={self.server['port']}", f"--username={self.server['user']}"]
        argv = [f"{self.server['bin']}/pg_dump", "-Fc", "-Z0", *options, *where, self.database]
        return subprocess.run(argv, env=login, capture_output=True, check=True, timeout=600).stdout

    def captured(self, **facts: t.Any) -> tuple[Component, dict[str, bytes]]:
        """The database as it is now, as a component of a set."""
        dump = self.dump()
        rows, checksums = self.fingerprint()
        version = self.rows("SHOW server_version")[0][0]
        known = {
            "database": self.database,
            "size": self.rows("SELECT pg_database_size(current_database())")[0][0],
            "server_version": version,
            "client_version": version,
            "extensions": {"plpgsql": "1.0"},
            "rows": rows,
            "checksums": checksums,
            "checksum": CHECKSUM.format(row="row"),
        }
        component = Component("database", "postgresql", "", "", "", facts=known | facts)
        return component, {"database.dump": dump}
