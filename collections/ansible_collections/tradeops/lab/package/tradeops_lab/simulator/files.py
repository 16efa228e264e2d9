# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a site beside its databases: models, configuration, market data, logs. Real, for a test to damage."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import os
import pathlib
import shutil
import time
import typing as t

if t.TYPE_CHECKING:
    from ..platforms.base import Platform

_CONFIG = pathlib.Path(__file__).parents[1] / "platforms" / "config"
MODEL_SUMS = "SHA256SUMS"
MODEL_SIZE = 64 * 1024  # bytes
PARQUET = b"PAR1"  # the first and the last four bytes of such a file
PARQUET_SIZE = 32 * 1024  # bytes
# In days.
_LOG_AGES = {"application.log": 0, "application-1.log": 8, "application-2.log.gz": 20, "application-3.log.gz": 40}


def furnish(folder: pathlib.Path, kind: str, platform: Platform) -> None:
    """Write the files of one kind anew, where the platform has any. What is there is replaced as a whole."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    _KINDS[kind](fresh, platform)
    shutil.rmtree(folder, ignore_errors=True)
    if any(fresh.iterdir()):
        fresh.rename(folder)
    else:
        fresh.rmdir()


def _models(folder: pathlib.Path, platform: Platform) -> None:
    """The models with their manifest, as if the training had just ended."""
    sums = []
    for name in platform.models:
        content = hashlib.shake_256(name.encode()).digest(MODEL_SIZE)
        (folder / name).write_bytes(content)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    if sums:
        (folder / MODEL_SUMS).write_text("".join(sums), encoding="utf-8")


def _config(folder: pathlib.Path, platform: Platform) -> None:
    if platform.config:
        shutil.copytree(_CONFIG / platform.config, folder, dirs_exist_ok=True)


def _parquet(folder: pathlib.Path, platform: Platform) -> None:
    for symbol in platform.symbols if platform.parquet_days else ():
        (folder / symbol).mkdir()
        for day in range(platform.parquet_days):
            date = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=day + 1)
            seed = hashlib.shake_256(f"{symbol} {date}".encode()).digest(PARQUET_SIZE // 3)
            (folder / symbol / f"{date}.parquet").write_bytes(parquet(seed + bytes(PARQUET_SIZE - len(seed))))


def parquet(pages: bytes) -> bytes:
    """Bytes that begin and end as a Parquet file does, with the length of the footer. What is between is no columns."""
    footer = hashlib.sha256(pages).digest()
    return PARQUET + pages + footer + len(footer).to_bytes(4, "little") + PARQUET


def _logs(folder: pathlib.Path, _platform: Platform) -> None:
    """Of today, of last week, and of the month before, each as old as it is to look."""
    for name, days in _LOG_AGES.items():
        path = folder / name
        text = f"{days} days ago, nothing to tell\n".encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        then = time.time() - days * 86400
        os.utime(path, (then, then))


# By the name of the folder in run/, in which each site has one of its own.
_KINDS: dict[str, t.Callable[[pathlib.Path, Platform], None]] = {
    "models": _models,
    "config": _config,
    "data": _parquet,
    "site-logs": _logs,
}
KINDS = tuple(_KINDS)
