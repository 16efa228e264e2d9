# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a window has done at a site, kept on the controller, so that the next run can go on where one was ended.

The file remembers what cannot be seen afterwards: how the site was found, which alarms were told, which steps were
taken. What the site is now is never taken from here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import typing as t
import urllib.parse

from .._common.errors import InputError

ALARMS = (50, 100)  # per cent of the window
# failed: the site is still held, and has to be carried on with; refused: it was never touched.
Status = t.Literal["open", "failed", "refused", "closed"]


@dataclasses.dataclass
class Record:
    """One window at one site. Times are UTC, ISO 8601. ``left``: what a window that is closed did not get to."""

    site: str
    window: str
    begins: str
    ends: str
    opened: str
    operator: str
    reason: str
    override: str
    found: dict[str, t.Any]
    change: dict[str, t.Any]
    status: Status = "open"
    closed: str = ""
    operations: list[str] = dataclasses.field(default_factory=list)
    alarms: list[int] = dataclasses.field(default_factory=list)
    steps: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    left: list[str] = dataclasses.field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        return self.status in ("open", "failed")

    @property
    def touched(self) -> bool:
        """Whether anything may have been done to the trading of the site."""
        return "halt" in self.steps

    def note(self, step: str, status: str, why: str, moment: dt.datetime) -> None:
        self.steps[step] = {"status": status, "at": stamp(moment), "why": why}

    def due(self, moment: dt.datetime) -> list[int]:
        """Return the alarms that are passed and not told yet, and remember them."""
        begins, ends = read(self.begins), read(self.ends)
        share = 100.0 * (moment - begins) / (ends - begins)
        news = [alarm for alarm in ALARMS if share >= alarm and alarm not in self.alarms]
        self.alarms += news
        return news

    def over(self, moment: dt.datetime) -> bool:
        return moment >= read(self.ends)


class Shelf:
    """The records of one site: ``<folder>/<site>/<window>.json``; older ones have their time in the name."""

    def __init__(self, folder: str, site: str) -> None:
        self.site = site
        self.folder = pathlib.Path(folder).expanduser() / urllib.parse.quote(site, safe="")

    def path(self, window: str) -> pathlib.Path:
        return self.folder / f"{urllib.parse.quote(window, safe='')}.json"

    def load(self, window: str) -> Record | None:
        """Return the latest record of a window. Raises InputError."""
        return self._load(self.path(window))

    def others(self, window: str) -> list[Record]:
        """Return the records of other windows that are not finished."""
        paths = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        found = [self._load(path) for path in paths if path != self.path(window)]
        return [record for record in found if record and record.unfinished]

    def store(self, record: Record) -> None:
        """Write the record in one step. A closed one of before is kept beside it. Raises InputError."""
        path = self.path(record.window)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            before = self._load(path)
            if before and before.opened != record.opened:
                os.replace(path, path.with_name(f"{path.stem}-{before.opened.replace(':', '')}.json"))
            scratch = path.with_name(f".{path.name}.{os.getpid()}")
            with scratch.open("w", encoding="utf-8") as file:
                json.dump(dataclasses.asdict(record), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except OSError as exc:
            raise InputError(f"{self.site}: the record {path} cannot be written: {exc.strerror}") from exc

    def _load(self, path: pathlib.Path) -> Record | None:
        try:
            return Record(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise InputError(f"{self.site}: the record {path} cannot be read: {exc.strerror}") from exc
        except (ValueError, TypeError) as exc:
            raise InputError(
                f"{self.site}: the record {path} is damaged ({exc}). Look at the site, and remove it by hand."
            ) from exc


def stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
