# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A note beside a data folder: who has stopped its server to exchange the folder, and which folder was to come."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from .._common.lease import born
from .._common.times import iso
from .places import put_note, sync


@dataclasses.dataclass(frozen=True)
class Stopped:
    """``inode`` is that of the recovered folder. ``born`` tells a process from a later one with its number. ``ran``:
    whether the server ran when the restore came to stop it."""

    operation: str
    set_id: str
    inode: int
    pid: int
    born: str
    at: str
    ran: bool = True

    @property
    def alive(self) -> bool:
        """Whether the restore may still be at it: the note lies on its own machine."""
        return bool(self.born) and born(self.pid) == self.born

    def __str__(self) -> str:
        return f"the restore {self.operation} of {self.set_id} (process {self.pid}), at {self.at}"


class Note:
    """The note of one data folder."""

    def __init__(self, data: pathlib.Path) -> None:
        self.path = data.with_name(f".{data.name}.stopped.json")

    def write(self, operation: str, set_id: str, inode: int, *, ran: bool = True) -> None:
        pid = os.getpid()
        put_note(self.path, dataclasses.asdict(Stopped(operation, set_id, inode, pid, born(pid), iso(), ran)))

    def read(self) -> Stopped | None:
        """Return the note, None when there is none. One that cannot be read is of a restore that nobody knows."""
        try:
            return Stopped(**json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return Stopped("(its note is damaged)", "a set", 0, 0, "", "a time that is not known")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        sync(self.path.parent)
