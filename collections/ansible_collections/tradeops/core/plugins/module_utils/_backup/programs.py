# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Programs that make or read a backup: found, asked for their version, run to their end with every status looked at."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import typing as t

from .._common.errors import InputError, Refused, Unproven
from .scratch import User

_PIECE = 256 << 10  # bytes of a read
_TAIL = 40  # lines of what a program said that are kept
_LONGEST = 500  # characters of one of them
_PATIENCE = 10.0  # s for a program to end that was asked to, and for one that only tells its version


class Output(t.Protocol):
    """Where the output of a program goes."""

    def write(self, data: bytes) -> t.Any: ...


class Running:
    """Ends programs that other threads run, also those that are about to start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._over = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.append(process)
            over = self._over
        if over:
            _stop(process)

    def end(self) -> None:
        with self._lock:
            self._over = True
        for process in self._processes:
            _stop(process)


def find(name: str, folder: str | None, option: str) -> str:
    """Return the path of a program in ``folder``, or on PATH. Raises InputError, which names ``option``."""
    if folder:
        path = pathlib.Path(folder).expanduser() / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        raise InputError(f"there is no program {name} in {folder}, which {option} names.")
    found = shutil.which(name)
    if found is None:
        raise InputError(
            f"the program {name} is missing where the backup runs: install it, or name its folder in {option}."
        )
    return found


def version(program: str, ask: str = "--version") -> tuple[int, ...]:
    """Return the version that a program tells of itself, such as (18, 4). Raises Refused."""
    name = os.path.basename(program)
    try:
        done = subprocess.run(
            [program, ask], capture_output=True, text=True, check=False, timeout=_PATIENCE, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Refused(f"{program} cannot be run: {exc}", method="run", path=name, sent=False) from exc
    found = re.search(r"(\d+(?:\.\d+)+|\d+)", done.stdout)
    if done.returncode != 0 or not found:
        raise Refused(f"{program} {ask} {ended(done.returncode)}.", method="run", path=name, sent=False)
    return tuple(int(part) for part in found.group(1).split("."))


def run(
    argv: t.Sequence[str],
    output: Output | None,
    *,
    env: t.Mapping[str, str],
    what: str,
    source: t.Iterable[bytes] | None = None,
    clean: t.Callable[[str], str] = str,
    user: User | None = None,
    running: Running | None = None,
    budget: float | None = None,
) -> str:
    """Run a program to its end, its output into ``output``, and return the end of what it wrote to standard error.

    ``env`` is added to the environment. ``source`` is what it is fed. It runs as ``user``, None for ourselves;
    ``running`` lets another thread end it. ``budget``: seconds that it may take, None where that depends on the data.
    Raises Refused with ``what`` when it ends with another status than 0 or was killed, Unproven when it takes longer
    than its budget, and what ``output`` or ``source`` raises; the program is ended then.
    """
    name = os.path.basename(argv[0])
    another: dict[str, t.Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
    try:
        process = subprocess.Popen(
            _bound(argv),
            stdin=subprocess.PIPE if source is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is not None else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
            bufsize=0,
            **another,
            start_new_session=True,  # what it starts itself ends with it
        )
    except OSError as exc:
        raise Refused(f"{what}: {name} cannot be run: {exc.strerror}.", method="run", path=name, sent=False) from exc
    if running:
        running.add(process)
    limit = _Limit(process, budget) if budget else None
    said: collections.deque[str] = collections.deque(maxlen=_TAIL)
    listening = threading.Thread(target=_listen, args=(process, said), name=f"what {name} says", daemon=True)
    feeding = _Feeding(process, source) if source is not None else None
    listening.start()
    try:
        if process.stdout is not None and output is not None:
            _widen(process.stdout)
            while piece := os.read(process.stdout.fileno(), _PIECE):
                output.write(piece)
        status = process.wait()
    finally:
        if limit:
            limit.cancel()
        _stop(process)
        if feeding:
            feeding.join()
        listening.join(_PATIENCE)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    if feeding and feeding.problem:
        raise feeding.problem
    text = clean(" ".join(" ".join(said).split()))
    if limit and limit.over:
        raise Unproven(f"{what}: {name} did not end within {budget:g} s: {text or 'it said nothing'}")
    if status != 0:
        told = f": {text}" if text else " and said nothing."
        raise Refused(f"{what}: {name} {ended(status)}{told}", method="run", path=name, sent=True)
    return clean("\n".join(said))


def _bound(argv: t.Sequence[str]) -> list[str]:
    """Let the kernel end the program with us: one that outlived us would write into what the next run makes.

    It does not begin either when we have ended before the kernel was told.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or shutil.which(argv[0]) is None:
        return list(argv)
    return [setpriv, "--pdeathsig=KILL", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid()), *argv]


def ended(status: int) -> str:
    """Say how a program ended."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by the signal {-status}"
    return f"ended with the status {status}"


class _Limit(threading.Timer):
    """Ends a program that takes longer than its budget."""

    def __init__(self, process: subprocess.Popen[bytes], budget: float) -> None:
        super().__init__(budget, self._end, [process])
        self.daemon = True
        self.over = False
        self.start()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self.over = process.poll() is None
        _stop(process)


class _Feeding:
    """Gives a program its input, in a thread."""

    def __init__(self, process: subprocess.Popen[bytes], source: t.Iterable[bytes]) -> None:
        self.problem: BaseException | None = None
        self._process = process
        self._source = source
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        stdin = t.cast("t.IO[bytes]", self._process.stdin)
        _widen(stdin)
        try:
            for piece in self._source:
                rest = memoryview(piece)
                while rest:
                    rest = rest[stdin.write(rest) :]
        except BrokenPipeError:
            pass  # it ended before its input did: its status says whether it meant to
        except BaseException as exc:  # noqa: BLE001 -- raised by the one who waits for the program
            self.problem = exc
            # An input that broke off must not look like one that ended.
            self._process.kill()
        finally:
            with contextlib.suppress(OSError):
                stdin.close()


def _widen(pipe: t.IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # a larger pipe is only faster
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4 * _PIECE)


def _listen(process: subprocess.Popen[bytes], said: collections.deque[str]) -> None:
    stderr = t.cast("t.IO[bytes]", process.stderr)
    rest = b""
    while piece := os.read(stderr.fileno(), 65536):
        *lines, rest = (rest + piece)[-4 * 65536 :].split(b"\n")
        said.extend(line.decode(errors="replace")[:_LONGEST] for line in lines)
    if rest:
        said.append(rest.decode(errors="replace")[:_LONGEST])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that is still running."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
            return
    process.wait()
