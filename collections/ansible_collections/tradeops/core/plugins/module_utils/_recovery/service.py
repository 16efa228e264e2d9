# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The service of a server on this machine, stopped and started by what runs it, and believed when it is seen so."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import threading
import typing as t

from .._backup import programs
from .._backup.engines.physical import Output, Server
from .._common.errors import InputError, Refused, Unproven
from .._common.waiter import Deadline, poll, wait_until

_BUDGET = 120.0  # s to stop or to start
_STOPPING = ("STOPPING", "deactivating")  # as supervisor and systemd say it


class Service:
    """``tradeops_postgresql_server`` says ``runtime`` (systemd or supervisor) and ``service``; for a supervisor also
    ``supervisor``, with ``config`` and, where it is not on PATH, ``supervisorctl``."""

    def __init__(self, site: str, server: Server) -> None:
        self.site = site
        self.data = server.data
        self.name = server.service
        self._asked = "is-active" if server.runtime == "systemd" else "status"
        self._argv = self._command(server)
        self._starting: concurrent.futures.Future[None] | None = None

    def stop(self) -> None:
        """Stop the server in an orderly way. Raises Unproven as long as its process lives."""
        self._run("stop")
        if not wait_until(lambda: self.running, lambda pid: pid is None, Deadline(_BUDGET))[0]:
            raise Unproven(f"{self.site}: {self.name} was stopped, and its server still runs (process {self.running})")

    def start(self, answers: t.Callable[[], bool]) -> None:
        """Start the server. Raises Unproven when it does not answer, and Refused when who runs it says no."""
        self.begin(answers)
        self.begun()

    def begin(self, answers: t.Callable[[], bool]) -> None:
        """Start the server, and go on as soon as it answers: a supervisor waits on, for whether it stays up."""
        starting = self._starting = concurrent.futures.Future()
        threading.Thread(target=self._run_for, args=(starting, "start"), name=f"start {self.name}", daemon=True).start()
        deadline = Deadline(_BUDGET)
        there, _last = wait_until(lambda: answers() or (starting.done() and starting.exception()), bool, deadline)
        if starting.done():
            self.begun()
        if not there:
            raise Unproven(f"{self.site}: {self.name} was started, and its server does not answer after {_BUDGET:g} s")

    def begun(self) -> None:
        """Wait for the end of what started the server. Raises Refused, and Unproven when it does not end."""
        if self._starting:
            starting, self._starting = self._starting, None
            starting.result()

    def settled(self, answers: t.Callable[[], bool]) -> bool:
        """Wait until the server is there or gone, for somebody may have told it to stop or to start; return which.

        Raises Unproven when it is neither.
        """
        for _attempt in poll(Deadline(_BUDGET)):
            if self.running is None:
                return False
            if not self._stopping and answers():
                return True
        raise Unproven(
            f"{self.site}: {self.name} runs (process {self.running}) and does not answer after {_BUDGET:g} s"
        )

    @property
    def running(self) -> int | None:
        """The process of the server in the data folder, None where none lives."""
        try:
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
            os.kill(pid, 0)
        except PermissionError:
            return pid
        except (OSError, ValueError, IndexError):
            return None
        return pid

    def _run_for(self, done: concurrent.futures.Future[None], verb: str) -> None:
        try:
            self._run(verb)
            done.set_result(None)
        except BaseException as exc:  # noqa: BLE001 -- raised by the one who waits
            done.set_exception(exc)

    @property
    def _stopping(self) -> bool:
        """Whether what runs the server is about to stop it, of which the server itself need not know yet."""
        said = Output()
        with contextlib.suppress(Refused):  # it ends with a status for each state, too
            self._run(self._asked, said)
        return any(word in said.text for word in _STOPPING)

    def _run(self, verb: str, said: Output | None = None) -> None:
        argv, what = [*self._argv, verb, self.name], f"{self.site}: {verb} {self.name}"
        programs.run(argv, said, env={}, what=what, budget=_BUDGET)

    def _command(self, server: Server) -> list[str]:
        where = f"{self.site}: tradeops_postgresql_server"
        if not server.service or server.runtime not in ("systemd", "supervisor"):
            raise InputError(
                f"{where}: runtime is {server.runtime!r} and service {server.service!r}; say which service of systemd "
                "or supervisor the server is, for it is stopped while its folder is exchanged. Nothing was touched."
            )
        if server.runtime == "systemd":
            return [programs.find("systemctl", None, "PATH")]
        program = pathlib.Path(str(server.supervisor.get("supervisorctl") or "supervisorctl"))
        folder = str(program.parent) if program.is_absolute() else None
        found = programs.find(program.name, folder, "tradeops_postgresql_server.supervisor.supervisorctl")
        config = server.supervisor.get("config")
        return [found, *(["-c", str(config)] if config else [])]
