# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The trading state of a site: the verb that stops and resumes trading."""

from __future__ import annotations

import dataclasses

from ..._common.errors import InputError, Unsupported
from ..._common.outcome import Outcome
from .. import planner
from ..profile import Trading
from ..site import READ_ATTEMPTS, Reading
from ..states import STRICTNESS, UNKNOWN, loosens
from . import orders as order_verbs
from . import positions as position_verbs
from .run import Run, check_scope, named_scope
from .steps import Steps, Wish

# Seconds after which a stop that needs no reading does not wait for one.
_FIRST_LOOK = 1.5


def ensure_state(run: Run, wish: Wish) -> Outcome:
    """Bring the site into the wished trading state, or a stricter one, and prove it."""
    trading: Trading = run.site.require("trading")
    wish = dataclasses.replace(wish, scope=named_scope(run, wish.scope))
    goal = _goal(run, trading, wish)
    _check(run, trading, wish, goal)
    first = _first_reading(run, trading, wish, goal)
    # From a state that cannot be read, an exact wish may loosen something, unless a safe order leads just there.
    safe = planner.blind(trading, goal)
    risky = loosens(first.value, goal) or (first.value == UNKNOWN and (safe is None or safe.to != goal))
    loosening = wish.state == "active" or (wish.exact and risky)
    run.gate.stopping = not loosening
    return Steps(run, wish, trading, goal, first, loosening=loosening).take()


def _first_reading(run: Run, trading: Trading, wish: Wish, goal: str) -> Reading:
    """Read the state; only once and briefly when an order may be sent without it, for stopping waits for nothing."""
    if wish.exact or goal == "active" or planner.blind(trading, goal) is None:
        return run.site.read(trading.read, run.deadline, attempts=READ_ATTEMPTS)
    with run.within(_FIRST_LOOK):
        return run.site.read(trading.read, run.deadline, attempts=1)


def _goal(run: Run, trading: Trading, wish: Wish) -> str:
    """Return the platform's state for the wished level. Raises Unsupported by name, before any call."""
    found = planner.target(trading, wish.state)
    if found is None:
        reachable = sorted({step.to for step in trading.transitions}, key=STRICTNESS.__getitem__)
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} has no trading state {wish.state!r}; it has "
            f"{', '.join(reachable)}. Nothing was sent."
        )
    return found


def _check(run: Run, trading: Trading, wish: Wish, goal: str) -> None:
    """Refuse, before any call, what cannot work."""
    if wish.exact and wish.flattens:
        raise InputError(f"{run.site.name}: exact does not go with state flat; nothing was sent.")
    steps = [step for step in trading.transitions if step.to == goal]
    for step in steps:
        lacking = sorted(set(wish.scope) - set(step.scopes))
        if lacking:
            raise Unsupported(
                f"{run.site.name}: {run.site.profile.title} cannot set its trading state by {', '.join(lacking)}, "
                "only as a whole; nothing was sent."
            )
    if wish.state == "active" and wish.cancel_orders:
        raise InputError(f"{run.site.name}: cancel_orders does not go with state active; nothing was sent.")
    witness = trading.witness.sources.values() if trading.witness else ()
    run.site.check(*trading.read.sources.values(), *witness, *[step.request for step in steps])
    if wish.block_only:
        return  # what comes after the block is checked by what does it, and must not keep the block from being sent
    if wish.cancels:
        orders = run.site.require("orders")
        order_verbs.check_requests(run, orders)
        check_scope(run, wish.scope, not wish.scope, orders.list)
        order_verbs.needed(run, orders, wish.scope)
    if wish.flattens:
        positions = run.site.require("positions")
        position_verbs.check_requests(run, positions)
        check_scope(run, wish.scope, not wish.scope, positions.list)
        position_verbs.needed(run, positions, wish.scope)
