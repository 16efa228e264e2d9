# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""How far a set is good: its manifest, sizes, hashes, what its tools say, and whether it can be restored.

Each level includes those before it. What is wrong with the set is Damaged; what is wrong with the place where it is
verified (a key, a program, an extension that is missing) is another error, and says nothing about the set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import tarfile
import typing as t

from .._common.errors import Damaged, InputError
from .._common.libraries import yaml
from . import scratch, trial
from .ciphers import identities
from .manifest import Artefact, Component, Manifest, folder
from .reading import Reading
from .retention import LEVELS
from .store import Store


@dataclasses.dataclass
class Verified:
    """What became of one component: the level that it reached, and what was seen."""

    component: str
    engine: str
    level: str
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


class Verifier:
    """One copy of one set. ``given``: ``secrets``, ``postgresql_bin``, ``redis_bin``, ``scratch_dir`` of the module."""

    def __init__(
        self, site: str, store: Store, manifest: Manifest, given: t.Mapping[str, t.Any], tell: t.Callable[[str], None]
    ) -> None:
        self.manifest = manifest
        self._base = folder(site, manifest.id)
        self._store = store
        self._given = given
        self._tell = tell
        self._keys: list[t.Any] = []
        self._place: pathlib.Path | None = None
        self._server: scratch.Server | None = None

    def verify(self, level: str) -> list[Verified]:
        """Verify every component up to ``level``. Raises Damaged for the first thing that is wrong with the set."""
        if level == "listed":
            return [Verified(one.name, one.engine, level) for one in self.manifest.components]
        self._sizes()
        if level == "sizes":
            return [Verified(one.name, one.engine, level) for one in self.manifest.components]
        if any("age" in item.filters for one in self.manifest.components for item in one.artefacts):
            self._keys = identities(str(self._given["secrets"].get("backup_identity") or ""))
        with contextlib.ExitStack() as stack:
            if level != "hashes":
                self._place = stack.enter_context(scratch.folder(self._given.get("scratch_dir")))
            return [self._component(one, level, stack) for one in self.manifest.components]

    def _sizes(self) -> None:
        found = {entry.key: entry.size for entry in self._store.entries(self._base)}
        for component in self.manifest.components:
            for item in component.artefacts:
                size = found.get(f"{self._base}{item.name}")
                if size != item.stored.size:
                    seen = "it is not there" if size is None else f"{size} bytes are there"
                    raise Damaged(
                        f"{self._base}{item.name} in the store {self._store.name}: {seen}, its manifest says "
                        f"{item.stored.size}."
                    )

    def _component(self, component: Component, level: str, stack: contextlib.ExitStack) -> Verified:
        size = sum(item.plain.size for item in component.artefacts)
        self._tell(f"{self.manifest.id}: {component.name}: verifying {size / 1e6:.1f} MB, level {level}")
        done = Verified(component.name, component.engine, level, {"bytes": size})
        if level == "hashes":
            self._drain(component.artefacts)
            return done
        deep = level == "restored"
        if component.engine == "postgresql":
            self._postgresql(component, done, deep, stack)
        elif component.engine == "redis":
            self._redis(component, done, deep)
        elif component.engine in ("barman", "pgbackrest"):
            self._drain(component.artefacts)
            self._physical(component, done, deep)
        else:
            for item in component.artefacts:
                self._by_form(item, done)
            self._compare(component, done)
        return done

    def _compare(self, component: Component, done: Verified) -> None:
        """Compare what was read with what the manifest counted. Raises Damaged."""
        for name in ("files", "objects", "queries"):
            wanted, found = component.facts.get(name), done.facts.get(name)
            wanted = len(wanted) if isinstance(wanted, list) else wanted
            if wanted is not None and found is not None and wanted != found:
                raise Damaged(f"{component.name} has {found} {name}, its manifest counted {wanted}.")

    def _reading(self, item: Artefact) -> Reading:
        return Reading(self._store, self._base, item, self._keys)

    def _drain(self, items: t.Iterable[Artefact]) -> None:
        for item in items:
            with self._reading(item) as reading:
                reading.drain()

    def _postgresql(self, component: Component, done: Verified, deep: bool, stack: contextlib.ExitStack) -> None:
        dump = trial.the(component, ".dump")
        programs, rest = self._given.get("postgresql_bin"), [item for item in component.artefacts if item is not dump]
        with self._reading(dump) as reading:
            if not deep:
                done.facts["tables"] = trial.listed(reading, programs, component)
                self._drain(rest)
                return
            file = self._fetch(reading, "database.dump")
        roles = ""
        for item in rest:
            with self._reading(item) as reading:
                text = b"".join(reading).decode()
            roles = text if ".sql" in item.name else roles
        done.facts["tables"] = trial.listed(trial.pieces(file), programs, component)
        if self._server is None:
            self._server = stack.enter_context(
                scratch.postgresql(self._room(), programs=programs, settings=trial.settings(component))
            )
        try:
            done.facts |= trial.postgresql(self._server, programs, file, roles, component, done.notes, self._tell)
        finally:
            file.unlink()

    def _redis(self, component: Component, done: Verified, deep: bool) -> None:
        rdb = trial.the(component, ".rdb")
        with self._reading(rdb) as reading:
            file = self._fetch(reading, f"{component.name}.rdb")
        self._drain(item for item in component.artefacts if item is not rdb)
        done.facts |= trial.check_rdb(file, self._given.get("redis_bin"), self._room())
        if deep:
            room = self._room() / f"of-{component.name}"
            room.mkdir(mode=0o700)
            with scratch.redis(room, programs=self._given.get("redis_bin"), rdb=file) as server:
                done.facts |= trial.redis(server, component, done.facts["expires"])
        file.unlink(missing_ok=True)

    def _physical(self, component: Component, done: Verified, deep: bool) -> None:
        """Let the tool verify its own base backup; only a recovery reads what is in it."""
        room = self._room() / f"of-{component.name}"
        done.facts |= trial.physical(self.manifest.site, component, self._given, room, restore=deep)

    def _by_form(self, item: Artefact, done: Verified) -> None:
        """Read what a tool would read: the members of an archive, documents of YAML and JSON; else only the bytes."""
        plain = item.name
        for suffix in (".age", ".zst"):
            plain = plain.removesuffix(suffix)
        with self._reading(item) as reading:
            if plain.endswith(".tar"):
                done.facts["files"] = done.facts.get("files", 0) + members(reading, plain)
            elif plain.endswith(".json"):
                parsed(reading, plain)
            elif plain.endswith(".jsonl"):
                done.facts["queries"] = ranges(reading, plain)
            elif plain.endswith((".yml", ".yaml")):
                done.facts["objects"] = done.facts.get("objects", 0) + documents(reading, plain)
            reading.drain()

    def _fetch(self, reading: Reading, name: str) -> pathlib.Path:
        """Write the plain bytes into the scratch folder; they are whole when this returns."""
        file = self._room() / name
        with file.open("xb") as output:
            file.chmod(0o600)
            for piece in reading:
                output.write(piece)
        return file

    def _room(self) -> pathlib.Path:
        if self._place is None:
            raise ValueError("there is no scratch folder at this level")
        return self._place


def reached(found: t.Sequence[Verified], level: str) -> str:
    """Return the level of a set: the lowest of its components."""
    return min((one.level for one in found), key=LEVELS.index, default=level)


def members(source: t.Any, name: str) -> int:
    """Read every member of an archive to its end and return how many files there are. Raises Damaged."""
    count = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                if member.name.startswith("/"):  # which Python's filter would only make relative
                    raise tarfile.AbsolutePathError(member)
                tarfile.data_filter(member, "/nowhere")
                content = archive.extractfile(member) if member.isfile() else None
                while content and content.read(1 << 20):
                    pass
                count += member.isfile()
    except tarfile.FilterError as exc:
        raise Damaged(f"{name} has a member that would be unpacked outside of its folder: {exc}.") from exc
    except (tarfile.TarError, EOFError) as exc:
        raise Damaged(f"{name} is no archive that can be read: {exc}.") from exc
    return count


def documents(source: t.Iterable[bytes], name: str) -> int:
    """Parse every document of a YAML stream and return how many there are. Raises Damaged."""
    try:
        return sum(1 for found in yaml.safe_load_all(b"".join(source).decode()) if found is not None)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise Damaged(f"{name} is no YAML that can be read: {' '.join(str(exc).split())}.") from exc


def parsed(source: t.Iterable[bytes], name: str) -> None:
    """Parse a JSON document. Raises Damaged."""
    try:
        json.loads(b"".join(source))
    except ValueError as exc:
        raise Damaged(f"{name} is no JSON that can be read: {exc}.") from exc


def ranges(source: t.Iterable[bytes], name: str) -> dict[str, dict[str, int]]:
    """Read ranges of metrics, a query a line, and return how many series and samples each has. Raises Damaged."""
    found: dict[str, dict[str, int]] = {}
    try:
        for line in _lines(source):
            asked = json.loads(line)
            samples = [float(value) for one in asked["series"] for _moment, value in one["values"]]
            found[asked["query"]] = {"series": len(asked["series"]), "samples": len(samples)}
    except (ValueError, TypeError, KeyError) as exc:
        raise Damaged(f"{name} has no ranges of metrics that can be read: {exc}.") from exc
    return found


def _lines(source: t.Iterable[bytes]) -> t.Iterator[bytes]:
    rest = b""
    for piece in source:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def subset(ids: t.Sequence[str], wanted: str, today: int) -> list[str]:
    """Return the part ``n/t`` of some sets: by their id, so over ``t`` runs every one was verified, also if more come.

    ``today/7`` is another seventh each day; ``today`` is a number of the day. Raises InputError.
    """
    number, _slash, of = wanted.partition("/")
    try:
        parts = int(of)
        part = today % parts + 1 if number == "today" else int(number)
    except (ValueError, ZeroDivisionError):
        part, parts = 0, 0
    if not 1 <= part <= parts:
        raise InputError(f"subset is {wanted!r}; give a part and their number, such as 1/7, or today/7.")
    # The last digits of an id are random, so the parts are of one size.
    return [set_id for set_id in ids if int(set_id[-6:], 16) % parts == part - 1]
