# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What an engine is: it knows one kind of data, how to capture it into artefacts and how to put it back.

Engines are modules of ``engines/``; ``engines/__init__.py`` lists them by the name that an inventory gives.
"""

from __future__ import annotations

import contextlib
import typing as t

from .manifest import Component


class Sink(t.Protocol):
    """Takes the plain bytes of one artefact; compressing, encrypting, hashing and storing are behind it."""

    def write(self, data: bytes) -> int: ...


class Capture(t.Protocol):
    """What an engine works with: the place of one component in a new set. ``site`` is the name of the site.

    ``given`` are the parameters of the module (``postgresql``, ``redis``, ``secrets`` and so on).
    """

    site: str
    given: dict[str, t.Any]

    def artefact(self, name: str, *, compress: bool = True) -> contextlib.AbstractContextManager[Sink]:
        """Open an artefact; it counts when the block ends well, and leaves nothing behind when it does not."""
        ...

    def run(self, argv: t.Sequence[str], sink: Sink | None, *, env: t.Mapping[str, str], what: str) -> str:
        """Run a program to its end with its output into ``sink``; return what it wrote to standard error.

        Raises Refused with ``what`` and the end of that text when it ends with another status than 0, or was killed.
        """
        ...

    def progress(self, text: str) -> None:
        """Tell the operator how far it is."""
        ...

    def note(self, text: str) -> None:
        """Keep a remark that limits the result."""
        ...


class Engine(t.Protocol):
    """One kind of data. ``options`` are those of the component in the inventory, checked by ``check``."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        """Raise InputError for options that cannot be used, before anything is captured."""
        ...

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component: ...
