# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of supervised sites: a port is open while a process runs for it (``tradeops_lab.service``)."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import typing as t

from ..service import OPEN

if t.TYPE_CHECKING:
    from .site import Site

LOG = logging.getLogger(__name__)


class Services:
    """Listens on ``path`` for the processes. Each says its site and service, and keeps the connection for life."""

    def __init__(self, sites: t.Mapping[str, Site], path: pathlib.Path) -> None:
        self._sites = sites
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._hold(reader, writer)
        except ConnectionError:
            pass  # the process was killed, and that is all there is to know
        finally:
            writer.close()

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, _blank, service = (await reader.readline()).decode().strip().partition(" ")
        site = self._sites.get(name)
        port = site.port(service) if site else None
        if site is None or port is None:
            LOG.error("a process says that it is %s of %s, and there is no such service", service, name)
            return
        if site.crashes(service):
            return
        await port.hold(closed=site.is_dead(port))
        try:
            site.market.wake()
            writer.write(OPEN)
            await writer.drain()
            await reader.read()  # until the process ends
        finally:
            await port.let_go()
