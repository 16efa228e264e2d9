# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two servers of the lab that are this package: the simulator of the platforms and the sink of notifications."""

from __future__ import annotations

import os
import pathlib
import socket
import sys

from .part import Part
from .processes import Command, plain_environment
from .waiting import NotYet
from .web import call_async

_PACKAGES = pathlib.Path(__file__).resolve().parent.parent


def python_environment() -> dict[str, str]:
    """The environment of a process that runs this package."""
    kept = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    search = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
    environment = plain_environment() | {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {"PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}


def _python(part: Part, *arguments: str, pass_fds: tuple[int, ...] = ()) -> Command:
    # From the lab's own folder: `python -m` looks for modules in the current one first.
    return Command([sys.executable, "-m", *arguments], part.folder.run, python_environment(), pass_fds=pass_fds)


class Sink(Part):
    name = "sink"
    holder: socket.socket | None = None  # the claim on the ports of the lab, handed over at the start

    def ports(self) -> list[int]:
        http, smtp = self.plan["first_port"], self.plan["sink"]["smtp"]["port"]
        return [smtp] if self.holder else [http, smtp]

    def command(self) -> Command:
        arguments = ["tradeops_lab.sink", "--lab", str(self.folder.path)]
        if not self.holder:
            return _python(self, *arguments)
        handle = self.holder.fileno()
        return _python(self, *arguments, "--fd", str(handle), pass_fds=(handle,))

    async def probe(self) -> str:
        answer = await call_async("GET", f"{self.plan['sink']['http']}/health")
        if answer.status != 200:
            raise NotYet(f"GET /health answered {answer.status}")
        return "takes notifications"


class Simulator(Part):
    name = "simulator"
    start_budget = 90.0

    def ports(self) -> list[int]:
        urls = [self.plan["control"], self.plan["s3"]["endpoint"]]
        urls += [url for site in self.plan["sites"].values() for url in site["services"].values()]
        return sorted({int(url.rpartition(":")[2]) for url in urls})

    def command(self) -> Command:
        return _python(self, "tradeops_lab.simulator", "--lab", str(self.folder.path))

    async def probe(self) -> str:
        answer = await call_async("GET", f"{self.plan['control']}/sites")
        if answer.status != 200:
            raise NotYet(f"GET /sites answered {answer.status}")
        missing = [name for name in self.plan["sites"] if f'"{name}"'.encode() not in answer.body]
        if missing:
            raise NotYet(f"GET /sites does not know {', '.join(missing)}")
        return f"{len(self.plan['sites'])} sites"

    async def settle(self, *, started: bool) -> bool:
        """Wait until the sites are in the cluster, where there is one."""
        if self.plan.get("kubernetes"):
            problem = (await call_async("GET", f"{self.plan['control']}/kubernetes")).json()["problem"]
            if problem:
                raise NotYet(problem)
        return False
