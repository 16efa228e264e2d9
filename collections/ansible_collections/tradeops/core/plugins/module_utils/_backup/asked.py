# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What is asked of a set: the latest one is the newest that has it, and not the newest of all."""

from __future__ import annotations

import dataclasses
import typing as t

PARTS = ("full", "database", "config", "data")
PHYSICAL = ("barman", "pgbackrest")
LOGICAL = "postgresql"
# Captured to be read, not to be put back; and why.
KEPT = {
    "prometheus": "metrics are kept for reading",
    "image": "the image that runs is the business of playbooks/rollback.yml",
}
Engines = t.Mapping[str, str]  # name of a component -> its engine


@dataclasses.dataclass(frozen=True)
class Asked:
    """``names``: the components that a set has to have for ``what``. ``others``: those that do not count for it."""

    what: str
    names: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def lacks(self, components: Engines) -> str:
        """Say what a set with these components lacks, or return an empty text."""
        missing = ", ".join(sorted(self.names - components.keys()))
        if not missing and all(name in self.others or engine in KEPT for name, engine in components.items()):
            return f"anything of {self.what!r}"
        return missing


def asked(
    what: str,
    types: t.Mapping[str, t.Any],
    only: t.Collection[str] = (),
    *,
    known: t.Iterable[Engines],
    to_moment: bool = False,
) -> Asked:
    """Return what a restore of ``what`` asks of a set; ``types`` are tradeops_backup_types.

    Of ``full`` that is what an emergency backup has, the least that a restore needs, or where there is none what
    ``database`` and ``config`` have together. What none of the sets that are ``known`` has, no set can be asked for.
    With ``to_moment`` it is the log of a server, and whoever wants that takes what the set has beside it.
    """
    engines = {name: engine for components in known for name, engine in components.items()}
    database, config = (_of(types, part) for part in ("database", "config"))
    others: set[str] = set()
    if only:
        names = set(only)
    elif what == "database":
        names = database
    elif what == "config":
        names = config
    else:
        names = _of(types, "emergency") or database | config
        if what == "data":
            others = database | config
    names = {name for name in names - others if name in engines}
    # A database comes back from its dump or from its server's log, and not from both.
    dumps, servers = ({name for name in names if engines[name] in of} for of in ((LOGICAL,), PHYSICAL))
    if to_moment:
        names = servers
    elif dumps:
        names -= servers
    return Asked(what, frozenset(names), frozenset(others))


def _of(types: t.Mapping[str, t.Any], part: str) -> set[str]:
    """Return the components that a type of backup has; whoever needs them says when they are not to be read."""
    found = types.get(part)
    names = found.get("components") if isinstance(found, dict) else None
    return {str(name) for name in names} if isinstance(names, list) else set()
