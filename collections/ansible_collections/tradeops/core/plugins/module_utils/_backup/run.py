# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the verbs on backups are given, and the way into them: parameters in, result out."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.argspec import OPERATION, SITE, ArgumentSpec
from .._common.errors import InputError, TradeopsError
from .._common.gate import Gate, gate_of
from .._common.outcome import FAILURES, Object, Outcome, Proof, Result, Seen, tally
from .._common.redact import Redactor
from .._common.waiter import Deadline
from .store import Store
from .stores import open_stores

Parameters = dict[str, t.Any]
Tell = t.Callable[[str], None]

# Where sets are kept, and what reads and signs them.
STORES = ArgumentSpec(
    {
        "site": {"type": "str"},
        "stores": {"type": "list", "elements": "dict", "required": True},
        "secrets": {"type": "dict", "no_log": True, "default": {}},
    }
).merge(OPERATION)

# What engines reach the site with.
ENGINES = ArgumentSpec(
    {
        "components": {"type": "list", "elements": "dict", "required": True},
        "recipients": {"type": "list", "elements": "str", "default": []},
        "postgresql": {"type": "dict"},
        "postgresql_bin": {"type": "path"},
        "postgresql_server": {"type": "dict"},
        "redis": {"type": "dict"},
        "redis_bin": {"type": "path"},
        "urls": {"type": "dict"},
        **{
            name: SITE.options[name]
            for name in (
                "namespace",
                "validate_certs",
                "ca_path",
                "ca_paths",
                "client_cert",
                "client_key",
                "request_timeout",
            )
        },
    }
)


@dataclasses.dataclass
class Run:
    """One verb on the sets of one site. ``more`` is added to its result. ``touched``: something was done before what
    was asked for, and stays done also when that is refused. ``process``: without which it does not go on, 0 if there is
    no such one."""

    site: str
    gate: Gate
    stores: list[Store]
    redactor: Redactor
    tell: Tell
    seen: list[Seen] = dataclasses.field(default_factory=list)
    more: Parameters = dataclasses.field(default_factory=dict)
    touched: bool = False
    process: int = 0
    time: Deadline = dataclasses.field(default_factory=lambda: Deadline(float("inf")))

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
            proof=Proof(tally(objects), self.seen, objects, elapsed=self.time.elapsed),
            msg=f"{self.site}: {capability}: wanted {wanted}; " + "; ".join(said) if said else "",
            notes=self.gate.notes,
        )


Body = t.Callable[[Run, Parameters], Outcome]


def execute(
    capability: str,
    body: Body,
    given: Parameters,
    *,
    check_mode: bool,
    process: int = 0,
    tell: Tell = lambda _text: None,
    of_site: bool = False,
) -> Parameters:
    """Run a verb on the sets of a site and return its result; never raises a TradeopsError.

    Its lease is one of its own, for a stop of trading must not end a backup, nor a backup keep anybody from the site;
    with ``of_site`` it is the site's: the verb changes what the site works with.
    """
    site = given.get("site") or "this site"
    redactor = Redactor(str(value) for value in given["secrets"].values() if value)
    gate = gate_of(site if of_site else f"{site} (backups)", given, check_mode=check_mode, process=process)
    run = Run(site, gate, [], redactor, lambda text: tell(redactor.text(text)), process=process)
    try:
        ttl = given.get("lease_ttl", 1)
        if not 0 < ttl <= 86400:
            raise InputError(f"lease_ttl is {ttl:g}; give seconds, more than 0 and at most 86400.")
        run.stores = open_stores(given["stores"], given["secrets"])
        found = body(run, given)
    except TradeopsError as exc:
        found = run.outcome(capability, "", [], before={}, after={}, problems=[str(exc).removeprefix(f"{site}: ")])
        found.msg = f"{site}: {str(exc).removeprefix(f'{site}: ')}"
        found.result = t.cast(Result, exc.result)
        found.changed = run.touched
    finally:
        gate.close()
    return {**found.cleaned(redactor.clean).to_result(), **redactor.clean(run.more)}
