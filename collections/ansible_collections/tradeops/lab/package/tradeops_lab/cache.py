# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is large and made once on a machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pathlib
import typing as t


def folder() -> pathlib.Path:
    """$TRADEOPS_CACHE_DIR, else ``tradeops`` in the user's cache folder."""
    chosen = os.environ.get("TRADEOPS_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(chosen or f"{base}/tradeops").expanduser().absolute()


@contextlib.contextmanager
def locked(place: pathlib.Path) -> t.Iterator[None]:
    """Hold the folder ``place`` against others that make something in it. It is made where it is missing."""
    with _opened(place) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.asynccontextmanager
async def locked_async(place: pathlib.Path, told: t.Callable[[], None]) -> t.AsyncIterator[None]:
    """The same beside other work; ``told`` is called once when somebody else holds it."""
    with _opened(place) as handle:
        waits = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waits:
                    told()
                waits = True
            await asyncio.sleep(0.5)
        yield


@contextlib.contextmanager
def _opened(place: pathlib.Path) -> t.Iterator[int]:
    place.mkdir(parents=True, exist_ok=True)
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)
