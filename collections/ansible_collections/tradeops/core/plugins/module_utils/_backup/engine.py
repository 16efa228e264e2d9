# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What an engine is: it knows one kind of data, how to capture it into artefacts and how to put it back.

Engines are modules of ``engines/``; ``engines/__init__.py`` lists them by the name that an inventory gives.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import typing as t

from .._common.gate import Gate
from .._common.outcome import Object
from .manifest import Artefact, Component


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

    def run(self, argv: t.Sequence[str], sink: Sink | None, *, env: t.Mapping[str, str], what: str) -> str:
        """Run a program to its end with its output into ``sink``; return what it wrote to standard error.

        Raises Refused with ``what`` and the end of that text when it ends with another status than 0, or was killed.
        """

    def progress(self, text: str) -> None:
        """Tell the operator how far it is."""

    def note(self, text: str) -> None:
        """Keep a remark that limits the result."""


class Engine(t.Protocol):
    """One kind of data. ``options`` are those of the component in the inventory, checked by ``check``."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        """Raise InputError for options that cannot be used, before anything is captured."""

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component: ...


class Restore(t.Protocol):
    """What an engine puts one component back with. Everything that it writes at the site passes ``gate``."""

    site: str
    given: dict[str, t.Any]
    gate: Gate

    def read(self, artefact: Artefact) -> t.Iterator[bytes]:
        """Give the plain bytes of an artefact; raise Unproven at their end if they are not the ones captured."""

    def progress(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...


class Restorer(t.Protocol):
    """An engine whose data are many objects at the site, each with a fate of its own.

    The ``result`` of an object is ``created``, ``equal``, ``changed``, ``conflict``, ``skipped`` or ``refused``, and
    ``why`` says the reason; ``before`` and ``after`` never hold a secret.
    """

    def plan_restore(self, component: Component, options: dict[str, t.Any], back: Restore) -> list[Object]:
        """Say what a restore would do to each object, from the live site, and write nothing."""

    def restore(self, component: Component, options: dict[str, t.Any], back: Restore) -> list[Object]:
        """Put the objects back, read each again, and say what became of it."""


@dataclasses.dataclass(frozen=True)
class Base:
    """One base backup as its tool lists it. ``ended``: when (UTC), empty if it never did; ``begin``, ``end``: LSNs.

    ``usable``: whether the tool calls it done. ``needs``: the base backups that it is built on. ``ours``: we took it.
    """

    id: str
    started: str
    ended: str
    begin: str
    end: str
    begin_wal: str
    end_wal: str
    timeline: int
    system: str
    version: int
    size: int
    usable: bool
    needs: tuple[str, ...] = ()
    ours: bool = False


class Physical(t.Protocol):
    """A tool that keeps base backups and the log of one server, in its own format. ``physical.py`` recovers with it.

    Every method raises Refused or Unreachable with the words of the tool.
    """

    tool: str

    def bases(self) -> list[Base]:
        """List the base backups, the oldest first."""

    def take(self, progress: t.Callable[[str], None]) -> Base:
        """Take a base backup and return it as listed afterwards."""

    def segments(self) -> set[str]:
        """Name every segment of the log, and every history of a timeline, that is in the archive."""

    def fetch(
        self,
        base: Base,
        into: pathlib.Path,
        progress: t.Callable[[str], None],
        before_log: t.Callable[[], None] = lambda: None,
    ) -> None:
        """Fetch a base backup into a folder that is not there yet. Log is only fetched after ``before_log``."""

    def restore_command(self, data: pathlib.Path) -> str:
        """Return what PostgreSQL in ``data`` runs for one segment; it holds no secret."""

    def runs(self) -> list[pathlib.Path]:
        """Return the files that the server's user has to reach for it."""

    def environment(self) -> dict[str, str]:
        """Return what that command needs in its environment beside the usual."""

    def push(self, file: pathlib.Path) -> None:
        """Put one file of a server's log into the archive, such as the history of a new timeline."""

    def pushing(self) -> contextlib.AbstractContextManager[t.Callable[[pathlib.Path], None]]:
        """Give ``push`` for one file, made ready beforehand. Nothing is put into the archive before it is called."""

    def delete(self, base: Base) -> None:
        """Remove a base backup on which none is built, and the log that only it needs; look whether it is gone."""

    def verify(self, base: Base) -> list[str]:
        """Let the tool check a base backup and its log; return what is wrong."""
