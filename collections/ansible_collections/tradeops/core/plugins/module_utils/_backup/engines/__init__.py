# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The engines by the name that an inventory gives. They are named here, so that they travel with a module."""

from __future__ import annotations

import typing as t

from ..._common.errors import InputError
from ..engine import Engine
from .barman import Barman
from .files import Files
from .image import Image
from .kubernetes import Kubernetes
from .pgbackrest import PgBackRest
from .postgresql import Postgresql
from .prometheus import Prometheus
from .redis import Redis

ENGINES: dict[str, t.Callable[[], Engine]] = {
    "barman": Barman,
    "files": Files,
    "image": Image,
    "kubernetes": Kubernetes,
    "pgbackrest": PgBackRest,
    "postgresql": Postgresql,
    "prometheus": Prometheus,
    "redis": Redis,
}


def engine_of(site: str, component: t.Mapping[str, t.Any]) -> Engine:
    """Return the engine of a component as the inventory has it. Raises InputError."""
    name = component.get("engine")
    if name not in ENGINES:
        raise InputError(
            f"{site}: tradeops_backup_components: {component.get('name') or 'a component'} has the engine {name!r}; "
            f"it can be {', '.join(sorted(ENGINES))}. Nothing was captured."
        )
    return ENGINES[name]()
