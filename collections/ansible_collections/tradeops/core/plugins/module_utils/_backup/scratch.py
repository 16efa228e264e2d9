# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Servers for a while: a PostgreSQL and a Redis to try a backup on, which nobody else can reach.

They listen on a socket in a folder of their own. They end with the block that asked for them, and with our process,
however that ends; the folder of a process that was killed is removed by the next one that makes a folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import importlib
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import typing as t

from .._common.errors import InputError, Unproven
from .._common.waiter import Deadline, poll

_PREFIX = "tradeops-scratch-"
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
_LONGEST_SOCKET = 107
_INIT_BUDGET = 120.0  # s
_START_BUDGET = 60.0
_STOP_BUDGET = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

# Nothing that is tried here has to survive, so nothing waits for a disk.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}
# Of every server here: reached by its socket only, archives nothing, leaves nothing in /dev/shm.
_ALONE = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "dynamic_shared_memory_type": "mmap",
    "cluster_name": "tradeops-scratch",
    "log_timezone": "UTC",
    "external_pid_file": "",
}


@dataclasses.dataclass(frozen=True)
class User:
    """Whom a server runs as."""

    name: str
    uid: int
    gid: int


@dataclasses.dataclass
class Server:
    """A server that runs. ``host`` is the folder of its socket; ``user`` whom it runs as, None for ourselves."""

    kind: str
    host: str
    port: int
    data: pathlib.Path
    log: pathlib.Path
    user: User | None
    process: subprocess.Popen[bytes]

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; return the status. Raises Unproven when it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(_STOP_BUDGET)
        except subprocess.TimeoutExpired as exc:
            self.process.kill()
            self.process.wait()
            raise Unproven(f"the scratch {self.kind} did not end within {_STOP_BUDGET:g} s and was killed") from exc


def program(name: str, folder: str | None) -> str:
    """Return the path of a program: in ``folder`` where one is given, else on PATH. Raises InputError."""
    found = shutil.which(name, path=folder) if folder else shutil.which(name)
    if not found:
        raise InputError(f"{name} is not in {folder}" if folder else f"{name} is not on PATH")
    return found


def server_user() -> User | None:
    """Return whom a PostgreSQL of ours runs as, None for ourselves. Raises InputError."""
    if os.getuid():
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as exc:
        raise InputError(
            f"PostgreSQL refuses to run as root, and there is no user {_UNPRIVILEGED} to run it as"
        ) from exc
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def folder(base: str | None = None) -> t.Iterator[pathlib.Path]:
    """Make a folder below ``base`` (default: the temporary folder) that is gone afterwards, whatever happens.

    Others may pass through it where we are root, for the server that runs as somebody else; they cannot list it.
    """
    below = pathlib.Path(base or tempfile.gettempdir())
    try:
        _sweep(below)
        handle, lock = _locked(below)
    except OSError as exc:
        raise InputError(f"no scratch folder can be made below {below}: {exc.strerror}") from exc
    place = lock.with_suffix("")
    try:
        place.mkdir(mode=0o700)
        if not os.getuid():
            place.chmod(0o711)
        yield place
    finally:
        _remove(place)
        lock.unlink(missing_ok=True)
        os.close(handle)


def give(path: pathlib.Path, user: User | None) -> pathlib.Path:
    """Let a server have a path of ours."""
    if user:
        os.chown(path, user.uid, user.gid)
    return path


@contextlib.contextmanager
def postgresql(
    place: pathlib.Path,
    *,
    programs: str | None,
    data: pathlib.Path | None = None,
    settings: t.Mapping[str, str] | None = None,
    environment: t.Mapping[str, str] | None = None,
    runs: t.Sequence[pathlib.Path] = (),
    budget: float = _START_BUDGET,
    ready: t.Callable[[Server], bool] | None = None,
) -> t.Iterator[Server]:
    """Run a PostgreSQL in ``place`` (see ``folder``): an empty one, or one on the existing ``data``.

    ``programs`` is the folder of the programs, None for PATH. With ``data`` it runs as the owner of that folder, and
    its own access rules are not asked. Everybody who can reach the socket, which is its user and root, is
    ``postgres``. ``environment`` is for the programs that it runs, and ``runs`` are those. ``ready`` says when
    it has started, by default when it answers. Raises Unproven with the end of its log.
    """
    server = program("postgres", programs)
    user = server_user() if data is None else owner_of(data)
    check_reach(pathlib.Path(server), user)
    check_reach(place, user)
    room = place / "pg"
    room.mkdir(mode=0o700)
    give(room, user)
    if len(f"{room}/.s.PGSQL.5432") > _LONGEST_SOCKET:
        raise InputError(f"the path {room} is too long for a socket: choose a shorter scratch folder")
    fresh = data is None
    data = data or room / "data"
    log = room / "log"
    if fresh:
        arguments = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        _finish([program("initdb", programs), *arguments], user, room, log)
    hba = room / "hba.conf"
    hba.write_text("local all all trust\n", encoding="ascii")
    give(hba, user)
    own = {**(_FAST if fresh else {}), **_ALONE, "hba_file": str(hba), "unix_socket_directories": str(room)}
    options = {**own, "port": "5432", **(settings or {})}
    passage = _passage(user, runs)
    argv = [*passage, server, "-D", str(data)]
    for key, value in options.items():
        argv += ["-c", f"{key}={value}"]
    process = _start(argv, None if passage else user, room, log, signal.SIGQUIT, environment)
    running = Server("PostgreSQL", str(room), 5432, data, log, user, process)
    try:
        _wait(running, ready or _answers, budget)
        yield running
    finally:
        # At once: of an empty one nothing is kept; one on existing data recovers when it starts again.
        running.stop(signal.SIGQUIT)


@contextlib.contextmanager
def redis(
    place: pathlib.Path, *, programs: str | None, rdb: pathlib.Path | None = None, budget: float = _START_BUDGET
) -> t.Iterator[Server]:
    """Run a Redis in ``place`` that has loaded the file ``rdb`` (which is moved), and saves nothing."""
    server = program("redis-server", programs)
    room = place / "redis"
    room.mkdir(mode=0o700)
    socket = room / "s"
    if len(str(socket)) > _LONGEST_SOCKET:
        raise InputError(f"the path {room} is too long for a socket: choose a shorter scratch folder")
    if rdb:
        shutil.move(rdb, room / "dump.rdb")
    log, settings = room / "log", room / "redis.conf"
    settings.write_text(
        f'port 0\nunixsocket "{socket}"\nunixsocketperm 700\ndir "{room}"\ndbfilename dump.rdb\n'
        'save ""\nappendonly no\ndatabases 16384\ndaemonize no\nlogfile ""\n',
        encoding="utf-8",
    )
    process = _start([server, str(settings)], None, room, log, signal.SIGKILL)
    running = Server("Redis", str(socket), 0, room, log, None, process)
    try:
        _wait(running, _loaded, budget)
        yield running
    finally:
        running.stop(signal.SIGKILL)


def run(server: Server, argv: list[str]) -> None:
    """Run a program to its end as the server's user. Raises Unproven with what it said."""
    room = pathlib.Path(server.host)
    _finish(argv, server.user, room, room / f"{pathlib.Path(argv[0]).name}.log")


def connect(server: Server, database: str = "postgres") -> t.Any:
    """Return a session of psycopg with a scratch PostgreSQL, in autocommit."""
    driver: t.Any = importlib.import_module("psycopg")
    return driver.connect(
        host=server.host, port=server.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
    )


def client(server: Server, db: int = 0) -> t.Any:
    """Return a client of a scratch Redis."""
    library: t.Any = importlib.import_module("redis")
    return library.Redis(unix_socket_path=server.host, db=db, protocol=2, driver_info=None)


def _answers(server: Server) -> bool:
    driver: t.Any = importlib.import_module("psycopg")
    try:
        connect(server).close()
    except driver.OperationalError:
        return False
    return True


def _loaded(server: Server) -> bool:
    library: t.Any = importlib.import_module("redis")
    try:
        with contextlib.closing(client(server)) as session:
            return not session.info("persistence")["loading"]
    except (library.exceptions.ConnectionError, library.exceptions.BusyLoadingError):
        return False


def _wait(server: Server, ready: t.Callable[[Server], bool], budget: float) -> None:
    for _attempt in poll(Deadline(budget), first=0.02, longest=0.25):
        if ready(server):
            return
        status = server.process.poll()
        if status is not None:
            raise Unproven(f"the scratch {server.kind} ended with status {status}: {_tail(server.log)}")
    raise Unproven(f"the scratch {server.kind} did not start within {budget:g} s: {_tail(server.log)}")


def end_with(parent: int, last: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process with its parent, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(last), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _start(
    argv: list[str],
    user: User | None,
    room: pathlib.Path,
    log: pathlib.Path,
    last: signal.Signals,
    more: t.Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    us = os.getpid()

    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    options: dict[str, t.Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=room,
            env={**environment, "LC_ALL": "C", "HOME": str(room), **(more or {})},
            umask=0o077,
            start_new_session=True,  # what ends us by the keyboard is for us to pass on
            preexec_fn=lambda: end_with(us, last),  # after the change of user, which would undo it
            **options,
        )


def _finish(argv: list[str], user: User | None, room: pathlib.Path, log: pathlib.Path) -> None:
    process = _start(argv, user, room, log, signal.SIGKILL)
    what = pathlib.Path(argv[0]).name
    try:
        status = process.wait(_INIT_BUDGET)
    except subprocess.TimeoutExpired as exc:
        raise Unproven(f"{what} did not end within {_INIT_BUDGET:g} s: {_tail(log)}") from exc
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if status:
        raise Unproven(f"{what} ended with status {status}: {_tail(log)}")


def _tail(log: pathlib.Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return " | ".join([line.strip() for line in lines if line.strip()][-8:]) or "it said nothing"


def owner_of(data: pathlib.Path) -> User | None:
    """Return whom a server on existing data runs as. Raises InputError."""
    found = data.stat()
    if os.getuid():
        if found.st_uid != os.getuid():
            raise InputError(f"{data} belongs to another user than we are: PostgreSQL would refuse it")
        return None
    if not found.st_uid:
        raise InputError(f"{data} belongs to root, as whom PostgreSQL refuses to run: give it to its user")
    try:
        return User(pwd.getpwuid(found.st_uid).pw_name, found.st_uid, found.st_gid)
    except KeyError as exc:
        raise InputError(f"{data} belongs to user id {found.st_uid}, which has no entry in /etc/passwd") from exc


def _passage(user: User | None, runs: t.Sequence[pathlib.Path]) -> list[str]:
    """Return what goes before a server's command so that it can run programs that lie where only root may look.

    Nobody else reaches such a server. Raises InputError when there is no way.
    """
    try:
        for path in runs:
            check_reach(path, user)
        return []
    except InputError:
        setpriv = shutil.which("setpriv")
        if user is None or not setpriv:
            raise
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--pdeathsig=QUIT"]
    return [setpriv, *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def check_reach(path: pathlib.Path, user: User | None) -> None:
    """Refuse what the server's user cannot get at. Raises InputError."""
    if user is None:
        return
    for step in (*reversed(path.parents), path):
        found = step.stat()
        own, group = found.st_uid == user.uid, found.st_gid == user.gid
        if not found.st_mode & (stat.S_IXUSR if own else stat.S_IXGRP if group else stat.S_IXOTH):
            raise InputError(
                f"PostgreSQL cannot run as root, and the user {user.name} cannot pass through {step} to {path}: "
                "choose a place below folders that everybody may enter"
            )


def _locked(below: pathlib.Path) -> tuple[int, pathlib.Path]:
    """Make the lock of a new folder: who holds it lives. The name of the folder is that of the lock without suffix."""
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".lock", dir=below)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # A sweep may have been between the two.
        if os.path.exists(name) and os.stat(name).st_ino == os.fstat(handle).st_ino:
            return handle, pathlib.Path(name)
        os.close(handle)


def _sweep(below: pathlib.Path) -> None:
    """Remove the folders of processes that were killed, and end what still runs in them."""
    for lock in below.glob(f"{_PREFIX}*.lock"):
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # another one removed it, or it is of another user
        try:
            if os.fstat(handle).st_uid != os.getuid():
                continue
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.with_suffix(""))
            lock.unlink(missing_ok=True)
        except BlockingIOError:
            continue  # its process lives
        finally:
            os.close(handle)


def _remove(place: pathlib.Path) -> None:
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is of another user
            if pathlib.Path(os.readlink(entry / "cwd")).is_relative_to(place):
                os.kill(int(entry.name), signal.SIGKILL)
    for _attempt in poll(Deadline(5.0), first=0.02, longest=0.2):
        # What was just ended may still have been writing.
        shutil.rmtree(place, ignore_errors=True)
        if not place.exists():
            return
