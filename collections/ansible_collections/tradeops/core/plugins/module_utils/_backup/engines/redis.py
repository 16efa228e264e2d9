# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One Redis as an RDB, which ``redis-cli --rdb`` gets as a replica does: no file of the server is touched."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
import os
import typing as t

from ..._common.errors import Denied, InputError, Refused, Unreachable
from ..._common.typed import Data
from .. import programs
from ..engine import Capture
from ..manifest import Component
from ..sets import iso

RDB = "dump.rdb"
_BIN = "tradeops_redis_bin"
_BUDGET = 10.0  # s for one answer


@dataclasses.dataclass(frozen=True)
class Options:
    """A Redis has nothing to choose: all of its databases are one file."""


class Redis:
    """The component has no options. The RDB holds every database of the server; ``db`` is that of the site."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        Data(options, f"{site}: tradeops_backup_components (redis)").read(Options)
        programs.find("redis-cli", given.get("redis_bin"), _BIN)
        with _Session(site, given) as session:
            session.info()

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        program = programs.find("redis-cli", capture.given.get("redis_bin"), _BIN)
        place, password = place_of(capture.site, capture.given), capture.given["secrets"].get("redis_password")
        argv = [program, "-h", str(place["host"]), "-p", str(place["port"])]
        argv += ["--user", str(place["username"])] if place.get("username") else []
        argv += ["--tls"] if place.get("tls") else []
        argv += ["--cacert", os.path.expanduser(str(place["ca_path"]))] if place.get("ca_path") else []
        with _Session(capture.site, capture.given) as session:
            info, before = session.info(), session.keys()
            moment = iso(dt.datetime.now(dt.UTC))
            with capture.artefact(RDB) as sink:
                checked = _Checked(sink)
                env = {"REDISCLI_AUTH": str(password)} if password else {}
                capture.run([*argv, "--rdb", "-"], checked, env=env, what=f"{name}: the RDB of {session.where}")
                checked.end(f"{capture.site}: {name}: redis-cli")
            after = session.keys()
        facts: dict[str, t.Any] = {
            "db": place["db"],
            "server_version": str(info["redis_version"]),
            "client_version": ".".join(map(str, programs.version(program))),
            "run_id": str(info["run_id"]),
            "used_memory": int(info["used_memory"]),
            "appendonly": bool(info["aof_enabled"]),
        }
        if before == after:
            facts["keys"] = {str(place["db"]): after}
        else:
            capture.note(
                f"{name}: keys came and went during the capture ({before} before, {after} afterwards), so that their "
                f"number is not in the manifest; a quiesced backup has it"
            )
        return Component(name, "redis", moment, moment, iso(dt.datetime.now(dt.UTC)), facts=facts)


class _Checked:
    """Passes an RDB on, and knows whether it begins as one and has an end."""

    def __init__(self, sink: t.Any) -> None:
        self._sink = sink
        self._first = b""
        self._last = b""

    def write(self, data: bytes) -> int:
        if len(self._first) < 5:
            self._first = (self._first + data)[:5]
        self._last = (self._last + data)[-9:]
        return int(self._sink.write(data))

    def end(self, what: str) -> None:
        """Raise Refused unless a whole RDB went by: its magic, and the mark before its checksum."""
        if self._first != b"REDIS" or self._last[:1] != b"\xff":
            raise Refused(f"{what} gave no whole RDB.", method="run", path="redis-cli", sent=True)


class _Session:
    """A connection to the database of the site."""

    def __init__(self, site: str, given: t.Mapping[str, t.Any]) -> None:
        self._site = site
        try:
            self._library = importlib.import_module("redis")
        except ImportError as exc:
            raise InputError("the Python library redis is missing where the backup runs: install it") from exc
        place = place_of(site, given)
        self.where = f"{place['host']}:{place['port']}/{place['db']}"
        self._client = self._library.Redis(
            host=place["host"],
            port=place["port"],
            db=place["db"],
            username=place.get("username"),
            password=given["secrets"].get("redis_password"),
            ssl=bool(place.get("tls")),
            ssl_ca_certs=os.path.expanduser(str(place["ca_path"])) if place.get("ca_path") else None,
            socket_timeout=_BUDGET,
            socket_connect_timeout=_BUDGET,
        )

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def info(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self._asked(self._client.info))

    def keys(self) -> int:
        return int(self._asked(self._client.dbsize))

    def _asked(self, ask: t.Callable[[], t.Any]) -> t.Any:
        known = self._library.exceptions
        try:
            return ask()
        except known.AuthenticationError as exc:
            text = f"{self._site}: the Redis {self.where} does not accept our credentials."
            raise Denied(text, method="AUTH", path=self.where, sent=False) from exc
        except (known.ConnectionError, known.TimeoutError) as exc:
            text = f"{self._site}: the Redis {self.where} does not answer: {exc}"
            raise Unreachable(text, method="INFO", path=self.where, sent=False) from exc
        except known.RedisError as exc:
            text = f"{self._site}: the Redis {self.where} refuses: {exc}"
            raise Refused(text, method="INFO", path=self.where, sent=True) from exc


def place_of(site: str, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return where the Redis of a site is. Raises InputError."""
    place = given.get("redis")
    if not place or not place.get("host"):
        raise InputError(f"{site}: a component is a Redis, and tradeops_redis does not say where it is.")
    return {**place, "port": int(place.get("port", 6379)), "db": int(place.get("db", 0))}
