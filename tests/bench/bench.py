# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast many sites are stopped, as ratios of one run on one machine. Figures inform; they fail nothing.

Everything is measured as a user meets it: whole ``ansible-playbook`` processes, and simulated sites with real
databases.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "collections/ansible_collections/tradeops/lab/package"
PLAYBOOKS = pathlib.Path(__file__).with_name("playbooks")
# Orders a second at each site. A hundred markets at their usual rate would take half a core from what is measured.
MARKET_RATE = 0.2
RESULTS = ROOT / ".tradeops" / "bench"


# One of each kind that the lab has something to ask for; the last one takes a second, whatever the machine.
CHECKS: list[dict[str, t.Any]] = [
    {"kind": "http", "path": "/health"},
    {"kind": "json", "path": "/risk/limits", "value": "length(limits)"},
    {"kind": "platform", "read": "health"},
    {"kind": "platform", "read": "metric", "metric": "daily_pnl_usdc"},
    {"kind": "clock", "path": "/trading/status", "as_of": "as_of"},
    {"kind": "postgresql"},
    {"kind": "redis"},
    {"kind": "latency", "requests": [{"path": "/trading/status"}]},
    {"kind": "disk", "path": "/"},
    {"kind": "host", "read": "cpu", "interval": 1.0},
]


@dataclasses.dataclass
class Run:
    """``seconds``: wall time of the process; ``mebibytes``: the most that it and its children held (PSS)."""

    seconds: float
    started: float
    mebibytes: float


@dataclasses.dataclass
class Line:
    what: str
    measured: str
    target: str
    met: bool


class Lab:
    """A lab of ``count`` FlashMM sites of its own."""

    def __init__(self, folder: str, count: int) -> None:
        self.environment = {
            **os.environ,
            "TRADEOPS_LAB_DIR": f"{folder}/lab",
            "TRADEOPS_STATE_DIR": f"{folder}/state",
            "PYTHONPATH": str(PACKAGE),
        }
        self.count = count
        self.folder = folder

    def __enter__(self) -> Lab:
        # Nothing of a slow first start is measured: the lab is up and seeded before the first run.
        # Without the cluster, whose hundred namespaces would take both cores from what is measured.
        self._command("up", "--sites", f"flashmm-primary*{self.count}", "--without", "kubernetes")
        facts = json.loads(pathlib.Path(self.folder, "lab", "lab.json").read_text(encoding="utf-8"))
        self.control, self.sites = facts["control"], list(facts["sites"])
        return self

    def __exit__(self, *_exc: object) -> None:
        self._command("down", "--purge")

    def reset(self, *, market: bool) -> None:
        """Seed every site again: active, with open orders."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda site: self.call("POST", f"/sites/{site}/reset", {}), self.sites))
            trading = {"enabled": market, "rate": MARKET_RATE}
            list(pool.map(lambda site: self.call("POST", f"/sites/{site}/market", trading), self.sites))

    def last_order(self) -> float:
        """Return when the last site got its order to stop, in Unix seconds."""
        moments = []
        for site in self.sites:
            rows = self.call("GET", f"/sites/{site}/requests?since=0")["requests"]
            stops = [row["at"] for row in rows if row["path"].endswith("/admin/emergency-stop")]
            if not stops:
                raise RuntimeError(f"{site} got no order to stop")
            moments.append(datetime.datetime.fromisoformat(stops[0]).timestamp())
        return max(moments)

    def call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.control + path, content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def play(self, name: str, *arguments: str) -> Run:
        command = ["ansible-playbook", "-i", "inventories/lab", str(PLAYBOOKS / f"{name}.yml"), *arguments]
        wall, started = time.time(), time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            peak = Peak(process.pid)
            output, _nothing = process.communicate()
        seconds = time.monotonic() - started
        if process.returncode:
            raise RuntimeError(f"{name} failed:\n{output[-4000:]}")
        return Run(seconds, wall, peak.finish())

    def _command(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "tradeops_lab", *arguments], env=self.environment, check=True)


class Peak:
    """Watches how much memory a process and its children hold, each shared page counted once.

    ``only``: what the name of a program begins with that is counted.
    """

    def __init__(self, pid: int, only: str = "") -> None:
        self._pid = pid
        self._only = only
        self._most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def finish(self) -> float:
        self._over.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            counted = (pid for pid in _family(self._pid) if _program(pid).startswith(self._only))
            self._most = max(self._most, sum(map(_pss, counted)))


def _family(pid: int) -> list[int]:
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *[member for child in children for member in _family(int(child))]]


def _program(pid: int) -> str:
    try:
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:  # it has ended
        return ""


def _pss(pid: int) -> float:
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _median(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def measure(lab: Lab, repeats: int) -> list[Line]:
    progress("empty play")
    lab.play("empty")  # compiles what Python compiles once
    empty = _median([lab.play("empty") for _turn in range(repeats)])

    blocks, orders = [], []
    for turn in range(repeats):
        progress(f"block {lab.count} sites, {turn + 1} of {repeats}")
        lab.reset(market=True)
        blocks.append(lab.play("block"))
        orders.append(lab.last_order() - blocks[-1].started)

    stops = []
    for turn in range(repeats):
        progress(f"proven stop of {lab.count} sites, {turn + 1} of {repeats}")
        lab.reset(market=True)
        stops.append(lab.play("stop"))

    progress("times to proof, without and with a hung site")
    calm, hung = times_to_proof(lab, hang=False), times_to_proof(lab, hang=True)

    health = measure_health(lab, repeats)

    progress("the same calls by ansible.builtin.uri (this takes minutes)")
    lab.reset(market=True)
    uri = lab.play("uri").seconds

    block, stop, order = _median(blocks), _median(stops), statistics.median(orders)
    memory = max(run.mebibytes for run in [*blocks, *stops])
    slowest = statistics.median(hung) / statistics.median(calm)
    return [
        Line(f"empty play over {lab.count} sites", f"{empty:.2f} s", "", True),
        ratio("the last site has the order to block", order, empty, 2.0),
        ratio("block: the whole process", block, empty, 2.0),
        ratio("proven stop: the whole process", stop, empty, 6.0),
        Line(
            "same calls by ansible.builtin.uri",
            f"{uri:.1f} s, {uri / stop:.1f} x the proven stop",
            ">= 8 x",
            uri / stop >= 8,
        ),
        Line(
            "one hung site: median time to proof of the others",
            f"{slowest:.2f} x as without",
            "<= 1.2 x",
            slowest <= 1.2,
        ),
        *health,
        Line("memory of the controller", f"{memory:.0f} MiB", "< 300 MB", memory < 286),
    ]


def measure_health(lab: Lab, repeats: int) -> list[Line]:
    """Many checks of one site against the slowest of them, and a gate over many sites against an empty play."""
    progress("health: 200 checks of one site, and a gate over 50 sites")
    lab.reset(market=False)
    empty = _median([lab.play("empty_fifty") for _turn in range(repeats)])
    gate = _median([lab.play("gate") for _turn in range(repeats)])
    path = pathlib.Path(lab.folder, "checks.prom")
    checks = [{**CHECKS[number % len(CHECKS)], "name": f"check-{number}", "timeout": 20} for number in range(200)]
    over = []

    def made(some: list[dict[str, t.Any]]) -> float:
        return lab.play("health", "-e", json.dumps({"bench_times": str(path), "bench_checks": some})).seconds

    # What Ansible and one task of this module cost, whatever is checked.
    instant = [check for check in checks if check["kind"] == "disk"][:1]
    alone = statistics.median(made(instant) for _turn in range(repeats))
    for _turn in range(repeats):
        took = made(checks)
        lines = path.read_text(encoding="utf-8").splitlines()
        seconds = [float(line.split()[-1]) for line in lines if line.startswith("tradeops_health_check_seconds{")]
        over.append((took, max(seconds)))
    took, slowest = sorted(over)[len(over) // 2]
    allowed = slowest + empty
    return [
        Line(
            "200 health checks, with Ansible and all",
            f"{took:.2f} s, slowest check {slowest:.2f} s",
            f"<= {allowed:.2f} s",
            took <= allowed,
        ),
        Line(
            "the same 200, beside a play with one instant check",
            f"{took - alone:.2f} s more than its {alone:.2f} s",
            f"<= {slowest * 1.1:.2f} s",
            took - alone <= slowest * 1.1,
        ),
        ratio("a health gate over 50 sites", gate, empty, 4.0),
    ]


def ratio(what: str, seconds: float, empty: float, most: float) -> Line:
    return Line(what, f"{seconds:.2f} s, {seconds / empty:.2f} x empty", f"<= {most:g} x", seconds / empty <= most)


def times_to_proof(lab: Lab, *, hang: bool) -> list[float]:
    """Return the times to proof of all sites but the first, which hangs if asked. The results come in its order."""
    lab.reset(market=True)
    path = f"{lab.folder}/times.json"
    extra = {"bench_times": path, "bench_on_failure": "report", "tradeops_wait_timeout": 10}
    if hang:
        lab.call("PUT", f"/sites/{lab.sites[0]}/faults", {"faults": [{"kind": "hang"}]})
    lab.play("stop", "-e", json.dumps(extra))
    times: list[float] = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return times[1:]


def progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tradeops-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - PostgreSQL runs as another user when the bench runs as root
        with Lab(folder, given.sites) as lab:
            lines = measure(lab, given.repeats)
    width = max(len(line.what) for line in lines)
    for line in lines:
        print(f"{line.what:<{width}}  {line.measured:<32} {line.target:<9} {'' if line.met else 'MISSED'}".rstrip())
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bench.json").write_text(
        json.dumps([dataclasses.asdict(line) for line in lines], indent=1), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
