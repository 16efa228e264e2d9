# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator's process: all sites of a plan, then the control port, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from aiohttp import web

from . import control
from .cluster import Cluster
from .plan import Plan
from .services import Services
from .site import Site
from .storage import StorageFront

LOG = logging.getLogger(__name__)
AT_ONCE = 6  # sites that connect and seed at the same time


class Simulator:
    """All sites of a lab. Ready when ``start`` returns; the control port is opened last."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster = Cluster(plan.kubernetes) if plan.kubernetes else None
        self.sites = {name: Site(site, plan, self.cluster) for name, site in plan.sites.items()}
        supervised = {name: site for name, site in self.sites.items() if site.plan.supervised}
        self._services = Services(supervised, plan.services) if supervised and plan.services else None
        self.storage = StorageFront(plan.storage) if plan.storage else None
        self._runner = web.AppRunner(
            control.application(self.sites, plan, self.cluster, self.storage), access_log=None, shutdown_timeout=1
        )

    async def start(self) -> None:
        began = time.monotonic()
        gate = asyncio.Semaphore(AT_ONCE)

        async def start(site: Site) -> None:
            async with gate:
                await site.start()

        if self.cluster:
            await self.cluster.start()
        if self.storage:
            await self.storage.start()
        await asyncio.gather(*(start(site) for site in self.sites.values()))
        if self._services:
            await self._services.start()
        await self._runner.setup()
        await web.TCPSite(self._runner, self.plan.control.host, self.plan.control.port).start()
        LOG.info("%d sites are ready after %.1f s", len(self.sites), time.monotonic() - began)

    async def stop(self) -> None:
        await self._runner.cleanup()
        if self._services:
            await self._services.stop()
        await asyncio.gather(*(site.stop() for site in self.sites.values()))
        if self.storage:
            await self.storage.stop()
        if self.cluster:
            await self.cluster.stop()


async def run(plan: Plan) -> None:
    """Serve ``plan`` until SIGTERM or SIGINT."""
    simulator = Simulator(plan)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        await simulator.start()
        await ended.wait()
    finally:
        await simulator.stop()
        LOG.info("ended")
