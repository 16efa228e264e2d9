# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Roles that a database needs, as owners or in grants, and that its server lacks: named first, then made or refused."""

from __future__ import annotations

import pathlib
import re
import typing as t

from .._backup.engines.postgresql import GLOBALS
from .._backup.manifest import Component
from .._database.server import library
from .back import Back
from .plan import Role

_NAME = r"""(?P<name>"(?:[^"]|"")+"|[^\s";]+)"""
_CREATED = re.compile(rf"CREATE ROLE {_NAME};")
_ALTERED = re.compile(rf"ALTER ROLE {_NAME} WITH (?P<words>[A-Z ]+?)(?: CONNECTION| PASSWORD| VALID|;)")
_MEMBER = re.compile(rf"GRANT {_NAME} TO (?P<member>\"(?:[^\"]|\"\")+\"|[^\s\";]+)")
_TELLING = ("SUPERUSER", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
_KNOWN = "SELECT rolname AS name FROM pg_catalog.pg_roles"
_MAY = (
    "SELECT rolsuper OR rolcreaterole AS may, rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname = current_user"
)


def described(text: str) -> dict[str, str]:
    """Return the roles of a ``globals.sql``, each with what it could do and whose member it was."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if created := _CREATED.match(line):
            found.setdefault(_plain(created["name"]), [])
        elif altered := _ALTERED.match(line):
            words = altered["words"].split()
            found.setdefault(_plain(altered["name"]), []).extend(word for word in _TELLING if word in words)
        elif member := _MEMBER.match(line):
            found.setdefault(_plain(member["member"]), []).append(f"member of {_plain(member['name'])}")
    return {name: ", ".join(words) for name, words in found.items()}


class Roles:
    """The roles of one database of a set. ``missing`` are those that the server lacks, as far as was looked."""

    def __init__(self, back: Back, component: Component) -> None:
        self.back = back
        self.component = component
        self.missing: dict[str, Role] = {}
        self.may_create = False
        self._made: list[str] = []
        self._superuser = False
        self._described: dict[str, str] | None = None

    def look(self, session: t.Any, needed: t.Iterable[str] | None = None) -> tuple[Role, ...]:
        """Compare with the roles of the server; return those of ``needed`` that are new, by default of the manifest."""
        login = session.execute(_MAY).fetchone()
        self.may_create, self._superuser = login["may"], login["super"]
        known = {row["name"] for row in session.execute(_KNOWN)} | self.missing.keys()
        wanted = self.component.facts.get("roles") or () if needed is None else needed
        found = {name: Role(name, self._was(name)) for name in sorted(set(wanted) - known)}
        self.missing |= found
        return tuple(found.values())

    def make(self, session: t.Any) -> None:
        """Make what is missing, so that it can own and be granted, and nobody can log in with it."""
        compose = library().sql
        for role in self.missing.values():
            name = compose.Identifier(role.name)
            session.execute(compose.SQL("CREATE ROLE {} NOLOGIN").format(name))
            self._made.append(role.name)
            if not self._superuser:
                # Only a member may give it what it owns.
                session.execute(compose.SQL("GRANT {} TO CURRENT_USER").format(name))
            self.back.progress(f"{self.component.name}: made the role {role}, NOLOGIN and without a password")

    def unmake(self, session: t.Any) -> None:
        """Remove what was made, for a restore that has failed. What somebody uses by now stays, and is told."""
        compose = library().sql
        while self._made:
            name = self._made.pop()
            try:
                session.execute(compose.SQL("DROP ROLE {}").format(compose.Identifier(name)))
            except library().Error as exc:
                why = " ".join(str(exc).split())
                self.back.note(f"{self.component.name}: the role {name} that was made for it stays: {why}")

    def _was(self, name: str) -> str:
        if self._described is None:
            file = next(
                (
                    item
                    for item in self.component.artefacts
                    if pathlib.PurePosixPath(item.name).name.startswith(GLOBALS)
                ),
                None,
            )
            text = b"".join(self.back.read(file)).decode(errors="replace") if file else ""
            self._described = described(text)
        return self._described.get(name, "")


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
