# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Objects of a Kubernetes namespace: applied by the server itself, each with a fate of its own.

They cannot be restored beside, so the plan asks the server for a dry run, and they come last. What they replace is kept
as a set of type ``safety``.
"""

from __future__ import annotations

import typing as t

from ..._backup.engines.kubernetes import Kubernetes
from ..._backup.manifest import SAFETY, Artefact, Component
from ..._backup.objects import Body
from ..._common.errors import Refused, TradeopsError
from ..._common.outcome import Object, tally
from .. import safety
from ..back import Back, Halfway
from ..plan import Target


class Objects:
    """One component of the engine ``kubernetes``."""

    def __init__(self, back: Back, component: Component, options: t.Mapping[str, t.Any]) -> None:
        self.back = back
        self.component = component
        self.options = {**options, "force": back.given["force"], "recreate": back.given["recreate"]}
        self._planned: list[Object] = []
        self._done: list[Object] = []
        self._made: dict[str, Body] = {}
        self._safety: safety.Safety | None = None

    def look(self) -> Target:
        self._planned = Kubernetes().plan_restore(self.component, self.options, self.back)
        bad = [item for item in self._planned if item.result in ("refused", "conflict")]
        changed = {item.id: {"before": item.before, "after": item.after} for item in self._planned if item.before}
        return Target(
            name=f"the namespace {self.options.get('namespace') or self.back.given.get('namespace')}",
            exists=True,
            shown={"objects": tally(self._planned), "changes": changed},
            way="applied on the side of the server, object by object",
            safety=f"a set of type {SAFETY}" if self._replaced else "",
            problems=tuple(f"{item.id}: {item.why}" for item in bad),
        )

    def wanted(self) -> list[Artefact]:
        return []

    def streamed(self) -> list[Artefact]:
        return []

    def inspect(self) -> list[str]:
        return []

    def sweep(self) -> None:
        pass

    @property
    def _replaced(self) -> list[str]:
        return [item.id for item in self._planned if item.result == "changed"]

    def prepare(self) -> None:
        """Keep what would be replaced."""
        if not self._replaced:
            return
        names = {identity.partition("/")[0] for identity in self._replaced}
        kinds = [{"kind": kind, **of} for kind, of in self.component.facts["kinds"].items() if kind in names]
        place = {"namespace": self.options.get("namespace"), "kinds": kinds}
        self._safety = safety.take(self.back, [{"name": self.component.name, "engine": "kubernetes", **place}])

    def switch(self) -> None:
        try:
            self._done = Kubernetes().restore(self.component, self.options, self.back, self._made)
        except TradeopsError as exc:
            try:
                self.undo()
            except TradeopsError as problem:
                text = f"{exc} What had been applied could not be taken back: {problem}. Look at the site."
                raise Halfway(text) from exc
            raise

    def undo(self) -> None:
        """Put back what was kept, and remove what was not there before, unless somebody has changed it since."""
        new = {item.id: self._made.get(item.id) for item in self._planned if item.result == "created"}
        left = Kubernetes().remove(self.component, self.options, self.back, new)
        if self._safety:
            (kept,) = self._safety.manifest.components
            back = self._safety.back(self.back)
            fates = Kubernetes().restore(kept, {**self.options, "force": True}, back)
            left += [f"{item.id}: {item.why}" for item in fates if item.result in ("refused", "conflict")]
        if left:
            raise Refused("; ".join(left), method="apply", path="", sent=True)

    def prove(self) -> list[Object]:
        """Every object was read again by the engine after it was applied."""
        if self._made:
            self.back.note(f"nothing was there before of {', '.join(self._made)}: going back leaves what was made")
        fates = {"created": "proven", "changed": "proven", "equal": "unchanged", "skipped": "unchanged"}
        return [
            Object(item.id, item.kind, item.before, item.after, fates.get(item.result, "refused"), item.why)
            for item in self._done
        ]

    def discard(self) -> None:
        pass
