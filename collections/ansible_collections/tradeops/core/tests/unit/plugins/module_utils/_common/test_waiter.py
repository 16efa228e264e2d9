# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every wait ends, and says what it saw last."""

from __future__ import annotations

import time

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline, poll, wait_until


def test_a_deadline_counts_down_and_never_below_zero() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.remaining <= 0.05
    assert not deadline.over
    deadline.pause(10)
    assert (deadline.remaining, bool(deadline.over)) == (0.0, True)
    assert 0.05 <= deadline.elapsed < 5.0


def test_poll_looks_at_least_once_and_not_past_the_end() -> None:
    assert list(poll(Deadline(0.0))) == [0]
    began = time.monotonic()
    left = [deadline.remaining for deadline in [Deadline(1.0)] for _attempt in poll(deadline, first=0.01, longest=0.05)]
    assert len(left) >= 4
    assert all(left), "the last look has time to be answered"
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(("enough", "met"), [(3, True), (10_000, False)])
def test_wait_until_returns_the_last_observation(enough: int, met: bool) -> None:
    seen: list[int] = []

    def observe() -> int:
        seen.append(len(seen))
        return seen[-1]

    assert wait_until(observe, lambda value: value >= enough, Deadline(0.5)) == (met, seen[-1])
