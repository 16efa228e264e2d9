# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord over the services of supervised sites: a process each, which the port of the service lives and dies with.

A site is a group of its name: ``supervisorctl -c run/supervisord.conf stop ai-trading-primary:trade_executor``.
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
import urllib.parse

from .folder import write_private
from .part import Part
from .plan import Plan
from .processes import Command
from .waiting import NotYet
from .workers import python_environment

_SERVER = """\
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
pidfile = {run}/supervisord.pid

[unix_http_server]
file = {run}/supervisor.sock
chmod = 0700

[supervisorctl]
serverurl = unix://{run}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """
[program:{site}.{service}]
process_name = {service}
command = {python} -m tradeops_lab.service --lab {lab} {site} {service}
directory = {run}
autorestart = true
startsecs = 1
stopwaitsecs = 5
stdout_logfile = /dev/null
stdout_logfile_maxbytes = 0
stderr_logfile = /dev/null
stderr_logfile_maxbytes = 0
"""
_GROUP = """
[group:{site}]
programs = {programs}
"""
_STATE = b"<?xml version='1.0'?><methodCall><methodName>supervisor.getState</methodName><params></params></methodCall>"


class Supervisor(Part):
    name = "supervisor"
    stop_budget = 10.0

    @classmethod
    def wanted(cls, plan: Plan) -> bool:
        return any(site["supervised"] for site in plan["sites"].values())

    @property
    def config(self) -> pathlib.Path:
        return self.folder.run / "supervisord.conf"

    def ports(self) -> list[int]:
        return []  # the simulator listens in the name of the services

    @property
    def _programs(self) -> dict[str, dict[str, str]]:
        """Site -> URL -> service; of services that share a port, the one that has it."""
        sites = {name: site for name, site in self.plan["sites"].items() if site["supervised"]}
        return {
            name: {url: service for service, url in reversed(site["services"].items())} for name, site in sites.items()
        }

    async def prepare(self) -> None:
        names = {"run": self.folder.run, "lab": self.folder.path, "python": sys.executable}
        text = _SERVER.format(**names)
        for site, services in self._programs.items():
            for service in services.values():
                text += _PROGRAM.format(site=site, service=service, **names)
            text += _GROUP.format(site=site, programs=",".join(f"{site}.{service}" for service in services.values()))
        write_private(self.config, text)

    def command(self) -> Command:
        argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        return Command(argv, self.folder.run, python_environment())

    async def probe(self) -> str:
        reader, writer = await asyncio.open_unix_connection(str(self.folder.run / "supervisor.sock"))
        try:
            head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(_STATE)}\r\n\r\n"
            writer.write(head.encode() + _STATE)
            answer = await reader.read()
        finally:
            writer.close()
        if b"RUNNING" not in answer:
            raise NotYet(f"supervisor.getState answered {answer[-200:]!r}")
        return f"{sum(map(len, self._programs.values()))} services"

    async def settle(self, *, started: bool) -> bool:
        """Wait until every service listens; later the user may stop one on purpose."""
        for url in [url for services in self._programs.values() for url in services if started]:
            parts = urllib.parse.urlsplit(url)
            _reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.close()
        return False
