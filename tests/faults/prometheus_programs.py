# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of Prometheus and Alertmanager for the tests: those that are installed, else Debian's packages unpacked."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("TRADEOPS_CACHE_DIR", ROOT / ".cache")) / "prometheus"
PACKAGES = ("prometheus", "prometheus-alertmanager")
ABSENT = "Prometheus and Alertmanager are not installed, and no Debian package of them can be had here"


@functools.cache
def program(name: str) -> str | None:
    """Return the path of a program, or None where there is none."""
    return shutil.which(name) or _unpacked(name)


def _unpacked(name: str) -> str | None:
    path = CACHE / "usr" / "bin" / name
    if path.exists():
        return str(path)
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    # Nothing is installed and no server is started: the packages are only unpacked.
    got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=CACHE, capture_output=True, timeout=120, check=False)
    for package in CACHE.glob("*.deb") if got.returncode == 0 else ():
        subprocess.run(["dpkg", "-x", str(package), str(CACHE)], capture_output=True, timeout=120, check=True)
        package.unlink()
    return str(path) if path.exists() else None
