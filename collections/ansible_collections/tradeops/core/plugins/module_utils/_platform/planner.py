# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Which transitions lead from one trading state to another. Pure functions of the profile."""

from __future__ import annotations

import typing as t

from .profile import Trading, Transition
from .states import STRICTNESS, UNKNOWN, satisfies


def target(trading: Trading, wanted: str) -> str | None:
    """Return the platform's own state for a wished level, or None when it has none."""
    reachable = {step.to for step in trading.transitions}
    levels: dict[str, str] = {str(level): state for level, state in trading.levels.items()}
    if wanted in levels:
        return levels[wanted]
    if wanted == "flat":  # what is held is closed by other means; the state is the one that takes no orders
        return target(trading, "halted") or target(trading, "stopped")
    return wanted if wanted in reachable else None


def route(trading: Trading, seen: str, goal: str) -> list[Transition] | None:
    """Return the fewest transitions from the state ``seen`` to ``goal``, or None.

    No state on the way is looser than both: a stop never starts anything, and a start goes no further than asked.
    """
    loosest = min(STRICTNESS[seen], STRICTNESS[goal])
    queue: list[tuple[str, list[Transition]]] = [(seen, [])]
    visited = {seen}
    while queue:
        state, steps = queue.pop(0)
        for step in trading.transitions:
            if state not in step.from_ or step.to in visited or STRICTNESS[step.to] < loosest:
                continue
            if step.to == goal:
                return [*steps, step]
            visited.add(step.to)
            queue.append((step.to, [*steps, step]))
    return None


def blind(trading: Trading, goal: str) -> Transition | None:
    """Return the transition that may be sent for ``goal`` when the state cannot be relied on: the mildest one."""
    safe = [step for step in trading.transitions if step.blind and satisfies(step.to, goal)]
    return min(safe, key=lambda step: (step.to != goal, STRICTNESS[step.to]), default=None)


def stage(trading: Trading, seen: str, goal: str, needs: t.Sequence[t.Sequence[str]]) -> str:
    """Return the state in which orders are cancelled and positions closed on the way to ``goal``.

    ``needs``: for every action that will be used, the states in which the platform can do it (none named: in all). It
    is the strictest such state that is not looser than the state ``seen``; without one it is the goal itself.
    """

    def able(state: str) -> bool:
        return all(state in states for states in needs if states)

    if able(goal):
        return goal
    reachable = {str(step.to) for step in trading.transitions} | {seen}
    floor = STRICTNESS.get(seen, STRICTNESS["reducing"])
    fit = [state for state in reachable - {UNKNOWN} if able(state) and floor <= STRICTNESS[state] <= STRICTNESS[goal]]
    return max(sorted(fit), key=STRICTNESS.__getitem__, default=goal)
