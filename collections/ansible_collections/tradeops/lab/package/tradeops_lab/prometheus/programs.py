# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of Prometheus and Alertmanager: those that are installed, else Debian's packages, unpacked.

``make prometheus`` unpacks them into the cache. Nothing is installed and no service is started.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile

from .. import cache
from ..errors import LabError

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
SERVER = PROGRAMS[:2]  # what a lab needs of them

# Debian's Alertmanager does not start without its template, and has no option for where it is. Once unpacked it looks
# for it below its working folder: a path of the same length takes the place of the absolute one.
_SHARED = b"/usr/share/prometheus/alertmanager"
_BUDGET = 120.0  # seconds for one step


def place() -> pathlib.Path:
    """Where the packages are unpacked, or will be."""
    return cache.folder() / "prometheus-relative"


def find(name: str) -> str | None:
    """Return the path of a program, None where there is none."""
    unpacked = place() / "usr" / "bin" / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def path(name: str) -> str:
    """Return the path of a program. Raises LabError where there is none."""
    found = find(name)
    if not found:
        raise LabError(f"{missing()}; without it: python -m tradeops_lab down, then up --without prometheus")
    return found


def missing() -> str:
    """Say which program a lab lacks, and how it gets there; an empty text where all are there."""
    lacks = [name for name in SERVER if not find(name)]
    return f"no {lacks[0]} on PATH or in {place()}: `make prometheus` unpacks Debian's" if lacks else ""


def fetch() -> str:
    """Unpack Debian's packages unless the programs are there. Returns why not, an empty text where all is well."""
    if all(find(name) for name in PROGRAMS):
        return ""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return "no Debian packages here: install Prometheus and Alertmanager, or do without"
    with cache.locked(cache.folder()), tempfile.TemporaryDirectory(dir=cache.folder()) as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # apt reads as another user
        got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, timeout=_BUDGET, check=False)
        if got.returncode:
            return "the packages of Prometheus and Alertmanager cannot be had: apt-get says why"
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], timeout=_BUDGET, check=True)
        alertmanager = folder / "root/usr/bin/prometheus-alertmanager"
        alertmanager.write_bytes(alertmanager.read_bytes().replace(_SHARED, _SHARED[1:] + b"/"))
        shutil.rmtree(place(), ignore_errors=True)
        (folder / "root").rename(place())
    return ""
