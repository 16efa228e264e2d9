# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The settings of a platform that runs: they are checked against their schema as a whole, then set one by one."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..._common.errors import InputError
from ..._common.outcome import Outcome
from ..._common.typed import Data
from ..profile import Configuration
from ..states import UNKNOWN
from .run import Run
from .things import Change, Values, ensure

_TYPES: dict[str, t.Any] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What a setting may be. ``restart``: a service reads it only when it starts."""

    type: t.Literal["str", "int", "float", "bool"]
    choices: list[t.Any] = dataclasses.field(default_factory=list)
    least: t.Optional[float] = None
    most: t.Optional[float] = None
    pattern: t.Optional[str] = None
    restart: bool = False

    def check(self) -> t.Any:
        numeric = self.type in ("int", "float")
        if not numeric and (self.least is not None or self.most is not None):
            return ("least" if self.least is not None else "most",), f"a setting of type {self.type} is no number"
        if self.least is not None and self.most is not None and self.least > self.most:
            return ("least",), f"{self.least:g} is more than most, {self.most:g}"
        if self.pattern is None:
            return None
        if self.type != "str":
            return ("pattern",), f"a setting of type {self.type} is no text"
        try:
            re.compile(self.pattern)
        except re.error as exc:
            return ("pattern",), f"{self.pattern!r} is no regular expression: {exc}"
        return None

    def problem(self, value: t.Any) -> str:
        """Return what is wrong with a value, without showing it; empty when nothing is."""
        if not isinstance(value, _TYPES[self.type]) or (isinstance(value, bool) and self.type != "bool"):
            return f"must be of type {self.type}, is of type {type(value).__name__}"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))}"
        if self.least is not None and value < self.least:
            return f"must be at least {self.least:g}"
        if self.most is not None and value > self.most:
            return f"must be at most {self.most:g}"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return f"must match {self.pattern}"
        return ""


Schema = t.Mapping[str, Setting]


def parse_schema(site: str, given: t.Mapping[str, t.Any]) -> dict[str, Setting]:
    """Return the schema of the settings. Raises InputError that names the setting and the key."""
    return {str(name): Data(item, f"{site}: schema: {name}").read(Setting) for name, item in given.items()}


def problems(schema: Schema, wanted: Values, live: Values, *, strict: bool) -> list[str]:
    """Return what keeps ``wanted`` from being applied to what is ``live``, each with its name.

    ``strict``: what is not mentioned, and therefore stays, has to be known and right, too.
    """
    found = []
    for name, value in {**(live if strict else {}), **wanted}.items():
        stays = "" if name in wanted else "it has, and "
        if name not in schema:
            found.append(f"{name}: {stays}the schema does not know it")
        elif said := schema[name].problem(value):
            found.append(f"{name}: {f'{value!r} ' if name in wanted else 'what it has '}{said}")
        elif name not in live:
            found.append(f"{name}: the platform has no such setting")
        elif schema[name].restart and live[name] != value:
            found.append(f"{name}: the service reads it only when it starts")
    return found


def ensure_configuration(
    run: Run, *, settings: t.Mapping[str, t.Any], schema: t.Mapping[str, t.Any], strict: bool, apply: bool
) -> Outcome:
    """The running platform has these settings; what is not mentioned stays. Nothing is set unless all may be."""
    able: Configuration = run.site.require("configuration")
    known = parse_schema(run.site.name, schema)
    wanted = {str(name): value for name, value in settings.items()}
    change = Change("configuration", "setting", able.list, "value", None, able.set, sent=wanted)
    if apply and not wanted:
        raise InputError(f"{run.site.name}: settings: there is none to apply. Nothing was sent.")
    change.check(run)

    # As the platform writes them: a comparison takes 30 and "30" for the same, a schema does not.
    live = {row["id"]: row.get("value") for row in run.rows(able.list)}

    def checked(seen: Values) -> Values:
        found = problems(known, wanted, live, strict=strict)
        found += [f"{name}: the platform tells it twice, and differently" for name in seen if seen[name] == UNKNOWN]
        if found:
            raise InputError(f"{run.site.name}: the configuration is not valid: {'; '.join(found)}. Nothing was sent.")
        return dict(wanted)

    if apply:
        return ensure(run, change, ", ".join(wanted), checked, whole=False)
    checked(change.read(run))
    shown = {name: live[name] for name in wanted}
    said = f"{len(live)} settings are valid"
    return run.outcome("configuration", "valid", before=shown, after=shown, summary=said)
