# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of Prometheus and Alertmanager for the tests: those that are installed, else Debian's packages unpacked.

``make test`` runs this file once, before the tests: workers that run side by side must all find the same programs.
"""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("TRADEOPS_CACHE_DIR", ROOT / ".cache")) / "prometheus"
PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
ABSENT = "Prometheus and Alertmanager are not installed; `python tests/faults/prometheus_programs.py` found no package"


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
        shutil.rmtree(CACHE, ignore_errors=True)
        (folder / "root").rename(CACHE)


if __name__ == "__main__":
    unpack()
