# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Times as an inventory writes them and as results have them."""

from __future__ import annotations

import datetime
import math
import re
import time
import typing as t

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


def iso(moment: float | None = None) -> str:
    """Return a moment in seconds since the epoch, by default now, in UTC as manifests have it."""
    found = datetime.datetime.fromtimestamp(time.time() if moment is None else moment, datetime.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(value: t.Any) -> float | None:
    """Return the seconds of a span of time, a number or a text such as 15m, 24h or 7d; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if not isinstance(value, str):
        return float(value) if math.isfinite(value) else None
    found = _SPAN.fullmatch(value.strip())
    return float(found.group(1)) * _UNITS[found.group(2) or "s"] if found else None
