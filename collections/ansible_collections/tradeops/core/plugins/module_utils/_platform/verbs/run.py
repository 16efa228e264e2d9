# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One run of one verb on one site: act through the gate, never repeat blindly, and report in one shape."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._common.errors import CallError, InputError, RateLimited, Refused, Unreachable, Unsupported
from ..._common.gate import Gate
from ..._common.outcome import Object, Outcome, Proof, Result, tally
from ..._common.waiter import Deadline, poll
from .. import wire
from ..profile import SCOPE_KEYS, Action, Listing
from ..site import Ack, Site

SENDINGS = 3
_LANDING = 1.5


@dataclasses.dataclass
class Part:
    """What a step of a verb did to many objects. ``problem``: why its goal is not reached, or empty."""

    objects: list[Object] = dataclasses.field(default_factory=list)
    left: int = 0
    problem: str = ""
    refused: bool = False


class Run:
    """The site, the gate and the time budget of a verb, and the proof it collects."""

    def __init__(self, site: Site, gate: Gate, deadline: Deadline) -> None:
        self.site = site
        self.gate = gate
        self.deadline = deadline
        self.said: list[str] = []
        # Whether the platform has answered a write, or may have got one.
        self.answered = False

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
        repeatable. Raises CallError when the platform refuses or cannot be reached.
        """
        request = action.request
        path = wire.fill_path(request.path, {**values})
        step = {"action": name, "method": request.method, "path": path, "service": request.service, "why": why}
        for sending in range(1, SENDINGS + 1):
            try:
                ack = self.gate.write(step, lambda: self.site.send(action, values, self.deadline))
            except (RateLimited, Unreachable) as exc:
                self.say(str(exc))
                ack = self._after_failure(exc, action, landed, last=sending == SENDINGS)
                if ack is None:
                    continue
            if ack is not None:
                self.answered = True
                self.say(ack.say or ("the platform deferred it" if ack.deferred else ""))
            return ack
        raise AssertionError("unreachable")

    def require_state(self, action: Action, what: str) -> None:
        """Raise Refused, before anything is sent, when the platform cannot do this in the state that it is in."""
        trading = self.site.profile.capabilities.trading
        if not action.requires or trading is None:
            return
        seen = self.site.read(trading.read, self.deadline)
        if seen.known and seen.value not in action.requires:
            raise Refused(
                f"{self.site.profile.title} can {what} only while it is {' or '.join(action.requires)}, and it is "
                f"{seen.value}; it is not brought there for that. Nothing was sent",
                method=action.request.method,
                path=action.request.path,
            )

    def say(self, text: str) -> None:
        """Keep a remark of the platform or about it for the message of the outcome."""
        if text and text not in self.said:
            self.said.append(text)

    def rows(self, listing: Listing, scope: t.Mapping[str, str] | None = None) -> list[dict[str, t.Any]]:
        """Return the rows of a listing that are in the scope. Raises CallError."""
        found = self.site.list(listing, self.deadline)
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
        witness: dict[str, t.Any] | None = None,
        summary: str = "",
    ) -> Outcome:
        """Give the verdict: ``problem`` is why the goal is not shown to be reached, or empty."""
        objects = objects or []
        result: Result
        if self.gate.check_mode and self.gate.plan and not problem:
            result = "planned"
        elif problem:
            result = "refused" if refused else "unproven"
        else:
            result = "proven" if self.gate.sent else "unchanged"
        changed = result == "planned" or (self.gate.sent > 0 and _differs(before, after)) or any_changed(objects)
        said = [text for text in self.said if text not in problem]
        text = ". ".join(filter(None, (problem, "; ".join(said) if problem else "")))
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
                elapsed=self.deadline.elapsed,
            ),
            msg=f"{self.site.name}: {wanted}: {text}" if text else "",
            notes=[*self.gate.notes, *([] if problem else self.said)],
        )
        return t.cast(Outcome, _cleaned(outcome, self.site))

    def _after_failure(
        self, exc: CallError, action: Action, landed: t.Callable[[], bool], *, last: bool
    ) -> Ack | None:
        """Return an Ack to go on to the proof, None to send again; raise when nothing was sent and time is up."""
        if exc.sent is False:
            pause = exc.retry_after if exc.retry_after is not None else 0.2
            if last or self.deadline.remaining <= pause:
                raise exc
            self.deadline.pause(pause)
            return None
        if self._landed(landed):
            return Ack(exc.status or 0, "it took effect all the same", [])
        if last or not action.repeatable or self.deadline.over:
            return Ack(exc.status or 0, "it was not sent again, for it may still take effect", [])
        return None

    def _landed(self, landed: t.Callable[[], bool]) -> bool:
        budget = Deadline(min(_LANDING, self.deadline.remaining / 2))
        return any(landed() for _attempt in poll(budget))


def check_scope(run: Run, scope: t.Mapping[str, str], everything: bool, listing: Listing) -> dict[str, str]:
    """Return the scope as texts. Refuses an empty scope, an unknown key, and a key the platform's rows do not have."""
    given = {str(key): "" if value is None else str(value) for key, value in scope.items()}
    site, where = run.site.name, f"scope may name {', '.join(SCOPE_KEYS)}"
    if bool(given) == everything:
        found = "both a scope and all: true" if given else "an empty scope"
        raise InputError(f"{site}: {found}; {where}, or say all: true. Nothing was sent.")
    empty = sorted(key for key, value in given.items() if not value)
    if empty:
        raise InputError(f"{site}: the scope gives no value for {', '.join(empty)}, which would widen it. Nothing was sent.")
    unknown = sorted(set(given) - set(SCOPE_KEYS))
    if unknown:
        raise InputError(f"{site}: the scope names {', '.join(unknown)}; {where}. Nothing was sent.")
    missing = sorted(set(given) - set(listing.fields))
    if missing:
        raise Unsupported(
            f"{site}: {run.site.profile.title} does not tell the {', '.join(missing)} of its "
            f"{listing.request.path} rows, so this scope cannot be kept; nothing was sent."
        )
    return given


def any_changed(objects: t.Iterable[Object]) -> bool:
    """Whether any object differs from what it was."""
    return any(item.before != item.after for item in objects)


def _differs(before: dict[str, t.Any], after: dict[str, t.Any]) -> bool:
    """Whether the state differs; the witness's marker moves by itself."""
    return {**before, "marker": None} != {**after, "marker": None}


def _cleaned(outcome: Outcome, site: Site) -> Outcome:
    """Redact everything that came from the platform, at the last moment before it leaves."""
    clean = site.redactor.clean
    return dataclasses.replace(
        outcome,
        before=clean(outcome.before),
        after=clean(outcome.after),
        msg=clean(outcome.msg),
        notes=clean(outcome.notes),
        plan=clean(outcome.plan),
        proof=dataclasses.replace(
            outcome.proof,
            summary=clean(outcome.proof.summary),
            objects=[dataclasses.replace(item, why=clean(item.why)) for item in outcome.proof.objects],
        ),
    )
