# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the verbs on databases are given, and the way into them: parameters in, result out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .._common.argspec import OPERATION, ArgumentSpec
from .._common.errors import TradeopsError
from .._common.gate import Gate
from .._common.outcome import FAILURES, Object, Outcome, Proof, Result, tally
from .._common.redact import Redactor
from .._common.waiter import Deadline
from .server import Database

Parameters = dict[str, t.Any]

DATABASE = ArgumentSpec(
    {
        "site": {"type": "str"},
        "postgresql": {
            "type": "dict",
            "required": True,
            "options": {
                "host": {"type": "str", "required": True},
                "port": {"type": "int", "default": 5432},
                "database": {"type": "str", "required": True},
                "user": {"type": "str", "required": True},
                "sslmode": {"type": "str", "default": "prefer"},
                "ca_path": {"type": "path"},
            },
        },
        "secrets": {"type": "dict", "no_log": True, "default": {}},
        "lock_timeout": {"type": "float", "default": 5.0},
        "wait_timeout": {"type": "float", "default": 600.0},
    }
).merge(OPERATION)


@dataclasses.dataclass
class Run:
    """One verb on one database."""

    site: str
    database: Database
    gate: Gate
    deadline: Deadline

    def outcome(
        self,
        capability: str,
        wanted: str,
        objects: list[Object],
        *,
        before: Parameters,
        after: Parameters,
        problems: t.Sequence[str] = (),
    ) -> Outcome:
        """Weigh the objects: all of them proven or as they were, or the verb failed and says why."""
        failed = [item for item in objects if item.result in FAILURES]
        said = [*problems, *dict.fromkeys(f"{item.id}: {item.why}" for item in failed)]
        result: Result
        if said:
            result = "refused" if not self.gate.sent else "unproven"
        elif self.gate.check_mode:
            result = "planned" if self.gate.plan else "unchanged"
        else:
            result = "proven" if any(item.result == "proven" for item in objects) else "unchanged"
        return Outcome(
            site=self.site,
            capability=capability,
            wanted=wanted,
            result=result,
            changed=result == "planned" or self.gate.sent > 0,
            before=before,
            after=after,
            plan=self.gate.plan,
            proof=Proof(tally(objects), self.database.seen, objects, elapsed=self.deadline.elapsed),
            msg=f"{self.site}: {capability}: wanted {wanted}; " + "; ".join(said) if said else "",
            notes=self.gate.notes,
        )


Body = t.Callable[[Run, Parameters], Outcome]


def execute(capability: str, body: Body, given: Parameters, *, gate: Gate) -> dict[str, t.Any]:
    """Run a verb on the database of a site and return its result; never raises a TradeopsError."""
    site = given.get("site") or "this site"
    redactor = Redactor(str(value) for value in given["secrets"].values() if value)
    settings = {**given["postgresql"], "password": given["secrets"].get("postgresql_password")}
    database = Database(site, settings, redactor, lock_timeout=given["lock_timeout"])
    run = Run(site, database, gate, Deadline(given["wait_timeout"]))
    try:
        found = body(run, given)
    except TradeopsError as exc:
        found = run.outcome(capability, "", [], before={}, after={}, problems=[str(exc).removeprefix(f"{site}: ")])
        found.result = t.cast(Result, "unproven" if gate.sent else exc.result)
    finally:
        database.close()
        gate.close()
    return plain(found.cleaned(redactor.clean).to_result())


def plain(value: t.Any) -> t.Any:
    """Return ``value`` as JSON knows it: times as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value
