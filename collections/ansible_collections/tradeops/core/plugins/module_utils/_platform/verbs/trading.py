# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The trading state of a site: the verb that stops and resumes trading."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._common.errors import CallError, InputError, Refused, Unreachable, Unsupported
from ..._common.outcome import Object, Outcome
from ..._common.waiter import wait_until
from ..profile import Read, Trading, Transition
from ..site import READ_ATTEMPTS, Reading
from ..states import STRICTNESS, UNKNOWN, loosens, satisfies
from . import orders as order_verbs
from . import positions as position_verbs
from .run import Part, Run

_QUIET_LEVELS = ("halted", "flat", "stopped")
_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Wish:
    """``state``: what the operator named. ``exact``: a stricter state does not do. ``scope`` must be empty unless the
    platform can stop a part of itself. ``block_only``: send the first order of the level and prove nothing yet."""

    state: str
    exact: bool = False
    cancel_orders: bool = False
    scope: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    when_closed: str = "refuse"
    block_only: bool = False

    @property
    def flatten(self) -> bool:
        return self.state == "flat"

    @property
    def cancels(self) -> bool:
        return self.cancel_orders or self.flatten


@dataclasses.dataclass
class Sight:
    """What was observed at one moment. ``markers``: the witness before and after the quiet time."""

    state: str
    problem: str = ""
    open_orders: int | None = None
    positions: int | None = None
    markers: tuple[t.Any, t.Any] | None = None

    @property
    def moved(self) -> bool:
        return self.markers is not None and self.markers[0] != self.markers[1]

    def to_dict(self) -> dict[str, t.Any]:
        marker = self.markers[1] if self.markers else None
        return {"state": self.state, "open_orders": self.open_orders, "positions": self.positions, "marker": marker}


def ensure_state(run: Run, wish: Wish) -> Outcome:
    """Bring the site into the wished trading state, or a stricter one, and prove it."""
    trading: Trading = run.site.require("trading")
    target = _target(run, trading, wish)
    _check_requests(run, trading, wish, target)
    first = _first_reading(run, trading, target)
    before = Sight(first.value, first.problem)
    loosening = wish.state == "active" or (wish.exact and loosens(first.value, target))
    run.gate.stopping = not loosening
    verb = _Stopping(run, wish, trading, target, before, loosening=loosening)
    return verb.run_to_end()


class _Stopping:
    """The steps of one wish in their order: block, cancel, close, settle, prove."""

    def __init__(
        self, run: Run, wish: Wish, trading: Trading, target: str, before: Sight, *, loosening: bool
    ) -> None:
        self.run = run
        self.wish = wish
        self.trading = trading
        self.target = target
        self.before = before
        self.loosening = loosening
        self.objects: list[Object] = []
        self.parts: list[Part] = []

    def run_to_end(self) -> Outcome:
        run, wish = self.run, self.wish
        try:
            stage = self._closing_stage()
            self._move(stage)
            if wish.block_only:
                return self._ordered(stage)
            if wish.cancels:
                self._cancel()
            if wish.flatten:
                self._close()
            if stage != self.target:
                self._move(self.target)
            sight = self._predict() if run.gate.check_mode else self._prove()
        except CallError as exc:
            return self._failed(exc)
        return self._verdict(sight)

    def _move(self, target: str) -> None:
        """Send the transitions that lead from the state that is seen to the target; none when it is there already."""
        now = self.run.site.read(self.trading.read, self.run.deadline) if self.run.gate.sent else None
        seen = now or Reading(self.before.state, self.before.problem)
        exact = self.wish.exact or self.loosening
        if satisfies(seen.value, target, exact=exact) and not self._contradicted(target):
            return
        for step in _path(self.run, self.trading, seen, target, loosening=self.loosening):
            why = f"trading {seen.value} -> {step.to}"
            self.run.act(step, "set trading state", why, self.wish.scope, lambda step=step: self._reads(step.to))

    def _contradicted(self, target: str) -> bool:
        """Whether the witness sees orders enter although the platform says that it does not trade."""
        if self.loosening or self.wish.block_only or target not in _QUIET_LEVELS or self.run.gate.sent:
            return False
        sight = self._look()
        if sight.moved:
            self.run.say(f"the platform said {sight.state}, but orders still entered")
            self.before = Sight(UNKNOWN, "the platform and its witness contradict each other")
        return sight.moved

    def _reads(self, state: str) -> bool:
        exact = self.wish.exact or self.loosening
        return satisfies(self.run.site.read(self.trading.read, self.run.deadline).value, state, exact=exact)

    def _cancel(self) -> None:
        orders = self.run.site.require("orders")
        found = self.run.rows(orders.list, self.wish.scope)
        if self.before.open_orders is None:
            self.before.open_orders = len(found)
        self._keep(order_verbs.cancel(self.run, self.wish.scope, found))

    def _close(self) -> None:
        positions = self.run.site.require("positions")
        found = position_verbs.held(self.run, positions, self.wish.scope)
        if self.before.positions is None:
            self.before.positions = len(found)
        self._keep(position_verbs.close(self.run, self.wish.scope, found, when_closed=self.wish.when_closed))

    def _keep(self, part: Part) -> None:
        self.parts.append(part)
        self.objects += part.objects

    def _closing_stage(self) -> str:
        """Return the state in which positions are closed: the target, or the strictest in which the platform can."""
        if not self.wish.flatten:
            return self.target
        requires = self.run.site.require("positions").close_all
        allowed = requires.requires if requires else []
        if not allowed or self.target in allowed:
            return self.target
        if self.before.state == "stopped":
            return "stopped"
        return max((state for state in allowed if state != "active"), key=STRICTNESS.__getitem__, default="active")

    def _look(self) -> Sight:
        """Read the state and, where the level forbids new orders, watch the witness for its quiet time."""
        site, deadline = self.run.site, self.run.deadline
        reading = site.read(self.trading.read, deadline)
        sight = Sight(reading.value, reading.problem)
        if not satisfies(reading.value, self.target, exact=self.wish.exact or self.loosening):
            return sight
        witness = self.trading.witness
        if witness and self.target in _QUIET_LEVELS and not self.loosening:
            first = self._marker()
            deadline.pause(witness.quiet)
            again = site.read(self.trading.read, deadline)
            sight = Sight(again.value, again.problem, markers=(first.value, self._marker().value))
            if UNKNOWN in (sight.markers or ()):
                sight.problem = f"the witness cannot be read: {first.problem}"
        self._count(sight)
        return sight

    def _marker(self) -> Reading:
        witness = self.trading.witness
        assert witness is not None
        return self.run.site.read(Read(sources=witness.sources, value=witness.marker), self.run.deadline)

    def _count(self, sight: Sight) -> None:
        """Count what is open; a count that cannot be read stays None, which is not good."""
        capabilities = self.run.site.profile.capabilities
        try:
            if self.wish.cancels and capabilities.orders:
                sight.open_orders = len(self.run.rows(capabilities.orders.list, self.wish.scope))
            if self.wish.flatten and capabilities.positions:
                sight.positions = len(position_verbs.held(self.run, capabilities.positions, self.wish.scope))
        except CallError as exc:
            sight.problem = str(exc)

    def _good(self, sight: Sight) -> bool:
        if not satisfies(sight.state, self.target, exact=self.wish.exact or self.loosening):
            return False
        unread = sight.markers is not None and UNKNOWN in sight.markers
        orders = sight.open_orders == 0 or not self.wish.cancels
        positions = sight.positions == 0 or not self.wish.flatten
        return not sight.moved and not unread and orders and positions

    def _prove(self) -> Sight:
        """Observe until the goal is seen; orders that were opened again are cancelled again, a few times."""
        if any(part.problem for part in self.parts):
            return self._look()
        rounds = 0

        def observe() -> Sight:
            nonlocal rounds
            sight = self._look()
            if sight.open_orders and self.wish.cancels and rounds < _ROUNDS:
                rounds += 1
                self.run.say(f"{sight.open_orders} orders were opened again and cancelled again")
                self._cancel()
                return self._look()
            return sight

        return wait_until(observe, self._good, self.run.deadline)[1]

    def _ordered(self, stage: str) -> Outcome:
        """Report that the first order was accepted. ``ordered`` is no end: what follows has to prove the effect."""
        before = self.before.to_dict()
        outcome = self.run.outcome("trading", stage, before=before, after=before, problem="; ".join(self.run.said))
        if outcome.result == "proven":
            outcome.result, outcome.changed = "ordered", True
        return outcome

    def _predict(self) -> Sight:
        moved = any(step["action"] == "set trading state" for step in self.run.gate.plan)
        state = self.target if moved else self.before.state
        return Sight(state, open_orders=0 if self.wish.cancels else None, positions=0 if self.wish.flatten else None)

    def _verdict(self, sight: Sight) -> Outcome:
        problem, refused = "", False
        troubled = [part for part in self.parts if part.problem]
        if troubled:
            problem, refused = troubled[0].problem, all(part.refused for part in troubled)
        if not self.run.gate.check_mode and not self._good(sight):
            problem = "; ".join(filter(None, (self._missing(sight), problem)))
        witness = None
        if sight.markers is not None:
            quiet = self.trading.witness.quiet if self.trading.witness else 0.0
            witness = {"before": sight.markers[0], "after": sight.markers[1], "quiet_seconds": quiet, "moved": sight.moved}
        elif not self.loosening:
            self.run.gate.notes.append("no witness for this level: the state was read back from the platform alone")
        if self.target != self.wish.state and not self.wish.flatten:
            self.run.gate.notes.append(f"the platform has no state {self.wish.state!r}; its profile names {self.target!r} for it")
        return self.run.outcome(
            "trading",
            self.wish.state,
            before=self.before.to_dict(),
            after=sight.to_dict(),
            objects=self.objects,
            problem=problem,
            refused=refused,
            witness=witness,
        )

    def _missing(self, sight: Sight) -> str:
        if sight.state == UNKNOWN:
            return f"the trading state is unknown: {sight.problem}"
        if not satisfies(sight.state, self.target, exact=self.wish.exact or self.loosening):
            return f"the site still says {sight.state} after {self.run.deadline.elapsed:.1f} s"
        if sight.moved:
            return "the site says that it does not trade, but orders still enter (the witness moved)"
        if sight.markers is not None and UNKNOWN in sight.markers:
            return sight.problem
        left = [f"{count} {what}" for count, what in ((sight.open_orders, "open orders"), (sight.positions, "positions")) if count]
        return f"{' and '.join(left)} remain" if left else f"what remains cannot be read: {sight.problem}"

    def _failed(self, exc: CallError) -> Outcome:
        """Report an order that was refused or could not be given, with what is seen now."""
        sight = self._look()
        refused = isinstance(exc, Refused) or exc.result == "refused"
        outcome = self.run.outcome(
            "trading",
            self.wish.state,
            before=self.before.to_dict(),
            after=sight.to_dict(),
            objects=self.objects,
            problem=str(exc),
            refused=refused,
        )
        if not refused and not self.run.answered and not self.run.site.seen:
            outcome.result = "unreachable"
        return outcome


def _first_reading(run: Run, trading: Trading, target: str) -> Reading:
    """Read the state; only once when an order may be sent without it, for stopping waits for nothing."""
    blind = target != "active" and any(step.blind and satisfies(step.to, target) for step in trading.transitions)
    return run.site.read(trading.read, run.deadline, attempts=1 if blind else READ_ATTEMPTS)


def _target(run: Run, trading: Trading, wish: Wish) -> str:
    """Return the platform's state for the wished level. Raises Unsupported by name, before any call."""
    wanted = wish.state
    reachable = {step.to for step in trading.transitions}
    if wanted in trading.levels:
        return trading.levels[t.cast(t.Any, wanted)]
    if wanted == "flat":
        return "halted" if "halted" in reachable else trading.levels.get("halted", "stopped")
    if wanted not in reachable:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} has no trading state {wanted!r}; it has "
            f"{', '.join(sorted(reachable, key=STRICTNESS.__getitem__))}. Nothing was sent."
        )
    return wanted


def _check_requests(run: Run, trading: Trading, wish: Wish, target: str) -> None:
    steps = [step for step in trading.transitions if wish.state != "active" or step.to == target]
    witness = trading.witness.sources.values() if trading.witness else ()
    stopping = [step for step in steps if wish.state == "active" or step.to != "active"]
    run.site.check(*trading.read.sources.values(), *witness, *[step.request for step in stopping])
    for step in stopping:
        lacking = sorted(set(wish.scope) - set(step.scopes))
        if lacking:
            raise Unsupported(
                f"{run.site.name}: {run.site.profile.title} cannot stop trading by {', '.join(lacking)}, only as a whole; "
                "nothing was sent."
            )
    if wish.cancels:
        order_verbs.check_requests(run, run.site.require("orders"))
    if wish.flatten:
        position_verbs.check_requests(run, run.site.require("positions"))
    if wish.exact and wish.state == "flat":
        raise InputError(f"{run.site.name}: exact does not go with state flat; nothing was sent.")


def _path(run: Run, trading: Trading, seen: Reading, target: str, *, loosening: bool) -> list[Transition]:
    """Return the transitions from the state that is seen to the target, the fewest first. Raises CallError."""
    if seen.value == UNKNOWN or satisfies(seen.value, target):
        if not loosening or seen.value == UNKNOWN:
            return [_blind(run, trading, seen, target, loosening=loosening)]
    queue: list[tuple[str, list[Transition]]] = [(seen.value, [])]
    visited = {seen.value}
    while queue:
        state, steps = queue.pop(0)
        for step in trading.transitions:
            detour = STRICTNESS[step.to] < min(STRICTNESS[seen.value], STRICTNESS[target])
            if state not in step.from_ or step.to in visited or detour:
                continue
            if step.to == target:
                return [*steps, step]
            visited.add(step.to)
            queue.append((step.to, [*steps, step]))
    raise Refused(f"no way from {seen.value} to {target} in the profile {run.site.profile.name}", method="", path="")


def _blind(run: Run, trading: Trading, seen: Reading, target: str, *, loosening: bool) -> Transition:
    safe = [step for step in trading.transitions if step.blind and satisfies(step.to, target)]
    if loosening or not safe:
        what = seen.problem or f"it says {seen.value}"
        raise Unreachable(
            f"the trading state cannot be relied on ({what}) and no order to {target} is safe to send blindly",
            method="",
            path="",
            sent=False,
        )
    return min(safe, key=lambda step: (step.to != target, STRICTNESS[step.to]))
