# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Time budgets. Every wait has one, and running out of it is a failure that carries what was last seen."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

T = t.TypeVar("T")
# A look that has less than this (s) left cannot be answered, and would only hide what was seen before.
SHORTEST_LOOK = 0.1


class Deadline:
    """A point on the monotonic clock, ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the budget began."""
        return time.monotonic() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def over(self) -> bool:
        return self.remaining <= 0.0

    def pause(self, seconds: float) -> None:
        """Wait ``seconds``, but not past the end of the budget."""
        time.sleep(min(seconds, self.remaining))


def poll(deadline: Deadline, *, first: float = 0.05, longest: float = 0.5) -> t.Iterator[int]:
    """Yield 0, 1, 2 ... with growing pauses between, at least once, until the budget is used up."""
    attempt, interval = 0, first
    while True:
        yield attempt
        if deadline.remaining <= interval + SHORTEST_LOOK:
            return
        deadline.pause(interval)
        attempt, interval = attempt + 1, min(longest, interval * 1.6)


def wait_until(observe: t.Callable[[], T], satisfied: t.Callable[[T], bool], deadline: Deadline) -> tuple[bool, T]:
    """Observe until satisfied or the budget is used up; return whether it was, and the last observation."""
    for _attempt in poll(deadline):
        seen = observe()
        if satisfied(seen):
            return True, seen
    return False, seen


@contextlib.contextmanager
def meanwhile(do: t.Callable[[], None], every: float, name: str) -> t.Iterator[None]:
    """Do something every so many seconds, in a thread called ``name``, for as long as the block runs."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every):
            do()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
