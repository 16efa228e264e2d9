# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for something with a budget; running out of it says what was last seen."""

from __future__ import annotations

import asyncio
import threading
import time
import typing as t

from .errors import LabError

T = t.TypeVar("T")
POLL = 0.05  # seconds between two looks


class NotYet(Exception):
    """A look that did not find what is awaited; the text says what it found instead."""


async def wait_for(look: t.Callable[[], t.Awaitable[T]], budget: float, what: str) -> T:
    """Return what ``look`` gives once it raises neither NotYet nor OSError.

    :param budget: seconds for all looks together; a look that hangs is cut off.
    :param what: the awaited state, for the message of the LabError that ends a wait in vain.
    """
    deadline = time.monotonic() + budget
    seen = "nothing yet"
    while (left := deadline - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                return await look()
        except TimeoutError:
            seen = f"no answer; before that: {seen}"
        except (NotYet, OSError) as exc:
            seen = str(exc) or type(exc).__name__
        await asyncio.sleep(POLL)
    raise LabError(f"{what}: not within {budget:.0f} s; last seen: {seen}")


async def together(*jobs: t.Coroutine[t.Any, t.Any, None]) -> None:
    """Do the jobs at the same time. The first one that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def pause(seconds: float) -> None:
    """The pause between two looks of a loop that is not asynchronous."""
    threading.Event().wait(seconds)
