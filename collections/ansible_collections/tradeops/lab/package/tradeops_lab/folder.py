# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one lab: where it is, who may enter, its lock, its two descriptions, and its removal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import stat
import tempfile
import time
import typing as t

from .errors import LabError
from .waiting import pause

_PARTS = ("pg", "redis", "s3", "backups", "kubernetes", "prometheus", "logs", "run")
_PATH_LIMIT = 80  # bytes: a UNIX socket's path ends at 107, and those of the servers lie up to 25 below the folder


class Folder:
    """A lab's folder. Nothing is made before ``create``."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = pathlib.Path(os.path.realpath(path))
        self.parts = [self.path / part for part in _PARTS]
        self.pg, self.redis, self.s3, self.backups, self.kubernetes, self.prometheus, self.logs, self.run = self.parts
        self.lab_json = self.path / "lab.json"
        self.plan_json = self.run / "plan.json"

    @classmethod
    def choose(cls, name: str | None = None, directory: str | None = None) -> Folder:
        """``--dir``, else ``--name`` below the base folder, else $TRADEOPS_LAB_DIR, else the lab called ``lab``."""
        if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name):
            raise LabError(f"--name {name!r}: use up to 32 of a-z, 0-9, - and _")
        path = directory or (None if name else os.environ.get("TRADEOPS_LAB_DIR"))
        base = f"{os.environ.get('TMPDIR') or '/var/tmp'}/tradeops-lab-{os.getuid()}"  # noqa: S108 - create() checks whose it is
        return cls(pathlib.Path(path or f"{base}/{name or 'lab'}").expanduser().absolute())

    @property
    def name(self) -> str:
        return self.path.name

    def create(self) -> None:
        """Make the folder, or check that an existing one is ours. Raises LabError."""
        if len(os.fsencode(self.path)) > _PATH_LIMIT:
            raise LabError(
                f"{self.path} is too long for UNIX sockets (limit {_PATH_LIMIT} bytes): choose a shorter --dir"
            )
        # Root's lab lets the unprivileged user of PostgreSQL pass through to its own part; nothing else is readable.
        mode = 0o711 if os.getuid() == 0 else 0o700
        if self.path.parent.name == f"tradeops-lab-{os.getuid()}":
            self._own(self.path.parent, mode)
        fresh = not self.path.exists()
        self._own(self.path, mode)
        if not fresh and not self.run.is_dir() and any(self.path.iterdir()):
            raise LabError(f"{self.path} holds files and is not a lab: choose another --dir")

    def furnish(self) -> None:
        """Make the folders of the parts, except PostgreSQL's, which may belong to another user."""
        for part in self.parts:
            if part != self.pg:
                self._own(part, 0o700)

    @staticmethod
    def _own(path: pathlib.Path, mode: int) -> None:
        try:
            path.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as exc:
            raise LabError(f"cannot make the folder {path}: {exc.strerror}") from exc
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise LabError(f"{path} is not a folder of user {os.getuid()}: choose another --dir")
        if stat.S_IMODE(found.st_mode) != mode:
            path.chmod(mode)

    @contextlib.contextmanager
    def locked(self, budget: float, tell: t.Callable[[str], None], *, create: bool) -> t.Iterator[bool]:
        """Hold the lab against other ``up`` and ``down``; yield whether there is a folder.

        The lock is on the folder itself, so that no lock file stays. ``create`` makes the folder where it is missing.
        """
        deadline = time.monotonic() + budget
        told = False
        while time.monotonic() < deadline:
            if create:
                self.create()
            try:
                handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                if create:  # removed since we made it
                    continue
                yield False
                return
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is(handle):  # else the one before us has removed what we locked
                    yield True
                    return
            except BlockingIOError:
                if not told:
                    tell("waiting for another up or down of this lab")
                    told = True
                pause(0.1)
            finally:
                os.close(handle)
        raise LabError(f"another up or down of {self.path} still runs after {budget:.0f} s: look for it with ps")

    def _is(self, handle: int) -> bool:
        try:
            here = self.path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(handle)
        return (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)

    def purge(self) -> None:
        """Remove the lab. Files that no lab makes are left, and named."""
        for part in self.parts:
            if part.is_dir():
                shutil.rmtree(part)
        self.lab_json.unlink(missing_ok=True)
        strangers = sorted(entry.name for entry in self.path.iterdir())
        if strangers:
            raise LabError(f"{self.path} stays: {', '.join(strangers[:5])} is not of the lab")
        self.path.rmdir()
        if self.path.parent.name == f"tradeops-lab-{os.getuid()}":
            with contextlib.suppress(OSError):  # other labs live there
                self.path.parent.rmdir()


def write_private(path: pathlib.Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Put ``text`` into ``path`` in one step, readable by its owner (uid, gid) alone."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if owner:
                os.fchown(file.fileno(), *owner)
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_json(path: pathlib.Path) -> t.Any:
    """Return what ``path`` holds, None where there is no such file. Raises LabError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise LabError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise LabError(f"{path} is damaged ({exc}): python -m tradeops_lab down --purge, then up") from exc
