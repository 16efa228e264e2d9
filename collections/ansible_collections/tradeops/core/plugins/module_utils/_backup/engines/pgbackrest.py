# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A whole server with its log, kept by pgBackRest where that is installed, as its own configuration says.

It runs as the owner of the data folder. What its ``verify`` ends with says nothing (it is 0 also when backups are bad),
so the text is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import re
import shlex
import typing as t

from ..._common.errors import InputError, Unproven
from ..._common.typed import Data
from .. import programs, scratch
from ..engine import Base, Capture
from ..manifest import Component
from ..wal import is_log
from .physical import Output, Server, capture_physical, check_physical
from .postgresql import settings_of

_MARK = ("tradeops", "backup")  # the annotation of base backups that we take
_ANNOTATES = (2, 41)  # the first version that can
_EVER = 9999999  # the largest number that its rules take
_RULE = re.compile(r"--(repo\d+-retention-(?:full|diff|archive))=(\d+)")
_SEGMENT = re.compile(r"([0-9A-F]{24})(?:-[0-9a-f]{40})?(?:\.\w+)?")
_SAID = re.compile(r"^\s*(stanza|status): *(.*)$", re.MULTILINE)
_BAD = re.compile(r"\b(missing|checksum invalid|size invalid|other): *([1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where pgBackRest keeps a server: ``pgbackrest`` in ``tradeops_postgresql_server``. ``secrets``: variable of its
    environment -> name in ``tradeops_secrets``, such as ``PGBACKREST_REPO1_S3_KEY``."""

    stanza: str
    config: str = ""
    bin: str = ""
    type: t.Literal["full", "diff", "incr"] = "full"
    secrets: dict[str, str] = dataclasses.field(default_factory=dict)

    def check(self) -> tuple[tuple[str, ...], str] | None:
        strange = sorted(name for name in self.secrets if not name.startswith("PGBACKREST_"))
        return (("secrets",), f"{strange[0]} is no variable of pgBackRest") if strange else None


class PgBackRest:
    """The engine. Options of the component: ``max_age``, such as 24h: with a base backup that is younger, only the log
    is brought up to date."""

    def check(self, site: str, options: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        with scratch.folder() as place:
            tool = opened(site, given, place)
            check_physical(site, options, given, tool)
            if why := tool.in_the_way():
                raise InputError(f"{site}: {why}. Nothing was captured.")

    def capture(self, name: str, options: dict[str, t.Any], capture: Capture) -> Component:
        with scratch.folder() as place:
            return capture_physical(name, "pgbackrest", options, capture, opened(capture.site, capture.given, place))


def opened(site: str, given: t.Mapping[str, t.Any], place: pathlib.Path) -> Repository:
    """Return the tool of a site; passwords are in ``place``, a scratch folder. Raises InputError."""
    server = Server.of(site, given, "pgbackrest")
    facts = Data(server.tool, f"{site}: tradeops_postgresql_server.pgbackrest").read(Place)
    return Repository(site, given, server, facts, place)


class Repository:
    """pgBackRest for one server."""

    tool = "pgbackrest"

    def __init__(
        self, site: str, given: t.Mapping[str, t.Any], server: Server, facts: Place, place: pathlib.Path
    ) -> None:
        self.site = site
        self.facts = facts
        self.server = server
        self._user = server.user
        self._program = programs.find("pgbackrest", facts.bin or None, "tradeops_postgresql_server.pgbackrest.bin")
        missing = sorted(name for name in facts.secrets.values() if not given["secrets"].get(name))
        if missing:
            raise InputError(f"{site}: the secret {missing[0]!r} is missing in tradeops_secrets. Nothing was sent.")
        self._env = {name: str(given["secrets"][secret]) for name, secret in facts.secrets.items()}
        self._reach: dict[str, str] = {}
        if not given.get("postgresql"):
            return  # the repository is only looked at
        settings = settings_of(site, given, server.database)
        self._reach = {
            "PGBACKREST_PG1_PORT": str(settings["port"]),
            "PGBACKREST_PG1_USER": str(settings["user"]),
            "PGBACKREST_PG1_DATABASE": str(settings["dbname"]),
            **self._password(settings.get("password"), place),
        }

    @property
    def described(self) -> dict[str, t.Any]:
        """What the manifest tells, so that a hand can restore it."""
        said = Output()
        self._call(["version"], said, "its version")
        return {"tool": said.text.strip(), "stanza": self.facts.stanza, "config": self.facts.config}

    def bases(self) -> list[Base]:
        stanza = self._stanza()
        try:
            servers = {one["id"]: one for one in stanza["db"]}
            rows = [_base(row, servers[row["database"]["id"]]) for row in stanza["backup"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise Unproven(f"{self.site}: pgbackrest info gives no list that can be read: {exc!r}") from exc
        return sorted(rows, key=lambda base: base.ended)

    def take(self, progress: t.Callable[[str], None]) -> Base:
        before = {base.id for base in self.bases()}
        progress(f"pgbackrest: {self.facts.type} backup of {self.server.data}")
        annotates = programs.version(self._program, "version") >= _ANNOTATES
        marks = [f"--annotation={'='.join(_MARK)}"] if annotates else []
        self._call(
            [f"--type={self.facts.type}", "--start-fast", *marks, "backup"],
            None,
            "the base backup",
            {**self._env, **self._reach},
        )
        new = [base for base in self.bases() if base.id not in before]
        if len(new) != 1 or not new[0].usable:
            raise Unproven(
                f"{self.site}: pgbackrest backup ended well, and its list has no new backup without an error"
            )
        return new[0]

    def segments(self) -> set[str]:
        listed = self._json("repo-ls", "--recurse", f"archive/{self.facts.stanza}", what="the list of the log")
        names = set()
        for path in listed:
            name = path.rpartition("/")[2]
            found = _SEGMENT.fullmatch(name)
            if found:
                names.add(found.group(1))
            elif is_log(name):
                names.add(name)
        return names

    def fetch(
        self,
        base: Base,
        into: pathlib.Path,
        progress: t.Callable[[str], None],
        before_log: t.Callable[[], None] = lambda: None,
    ) -> None:
        before_log()
        progress(f"pgbackrest: fetching the base backup {base.id}, {base.size / 1e6:.0f} MB")
        into.mkdir(mode=0o700)
        scratch.give(into, self._user)
        argv = [f"--pg1-path={into}", f"--set={base.id}", "--type=none", "restore"]
        self._call(argv, None, f"fetching the base backup {base.id}")

    def restore_command(self, data: pathlib.Path) -> str:
        argv = [*self._command(), f"--pg1-path={data}", "archive-get"]
        return " ".join(shlex.quote(word).replace("%", "%%") for word in argv) + ' "%f" "%p"'

    def runs(self) -> list[pathlib.Path]:
        return [pathlib.Path(self._program)]

    def environment(self) -> dict[str, str]:
        return dict(self._env)

    def push(self, file: pathlib.Path) -> None:
        argv = [f"--pg1-path={file.parent.parent}", "archive-push", str(file)]
        self._call(argv, None, f"archiving {file.name}")
        if file.name not in self.segments():
            raise Unproven(f"{self.site}: pgbackrest archive-push ended well, and the repository has no {file.name}")

    def in_the_way(self) -> str:
        """Look for rules of its own that remove, as it reports its configuration when it only looks."""
        said = Output()
        self._call(["--dry-run", "expire"], said, "looking at its own retention", console="info")
        rules = ruled(said.text)
        if not rules:
            return ""
        return (
            f"after each backup pgBackRest would remove by rules of its own, which know nothing of sets: "
            f"{', '.join(rules)}. Set each of them to {_EVER} in its configuration; what is kept is said by "
            "tradeops_backup_retention"
        )

    @contextlib.contextmanager
    def pushing(self) -> t.Iterator[t.Callable[[pathlib.Path], None]]:
        yield self.push

    def delete(self, base: Base) -> None:
        """Remove one, and the log that only it needs: none of its own rules, which know nothing of sets, takes more."""
        rules = []
        for repository, labels in self._full().items():
            rest = labels - {base.id}
            for rule, number in (("full", _EVER), ("diff", _EVER), ("archive", len(rest) or _EVER)):
                rules.append(f"--repo{repository}-retention-{rule}={number}")
            rules += [
                f"--repo{repository}-retention-full-type=count",
                f"--repo{repository}-retention-archive-type=full",
            ]
        self._call([f"--set={base.id}", *rules, "expire"], None, f"removing the base backup {base.id}")
        if any(left.id == base.id for left in self.bases()):
            raise Unproven(f"{self.site}: pgbackrest expire ended well, and {base.id} is still listed")

    def verify(self, base: Base) -> list[str]:
        """Let pgBackRest read everything and compare its checksums; its text tells, not what it ends with."""
        said = Output()
        self._call(["--output=text", "--verbose", "verify"], said, "the check of the repository")
        problems = verdict(said.text)
        listed = {one.id: one for one in self.bases()}.get(base.id)
        if listed is None or not listed.usable:
            problems.append(f"the base backup {base.id} is not listed without an error")
        return problems

    def _stanza(self) -> dict[str, t.Any]:
        found = self._json("info", what="the list of base backups")
        stanzas = [one for one in found if one.get("name") == self.facts.stanza]
        if len(stanzas) != 1:
            raise Unproven(f"{self.site}: pgbackrest info knows no stanza {self.facts.stanza}")
        return t.cast("dict[str, t.Any]", stanzas[0])

    def _full(self) -> dict[int, set[str]]:
        """Return which full backups each repository has; a repository counts its log by them."""
        found: dict[int, set[str]] = {}
        for row in self._stanza()["backup"]:
            labels = found.setdefault(int(row["database"].get("repo-key", 1)), set())
            if row["type"] == "full":
                labels.add(row["label"])
        return found

    def _command(self, console: str = "off") -> list[str]:
        config = [f"--config={self.facts.config}"] if self.facts.config else []
        return [self._program, *config, f"--stanza={self.facts.stanza}", f"--log-level-console={console}"]

    def _json(self, command: str, *argv: str, what: str) -> t.Any:
        said = Output()
        self._call(["--output=json", command, *argv], said, what)
        try:
            return json.loads(said.text)
        except ValueError as exc:
            raise Unproven(f"{self.site}: pgbackrest {command} gives no JSON") from exc

    def _call(
        self,
        argv: t.Sequence[str],
        output: Output | None,
        what: str,
        env: t.Mapping[str, str] | None = None,
        *,
        console: str = "off",
    ) -> None:
        argv = [*self._command(console), "--log-level-stderr=error", *argv]
        env = {"HOME": str(self.server.data.parent), **(self._env if env is None else env)}
        programs.run(argv, output, env=env, what=f"{self.site}: {what}", user=self._user)

    def _password(self, password: t.Any, place: pathlib.Path) -> dict[str, str]:
        if not password:
            return {}
        file = place / "pgpass"
        file.touch(mode=0o600)
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        file.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
        scratch.give(file, self._user)
        return {"PGPASSFILE": str(file)}


def ruled(text: str) -> list[str]:
    """Return the rules that remove something, of what ``expire`` says of its configuration. Raises Unproven."""
    begin = next((line for line in text.splitlines() if "expire command begin" in line), None)
    if begin is None:
        raise Unproven(f"pgbackrest expire --dry-run does not report its configuration: {text[:200]!r}")
    return [f"{name}={number}" for name, number in _RULE.findall(begin) if int(number) < _EVER]


def verdict(text: str) -> list[str]:
    """Return what the text of ``verify`` says is wrong; a text that says nothing is wrong, too."""
    said = dict(_SAID.findall(text))
    if said.get("status") == "ok":
        return [f"{what}: {count}" for what, count in _BAD.findall(text)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    bad = [line for line in lines if _BAD.search(line) or "error" in line or "invalid" in line or "missing" in line]
    return bad or [f"pgbackrest verify does not say that it is well: {' | '.join(lines[:5]) or 'nothing at all'}"]


def _base(row: t.Mapping[str, t.Any], server: t.Mapping[str, t.Any]) -> Base:
    first, last = row["archive"]["start"], row["archive"]["stop"]
    began, ended = (dt.datetime.fromtimestamp(row["timestamp"][key], dt.UTC).isoformat() for key in ("start", "stop"))
    return Base(
        id=row["label"],
        started=began,
        ended=ended,
        begin=row["lsn"]["start"],
        end=row["lsn"]["stop"],
        begin_wal=first,
        end_wal=last,
        timeline=int(first[:8], 16),
        system=str(server["system-id"]),
        version=int(float(server["version"]) * 10000),
        size=int(row["info"]["size"]),
        usable=not row.get("error") and bool(last),
        needs=tuple(dict.fromkeys([*(row.get("reference") or ()), *filter(None, [row.get("prior")])])),
        ours=(row.get("annotation") or {}).get(_MARK[0]) == _MARK[1],
    )
