# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probes of the machine that makes the checks: file systems, files, use of its resources (Linux)."""

from __future__ import annotations

import glob
import os
import pathlib
import time

from ..asked import Asked
from ..checks import Disk, File, Host
from ..reading import NoAnswer, Reading, Unreadable

_PROC = pathlib.Path("/proc")


def disk(check: Disk, _asked: Asked) -> Reading:
    try:
        found = os.statvfs(check.path)
    except OSError as exc:
        raise Unreadable(f"{check.path}: {(exc.strerror or '').lower()}") from exc
    if check.read == "inodes":
        total, free, usable = found.f_files, found.f_ffree, found.f_favail
    else:
        total, free, usable = found.f_blocks, found.f_bfree, found.f_bavail
    used = total - free
    if used + usable <= 0:
        raise Unreadable(f"{check.path} is on a file system that does not count its {check.read}")
    note = f"{usable * found.f_frsize / 2**30:.1f} GiB free" if check.read == "space" else f"{usable} inodes free"
    return Reading(round(100.0 * used / (used + usable), 2), check.path, note=note)


def file(check: File, _asked: Asked) -> Reading:
    moments = {}
    for path in glob.glob(check.path):
        try:
            moments[path] = os.stat(path).st_mtime
        except OSError:
            continue  # it was removed while we looked
    if not moments:
        raise NoAnswer(f"there is no file {check.path}")
    newest = max(moments, key=moments.__getitem__)
    return Reading(round(time.time() - moments[newest], 3), newest)


def host(check: Host, asked: Asked) -> Reading:
    where = os.uname().nodename
    try:
        if check.read == "load":
            load = float((_PROC / "loadavg").read_text(encoding="ascii").split()[0])
            return Reading(round(load / (os.cpu_count() or 1), 3), where, note=f"load {load:g}")
        if check.read == "cpu":
            before = _cpu()
            asked.deadline.pause(check.interval)
            busy, total = (after - first for after, first in zip(_cpu(), before, strict=True))
            return Reading(round(100.0 * busy / total, 2) if total else 0.0, where)
        memory = _memory()
    except (OSError, ValueError, KeyError, IndexError) as exc:
        raise Unreadable(f"this machine does not tell its {check.read} as Linux does: {exc}") from exc
    if check.read == "memory":
        return Reading(round(100.0 * (1 - memory["MemAvailable"] / memory["MemTotal"]), 2), where)
    swap = memory["SwapTotal"]
    return Reading(round(100.0 * (1 - memory["SwapFree"] / swap), 2) if swap else 0.0, where)


def _cpu() -> tuple[int, int]:
    """Return the ticks that all CPUs were busy, and all ticks."""
    line = (_PROC / "stat").read_text(encoding="ascii").splitlines()[0]
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _memory() -> dict[str, int]:
    lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
    return {key: int(rest.split()[0]) for key, _colon, rest in (line.partition(":") for line in lines)}
