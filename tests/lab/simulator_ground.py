# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real lab for the tests of the simulator, and a plain HTTP client for its sites."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.parse

import asyncpg
import pytest

from tradeops_lab.kubernetes import programs

PACKAGE = pathlib.Path(__file__).parents[2] / "collections/ansible_collections/tradeops/lab/package"
BUDGET = 30.0  # s that anything in the lab may take to come true, on a machine with much else to do
RESET = 90.0  # s, with a cluster that has to put its pods back


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: t.Mapping[str, str]
    body: bytes

    @property
    def json(self) -> t.Any:
        return json.loads(self.body)


class Ground:
    """A lab of a few sites. ``call`` talks to a site as an operator would, the other methods talk to the lab."""

    def __init__(self, *sites: str, kubernetes: bool = False, prometheus: bool = False) -> None:
        self.sites = sites
        parts = {"kubernetes": kubernetes, "prometheus": prometheus}
        self._without = ["--without", ",".join(name for name, wanted in parts.items() if not wanted)]
        assert programs.is_made() or not kubernetes, "`make kubernetes` first: it takes minutes on a new machine"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tradeops-test-", dir="/var/tmp")) / "lab"
        self.folder.parent.chmod(0o711)
        try:
            self.up()
        except BaseException:
            shutil.rmtree(self.folder.parent)
            raise

    def up(self) -> None:
        self._command("up", "--sites", ",".join(self.sites), *self._without)
        self.lab: dict[str, t.Any] = json.loads((self.folder / "lab.json").read_text(encoding="utf-8"))

    def down(self) -> None:
        self._command("down", "--purge")
        self.folder.parent.rmdir()

    def _command(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        command = [sys.executable, "-m", "tradeops_lab", arguments[0], "--dir", str(self.folder), *arguments[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    # -- a site, from outside ------------------------------------------------------------------------------------

    def call(
        self,
        site: str,
        method: str,
        path: str,
        body: t.Any = None,
        *,
        token: str | None = "token",
        timeout: float = BUDGET,
    ) -> Answer:
        """One request to the service ``api`` with the secret ``token`` as bearer. Raises what http.client raises."""
        plan = self.lab["sites"][site]
        headers = {"Authorization": f"Bearer {plan['secrets'].get(token, token)}"} if token else {}
        return request(plan["services"]["api"], method, path, body, headers, timeout)

    def kubernetes(
        self, site: str, method: str, path: str, body: t.Any = None, *, token: str = "kubernetes_token", kind: str = ""
    ) -> Answer:
        """One request to the API server, as the site reaches it; ``path`` is "GROUP/VERSION REST" within its namespace, or begins with /.

        ``kind`` is the media type of a patch: merge-patch or strategic-merge-patch.
        """
        plan = self.lab["sites"][site]
        headers = {"Authorization": f"Bearer {plan['secrets'].get(token, token)}"}
        headers["Content-Type"] = f"application/{kind}+json" if kind else "application/json"
        group, _slash, rest = path.partition(" ")
        where = path if path.startswith("/") else f"/{group}/namespaces/{plan['namespace']}/{rest}"
        return request(plan["services"]["kubernetes"], method, where, body, headers, BUDGET, self._trusted())

    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=pathlib.Path(self.lab["kubernetes"]["folder"]) / "ca.crt")

    # -- the lab -------------------------------------------------------------------------------------------------

    def control(self, method: str, path: str, body: t.Any = None, timeout: float = BUDGET) -> t.Any:
        answer = request(self.lab["control"], method, path, body, {}, timeout)
        assert answer.status == 200, answer.body
        return answer.json

    def truth(self, site: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self.control("GET", f"/sites/{site}/truth"))

    def fresh(self, site: str, *, market: bool = False) -> dict[str, t.Any]:
        """Seed the site again, with its market off unless asked for. Returns the truth."""
        body = {"market_enabled": market}
        return t.cast("dict[str, t.Any]", self.control("POST", f"/sites/{site}/reset", body, RESET))

    def settled(self, site: str) -> None:
        """Wait until book and venue agree (fills are reported to the book a little later)."""
        self.until(lambda: self._agree(self.truth(site)))

    @staticmethod
    def _agree(truth: dict[str, t.Any]) -> bool:
        return bool(
            truth["positions"] == truth["venue_positions"] and truth["open_orders"] == truth["venue_open_orders"]
        )

    def faults(self, site: str, *faults: dict[str, t.Any]) -> None:
        self.control("PUT", f"/sites/{site}/faults", {"faults": list(faults)})

    def requests(self, site: str) -> list[dict[str, t.Any]]:
        return t.cast("list[dict[str, t.Any]]", self.control("GET", f"/sites/{site}/requests")["requests"])

    def writes(self, site: str) -> list[str]:
        """What the site's own log says was written: the requests that act."""
        return [f"{row['method']} {row['path']}" for row in self.requests(site) if row["write"]]

    def forget(self, *sites: str) -> None:
        """Empty the logs of requests of sites."""
        for site in sites:
            self.control("DELETE", f"/sites/{site}/requests")

    def server(self, site: str, kind: str) -> dict[str, t.Any]:
        """The postgresql or redis of a site: its own, or the one that sites share."""
        return t.cast("dict[str, t.Any]", self.lab["sites"][site].get(kind) or self.lab[kind])

    def sql(self, site: str, query: str, *values: t.Any) -> list[dict[str, t.Any]]:
        """What the site's own database says, past the simulator."""
        return asyncio.run(self._sql(site, query, values))

    async def _sql(self, site: str, query: str, values: t.Sequence[t.Any]) -> list[dict[str, t.Any]]:
        server = {key: self.server(site, "postgresql")[key] for key in ("host", "port", "user", "password")}
        session = await asyncpg.connect(**server, database=self.lab["sites"][site]["database"], ssl=False)
        try:
            return [dict(row) for row in await session.fetch(query, *values)]
        finally:
            await session.close()

    @staticmethod
    def until(check: t.Callable[[], t.Any], budget: float = BUDGET) -> t.Any:
        """Poll until ``check`` gives something true, and return it. Fails with the last thing seen."""
        end = time.monotonic() + budget
        while not (seen := check()):
            assert time.monotonic() < end, f"not so after {budget} s; last seen: {seen!r}"
            time.sleep(0.02)
        return seen


def request(
    base: str,
    method: str,
    path: str,
    body: t.Any,
    headers: t.Mapping[str, str],
    timeout: float,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    parts = urllib.parse.urlsplit(base)
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=timeout, context=tls)
        if tls
        else http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout)
    )
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def ground(*sites: str, kubernetes: bool = False, prometheus: bool = False) -> t.Any:
    """A fixture for a module: a lab with ``sites``, in a cluster and with Prometheus if asked for. It ends with the module.

    An idle lab would slow the others.
    """

    @pytest.fixture(name="ground", scope="module")
    def started() -> t.Iterator[Ground]:
        lab = Ground(*sites, kubernetes=kubernetes, prometheus=prometheus)
        yield lab
        lab.down()

    return started
