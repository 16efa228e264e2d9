# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One server of the lab, as the supervisor sees it."""

from __future__ import annotations

import abc
import pathlib
import signal
import subprocess
import typing as t

from .folder import Folder
from .plan import Plan
from .processes import Command, start


class Part(abc.ABC):
    """A server: how it is set up, started, asked and ended. ``name`` is also the name of its log."""

    name: str
    stop_signal: t.ClassVar[signal.Signals] = signal.SIGTERM
    purge_signal: t.ClassVar[signal.Signals] = signal.SIGTERM  # when its data is thrown away afterwards
    stop_budget: t.ClassVar[float] = 5.0  # seconds until SIGKILL
    start_budget: t.ClassVar[float] = 90.0  # seconds until it must answer

    def __init__(self, folder: Folder, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan

    @property
    def log(self) -> pathlib.Path:
        return self.folder.logs / f"{self.name}.log"

    @classmethod
    def wanted(cls, plan: Plan) -> bool:
        """Whether a lab with this plan has it."""
        return True

    @abc.abstractmethod
    def ports(self) -> list[int]:
        """The ports it listens on."""

    async def prepare(self) -> None:
        """Write what it needs before it starts."""
        return

    @abc.abstractmethod
    def command(self) -> Command:
        """How it is started."""

    async def launch(self) -> subprocess.Popen[bytes] | None:
        """Start it. Returns its process, None where somebody else has started it for us."""
        return start(self.command(), self.log)

    async def halt(self) -> None:
        """Keep it from being started again by somebody else, before it is ended."""
        return

    @abc.abstractmethod
    async def probe(self) -> str:
        """Ask it something that only a working server answers; return what to tell. Raises NotYet or OSError."""

    async def settle(self, *, started: bool) -> bool:
        """Bring about what has to be there in the running server; return whether anything was missing."""
        return False

    async def tidy(self) -> None:
        """Remove what it leaves behind outside the folder, after it has ended."""
        return
