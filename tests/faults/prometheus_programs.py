# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus and Alertmanager for the tests, with the programs that the lab finds.

``make test`` gets them once, before the tests: workers that run side by side must all find the same programs.
A test takes the servers from here, and is skipped where there are none::

    @pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
    def test_it(tmp_path: pathlib.Path) -> None:
        with running("prometheus", tmp_path, "{}") as url:
            ...

One that scrapes sites is ``ground.lab["prometheus"]["url"]``, where the ground was asked for it.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from tradeops_lab.prometheus.programs import find, path, place

ABSENT = "Prometheus and Alertmanager are not installed, and `make prometheus` has not unpacked them"
__all__ = ["ABSENT", "fill", "find", "query", "running"]
BUDGET = 90.0  # s for a server to be ready and to have scraped


@contextlib.contextmanager
def running(name: str, folder: pathlib.Path, config: str) -> t.Iterator[str]:
    """Run ``prometheus`` or ``prometheus-alertmanager`` with a configuration; give its URL once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings, log = folder / f"{name}.yml", folder / f"{name}.log"
    settings.write_text(config, encoding="utf-8")
    storage = {"prometheus": ["--storage.tsdb.path={}"]}.get(name, ["--storage.path={}", "--cluster.listen-address="])
    arguments = [f"--config.file={settings}", f"--web.listen-address=127.0.0.1:{port}", *storage]
    command = [path(name), *(argument.format(folder / name) for argument in arguments)]
    at = place() if command[0].startswith(str(place())) else folder
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=at)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    try:
        _until(ready)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def fill(folder: pathlib.Path, lines: t.Sequence[str]) -> None:
    """Give the Prometheus that will run in ``folder`` a past, as lines of OpenMetrics."""
    past = folder / "past.txt"
    past.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    blocks = ["tsdb", "create-blocks-from", "openmetrics", str(past), str(folder / "prometheus")]
    subprocess.run([path("promtool"), *blocks], capture_output=True, timeout=60, check=True)


def query(url: str, expression: str) -> list[dict[str, t.Any]]:
    """What Prometheus says now: the rows of its answer."""
    asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return t.cast("list[dict[str, t.Any]]", json.load(answer)["data"]["result"])


def _until(check: t.Callable[[], t.Any]) -> None:
    end = time.monotonic() + BUDGET
    while not check():
        assert time.monotonic() < end, f"not so after {BUDGET:g} s"
        time.sleep(0.02)
