# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus and Alertmanager for the tests: the programs that are installed, else Debian's packages unpacked.

``make test`` runs this file once, before the tests: workers that run side by side must all find the same programs.
A test takes the servers from here, and is skipped where there are none::

    @pytest.mark.skipif(not program("prometheus"), reason=ABSENT)
    def test_it(ground: Ground, tmp_path: pathlib.Path) -> None:
        api = ground.lab["sites"]["adaptive-order-book-primary"]["services"]["api"]
        with scraping(tmp_path, api, {"trading_orders_total": past}) as url:
            ...  # GET {url}/api/v1/query_range: the past, and what the site says at /metrics each second
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("TRADEOPS_CACHE_DIR", ROOT / ".cache")) / "prometheus-relative"
PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
ABSENT = "Prometheus and Alertmanager are not installed; `python tests/faults/prometheus_programs.py` found no package"

# Debian's Alertmanager does not start without its template, and has no option for where it is. Once unpacked it looks
# for it below its working folder: a path of the same length takes the place of the absolute one.
SHARED = b"/usr/share/prometheus/alertmanager"
BUDGET = 30.0  # s for a server to be ready and to have scraped


@functools.cache
def program(name: str) -> str | None:
    """Return the path of a program, or None where there is none."""
    unpacked = CACHE / "usr" / "bin" / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def unpack() -> None:
    """Unpack Debian's packages, where they can be had. Nothing is installed and no server is started."""
    if all(program(name) for name in PROGRAMS):
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        print("no Debian packages here: the tests with Prometheus and Alertmanager are skipped", file=sys.stderr)
        return
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # apt reads as another user
        got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, timeout=120, check=False)
        if got.returncode:
            print("the packages cannot be had: the tests with Prometheus and Alertmanager are skipped", file=sys.stderr)
            return
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], timeout=120, check=True)
        alertmanager = folder / "root/usr/bin/prometheus-alertmanager"
        alertmanager.write_bytes(alertmanager.read_bytes().replace(SHARED, SHARED[1:] + b"/"))
        shutil.rmtree(CACHE, ignore_errors=True)
        (folder / "root").rename(CACHE)


@contextlib.contextmanager
def running(name: str, folder: pathlib.Path, config: str) -> t.Iterator[str]:
    """Run ``prometheus`` or ``prometheus-alertmanager`` with a configuration; give its URL once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path, log = folder / f"{name}.yml", folder / f"{name}.log"
    path.write_text(config, encoding="utf-8")
    storage = {"prometheus": ["--storage.tsdb.path={}"]}.get(name, ["--storage.path={}", "--cluster.listen-address="])
    arguments = [f"--config.file={path}", f"--web.listen-address=127.0.0.1:{port}", *storage]
    command = [str(program(name)), *(argument.format(folder / name) for argument in arguments)]
    at = CACHE if command[0].startswith(str(CACHE)) else folder
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=at)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    try:
        _until(ready)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def scraping(
    folder: pathlib.Path, target: str, history: t.Mapping[str, t.Sequence[tuple[float, float]]] | None = None
) -> t.Iterator[str]:
    """Run a Prometheus that scrapes ``target``/metrics each second, and give its URL once it has something.

    ``history``: metric -> pairs of (seconds since 1970, value), in order of time, that it has from before it was
    started, as a series without labels: what an archive of a day needs.
    """
    if history:
        lines = [f"{name} {value} {at:.3f}" for name, pairs in history.items() for at, value in pairs]
        past = folder / "past.txt"
        past.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
        blocks = ["tsdb", "create-blocks-from", "openmetrics", str(past), str(folder / "prometheus")]
        subprocess.run([str(program("promtool")), *blocks], capture_output=True, timeout=60, check=True)
    job = {"job_name": "site", "static_configs": [{"targets": [urllib.parse.urlsplit(target).netloc]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    with running("prometheus", folder, yaml.safe_dump(config)) as url:
        _until(lambda: query(url, 'up{job="site"} == 1'))
        yield url


def query(url: str, expression: str) -> list[dict[str, t.Any]]:
    """What Prometheus says now: the rows of its answer."""
    asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(asked, timeout=5) as answer:
        return t.cast("list[dict[str, t.Any]]", json.load(answer)["data"]["result"])


def _until(check: t.Callable[[], t.Any]) -> None:
    end = time.monotonic() + BUDGET
    while not check():
        assert time.monotonic() < end, f"not so after {BUDGET:g} s"
        time.sleep(0.02)


if __name__ == "__main__":
    unpack()
