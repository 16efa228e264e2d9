# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One run of one verb on one site: act through the gate, never repeat blindly, and report in one shape."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ..._common.errors import (
    CallError,
    Denied,
    InputError,
    RateLimited,
    Refused,
    TradeopsError,
    Unreachable,
    Unsupported,
)
from ..._common.gate import Gate
from ..._common.outcome import Object, Outcome, Proof, Result, tally
from ..._common.waiter import Deadline, poll
from .. import wire
from ..profile import SCOPE_KEYS, Action, Listing
from ..site import NO_ID, Ack, Rows, Site

SENDINGS = 3
# Seconds to look whether a write of unknown fate has taken effect, and before one that did not leave is sent again.
_LANDING = 1.5
_PAUSE = 0.2
# The part of the whole time budget that is kept for reading back.
_RESERVE = 0.25
# How many different reasons a message tells; the objects of the proof tell all.
_REASONS = 3
_NEXT = {
    "unproven": "Do not count on it: look at the site and its venue by other means",
    "unreachable": "Look at its address and the network; as far as we know nothing was changed",
}


@dataclasses.dataclass
class Told:
    """What the platform said to the writes of one step.

    ``refusals``: id -> why it was refused, or not even sent. ``accepted``: ids that it said it accepted.
    ``error``: what ended the step early.
    """

    refusals: dict[str, str] = dataclasses.field(default_factory=dict)
    accepted: set[str] = dataclasses.field(default_factory=set)
    error: TradeopsError | None = None
    deferred: bool = False

    def why(self, left: t.Collection[str]) -> str:
        """Return what was said of those that are left, each reason once, for the end of a sentence."""
        said = [str(self.error)] if self.error else sorted({self.refusals[key] for key in left if key in self.refusals})
        return "".join(f"; {reason}" for reason in said[:_REASONS]) + ("; ..." if len(said) > _REASONS else "")

    def refused(self, left: t.Collection[str]) -> bool:
        """Whether what is left of the step was refused, and not lost on the way."""
        return self.error.result == "refused" if self.error else set(left) <= self.refusals.keys()


@dataclasses.dataclass
class Part:
    """What a step of a verb did to many objects. ``problem``: why its goal is not reached, or empty. ``entered``: how
    many objects came up while it was taken."""

    objects: list[Object] = dataclasses.field(default_factory=list)
    left: int = 0
    problem: str = ""
    refused: bool = False
    error: TradeopsError | None = None
    entered: int = 0


class Run:
    """The site, the gate and the time budget of a verb, and the proof it collects."""

    def __init__(self, site: Site, gate: Gate, deadline: Deadline) -> None:
        self.site = site
        self.gate = gate
        self.deadline = deadline
        self.said: list[str] = []
        self._whole = deadline

    @contextlib.contextmanager
    def within(self, seconds: float) -> t.Iterator[None]:
        """Give everything inside a smaller time budget."""
        outer = self.deadline
        self.deadline = Deadline(min(seconds, outer.remaining))
        try:
            yield
        finally:
            self.deadline = outer

    @property
    def whole_seconds(self) -> float:
        """The time budget of everything, as it was given."""
        return self._whole.seconds

    @contextlib.contextmanager
    def afresh(self, seconds: float) -> t.Iterator[None]:
        """Give everything inside a time budget of its own, however much of the whole is used up."""
        outer = self.deadline, self._whole
        self.deadline = self._whole = Deadline(seconds)
        try:
            yield
        finally:
            self.deadline, self._whole = outer

    def act(
        self,
        action: Action,
        name: str,
        why: str,
        values: t.Mapping[str, t.Any],
        landed: t.Callable[[], bool],
    ) -> Ack | None:
        """Send a write through the gate; return what the platform said, or None in check mode.

        A write that provably was not processed (no connection, 429) is sent again within the budget. One whose fate is
        unknown (timeout, reset, 5xx) is looked up with ``landed`` first, and sent again only if the profile calls it
        repeatable. Raises CallError when the platform refuses or cannot be reached, and LeaseHeld.
        """
        request = action.request
        steps = [
            {
                "action": name,
                "method": request.method,
                "path": wire.shown_path(request.path, {**self.site.values, **values, **entry}),
                "service": request.service,
                "why": entry.get("why", why),
            }
            for entry in action.each or [{}]
        ]
        sending = 0
        while True:
            sending += 1
            try:
                ack = self.gate.write(steps, lambda: self.site.send(action, values, self._sending()))
            except (RateLimited, Unreachable) as exc:
                self.say(str(exc))
                ack = self._after_failure(exc, action, landed, last=sending == SENDINGS)
                if ack is None:
                    continue
            if ack is not None:
                self.say(ack.say)
            return ack

    def tell_all(
        self, action: Action, name: str, why: str, values: t.Mapping[str, t.Any], landed: t.Callable[[], bool]
    ) -> Told:
        """Send one write for many objects. What ends it is kept in the answer, unless nothing was sent at all."""
        try:
            ack = self.act(action, name, why, values, landed)
        except TradeopsError as exc:
            return self._ended(exc, Told())
        if ack is None:
            return Told()
        return Told(ack.refusals(), ack.accepted(), deferred=ack.deferred)

    def tell_each(
        self,
        rows: Rows,
        action: Action,
        name: str,
        why: t.Callable[[dict[str, t.Any]], str],
        landed: t.Callable[[str], bool],
    ) -> Told:
        """Send one write for every row. A refusal concerns one row; anything else ends it for the rest."""
        told = Told()
        for row in rows:
            key = row["id"]
            if key.startswith(NO_ID):
                told.refusals[key] = "the platform gives it no id"
                continue
            if told.error is not None:
                told.refusals[key] = "not sent any more"
                continue
            try:
                ack = self.act(action, name, why(row), row, lambda key=key: landed(key))  # type: ignore[misc]
            except Refused as exc:
                told.refusals[key] = str(exc)
                if isinstance(exc, Denied) and exc.status == 401:
                    told = self._ended(exc, told)
            except TradeopsError as exc:
                told.refusals[key] = str(exc)
                told = self._ended(exc, told)
            else:
                refused = {} if ack is None else ack.refusals()
                if refused:
                    told.refusals[key] = next(iter(refused.values()))
                elif ack is not None and ack.certain:
                    told.accepted.add(key)
                told.deferred = told.deferred or bool(ack and ack.deferred)
        return told

    def require_state(self, action: Action, what: str) -> None:
        """Raise Unsupported, before anything is sent, when the platform cannot do this in the state that it is in."""
        trading = self.site.profile.capabilities.trading
        if not action.requires or trading is None:
            return
        seen = self.site.read(trading.read, self.deadline)
        if seen.known and seen.value not in action.requires:
            raise Unsupported(
                f"{self.site.name}: {self.site.profile.title} can {what} only while it is "
                f"{' or '.join(action.requires)}, and it is {seen.value}; it is not brought there for that. "
                "Nothing was sent."
            )

    def say(self, text: str) -> None:
        """Keep a remark of the platform or about it for the message of the outcome."""
        if text and text not in self.said:
            self.said.append(text)

    def rows(self, listing: Listing, scope: t.Mapping[str, str] | None = None) -> Rows:
        """Return the rows of a listing that are in the scope. Raises CallError."""
        found = self.site.rows(listing, self.deadline)
        return [row for row in found if all(str(row.get(key)) == value for key, value in (scope or {}).items())]

    def part_budget(self) -> Deadline:
        """Return the budget of one step, which leaves time to look once more and report."""
        return Deadline(self.deadline.remaining * 0.8)

    def outcome(
        self,
        capability: str,
        wanted: str,
        *,
        before: dict[str, t.Any],
        after: dict[str, t.Any],
        objects: list[Object] | None = None,
        problem: str = "",
        refused: bool = False,
        error: TradeopsError | None = None,
        witness: dict[str, t.Any] | None = None,
        summary: str = "",
    ) -> Outcome:
        """Give the verdict. ``problem``: why the goal is not shown to be reached; ``error``: what caused it."""
        objects, sent = objects or [], self.gate.sent > 0
        result: Result
        if problem:
            lost = isinstance(error, Unreachable) and not sent
            result = "refused" if refused else "unreachable" if lost else "unproven"
        elif self.gate.check_mode and self.gate.plan:
            result = "planned"
        else:
            result = "proven" if sent else "unchanged"
        changed = result == "planned" or (sent and (_differs(before, after) or any_changed(objects)))
        said = [text for text in self.said if text not in problem]
        sentences = [f"wanted {wanted}: {problem}", *said, _NEXT.get(result, "")]
        outcome = Outcome(
            site=self.site.name,
            capability=capability,
            wanted=wanted,
            result=result,
            changed=changed,
            before=before,
            after=after,
            plan=self.gate.plan,
            proof=Proof(
                summary=summary or tally(objects),
                sources=self.site.seen,
                objects=objects,
                witness=witness,
                elapsed=self._whole.elapsed,
            ),
            msg=f"{self.site.name}: {capability}: {'. '.join(filter(None, sentences))}" if problem else "",
            notes=[*self.gate.notes, *([] if problem else self.said)],
        )
        return outcome.cleaned(self.site.redactor.clean)

    def _ended(self, exc: TradeopsError, told: Told) -> Told:
        if not isinstance(exc, CallError) and not self.gate.sent:
            raise exc  # a guard of ours, before anything was sent: that is the whole story
        told.error = exc
        return told

    def _after_failure(self, exc: CallError, action: Action, landed: t.Callable[[], bool], *, last: bool) -> Ack | None:
        """Return an Ack to go on to the proof, None to send again; raise when nothing was sent and time is up."""
        if exc.sent is False:
            pause = exc.retry_after if exc.retry_after is not None else _PAUSE
            if last or self._spare() <= pause:
                raise exc
            self.deadline.pause(pause)
            return None
        if self._landed(landed):
            return Ack(exc.status or 0, "it took effect all the same", [], certain=False, landed=True)
        if last or not action.repeatable or not self._spare():
            return Ack(exc.status or 0, "it was not sent again, for it may still take effect", [], certain=False)
        return None

    def _spare(self) -> float:
        """Return the seconds that sending again may use up; the rest is for looking at what came of it."""
        return max(0.0, self.deadline.remaining - _RESERVE * self._whole.seconds)

    def _sending(self) -> Deadline:
        return Deadline(max(self._spare(), self.deadline.remaining / 2))

    def _landed(self, landed: t.Callable[[], bool]) -> bool:
        with self.within(min(_LANDING, self._spare())):
            for _attempt in poll(self.deadline):
                try:
                    if landed():
                        return True
                except CallError as exc:
                    self.say(str(exc))  # it cannot be seen, so it is not known to have landed
        return False


def check_scope(run: Run, scope: t.Mapping[str, t.Any], everything: bool, listing: Listing) -> dict[str, str]:
    """Return the scope as texts. Refuses an empty scope, an unknown key, and a key the platform's rows do not have."""
    given = named_scope(run, scope)
    if bool(given) == everything:
        found = "both a scope and all: true" if given else "an empty scope"
        raise InputError(
            f"{run.site.name}: {found}; scope may name {', '.join(SCOPE_KEYS)}, or say all: true. Nothing was sent."
        )
    missing = sorted(set(given) - set(listing.fields))
    if missing:
        raise Unsupported(
            f"{run.site.name}: {run.site.profile.title} does not tell the {', '.join(missing)} of its "
            f"{listing.request.path} rows, so this scope cannot be kept; nothing was sent."
        )
    return given


def named_scope(run: Run, scope: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the scope as texts. A key without a value would widen the scope in silence, so it is refused."""
    unknown = sorted(set(scope) - set(SCOPE_KEYS))
    if unknown:
        raise InputError(
            f"{run.site.name}: the scope names {', '.join(unknown)}; it may name {', '.join(SCOPE_KEYS)}. "
            "Nothing was sent."
        )
    for key, value in scope.items():
        if value is None or isinstance(value, (dict, list)) or not str(value).strip():
            raise InputError(
                f"{run.site.name}: scope.{key} is {value!r}; give it a value or leave it out. Nothing was sent."
            )
    return {key: str(value) for key, value in scope.items()}


def any_changed(objects: t.Iterable[Object]) -> bool:
    """Whether any object differs from what it was."""
    return any(item.before != item.after for item in objects)


def _differs(before: dict[str, t.Any], after: dict[str, t.Any]) -> bool:
    """Whether the state differs, as far as it was looked at; the witness's marker moves by itself."""
    keys = (before.keys() | after.keys()) - {"marker"}
    return any(None not in (before.get(key), after.get(key)) and before[key] != after[key] for key in keys)
