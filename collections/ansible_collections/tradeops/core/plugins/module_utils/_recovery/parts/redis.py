# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A Redis from its RDB: loaded by a scratch server, moved key by key into a spare database, compared, then swapped.

``SWAPDB`` is one step, needs no restart, and is in the AOF and at the replicas like any other command. Nobody else's
database is touched. What was there is then in the spare one, with a mark.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import typing as t

from ..._backup import scratch
from ..._backup.manifest import Artefact, Component
from ..._common.errors import Damaged, InputError, Refused, Unproven
from ..._common.outcome import Object
from ..back import Back
from ..plan import Target

_BATCH = 500  # keys
_TIMEOUT = 30.0  # s for one answer
_SHOWN = 5  # keys that a message names
Client = t.Any


class Redis:
    """One component of the engine ``redis``."""

    def __init__(self, back: Back, component: Component, options: t.Mapping[str, t.Any]) -> None:
        place = back.given.get("redis")
        if not place:
            raise InputError(
                f"{back.site}: tradeops_redis does not say where {component.name} is. Nothing was touched."
            )
        self.back = back
        self.component = component
        self.place: dict[str, t.Any] = {"port": 6379, "db": 0, **place}
        self.source = int(component.facts.get("db", self.place["db"]))
        self.spare: int | None = None
        self.mark = f"tradeops:restoring:{back.site}"
        self.before = f"tradeops:before:{back.site}"
        self._old = 0
        self._loaded: Client = None
        self._count = 0

    # -- look ----------------------------------------------------------------------------------------------------

    def look(self) -> Target:
        with self._told("look"), self._client(self.place["db"]) as client:
            server, memory = client.info("server"), client.info("memory")
            cluster = client.info("cluster").get("cluster_enabled")
            self._old = client.dbsize()
            self.spare = self._spare()
        problems, notes = [], []
        if cluster:
            problems.append("it is a cluster, which has one database only; restore it with its own tools")
        elif self.spare is None:
            problems.append(
                "every database of the server has keys, so that there is none to restore beside; empty one, such as "
                "one that an earlier restore kept, or name one as spare in tradeops_redis"
            )
        limit = int(memory.get("maxmemory") or 0)
        needs = int(self.component.facts.get("used_memory") or sum(item.plain.size for item in self.wanted()))
        if limit and int(memory["used_memory"]) + needs > limit:
            problems.append(
                f"maxmemory is {limit} bytes, {memory['used_memory']} are in use, and the restore takes about {needs}"
            )
        if self.place["db"] != self.source:
            notes.append(f"the keys of database {self.source} of the set go into database {self.place['db']}")
        return Target(
            name=f"the database {self.place['db']} of the Redis {self.place['host']}:{self.place['port']}",
            exists=self._old > 0,
            shown={"keys": self._old},
            version=tuple(int(part) for part in str(server["redis_version"]).split(".")),
            way=f"loaded by a scratch server, moved into the database {self.spare}, compared, then SWAPDB",
            safety=f"the database {self.spare}, marked by the key {self.before}",
            problems=tuple(problems),
            notes=tuple(notes),
        )

    def wanted(self) -> list[Artefact]:
        found = [item for item in self.component.artefacts if ".rdb" in item.name]
        if not found:
            raise Damaged(f"{self.component.name} of {self.back.set_id} has no RDB. Nothing was touched.")
        return found[:1]

    def streamed(self) -> list[Artefact]:
        return []

    def inspect(self) -> list[str]:
        """A scratch server loads it whole, and has as many keys as the manifest says."""
        place = self.back.folder
        if (place / "redis").exists():  # of another component; the path of a socket must be short
            place = place / self.component.name
            place.mkdir(mode=0o711)
        server = self.back.stack.enter_context(
            scratch.redis(place, programs=self.back.given.get("redis_bin"), rdb=self.back.path(self.wanted()[0]))
        )
        self._loaded = self.back.stack.enter_context(contextlib.closing(scratch.client(server, self.source)))
        self._count = self._loaded.dbsize()
        wanted = self.component.facts.get("keys")
        wanted = wanted.get(str(self.source), 0) if isinstance(wanted, dict) else wanted
        # Keys whose time is over are not loaded, so fewer may be right; more never are.
        if isinstance(wanted, int) and self._count > wanted:
            return [f"the RDB has {self._count} keys in database {self.source}, its manifest says {wanted}"]
        if isinstance(wanted, int) and self._count < wanted:
            self.back.note(f"{self.component.name}: {wanted - self._count} keys have ended by their own time since")
        return []

    # -- beside --------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        with self._told("sweep"):
            for number in self._numbers():
                with self._client(number) as client:
                    if client.exists(self.mark):
                        self.back.note(
                            f"what a restore that was killed had left is removed: the Redis database {number}"
                        )
                        client.flushdb()

    def prepare(self) -> None:
        with self._told("prepare"):
            self._claim()
            with self._client(t.cast(int, self.spare)) as client:
                for keys in self._batches():
                    self._move(keys, client)
                problems = self._differences(client)
        if problems:
            raise Unproven(f"{self.component.name}: not every key came over as it was: {_named(problems)}")

    def _claim(self) -> None:
        """Take an empty database by a mark in it. Raises Refused when somebody has written to every one of them."""
        for number in [self.spare] if self.place.get("spare") is not None else self._numbers():
            with self._client(t.cast(int, number)) as client:
                if number == self.place["db"] or client.dbsize():
                    continue
                if client.set(self.mark, self.back.set_id, nx=True) and client.dbsize() == 1:
                    self.spare = number
                    return
                client.delete(self.mark)
        raise _refused(f"{self.component.name}: no database of the server is empty any more")

    def _move(self, keys: list[bytes], client: Client) -> None:
        """Copy keys with their time to live, as the server itself packs them."""
        with self._loaded.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
                pipe.pttl(key)
            answers = pipe.execute()
        with client.pipeline(transaction=False) as pipe:
            for key, packed, left in zip(keys, answers[::2], answers[1::2], strict=True):
                if packed is not None:
                    pipe.restore(key, max(left, 0), packed, replace=True)
            pipe.execute()

    def _differences(self, client: Client) -> list[str]:
        """Compare every key of the scratch server with ``client``; one that has ended by its time is equal."""
        problems: list[str] = []
        for keys in self._batches():
            with self._loaded.pipeline(transaction=False) as ours, client.pipeline(transaction=False) as theirs:
                for key in keys:
                    ours.dump(key)
                    theirs.dump(key)
                pairs = zip(keys, ours.execute(), theirs.execute(), strict=True)
            for key, mine, other in pairs:
                # Equal content may be packed in another order: then it is compared itself.
                if mine != other and self._loaded.exists(key) and _value(self._loaded, key) != _value(client, key):
                    problems.append(key.decode(errors="replace"))
        return problems

    def _batches(self) -> t.Iterator[list[bytes]]:
        keys: list[bytes] = []
        for key in self._loaded.scan_iter(count=_BATCH):
            keys.append(key)
            if len(keys) == _BATCH:
                yield keys
                keys = []
        if keys:
            yield keys

    # -- in place ------------------------------------------------------------------------------------------------

    def switch(self) -> None:
        self._swap(away=self.mark, mark=self.before)

    def undo(self) -> None:
        self._swap(away=self.before, mark=self.mark)

    def prove(self) -> list[Object]:
        problems: list[str] = []
        with self._told("prove"):
            with self._client(t.cast(int, self.spare)) as client:
                kept = client.get(self.before)
            if kept != self.back.set_id.encode():
                problems.append("the databases were not swapped")
            with self._client(self.place["db"]) as client:
                found = client.dbsize()
                changed = self._differences(client)
                gone = [key for key in changed if not client.exists(key)]
        if gone:
            problems.append(f"{len(gone)} keys are missing: {_named(gone)}")
        elif changed:
            self.back.note(
                f"{self.component.name}: {len(changed)} keys are another than in the set: they are written to"
            )
        result = "unproven" if problems else "proven"
        after = {"keys": found, "kept": f"database {self.spare}"}
        return [Object(self.component.name, "redis", {"keys": self._old}, after, result, "; ".join(problems))]

    def discard(self) -> None:
        self.sweep()

    def _swap(self, *, away: str, mark: str) -> None:
        """Swap the databases in one transaction with the marks, so that a kill leaves no doubt about which is which."""
        with (
            self._told("swap"),
            self._client(t.cast(int, self.spare)) as client,
            client.pipeline(transaction=True) as pipe,
        ):
            pipe.delete(away)
            pipe.execute_command("SWAPDB", self.place["db"], self.spare)
            pipe.set(mark, self.back.set_id)
            pipe.execute()

    # -- small things --------------------------------------------------------------------------------------------

    def _numbers(self) -> list[int]:
        """Return the numbers of the other databases, the last one first: the first ones are those that people use."""
        with self._client(self.place["db"]) as client:
            found = client.config_get("databases").get("databases", "16")
        return [number for number in reversed(range(int(found))) if number != self.place["db"]]

    def _spare(self) -> int | None:
        """Return an empty database, or one that a killed restore has marked."""
        given = self.place.get("spare")
        for number in [int(given)] if given is not None else self._numbers():
            with self._client(number) as client:
                if not client.dbsize() or client.exists(self.mark):
                    return number
        return None

    @contextlib.contextmanager
    def _client(self, number: int) -> t.Iterator[Client]:
        library: t.Any = importlib.import_module("redis")
        given = self.back.given
        with contextlib.closing(
            library.Redis(
                host=self.place["host"],
                port=self.place["port"],
                db=number,
                username=self.place.get("username"),
                password=given["secrets"].get("redis_password"),
                ssl=bool(self.place.get("tls")),
                ssl_ca_certs=os.path.expanduser(str(self.place["ca_path"])) if self.place.get("ca_path") else None,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                protocol=2,
                driver_info=None,
            )
        ) as client:
            yield client

    @contextlib.contextmanager
    def _told(self, what: str) -> t.Iterator[None]:
        """Tell what redis-py raises as an error of ours."""
        library: t.Any = importlib.import_module("redis")
        try:
            yield
        except library.exceptions.RedisError as exc:
            text = self.back.redactor.text(f"{self.component.name}: {what}: {exc}")
            raise Refused(text, method=what, path=f"{self.place['host']}:{self.place['port']}", sent=None) from exc


def _value(client: Client, key: bytes) -> t.Any:
    """Return the content of a key in a form that does not depend on how a server packs it."""
    kind = client.type(key)
    if kind == b"string":
        return client.get(key)
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"set":
        return sorted(client.smembers(key))
    if kind == b"hash":
        return client.hgetall(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1, withscores=True)
    return client.dump(key)


def _named(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _refused(text: str) -> Refused:
    return Refused(text, method="SET", path="", sent=False)
