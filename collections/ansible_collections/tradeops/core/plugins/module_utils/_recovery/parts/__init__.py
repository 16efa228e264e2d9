# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What comes back how, by the engine that captured it."""

from __future__ import annotations

import typing as t

from ..back import Part
from .files import Files
from .logical import Logical
from .objects import Objects
from .physical import Physical
from .redis import Redis

PARTS: dict[str, t.Callable[..., Part]] = {
    "barman": Physical,
    "pgbackrest": Physical,
    "postgresql": Logical,
    "redis": Redis,
    "files": Files,
    "kubernetes": Objects,
}
