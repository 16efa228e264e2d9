# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus, which scrapes the sites that have metrics. A new one has a day of their past, as archives ask for it."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import shutil
import signal
import time
import typing as t
import urllib.parse

from ..errors import LabError
from ..folder import write_private
from ..part import Part
from ..plan import Plan, PrometheusPlan
from ..processes import Command, plain_environment
from ..waiting import NotYet
from ..web import call_async
from . import programs

_INTERVAL = 5  # seconds between two looks at a site
_PAST = 25 * 3600  # seconds: a day, and what a question about a day looks back
_STEP = 60  # seconds between two points of the past
_GROWS = 7  # a counter of the past, at each of them


class Prometheus(Part):
    name = "prometheus"
    purge_signal = signal.SIGKILL

    @classmethod
    def wanted(cls, plan: Plan) -> bool:
        return plan["prometheus"] is not None

    @property
    def settings(self) -> PrometheusPlan:
        found = self.plan["prometheus"]
        if found is None:
            raise ValueError("this lab has no Prometheus")
        return found

    @property
    def data(self) -> pathlib.Path:
        return self.folder.prometheus / "data"

    def ports(self) -> list[int]:
        return [urllib.parse.urlsplit(self.settings["url"]).port or 0]

    async def prepare(self) -> None:
        write_private(
            self.folder.prometheus / "prometheus.yml", json.dumps(self.configuration())
        )  # JSON is YAML as well
        if not self.data.exists():
            await self._make_past()

    def configuration(self) -> dict[str, t.Any]:
        targets = []
        for name, site in self.plan["sites"].items():
            if metrics := site.get("metrics"):
                # An instance is a site, whatever its port is today.
                labels = {"site": name, "instance": name}
                targets.append({"targets": [urllib.parse.urlsplit(metrics["url"]).netloc], "labels": labels})
        return {
            "global": {"scrape_interval": f"{_INTERVAL}s"},
            "scrape_configs": [{"job_name": "sites", "static_configs": targets}],
        }

    def command(self) -> Command:
        host = urllib.parse.urlsplit(self.settings["url"]).netloc
        argv = [
            programs.path("prometheus"),
            f"--config.file={self.folder.prometheus / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={host}",
            "--log.level=warn",
        ]
        return Command(argv, self.folder.prometheus, plain_environment())

    async def probe(self) -> str:
        answer = await call_async("GET", f"{self.settings['url']}/-/ready")
        if answer.status != 200:
            raise NotYet(f"GET /-/ready answered {answer.status}")
        (job,) = self.configuration()["scrape_configs"]
        return f"scrapes {len(job['static_configs'])} sites"

    async def _make_past(self) -> None:
        """Blocks of the time before, in one step: an `up` that is killed leaves none. Raises LabError."""
        source, made = self.folder.prometheus / "past.txt", self.folder.prometheus / "data.part"
        shutil.rmtree(made, ignore_errors=True)
        source.write_text(past(self.plan, int(time.time())), encoding="utf-8")
        argv = [programs.path("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(source), str(made)]
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=plain_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _nothing, errors = await process.communicate()
        if process.returncode:
            said = errors.decode(errors="replace").strip()
            raise LabError(f"promtool ended with status {process.returncode}: {said}")
        source.unlink()
        os.replace(made, self.data)


def past(plan: Plan, now: int) -> str:
    """The counters of all sites until ``now``, as OpenMetrics."""
    lines = []
    for name, site in plan["sites"].items():
        metrics = site.get("metrics")
        for counter in metrics["counters"] if metrics else ():
            labels = f'instance="{name}",job="sites",site="{name}"'
            for number, at in enumerate(range(now - _PAST, now, _STEP)):
                lines.append(f"{counter}{{{labels}}} {number * _GROWS} {at}")
    return "\n".join([*lines, "# EOF", ""])
