# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a verb returns: the same keys in check mode, on no change and on change."""

from __future__ import annotations

import dataclasses
import typing as t

Result = t.Literal["proven", "unchanged", "planned", "ordered", "refused", "unproven", "unreachable"]
FAILURES: frozenset[str] = frozenset({"refused", "unproven", "unreachable"})


@dataclasses.dataclass(frozen=True)
class Seen:
    """One reading: from where, when (UTC, ISO 8601) and what."""

    source: str
    method: str
    url: str
    at: str
    saw: t.Any


@dataclasses.dataclass
class Object:
    """The fate of one order, position, breaker, migration or limit."""

    id: str
    kind: str
    before: t.Any
    after: t.Any
    result: str
    why: str = ""


@dataclasses.dataclass
class Proof:
    """``elapsed``: seconds from the first request to the last reading."""

    summary: str = ""
    sources: list[Seen] = dataclasses.field(default_factory=list)
    objects: list[Object] = dataclasses.field(default_factory=list)
    witness: dict[str, t.Any] | None = None
    elapsed: float = 0.0


@dataclasses.dataclass
class Outcome:
    """The result of one verb on one site."""

    site: str
    capability: str
    wanted: str
    result: Result
    changed: bool
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    plan: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    proof: Proof = dataclasses.field(default_factory=Proof)
    msg: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.result in FAILURES

    def cleaned(self, clean: t.Callable[[t.Any], t.Any]) -> Outcome:
        """Return the outcome with every text passed through ``clean``, at the last moment before it leaves."""
        proof = dataclasses.replace(
            self.proof,
            summary=clean(self.proof.summary),
            objects=[
                Object(clean(item.id), item.kind, clean(item.before), clean(item.after), item.result, clean(item.why))
                for item in self.proof.objects
            ],
            witness=clean(self.proof.witness),
        )
        told = {name: clean(getattr(self, name)) for name in ("before", "after", "plan", "msg", "notes")}
        return dataclasses.replace(self, proof=proof, **told)

    def to_result(self) -> dict[str, t.Any]:
        """Return what the module returns; ``diff`` shows the observed states."""
        # Not dataclasses.asdict: a fleet has thousands of objects, and copying each deeply costs more than its request.
        proof = vars(self.proof) | {
            "sources": [dict(vars(seen)) for seen in self.proof.sources],
            "objects": [dict(vars(item)) for item in self.proof.objects],
            "elapsed": round(self.proof.elapsed, 3),
        }
        diff = {"before": self.before, "after": self.after}
        return vars(self) | {"proof": proof, "failed": self.failed, "diff": diff}


def tally(objects: t.Iterable[Object]) -> str:
    """Say what became of many objects in one line, such as ``417 cancelled, 2 refused: already filled``."""
    counts: dict[tuple[str, str], int] = {}
    for item in objects:
        key = (item.result, item.why)
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count} {result}{': ' + why if why else ''}" for (result, why), count in ordered)
