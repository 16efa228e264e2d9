# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The steps of one wish for a trading state, in their order: block, cancel, close, settle, prove."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._common.errors import CallError, LeaseHeld, Refused, TradeopsError, Unproven
from ..._common.outcome import Object, Outcome
from ..._common.waiter import Deadline, wait_until
from .. import planner
from ..profile import Action, Trading, Transition
from ..site import Reading
from ..states import UNKNOWN, satisfies
from . import orders as order_verbs
from . import positions as position_verbs
from .run import Part, Run
from .sight import Sight, Watch

# The part of the budget in which a block is awaited before orders are cancelled on the way to a stricter state.
_BLOCKING = 0.4
# How often orders that entered meanwhile are cancelled, too.
_ROUNDS = 3
# Seconds at the end of the budget in which a request may no longer get its answer.
_LAST_MOMENT = 0.1


@dataclasses.dataclass(frozen=True)
class Wish:
    """``state``: what the operator named. ``exact``: a stricter state does not do. ``scope`` must be empty unless the
    platform can stop a part of itself. ``block_only``: send the first order of the level and prove nothing yet."""

    state: str
    exact: bool = False
    cancel_orders: bool = False
    scope: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    when_closed: str = "refuse"
    block_only: bool = False

    @property
    def flattens(self) -> bool:
        return self.state == "flat"

    @property
    def cancels(self) -> bool:
        return self.cancel_orders or self.flattens


class Steps:
    """What is seen and done on the way; ``take`` goes it."""

    def __init__(self, run: Run, wish: Wish, trading: Trading, goal: str, first: Reading, *, loosening: bool) -> None:
        self.run = run
        self.wish = wish
        self.trading = trading
        self.goal = goal
        self.loosening = loosening
        self.before = Sight(first.value, first.problem)
        self.now = first
        self.confirmed = True
        self.parts: dict[str, Part] = {}
        self.objects: dict[tuple[str, str], Object] = {}
        self.glance: Sight | None = None
        self.watch = Watch(
            run, trading, goal, wish.exact or loosening, not loosening, wish.cancels, wish.flattens, wish.scope
        )

    def take(self) -> Outcome:
        try:
            stage = planner.stage(
                self.trading, self.now.value, self.goal, [action.requires for action in self._actions()]
            )
            self._move(stage)
            if self.wish.block_only:
                return self._ordered(stage)
            if stage != self.goal and self._actions() and not self.run.gate.check_mode:
                # What enters while the block takes effect would outlive the cancelling. Whether it did is seen later.
                wait_until(lambda: self._reads(stage), bool, Deadline(self.run.deadline.remaining * _BLOCKING))
            if self.wish.cancels:
                self._step("orders", self._cancel)
            if self.wish.flattens:
                self._step("positions", self._close)
            if self._trouble("positions"):
                # What still holds positions is not stopped: a stopped platform could no longer close them.
                self.watch = dataclasses.replace(self.watch, goal=stage)
            elif stage != self.goal:
                self._move(self.goal)
            sight = self._predict() if self.run.gate.check_mode else self._prove()
        except (CallError, LeaseHeld, Unproven) as exc:
            return self._failed(exc)
        return self._verdict(sight)

    def _actions(self) -> list[Action]:
        """Return what will be used on the way."""
        able, found = self.run.site.profile.capabilities, []
        if self.wish.cancels and able.orders:
            found.append(order_verbs.chosen(able.orders, self.wish.scope))
        if self.wish.flattens and able.positions:
            found.append(position_verbs.chosen(able.positions, self.wish.scope))
        return [action for action in found if action is not None]

    def _move(self, goal: str) -> None:
        """Send the transitions that lead from the state that is seen to the goal; none when it is there already."""
        if self.run.gate.sent:
            self.now = self.watch.read()
        seen = self.now
        there = satisfies(seen.value, goal, exact=self.watch.exact)
        if there:
            if not self._doubtful(goal):
                return
            if self.glance and not self.watch.satisfied(self.glance.state):
                seen, there = Reading(self.glance.state, self.glance.problem), False
        for number, step in enumerate(self._path(seen, goal, there=there)):
            if number and not self.run.gate.check_mode:
                self._await(self.now.value)
            self._send(step)
            self.now = Reading(step.to)

    def _send(self, step: Transition) -> None:
        why = f"trading {self.now.value} -> {step.to}"
        ack = self.run.act(step, "set trading state", why, self.wish.scope, lambda: self._reads(step.to))
        self.confirmed = ack is None or ack.certain or ack.landed

    def _path(self, seen: Reading, goal: str, *, there: bool) -> list[Transition]:
        if seen.value != UNKNOWN and not there:
            found = planner.route(self.trading, seen.value, goal)
            if found is None:
                problem = f"no way from {seen.value} to {goal} in the profile {self.run.site.profile.name}"
                raise Refused(problem, method="", path="", sent=False)
            return found
        safe = None if self.loosening else planner.blind(self.trading, goal)
        if safe is not None:
            return [safe]
        if self.loosening:
            problem = f"the trading state is unknown ({seen.problem}), and nothing is loosened from there"
        else:
            problem = f"the trading state cannot be relied on ({seen.problem or f'it says {seen.value}'})"
            problem += f", and no order to {goal} is safe to send blindly"
        raise seen.error or Unproven(problem)

    def _await(self, state: str) -> None:
        """Wait until a step has taken effect: the next one begins where it ends."""
        if not wait_until(lambda: self._reads(state), bool, self.run.part_budget())[0]:
            raise Unproven(f"the site did not become {state}, which comes before {self.goal}")

    def _doubtful(self, goal: str) -> bool:
        """Whether a site that says it does not trade is seen to take orders all the same, or cannot be seen not to."""
        if self.loosening or self.wish.block_only or self.run.gate.sent or goal != self.goal:
            return False
        self.glance = self.watch.look()
        if self.glance.moved:
            self.run.say(f"the platform said {self.glance.state}, but orders still entered")
            self.before = Sight(UNKNOWN, "the platform and its witness contradict each other")
        unseen = bool(self.glance.markers and UNKNOWN in self.glance.markers)
        # What cannot be seen is ordered once more where that is safe; elsewhere it stays unproven.
        doubt = unseen and planner.blind(self.trading, goal) is not None
        return self.glance.moved or doubt or not self.watch.satisfied(self.glance.state)

    def _reads(self, state: str) -> bool:
        return satisfies(self.watch.read().value, state, exact=self.watch.exact)

    def _step(self, kind: str, take: t.Callable[[], Part]) -> None:
        """Take a step; what goes wrong in it does not keep the next ones from being taken."""
        try:
            part = take()
        except CallError as exc:
            part = Part(problem=str(exc), refused=isinstance(exc, Refused), error=exc)
        self.parts[kind] = part
        self.objects |= {(item.kind, item.id): item for item in part.objects}

    def _trouble(self, kind: str) -> bool:
        return kind in self.parts and bool(self.parts[kind].problem)

    def _cancel(self) -> Part:
        """Cancel what is open, and what entered while that was done."""
        orders = self.run.site.require("orders")
        action = order_verbs.chosen(orders, self.wish.scope)
        part = Part()
        for turn in range(_ROUNDS):
            try:
                found = order_verbs.listed(self.run, orders, self.wish.scope)
            except CallError as exc:
                if action is not orders.cancel_all:
                    raise
                self.run.say(f"the open orders cannot be listed, all are cancelled: {exc}")
                found = None
            if self.before.open_orders is None and found is not None:
                self.before.open_orders = len(found)
            if found and self._cannot(action):
                return Part(
                    left=len(found), problem=f"{len(found)} orders are open and {self._cannot(action)}", refused=True
                )
            share = Deadline(self.run.deadline.remaining * 0.5 / (_ROUNDS - turn))
            part = order_verbs.cancel(self.run, self.wish.scope, found, share)
            self.objects |= {(item.kind, item.id): item for item in part.objects}
            # What is still listed as open may have been opened again under its old id.
            again = part.entered or (action and action.repeatable and not part.refused and not part.error)
            if not part.problem or not again or self.run.deadline.over:
                break
        return part

    def _close(self) -> Part:
        positions = self.run.site.require("positions")
        found = position_verbs.held(self.run, positions, self.wish.scope)
        if self.before.positions is None:
            self.before.positions = len(found)
        cannot = self._cannot(position_verbs.chosen(positions, self.wish.scope))
        if found and cannot:
            return Part(left=len(found), problem=f"{len(found)} positions are held and {cannot}", refused=True)
        return position_verbs.close(self.run, self.wish.scope, found, when_closed=self.wish.when_closed)

    def _cannot(self, action: Action | None) -> str:
        """Say why an action is not possible in the state of now, or return an empty text."""
        needs = action.requires if action else []
        if not needs or self.now.value in (*needs, UNKNOWN):
            return ""
        return (
            f"{self.run.site.profile.title} cannot do that while it is {self.now.value}; it is not started for it. "
            f"Bring it to {' or '.join(needs)} on purpose, then ask again"
        )

    def _prove(self) -> Sight:
        """Observe until the goal is seen; orders that were opened again are cancelled again, a few times."""
        if self.glance and not self.run.gate.sent and self.watch.good(self.glance):
            return self.glance
        watch, rounds, last = self.watch, 0, Sight(UNKNOWN)
        if self._trouble("orders") or self._trouble("positions"):
            # They will not become good any more; what is left to see is the state.
            watch = dataclasses.replace(watch, cancels=False, flattens=False)

        def observe() -> Sight:
            nonlocal rounds, last
            sight = watch.look()
            cut_short = self.run.deadline.remaining < _LAST_MOMENT
            if sight.state != UNKNOWN or last.state == UNKNOWN or not cut_short:
                last = sight  # a look that the end of the budget cut short says less than the one before
            if last.open_orders and watch.cancels and rounds < _ROUNDS:
                rounds += 1
                self.run.say(f"{last.open_orders} orders were opened again")
                self._step("orders", self._cancel)
            return last

        return wait_until(observe, watch.good, self.run.deadline)[1]

    def _ordered(self, stage: str) -> Outcome:
        """Report that the first order was accepted. ``ordered`` is no end: what follows has to prove the effect."""
        before = self.before.to_dict()
        problem = "" if self.confirmed else "the platform did not confirm the order"
        outcome = self.run.outcome("trading", stage, before=before, after=before, problem=problem)
        if outcome.result == "proven":
            outcome.result, outcome.changed = "ordered", True
        return outcome

    def _predict(self) -> Sight:
        moved = any(step["action"] == "set trading state" for step in self.run.gate.plan)
        state = self.goal if moved else self.before.state
        return Sight(state, open_orders=0 if self.wish.cancels else None, positions=0 if self.wish.flattens else None)

    def _verdict(self, sight: Sight) -> Outcome:
        troubled = [part for part in self.parts.values() if part.problem]
        problems = [part.problem for part in troubled]
        refused = bool(troubled) and all(part.refused for part in troubled)
        if not self.run.gate.check_mode:
            state_only = dataclasses.replace(self.watch, cancels=False, flattens=False)
            watch = state_only if troubled else self.watch
            if self.watch.good(sight):
                problems = []  # a step was slow, and all is well by now
            elif not watch.good(sight):
                problems, refused = [watch.missing(sight), *problems], False
        self._leave(sight)
        witness = self.watch.witness(sight)
        if witness is None and not self.loosening and not self.run.gate.check_mode:
            self.run.gate.note("no witness for this level: the state was read back from the platform alone")
        if self.goal != self.wish.state and not self.wish.flattens:
            self.run.gate.note(f"the platform has no state {self.wish.state!r}; its profile names {self.goal!r} for it")
        return self.run.outcome(
            "trading",
            self.wish.state,
            before=self.before.to_dict() | {"marker": sight.markers[0] if sight.markers else None},
            after=sight.to_dict() | self._left(sight),
            objects=list(self.objects.values()),
            problem="; ".join(problems),
            refused=refused,
            error=next((part.error for part in troubled), self.now.error),
            witness=witness,
        )

    def _leave(self, sight: Sight) -> None:
        """Count the orders that stay open at a platform that lists them and has no way to cancel them."""
        able = self.run.site.profile.capabilities.orders
        if able is None or able.can or self.loosening or self.goal == "reducing":
            return
        try:
            sight.open_orders = len(order_verbs.listed(self.run, able, self.wish.scope))
        except CallError as exc:
            self.run.gate.note(f"whether orders stay open cannot be read: {exc}")
            return
        if sight.open_orders:
            self.run.gate.note(
                f"{sight.open_orders} orders stay open: {self.run.site.profile.title} has no way to cancel them; "
                "cancel them at the venue"
            )

    def _left(self, sight: Sight) -> dict[str, int | None]:
        """Return what was last counted of orders and positions."""
        seen = {"open_orders": (sight.open_orders, "orders"), "positions": (sight.positions, "positions")}
        return {
            name: self.parts[kind].left if count is None and self._trouble(kind) else count
            for name, (count, kind) in seen.items()
        }

    def _failed(self, exc: TradeopsError) -> Outcome:
        """Report an order that was refused or could not be given, with what is seen now."""
        sight = self.watch.look() if self.run.gate.sent and not self.wish.block_only else self.before
        return self.run.outcome(
            "trading",
            self.wish.state,
            before=self.before.to_dict(),
            after=sight.to_dict(),
            objects=list(self.objects.values()),
            problem=str(exc),
            refused=exc.result == "refused",
            error=exc,
        )
