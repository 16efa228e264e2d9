# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulated site: its database and Redis, its market, its faults, its request log, its ports."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import logging
import math
import time
import typing as t

import asyncpg

from .. import platforms
from ..platforms.base import Platform, Session
from . import database, files, seed, sessions
from .chance import DICE
from .engine import Engine
from .faults import Fault, Faults, Seen
from .front import Front
from .market import Market
from .plan import Plan, SitePlan
from .recording import RequestLog
from .server import Port, ports

if t.TYPE_CHECKING:
    from .cluster import Cluster

LOG = logging.getLogger(__name__)
Connection: t.TypeAlias = asyncpg.Connection
STRAY = "STRAY-1"  # the order of the fault `drift`


class Site:
    """Everything one site needs. Writers take turns, as a matching engine lets them; readers do not wait."""

    pool: asyncpg.Pool

    def __init__(self, plan: SitePlan, lab: Plan, cluster: Cluster | None = None) -> None:
        self.name, self.plan, self.lab = plan.name, plan, lab
        self.platform: Platform = platforms.load(plan.platform)
        self.faults = Faults()
        self.log = RequestLog()
        self.market = Market(self)
        self.redis = database.redis_client(plan.redis, plan.redis_db)
        self.ports: list[Port] = ports(self)
        self.cluster = cluster if plan.kubernetes else None
        self.workloads: dict[str, dict[str, int]] = {}  # replicas, ready, running by name; empty: not in a cluster
        if self.cluster and plan.kubernetes:
            self.ports.append(Front(self, self.cluster, plan.kubernetes).port)
            self.cluster.sites[self.name] = self
        self._writer = asyncio.Lock()
        self._tasks: set[asyncio.Task[t.Any]] = set()
        self._snapshot: Connection | None = None
        self._snapshot_reader = asyncio.Lock()
        self._last_id = 0

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, create and seed what is missing, start the market, open the ports."""
        self.pool = await database.pool(self.plan.postgresql, self.plan.database, self.name)
        async with self.writing() as db:
            await seed.prepare(self, db)
        self._furnish(anew=False)
        self.background(self.market.run())
        for port in self.ports:
            await port.open()

    async def stop(self) -> None:
        """Close the ports, end what still runs, disconnect."""
        for port in self.ports:
            await port.close()
        await self._cancel_tasks()
        await self._drop_snapshot()
        await self.redis.aclose()
        if hasattr(self, "pool"):
            try:
                async with asyncio.timeout(2):
                    await self.pool.close()
            except (TimeoutError, *database.ERRORS):
                self.pool.terminate()

    async def reset(self, settings: t.Mapping[str, t.Any]) -> None:
        """Seed again, with ``settings`` of one's own; no faults, no request log, no sessions."""
        await self.set_faults([])
        await self._cancel_tasks()
        if self.cluster:
            await self.cluster.restore(self)
        async with self.writing() as db:
            await seed.again(self, db, settings)
        self._furnish(anew=True)
        if any(isinstance(auth, Session) for auth in self.platform.auth.values()):
            await sessions.end_all(self)
        self.log.clear()
        self.market = Market(self)
        self.background(self.market.run())

    def _furnish(self, *, anew: bool) -> None:
        """Write the files of the site: all of them ``anew``, or the kinds that are missing."""
        if self.lab.folder:
            for kind in files.KINDS:
                folder = self.lab.folder / kind / self.name
                if anew or not folder.exists():
                    files.furnish(folder, kind, self.platform)

    def background(self, work: t.Coroutine[t.Any, t.Any, t.Any]) -> None:
        """Run ``work`` until it ends or the site stops; a failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[t.Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            LOG.error("%s: a task failed", self.name, exc_info=task.exception())

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the cluster ---------------------------------------------------------------------------------------------

    @property
    def serving(self) -> bool:
        """Whether the API of the platform is there: a ready pod answers it, or it needs none."""
        return not self.cluster or not self.platform.served_by or self._has("ready", self.platform.served_by)

    def _has(self, what: str, workload: str) -> bool:
        return self.workloads.get(what, {}).get(workload, 0) > 0

    # -- database ------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def reading(self) -> t.AsyncIterator[Connection]:
        async with self.pool.acquire(timeout=database.TIMEOUT) as db:
            yield t.cast(Connection, db)

    @contextlib.asynccontextmanager
    async def writing(self, *, keep: bool = True) -> t.AsyncIterator[Connection]:
        """A connection in a transaction, alone. With ``keep`` False everything is undone at the end."""
        async with self._writer, self.reading() as db:
            transaction = db.transaction()
            await transaction.start()
            try:
                yield db
            except BaseException:
                await transaction.rollback()
                raise
            if keep:
                await transaction.commit()
            else:
                await transaction.rollback()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> t.AsyncIterator[Connection]:
        """The connection that still sees the database as it was when the fault `stale` was set."""
        async with self._snapshot_reader:
            if self._snapshot is None:
                raise asyncpg.InterfaceError("the snapshot has just been given up")
            yield self._snapshot

    async def recover(self) -> None:
        """Forget the connections: the database was away, or has other tables than before."""
        await self.pool.expire_connections()

    # -- services ------------------------------------------------------------------------------------------------

    def port(self, service: str) -> Port | None:
        return next((port for port in self.ports if service in port.services), None)

    @property
    def trades(self) -> bool:
        """Whether what places orders is there: the services among it, and in a cluster the workloads."""
        services = set(self.platform.trades_with) & set(self.platform.services)
        workloads = set(self.platform.trades_with) - services
        if self.cluster and not all(self._has("running", name) for name in workloads):
            return False
        return all(port.held for port in self.ports if services & set(port.services))

    def is_dead(self, port: Port) -> bool:
        """Whether a fault keeps the port closed."""
        faults = (fault for fault in self.faults.current if fault.kind == "dead")
        return any(fnmatch.filter(port.services, fault.service) for fault in faults)

    def crashes(self, service: str) -> bool:
        """Whether a process of ``service`` that has just started is to end again."""
        seen = Seen(service, "", "", "", writes=False)
        fault = self.faults.find(("crash",), seen)
        if fault:
            self.faults.use(fault, seen)
        return fault is not None

    def engine(self, db: Connection, actor: str, seen: Seen | None = None) -> Engine:
        return Engine(self, db, actor, seen)

    # -- faults --------------------------------------------------------------------------------------------------

    async def set_faults(self, faults: list[Fault]) -> None:
        """Replace the faults. What a fault of before did to the site as a whole is taken back."""
        before = {fault.kind for fault in self.faults.current}
        self.faults.current = []
        kinds = {fault.kind for fault in faults}
        if "reopen" in before or "drift" in before:
            await self._tidy()
        await self._drop_snapshot()
        if "drift" in kinds:
            await self._drift()
        if "stale" in kinds:
            await self._take_snapshot()
        now = time.time()
        for fault in faults:
            fault.since = now
        self.faults.current = faults
        for port in self.ports:
            await (port.close() if self.is_dead(port) else port.open())
        for fault in faults:
            if fault.kind == "dead" and fault.seconds is not None:
                self.background(self._revive(fault))
        self.market.wake()

    async def _revive(self, fault: Fault) -> None:
        await asyncio.sleep(fault.lasts(0))
        if fault in self.faults.current:
            self.faults.current = [other for other in self.faults.current if other is not fault]
            for port in self.ports:
                if not self.is_dead(port):
                    await port.open()

    async def _take_snapshot(self) -> None:
        self._snapshot = await asyncpg.connect(
            **database.settings(self.plan.postgresql, self.plan.database, f"{self.name} stale")
        )
        await self._snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await self._snapshot.fetchval("SELECT now()")

    async def _drop_snapshot(self) -> None:
        async with self._snapshot_reader:
            if self._snapshot:
                self._snapshot.terminate()
                self._snapshot = None

    async def _drift(self) -> None:
        symbol, price = next(iter(self.platform.symbols.items()))
        async with self.writing() as db:
            await db.execute(
                "INSERT INTO venue_orders"
                " (id, order_id, symbol, side, quantity, price, type, status, account, venue, stray) VALUES"
                " ('V' || $1, $1, $2, 'buy', $3::float8::numeric, $4::float8::numeric, 'limit', 'open', $5, $6, true)"
                " ON CONFLICT DO NOTHING",
                STRAY,
                symbol,
                self.lot(price, 1_000),
                float(price),
                self.account(symbol),
                self.platform.venues[0],
            )
            await db.execute(
                "INSERT INTO venue_positions (symbol, quantity, price, account, stray)"
                " VALUES ($1, 7, 10, $2, true) ON CONFLICT DO NOTHING",
                f"{symbol}-STRAY",
                self.account(symbol),
            )

    async def _tidy(self) -> None:
        async with self.writing() as db:
            await db.execute("DELETE FROM venue_orders WHERE stray")
            await db.execute("DELETE FROM venue_positions WHERE stray")
            await db.execute("DELETE FROM orders WHERE status = 'reopening'")

    # -- what orders are made of ---------------------------------------------------------------------------------

    def next_order_id(self) -> str:
        """A new id. Clock based, so that neither a restart nor a restored database gives one twice."""
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        return self.platform.order_id(self._last_id)

    def account(self, symbol: str) -> str:
        """The account that trades ``symbol``: a symbol has one, so positions have one too."""
        symbols = list(self.platform.symbols)
        index = symbols.index(symbol) if symbol in symbols else 0
        return self.platform.accounts[index % len(self.platform.accounts)]

    @staticmethod
    def lot(price: float, notional: float) -> float:
        """A quantity worth about ``notional``, with as many decimals as the price asks for."""
        return max(round(notional / price, max(0, int(math.log10(price)))), 1 / 10 ** max(0, int(math.log10(price))))

    def draft(
        self, symbol: str, side: str, quantity: float, price: float, *, account: str | None = None
    ) -> dict[str, t.Any]:
        """A limit order near ``price``, ready for ``Book.place``."""
        away = DICE.uniform(0.001, 0.02) * (-1 if side == "buy" else 1)
        return {
            "id": self.next_order_id(),
            "symbol": symbol,
            "side": side,
            "quantity": quantity,
            "price": round(price * (1 + away), 6),
            "type": "limit",
            "account": account or self.account(symbol),
            "venue": DICE.choice(self.platform.venues),
            "strategy": DICE.choice(self.platform.strategies),
            "owner": DICE.choice(self.platform.owners),
            "reduce_only": False,
        }
