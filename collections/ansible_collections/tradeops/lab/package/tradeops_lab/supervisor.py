# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord over the services of supervised sites: a process each, which the port of the service lives and dies with.

The PostgreSQL and the Redis of a site that has its own are programs of it too (see ``dedicated``).

A site is a group of its name: ``supervisorctl -c run/supervisord.conf stop ai-trading-primary:trade_executor``.
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
import typing as t
import urllib.parse
import xmlrpc.client

from .folder import Folder, write_private
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
# Not before its folder is there: `up` starts it.
_SERVER_PROGRAM = """
[program:{site}.{program}]
process_name = {program}
command = {python} -m tradeops_lab.launch {run}/{site}.{program}.launch.json
directory = {run}
priority = 1
autostart = false
autorestart = true
startsecs = 1
stopsignal = {signal}
stopwaitsecs = 20
stdout_logfile = /dev/null
stdout_logfile_maxbytes = 0
stderr_logfile = /dev/null
stderr_logfile_maxbytes = 0
"""
_SERVERS = {"postgresql": "INT", "redis": "TERM"}  # program -> the signal that lets it end soon and in order
_GROUP = """
[group:{site}]
programs = {programs}
"""
ALREADY_STARTED = 60  # the code of a fault


class Supervisor(Part):
    name = "supervisor"
    stop_budget = 30.0  # it ends the databases of sites
    start_budget = 120.0  # its services wait for the simulator, which waits for the databases

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
            servers = _SERVERS if "postgresql" in self.plan["sites"][site] else {}
            for program, signal in servers.items():
                text += _SERVER_PROGRAM.format(site=site, program=program, signal=signal, **names)
            programs = ",".join(f"{site}.{program}" for program in (*services.values(), *servers))
            text += _GROUP.format(site=site, programs=programs)
        write_private(self.config, text)

    def command(self) -> Command:
        argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)]
        return Command(argv, self.folder.run, python_environment())

    async def probe(self) -> str:
        state = (await ask(self.folder, "supervisor.getState"))["statename"]
        if state != "RUNNING":
            raise NotYet(f"supervisor.getState answered {state}")
        return f"{sum(map(len, self._programs.values()))} services"

    async def settle(self, *, started: bool) -> bool:
        """Wait until every service listens; later the user may stop one on purpose."""
        for url in [url for services in self._programs.values() for url in services if started]:
            parts = urllib.parse.urlsplit(url)
            _reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.close()
        return False


async def ask(folder: Folder, method: str, *arguments: t.Any) -> t.Any:
    """Call a method of the supervisor of a lab. Raises OSError, NotYet, or xmlrpc.client.Fault when it says no."""
    body = xmlrpc.client.dumps(arguments, method).encode()
    head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_unix_connection(str(folder.run / "supervisor.sock"))
    try:
        writer.write(head.encode() + body)
        _headers, _blank, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not answer:
        raise NotYet(f"{method}: no answer")
    (value,), _name = xmlrpc.client.loads(answer)
    return value
