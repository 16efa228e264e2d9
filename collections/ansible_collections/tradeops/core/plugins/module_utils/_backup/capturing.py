# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The place of one component in a new set: its artefacts go into every store, and programs are run for them."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._common.waiter import meanwhile
from . import programs
from .engine import Sink
from .manifest import Artefact
from .stream import Targets, Writing

_EVERY = 10.0  # s between two lines on work that goes on


class Capturing:
    """What an engine captures with; see ``engine.Capture``. ``artefacts`` are those that are stored."""

    def __init__(
        self,
        site: str,
        given: dict[str, t.Any],
        component: str,
        *,
        targets: Targets,
        base: str,
        recipients: t.Sequence[t.Any],
        tell: t.Callable[[str], None],
        note: t.Callable[[str], None],
        clean: t.Callable[[str], str],
    ) -> None:
        self.site = site
        self.given = given
        self.artefacts: list[Artefact] = []
        self._component = component
        self._targets = targets
        self._base = base
        self._recipients = recipients
        self._tell = tell
        self._note = note
        self._clean = clean

    @contextlib.contextmanager
    def artefact(self, name: str, *, compress: bool = True) -> t.Iterator[Sink]:
        writing = Writing(
            self._targets, self._base, f"{self._component}/{name}", recipients=self._recipients, compress=compress
        )
        try:
            with self._ticking(writing):
                yield writing
                self.artefacts.append(writing.finish())
        except BaseException:
            writing.abort()
            raise

    def run(self, argv: t.Sequence[str], sink: Sink | None, *, env: t.Mapping[str, str], what: str) -> str:
        return programs.run(argv, sink, env=env, what=f"{self.site}: {what}", clean=self._clean)

    def progress(self, text: str) -> None:
        self._tell(f"{self.site}: {self._clean(text)}")

    def note(self, text: str) -> None:
        self._note(self._clean(text))

    @contextlib.contextmanager
    def _ticking(self, writing: Writing) -> t.Iterator[None]:
        """Tell how far an artefact is, for as long as the block runs."""
        started = time.monotonic()

        def tick() -> None:
            took = time.monotonic() - started
            size = f"{writing.plain / 1e6:.0f} MB read, {writing.stored / 1e6:.0f} MB stored"
            self.progress(f"{writing.name}: {size} in {took:.0f} s")

        with meanwhile(tick, _EVERY, f"progress of {writing.name}"):
            yield
