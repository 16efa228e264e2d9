# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Trading states and how strict they are."""

from __future__ import annotations

UNKNOWN = "unknown"

# What satisfies a wish: a site that is stopped also takes no new orders. Flat is observed, never only claimed.
SATISFIED_BY: dict[str, frozenset[str]] = {
    "active": frozenset({"active"}),
    "reducing": frozenset({"reducing", "halted", "flat", "stopped"}),
    "halted": frozenset({"halted", "flat", "stopped"}),
    "flat": frozenset({"halted", "flat", "stopped"}),
    "stopped": frozenset({"stopped"}),
}

# From loose to strict, for telling a stop from a start.
STRICTNESS: dict[str, int] = {"active": 0, "reducing": 1, "halted": 2, "flat": 2, "stopped": 3}


def satisfies(seen: str, wanted: str, *, exact: bool = False) -> bool:
    """Whether the platform's state ``seen`` is what was ``wanted`` or, unless ``exact``, stricter."""
    if seen == UNKNOWN:
        return False
    return seen == wanted if exact else seen in SATISFIED_BY[wanted]


def loosens(before: str, wanted: str) -> bool:
    """Whether going from ``before`` to ``wanted`` would allow more than now."""
    return before in STRICTNESS and STRICTNESS[wanted] < STRICTNESS[before]
