# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a lab up, down, and say how it is."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import subprocess
import sys
import time
import typing as t

from . import catalogue, dedicated, ports, processes
from .errors import LabError
from .folder import Folder
from .kubernetes import parts as kubernetes
from .kubernetes import programs
from .part import Part
from .plan import Plan, load, make, publish, save
from .postgres import JOBS, PostgreSQL
from .processes import tail
from .prometheus import programs as metrics
from .prometheus.server import Prometheus
from .redis import Redis
from .s3 import S3
from .supervisor import Supervisor
from .waiting import NotYet, together, wait_for
from .workers import Simulator, Sink

PARTS: tuple[type[Part], ...] = (PostgreSQL, Redis, S3, Sink, *kubernetes.SERVERS, Prometheus, Simulator, Supervisor)
OPTIONAL = ("kubernetes", "prometheus")  # what a lab can be without
_KINDS = {kind.name: kind for kind in PARTS}
_LOCK_BUDGET = 120.0  # seconds
_LOOK_BUDGET = 5.0  # seconds for a server that is said to run to answer
_TAKEN = "{part}: port {port} has been taken by another program; python -m tradeops_lab down, then up, chooses others"


@dataclasses.dataclass
class Report:
    """What a command did. ``parts`` says of each server what was seen of it."""

    changed: bool
    folder: Folder
    plan: Plan | None
    parts: dict[str, str]
    elapsed: float = 0.0


class Lab:
    """One lab. ``tell`` gets a line of progress at a time."""

    def __init__(self, folder: Folder, tell: t.Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self.began = time.monotonic()
        self.plan: Plan | None = None
        self._tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._changed = False
        self._seen: dict[str, str] = {}

    def tell(self, what: str, text: str) -> None:
        self._tell(f"{time.monotonic() - self.began:5.1f} s  {what:<11} {text}")

    async def up(self, sites: list[str] | None = None, *, without: t.Collection[str] = ()) -> Report:
        """Bring up what does not run and answer. Raises LabError, having stopped again what it had started."""
        known = catalogue.read()
        wanted = catalogue.select(known, sites)
        if strange := sorted(set(without) - set(OPTIONAL)):
            raise LabError(
                f"--without: there is no part {strange[0]!r} that a lab can be without; known: {', '.join(OPTIONAL)}"
            )
        plan = load(self.folder) if self.folder.lab_json.exists() else None
        cluster = "kubernetes" not in without and any(site.kubernetes for site in wanted)
        scraped = "prometheus" not in without and any(site.metrics for site in wanted)
        if plan:  # it stays what it is
            cluster = plan.get("kubernetes") is not None
            scraped = plan.get("prometheus") is not None
        elif scraped and (missing := metrics.missing()):
            self.tell("prometheus", f"not in this lab: {missing}")
            scraped = False
        if cluster:  # before anything is locked or started: making them takes minutes on a new machine
            await programs.ensure(lambda text: self.tell("kubernetes", text))
        parts = {"kubernetes": cluster, "prometheus": scraped}
        with self._locked(create=True):
            self.folder.furnish()
            try:
                plan, holder = await self._make_plan(known, wanted, explicit=sites is not None, parts=parts)
                self.plan = plan
                with holder or contextlib.nullcontext():
                    await self._bring_up(plan, holder)
            except BaseException as exc:
                await self._undo(exc)
                raise
            found = processes.find(self.folder)
            names = [part.name for part in self._parts(plan)]
            pids = {name: pid for name in names if (pid := processes.leader(found.get(name, [])))}
            self._changed |= publish(self.folder, plan, pids)
        return self._report()

    async def down(self, *, purge: bool = False) -> Report:
        """Stop everything; with ``purge`` also remove the folder. Raises LabError when something does not end."""
        with self._locked(create=False) as exists:
            if exists and not self.folder.run.is_dir():
                raise LabError(
                    f"{self.folder.path} is not the folder of a lab: check --name, --dir and TRADEOPS_LAB_DIR"
                )
            self._changed = self.folder.lab_json.exists()
            self.folder.lab_json.unlink(missing_ok=True)
            with contextlib.suppress(LabError):  # a damaged plan keeps nobody from ending the processes
                self.plan = load(self.folder)
            # Processes are looked for also where somebody has removed the folder under them.
            found, purge_signal = processes.find(self.folder), purge or not exists
            stopped = await self._stop(set(found) - {S3.name} if not purge_signal else found, purge=purge_signal)
            if not purge_signal:  # the last WAL of sites goes there
                stopped += await self._stop([S3.name], purge=False)
            await self._tidy(None, purge=purge)
            if purge and exists:
                self._changed = True
                self.folder.purge()
                self.tell("lab", f"{self.folder.path} removed")
        self._changed |= bool(stopped)
        self._seen = dict.fromkeys(stopped, "stopped")
        return self._report()

    async def status(self) -> Report:
        """Look at a lab without changing anything. Parts that do not run or answer are told with what was seen."""
        self.plan = load(self.folder)
        found = processes.find(self.folder)
        for part in self._parts(self.plan) if self.plan else ():
            if part.name not in found:
                self._seen[part.name] = "stopped"
                continue
            trouble = await self._trouble(part)
            self._seen[part.name] = f"does not answer: {trouble}" if trouble else f"running: {self._seen[part.name]}"
        return self._report()

    # -- the steps of up -----------------------------------------------------------------------------------------------

    async def _make_plan(
        self,
        known: dict[str, catalogue.Site],
        wanted: list[catalogue.Site],
        *,
        explicit: bool,
        parts: dict[str, bool],
    ) -> tuple[Plan, socket.socket | None]:
        """Return the plan, and the claim on its ports unless the sink still holds it."""
        plan, found = load(self.folder), processes.find(self.folder)
        if plan and Plan.__required_keys__ - plan.keys():
            raise LabError(f"{self.folder.path} is of another version: python -m tradeops_lab down --purge, then up")
        if plan is None and (self.folder.pg / "data").exists():
            raise LabError(f"{self.folder.plan_json} is missing: python -m tradeops_lab down --purge, then up")
        # Jobs of an `up` that was killed, and servers whose plan was removed under them. Other processes are guests.
        strays = {name for name in found if name in JOBS or (plan is None and _kind_of(name) is not Part)}
        if strays:
            await self._stop(strays, purge=plan is None)
            found = processes.find(self.folder)
        if plan and (found or self.folder.lab_json.exists()):
            more = [site.name for site in wanted if site.name not in plan["sites"]]
            if more and explicit:
                raise LabError(f"the lab runs without {', '.join(more)}: python -m tradeops_lab down, then up")
            wanted = [known[name] for name in plan["sites"] if name in known]
            if "sink" in found:
                return plan, None
            if found:
                holder = ports.claim_again(plan["first_port"])
                if holder is None:
                    raise LabError(_TAKEN.format(part="sink", port=plan["first_port"]))
                return plan, holder
        holder = ports.claim(plan["first_port"] if plan else None)
        return make(self.folder.name, wanted, holder.getsockname()[1], plan, **parts), holder

    async def _bring_up(self, plan: Plan, holder: socket.socket | None) -> None:
        postgresql, redis, s3 = PostgreSQL(self.folder, plan), Redis(self.folder, plan), S3(self.folder, plan)
        sink, simulator = Sink(self.folder, plan), Simulator(self.folder, plan)
        supervisor, prometheus = Supervisor(self.folder, plan), Prometheus(self.folder, plan)
        sink.holder = holder
        postgresql.locate()
        redis.locate()
        plan["backup"]["folder"] = str(self.folder.backups)
        servers = dedicated.parts(self.folder, plan)
        for server in servers:
            server.locate()
        if plan["kubernetes"]:
            kubernetes.furnish(self.folder, plan)
        save(self.folder, plan)

        async def platforms() -> None:
            # The simulator keeps its state in these two: when one was started, it is to begin anew.
            await together(*(self._ensure(part) for part in (postgresql, redis, *servers)))
            await self._ensure(simulator, anew=bool({"postgresql", "redis"} & set(self._started)))

        async def cluster() -> None:
            for stage in kubernetes.STAGES:
                await together(*(self._ensure(kind(self.folder, plan)) for kind in stage if kind.wanted(plan)))

        # The processes of the supervisor wait for the simulator.
        others = [self._ensure(part) for part in (s3, sink, supervisor, prometheus) if part.wanted(plan)]
        await together(platforms(), cluster(), *others)

    async def _ensure(self, part: Part, *, anew: bool = False) -> None:
        """Make sure that ``part`` runs, answers and holds what it has to."""
        running = bool(processes.find(self.folder).get(part.name))
        if running:
            trouble = "its storage was started" if anew else await self._trouble(part)
            if trouble:
                self.tell(part.name, f"stopping: {trouble}")
                await part.halt()
                await self._stop([part.name], purge=False)
                running = False
        offset = part.log.stat().st_size if part.log.exists() else 0
        try:
            if not running:
                await self._start(part)
            what = f"{part.name} is not complete"
            self._changed |= await wait_for(lambda: part.settle(started=not running), part.start_budget, what)
        except LabError as exc:
            last = tail(part.log, offset)
            raise LabError(f"{exc}\nIts log, {part.log}, ends with:\n{last}" if last else str(exc)) from exc
        self.tell(part.name, f"{'runs already' if running else 'ready'}: {self._seen[part.name]}")

    async def _start(self, part: Part) -> None:
        await part.prepare()
        for port in part.ports():
            if not ports.is_free(port):
                raise LabError(_TAKEN.format(part=part.name, port=port))
        self._changed = True
        process = await part.launch()
        if process:
            self._started[part.name] = process

        async def answers() -> str:
            if process and process.poll() is not None:
                raise LabError(f"{part.name} ended with status {process.returncode}")
            return await part.probe()

        self._seen[part.name] = await wait_for(answers, part.start_budget, f"{part.name} does not answer")

    async def _trouble(self, part: Part) -> str:
        """Return why a running part is of no use, an empty text if it answers."""
        try:
            async with asyncio.timeout(_LOOK_BUDGET):
                self._seen[part.name] = await part.probe()
        except TimeoutError:
            return f"no answer within {_LOOK_BUDGET:.0f} s"
        except (NotYet, OSError) as exc:
            return str(exc) or type(exc).__name__
        return ""

    async def _undo(self, exc: BaseException) -> None:
        if self._started:
            names = ", ".join(sorted(self._started))
            self.tell(
                "lab", f"{'interrupted' if isinstance(exc, asyncio.CancelledError) else 'failed'}; stopping {names}"
            )
            await self._stop(self._started, purge=False)
            await self._tidy(self._started, purge=True)

    def _locked(self, *, create: bool) -> contextlib.AbstractContextManager[bool]:
        return self.folder.locked(_LOCK_BUDGET, lambda text: self.tell("lab", text), create=create)

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def _stop(self, names: t.Iterable[str], *, purge: bool) -> list[str]:
        """End these parts and return those that had a process."""
        signals, budgets = {}, {}
        # The supervisor first: it would start anew what has ended.
        for name in sorted(names, key=lambda name: name != Supervisor.name):
            kind = _kind_of(name)
            signals[name], budgets[name] = kind.purge_signal if purge else kind.stop_signal, kind.stop_budget
        stopped = await processes.stop(self.folder, signals, budgets)
        if stopped:
            self.tell("lab", f"stopped {', '.join(stopped)}")
        return stopped

    async def _tidy(self, names: t.Container[str] | None, *, purge: bool) -> None:
        """Tidy up after these parts, after all of them where ``names`` is None."""
        for part in self._parts(self.plan) if self.plan else ():
            if names is not None and part.name not in names:
                continue
            try:
                await part.tidy()
            except LabError as exc:
                if not purge:
                    raise
                self.tell(part.name, f"cannot be tidied up, and is removed as it is: {exc}")

    def _parts(self, plan: Plan) -> list[Part]:
        """The parts that a lab with this plan has."""
        common = [kind(self.folder, plan) for kind in PARTS if kind.wanted(plan)]
        return [*common, *dedicated.parts(self.folder, plan)]

    def _elapsed(self) -> float:
        return round(time.monotonic() - self.began, 2)

    def _report(self) -> Report:
        return Report(self._changed, self.folder, self.plan, dict(self._seen), self._elapsed())


def _kind_of(name: str) -> type[Part]:
    """The kind of the part that is called so; Part itself for a guest."""
    return _KINDS.get(name) or dedicated.kind_of(name) or Part
