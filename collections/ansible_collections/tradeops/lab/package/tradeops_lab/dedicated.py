# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL and the Redis that a site has for itself: the programs ``<site>:postgresql`` and ``<site>:redis``.

They run under the supervisord of the lab, where an operator stops and starts them. PostgreSQL archives its WAL into the
lab's S3 with Barman, so that the site can be put back to any moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import typing as t
import xmlrpc.client

from . import supervisor
from .errors import LabError
from .folder import Folder, write_private
from .part import Part
from .plan import ROLE, Plan
from .postgres import PostgreSQL, barrier
from .processes import Command, User
from .redis import Redis
from .waiting import NotYet, wait_for

_PROFILE = "archive"
# Beside those of the server that sites share. A file of WAL is archived after a minute at the latest.
_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %q%d '
log_timezone = UTC
timezone = UTC
datestyle = 'iso, mdy'
default_text_search_config = 'pg_catalog.english'
wal_level = replica
archive_mode = on
archive_timeout = 60
archive_command = '{archive}'
"""
# What Barman needs to take a base backup, and operators to mark a point to return to. Functions are granted by
# database: in `postgres`, so that a dump of the site's own holds nothing that only a superuser could restore.
_GRANTS = (
    f"GRANT pg_checkpoint TO {ROLE}",
    f"GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO {ROLE}",
    f"GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_create_restore_point(text) TO {ROLE}",
)
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}  # either lets a process read what it does not own


class _Dedicated(Part):
    """A part whose process belongs to the supervisor."""

    site: str
    program: str

    async def launch(self) -> None:
        """Let the supervisor start it; the supervisor itself may be starting."""
        command = self.command()
        user = [command.user.uid, command.user.gid] if command.user else None
        facts = {
            "argv": command.argv,
            "cwd": str(command.cwd),
            "env": command.env,
            "user": user,
            "log": str(self.log),
        }
        write_private(self.folder.run / f"{self.name}.launch.json", json.dumps(facts))
        await wait_for(self._begin, self.start_budget, f"supervisord does not start {self.name}")

    async def _begin(self) -> None:
        try:
            await supervisor.ask(self.folder, "supervisor.startProcess", f"{self.site}:{self.program}", False)
        except xmlrpc.client.Fault as exc:
            if exc.faultCode != supervisor.ALREADY_STARTED:
                raise NotYet(exc.faultString) from exc

    async def halt(self) -> None:
        with contextlib.suppress(xmlrpc.client.Fault, OSError, NotYet):  # there is no supervisor, or it does not run
            await supervisor.ask(self.folder, "supervisor.stopProcess", f"{self.site}:{self.program}")

    async def probe(self) -> str:
        """Also that it is the supervisor's process: that of a supervisor which was killed could not be stopped."""
        try:
            info = await supervisor.ask(self.folder, "supervisor.getProcessInfo", f"{self.site}:{self.program}")
        except xmlrpc.client.Fault as exc:
            raise NotYet(exc.faultString) from exc
        if not info["pid"]:
            raise NotYet(f"supervisord says {info['statename']}")
        return await super().probe()  # type: ignore[safe-super]  # the server's own, which comes after this class


class SitePostgreSQL(_Dedicated, PostgreSQL):
    program = "postgresql"

    def __init__(self, folder: Folder, plan: Plan, site: str) -> None:
        super().__init__(folder, plan)
        self.site, self.name = site, f"{site}.{self.program}"
        self.home = folder.pg / site
        self.own = plan["sites"][site]["postgresql"]
        self.settings = self.own
        self.databases = [plan["sites"][site]["database"]]

    def locate(self) -> None:
        """Say in the plan where the programs and the data are. Raises LabError when it could not archive its WAL."""
        self.own["bin"] = self.plan["postgresql"]["bin"]
        self.own["data"] = str(self.data)
        self.own["owner"] = self.user.name if self.user else ""
        self._passage()

    async def prepare(self) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        if owner := self.owner():
            os.chown(self.home, *owner)
        s3 = self.plan["s3"]
        keys = f"aws_access_key_id = {s3['access_key']}\naws_secret_access_key = {s3['secret_key']}\n"
        write_private(self._credentials, f"[{_PROFILE}]\n{keys}region = us-east-1\n", self.owner())
        await super().prepare()
        # Beside the data as well: what a restore puts in their place has the ports of another day.
        write_private(self._configuration, self.configuration(), self.owner())

    def configuration(self) -> str:
        archive = self.own["archive"]
        argv = [str(_archiver()), "--zstd", "--endpoint-url", archive["endpoint"], "--aws-profile", _PROFILE]
        command = shlex.join([*argv, archive["cloud_url"], archive["server"]]).replace("%", "%%") + ' "%p"'
        settings = {"host": self.own["host"], "port": self.own["port"], "archive": command.replace("'", "''")}
        return _SETTINGS.format(**settings)

    def command(self) -> Command:
        plain = self._run("postgres", "-D", str(self.data), "-c", f"config_file={self._configuration}")
        environment = plain.env | {
            "HOME": str(self.home),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._credentials),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "2",  # PostgreSQL tries again by itself
        }
        passage = self._passage()
        return Command([*passage, *plain.argv], plain.cwd, environment, None if passage else self.user)

    def role(self) -> list[str]:
        return [*super().role(), *_GRANTS]

    @property
    def _configuration(self) -> pathlib.Path:
        return self.home / "postgresql.conf"

    @property
    def _credentials(self) -> pathlib.Path:
        return self.home / "aws-credentials"

    def _passage(self) -> list[str]:
        """What goes before the server's command so that its archive command can run. Raises LabError."""
        interpreter = pathlib.Path(sys.executable)
        return passage(self.user, [_archiver(), interpreter, interpreter.resolve()]) if self.user else []


class SiteRedis(_Dedicated, Redis):
    program = "redis"
    purge_signal = signal.SIGKILL

    def __init__(self, folder: Folder, plan: Plan, site: str) -> None:
        super().__init__(folder, plan)
        self.site, self.name = site, f"{site}.{self.program}"
        self.home = folder.redis / site
        self.settings = plan["sites"][site]["redis"]

    async def prepare(self) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        await super().prepare()


KINDS: dict[str, type[SitePostgreSQL | SiteRedis]] = {kind.program: kind for kind in (SitePostgreSQL, SiteRedis)}


def parts(folder: Folder, plan: Plan) -> list[SitePostgreSQL | SiteRedis]:
    """The servers of all sites that have their own."""
    sites = [name for name, site in plan["sites"].items() if "postgresql" in site]
    return [kind(folder, plan, site) for site in sites for kind in KINDS.values()]


def kind_of(name: str) -> type[Part] | None:
    """The kind of the part that is called so, None for one that is no site's own server."""
    site, _dot, program = name.rpartition(".")
    return KINDS.get(program) if site else None


def passage(user: User, programs: t.Iterable[pathlib.Path], bounding: int | None = None) -> list[str]:
    """Return the words before a command that let ``user`` run ``programs`` from it; none where it can anyway.

    Without them the starter changes the user itself. ``bounding`` are the capabilities that can be had, as a set of
    bits; by default our own. Raises LabError when there is no way.
    """
    closed = next((found for program in programs if (found := barrier(program, user))), None)
    if closed is None:
        return []
    if bounding is None:
        status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
        bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    capability = next((name for name, bit in _CAPABILITIES.items() if bounding & 1 << bit), None)
    setpriv = shutil.which("setpriv")
    if not capability or not setpriv:
        raise LabError(
            f"the archive command of PostgreSQL runs as {user.name}, who cannot pass through {closed}, and "
            + ("the program setpriv is missing" if capability else "root has no capability here that would help")
            + ": install the environment and its Python below folders that everybody may enter"
        )
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    return [setpriv, *ids, f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"]


def _archiver() -> pathlib.Path:
    program = pathlib.Path(sys.executable).with_name("barman-cloud-wal-archive")
    if not program.exists():
        raise LabError("the Python package barman is not installed: pip install --no-deps -r requirements-alone.txt")
    return program
