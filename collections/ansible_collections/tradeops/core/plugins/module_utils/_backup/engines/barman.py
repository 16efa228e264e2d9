# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A whole server with its log, kept by Barman's cloud programs in their own format and their own place of a bucket.

They read the data folder, so they run on the machine of the server, as its owner or as root. The server itself sends
its log with ``barman-cloud-wal-archive``; what arrived is looked up in the bucket, not asked of the server.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import typing as t
import urllib.parse
import uuid

from ..._common.errors import InputError, Unproven
from ..._common.typed import Data
from .. import programs, scratch
from ..engine import Base, Capture
from ..manifest import Component
from ..stores import open_store
from ..wal import continuity, is_log
from .physical import Output, Server, capture_physical, check_physical
from .postgresql import environment, settings_of

_DEFAULT_REGION = "us-east-1"
_OURS = "tradeops-"  # how the names of base backups begin that we take
_SHORT = 16  # segments of a log that is fetched beforehand
_COMPRESSED = (".gz", ".bz2", ".xz", ".lz4", ".zst", ".snappy")
# A program of Barman by its own ``main``, once for each line of arguments that it is told. To start it takes half a
# second of a processor, whatever it does, and an archive is read 10 kB at a time unless tarfile is asked for more.
_MAIN = re.compile(r"^from (barman\.clients\.\w+) import main$", re.MULTILINE)
_PIECE = 256 << 10  # bytes
_RUN = f"""
import sys
sys.path = [path for path in sys.path if path]
import functools, importlib, json, tarfile
import boto3
tarfile.open = functools.partial(tarfile.open, bufsize={_PIECE}, copybufsize={_PIECE})
main = importlib.import_module(sys.argv[1]).main
for line in sys.stdin:
    main(json.loads(line))
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where Barman keeps a server: ``barman`` in ``tradeops_postgresql_server``. ``bin``: the folder of its programs,
    for us and for the user of the server; the default is that of our Python."""

    cloud_url: str
    server: str
    endpoint: str = ""
    bin: str = ""
    region: str = ""
    ca_path: str = ""
    access_key_secret: str = "backup_s3_access_key"  # noqa: S105 - the name of a secret
    secret_key_secret: str = "backup_s3_secret_key"  # noqa: S105 - the name of a secret
    compression: t.Literal["none", "gzip", "snappy", "lz4"] = "none"
    jobs: int = 2

    def check(self) -> tuple[tuple[str, ...], str] | None:
        parts = urllib.parse.urlsplit(self.cloud_url)
        if parts.scheme != "s3" or not parts.netloc:
            return ("cloud_url",), f"{self.cloud_url!r} is no place in a bucket; it looks like s3://bucket/path"
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            return ("endpoint",), f"{self.endpoint!r} is no address"
        return None if 0 < self.jobs <= 32 else (("jobs",), "give 1 to 32")


class Barman:
    """The engine. Options of the component: ``max_age``, such as 24h: with a base backup that is younger, only the log
    is brought up to date."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        with scratch.folder() as place:
            check_physical(site, options, given, opened(site, given, place))

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        with scratch.folder() as place:
            return capture_physical(name, "barman", options, capture, opened(capture.site, capture.given, place))


def opened(site: str, given: t.Mapping[str, t.Any], place: pathlib.Path) -> BarmanCloud:
    """Return the tool of a site; its credentials are in ``place``, a scratch folder. Raises InputError."""
    server = Server.of(site, given, "barman")
    facts = Data(server.tool, f"{site}: tradeops_postgresql_server.barman").read(Place)
    return BarmanCloud(site, given, server, facts, place)


class BarmanCloud:
    """Barman's programs for one server."""

    tool = "barman"

    def __init__(
        self, site: str, given: t.Mapping[str, t.Any], server: Server, facts: Place, place: pathlib.Path
    ) -> None:
        self.site = site
        self.facts = facts
        self.server = server
        self._given = given
        self._bin = facts.bin or str(pathlib.Path(sys.executable).parent)
        self._place = place
        self._logs: dict[pathlib.Path, pathlib.Path] = {}  # where the log is that was fetched for a folder
        self._env = self._credentials(given["secrets"], place)
        prefix = urllib.parse.urlsplit(facts.cloud_url)
        self._store = open_store(
            {
                "name": "barman",
                "kind": "s3",
                "endpoint": facts.endpoint,
                "bucket": prefix.netloc,
                "prefix": prefix.path.strip("/"),
                "region": facts.region,
                "access_key_secret": facts.access_key_secret if given["secrets"].get(facts.access_key_secret) else "",
                "secret_key_secret": facts.secret_key_secret if given["secrets"].get(facts.secret_key_secret) else "",
                "ca_path": facts.ca_path,
            },
            given["secrets"],
        )

    @property
    def described(self) -> dict[str, t.Any]:
        """What the manifest tells, so that a hand can restore it."""
        facts = self.facts
        version = ".".join(map(str, programs.version(self._program("barman-cloud-backup-list"))))
        return {
            "tool": f"barman {version}",
            "server": facts.server,
            "cloud_url": facts.cloud_url,
            "endpoint": facts.endpoint,
        }

    def bases(self) -> list[Base]:
        return [base for base, _name in self._listed()]

    def _listed(self) -> list[tuple[Base, str]]:
        """Return the base backups, the oldest first, each with the name that it was given."""
        said = self._run(
            "barman-cloud-backup-list", "--format", "json", *self._where(), what="the list of base backups"
        )
        try:
            rows = sorted(json.loads(said)["backups_list"], key=lambda row: str(row["backup_id"]))
            return [(_base(row), str(row.get("backup_name") or "")) for row in rows]
        except (ValueError, KeyError, TypeError) as exc:
            raise Unproven(f"{self.site}: barman-cloud-backup-list gives no list that can be read: {exc!r}") from exc

    def take(self, progress: t.Callable[[str], None]) -> Base:
        settings = settings_of(self.site, self._given, self.server.database)
        name = f"{_OURS}{uuid.uuid4().hex[:12]}"
        options = ["--immediate-checkpoint", "--jobs", str(self.facts.jobs), "--name", name]
        if self.facts.compression != "none":
            options.append(f"--{self.facts.compression}")
        # Barman builds its connection itself, and takes only the password from the environment.
        reach = ["-h", str(settings["host"]), "-p", str(settings["port"]), "-U", str(settings["user"])]
        progress(f"barman: base backup of {self.server.data}")
        with environment(self._given) as env:
            argv = [*options, *reach, "-d", str(settings["dbname"])]
            self._run("barman-cloud-backup", *argv, *self._where(), what="the base backup", env=env)
        # What it says of itself is not enough: it has to be in the bucket.
        found = [base for base, given in self._listed() if given == name]
        if len(found) != 1 or not found[0].usable:
            raise Unproven(f"{self.site}: barman-cloud-backup ended well, and its list has no finished backup {name}")
        return found[0]

    def segments(self) -> set[str]:
        names = set()
        for entry in self._store.entries(f"{self.facts.server}/wals/"):
            name = entry.key.rpartition("/")[2]
            for suffix in _COMPRESSED:
                name = name.removesuffix(suffix)
            if is_log(name) and entry.size:
                names.add(name)
        return names

    def fetch(
        self,
        base: Base,
        into: pathlib.Path,
        progress: t.Callable[[str], None],
        before_log: t.Callable[[], None] = lambda: None,
    ) -> None:
        """Fetch a base backup, and beside it the log that follows, unless that is long."""
        self._forget(into)
        progress(f"barman: fetching the base backup {base.id}, {base.size / 1e6:.0f} MB")
        running = programs.Running()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            argv, what = [*self._where(), base.id, str(into)], f"fetching the base backup {base.id}"
            fetched = pool.submit(self._each, "barman-cloud-restore", [argv], what=what, running=running)
            try:
                before_log()
                log = [name for name in self.segments() if name >= base.begin_wal or name.endswith(".history")]
                if len(log) <= _SHORT:
                    self._fetch_log(into, sorted(log))
                fetched.result()
            except BaseException:
                running.end()
                raise

    def _forget(self, into: pathlib.Path) -> None:
        """Remove the log that was fetched for a folder before."""
        if log := self._logs.pop(into, None):
            shutil.rmtree(log)

    def _fetch_log(self, into: pathlib.Path, names: list[str]) -> None:
        """Fetch log to where the server that is recovered in ``into`` looks for it."""
        folder = self._logs[into] = pathlib.Path(tempfile.mkdtemp(prefix="log-", dir=self._place))
        scratch.give(folder, self.server.user)
        argvs = [[*self._where(), name, str(folder / name)] for name in names]
        self._each("barman-cloud-wal-restore", argvs, what=f"fetching the log of {len(names)} segments")
        for name in names:
            scratch.give(folder / name, self.server.user)

    def restore_command(self, data: pathlib.Path) -> str:
        if log := self._logs.get(data):
            return f'cp {shlex.quote(str(log)).replace("%", "%%")}/"%f" "%p"'
        argv = [self._program("barman-cloud-wal-restore"), *self._where()]
        return " ".join(shlex.quote(word).replace("%", "%%") for word in argv) + ' "%f" "%p"'

    def runs(self) -> list[pathlib.Path]:
        program = pathlib.Path(self._program("barman-cloud-wal-restore"))
        interpreter = _interpreter(program)
        return [program, interpreter] if interpreter else [program]

    def environment(self) -> dict[str, str]:
        return dict(self._env)

    def push(self, file: pathlib.Path) -> None:
        with self.pushing() as push:
            push(file)

    @contextlib.contextmanager
    def pushing(self) -> t.Iterator[t.Callable[[pathlib.Path], None]]:
        wanted: concurrent.futures.Future[list[list[str]]] = concurrent.futures.Future()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._each, "barman-cloud-wal-archive", _later(wanted), what="archiving a timeline")

            def push(file: pathlib.Path) -> None:
                wanted.set_result([[*self._where(), str(file)]])
                done.result()
                if file.name not in self.segments():
                    raise Unproven(
                        f"{self.site}: barman-cloud-wal-archive ended well, and the bucket has no {file.name}"
                    )

            try:
                yield push
            finally:
                if not wanted.done():
                    wanted.set_result([])

    def in_the_way(self) -> str:
        return ""

    def keep(self, base: Base, kept: bool) -> None:
        """Hold a base backup and its log beyond their retention, or no longer."""
        how = ["--target", "full"] if kept else ["--release"]
        argv = [*how, *self._where(), base.id]
        self._run("barman-cloud-backup-keep", *argv, what=f"the hold on the base backup {base.id}")

    def delete(self, base: Base) -> None:
        """Remove a base backup and the log that only it needs. Raises Refused where it is held."""
        argv = ["--backup-id", base.id, *self._where()]
        self._run("barman-cloud-backup-delete", *argv, what=f"removing the base backup {base.id}")
        if any(left.id == base.id for left in self.bases()):
            raise Unproven(f"{self.site}: barman-cloud-backup-delete ended well, and {base.id} is still listed")

    def verify(self, base: Base) -> list[str]:
        """Barman keeps no checksums in a bucket: files and log are looked for; only a restore reads what is in them."""
        listed = {one.id: one for one in self.bases()}.get(base.id)
        if listed is None or not listed.usable:
            return [f"the base backup {base.id} is not listed as finished"]
        problems = []
        files = list(self._store.entries(f"{self.facts.server}/base/{base.id}/"))
        parts = [entry for entry in files if ".tar" in entry.key.rpartition("/")[2]]
        if not parts:
            problems.append(f"the base backup {base.id} has no archive of its data folder")
        problems += [f"{entry.key} is empty" for entry in parts if not entry.size]
        problem = continuity(listed, self.segments()).problem
        return [*problems, problem] if problem else problems

    def _where(self) -> list[str]:
        facts = self.facts
        endpoint = ["--endpoint-url", facts.endpoint] if facts.endpoint else []
        return [*endpoint, facts.cloud_url, facts.server]

    def _program(self, name: str) -> str:
        return programs.find(name, self._bin, "tradeops_postgresql_server.barman.bin")

    def _run(self, name: str, *argv: str, what: str, env: t.Mapping[str, str] | None = None) -> str:
        output = Output()
        said = f"{self.site}: {what}"
        programs.run([self._program(name), *argv], output, env={**self._env, **(env or {})}, what=said)
        return output.text

    def _each(
        self, name: str, argvs: t.Iterable[list[str]], *, what: str, running: programs.Running | None = None
    ) -> None:
        """Run a program once for each of ``argvs``, in one process where its script tells how."""
        found = _inside(pathlib.Path(self._program(name)))
        if found is None:
            for argv in argvs:
                whole = [self._program(name), *argv]
                programs.run(whole, None, env=self._env, what=f"{self.site}: {what}", running=running)
            return
        interpreter, module = found
        lines = (json.dumps(argv).encode() + b"\n" for argv in argvs)
        argv = [*interpreter, "-c", _RUN, module]
        programs.run(argv, None, env=self._env, what=f"{self.site}: {what}", source=lines, running=running)

    def _credentials(self, secrets: t.Mapping[str, t.Any], place: pathlib.Path) -> dict[str, str]:
        """Return an environment that names a file with the keys, which only the owner of the server can read."""
        env = {
            "AWS_DEFAULT_REGION": self.facts.region or _DEFAULT_REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if self.facts.ca_path:
            env["AWS_CA_BUNDLE"] = os.path.expanduser(self.facts.ca_path)
        keys = [secrets.get(name) for name in (self.facts.access_key_secret, self.facts.secret_key_secret)]
        if not any(keys):
            del env["AWS_EC2_METADATA_DISABLED"]  # the machine's own credentials
            return env
        if not all(keys):
            raise InputError(
                f"{self.site}: tradeops_secrets has only one of {self.facts.access_key_secret} and "
                f"{self.facts.secret_key_secret}; the bucket needs both. Nothing was sent."
            )
        file = place / "credentials"
        file.touch(mode=0o600)
        file.write_text(
            f"[default]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n", encoding="utf-8"
        )
        scratch.give(file, self.server.user)
        return {**env, "AWS_SHARED_CREDENTIALS_FILE": str(file)}


def _base(row: t.Mapping[str, t.Any]) -> Base:
    return Base(
        id=row["backup_id"],
        started=row.get("begin_time_iso") or "",
        ended=row.get("end_time_iso") or "",
        begin=row.get("begin_xlog") or "",
        end=row.get("end_xlog") or "",
        begin_wal=row.get("begin_wal") or "",
        end_wal=row.get("end_wal") or "",
        timeline=int(row.get("timeline") or 0),
        system=str(row.get("systemid") or ""),
        version=int(row.get("version") or 0),
        size=int(row.get("size") or row.get("cluster_size") or 0),
        usable=row.get("status") == "DONE" and bool(row.get("end_wal")),
        ours=str(row.get("backup_name") or "").startswith(_OURS),
    )


def _later(wanted: concurrent.futures.Future[list[list[str]]]) -> t.Iterator[list[str]]:
    """Give what is wanted as soon as it is known."""
    yield from wanted.result()


def _inside(program: pathlib.Path) -> tuple[list[str], str] | None:
    """Return the Python of a program and the module whose ``main`` it calls, None where it is no such script."""
    with program.open("rb") as file:
        text = file.read(4096).decode(errors="replace")
    module, words = _MAIN.search(text), text.partition("\n")[0].removeprefix("#!").split()
    if not module or not words or not pathlib.Path(words[-1]).name.startswith("python"):
        return None
    return words, module[1]


def _interpreter(program: pathlib.Path) -> pathlib.Path | None:
    """Return the interpreter that a script names, None where it is no script of that kind."""
    with program.open("rb") as file:
        line = file.readline(512)
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode(errors="replace").split()
    return pathlib.Path(words[0]).resolve() if words else None
