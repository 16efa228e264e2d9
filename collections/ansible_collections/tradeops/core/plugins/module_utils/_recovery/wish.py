# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Which moment an operator asks for: a day, a time with its zone, a position of a log or a restore point."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

from .._common.errors import InputError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
_NAMES = "a date (2026-11-26), a time with its zone (2026-11-26 14:29:59+00:00), lsn:0/5000148, or name:before-deploy"


@dataclasses.dataclass(frozen=True)
class At:
    """``kind`` is ``newest``, ``day``, ``time``, ``lsn`` or ``name``; ``moment`` is the end of a day, or the time."""

    kind: str = "newest"
    text: str = ""
    moment: dt.datetime | None = None

    @property
    def log_only(self) -> bool:
        """Whether only the log of a server can tell where that is."""
        return self.kind in ("lsn", "name")


def parse_at(site: str, text: str) -> At:
    """Return what ``restore_at`` means. Raises InputError; a time without its zone is one of many moments."""
    text = text.strip()
    if not text:
        return At()
    kind, colon, value = text.partition(":")
    if colon and kind == "lsn":
        if not _LSN.fullmatch(value):
            raise InputError(
                f"{site}: {value!r} is no position of a log; it looks like 0/5000148. Nothing was touched."
            )
        return At("lsn", value.upper())
    if colon and kind == "name":
        if not value or len(value.encode()) > 63:
            raise InputError(
                f"{site}: {value!r} is no name of a restore point; it has 1 to 63 letters. Nothing was touched."
            )
        return At("name", value)
    try:
        if _DAY.fullmatch(text):
            day = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
            return At("day", text, day + dt.timedelta(days=1))
        moment = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"{site}: restore_at is {text!r}; give {_NAMES}. Nothing was touched.") from exc
    if moment.tzinfo is None:
        raise InputError(
            f"{site}: restore_at is {text!r}, a time without a zone: it is another moment in every place. Say "
            f"which, as in '{text}+00:00'. Nothing was touched."
        )
    return At("time", text, moment.astimezone(dt.UTC))
