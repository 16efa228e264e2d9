# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The way into a verb, the same from a module and from an action plugin: parameters in, result out."""

from __future__ import annotations

import os
import pathlib
import typing as t
import uuid

from .._common.errors import InputError, TradeopsError
from .._common.gate import Gate
from .._common.lease import Lease
from .._common.libraries import MISSING
from .._common.outcome import Outcome
from .._common.redact import Redactor
from .._common.waiter import Deadline
from . import profile as profiles
from .http import HttpTransport
from .registry import VERBS, Parameters
from .site import Site
from .verbs.run import Run

# The profiles of the collection, when the code runs from where it is installed (a module travels without them).
SHIPPED = pathlib.Path(__file__).resolve().parents[3] / "profiles"


def execute(verb: str, given: Parameters, *, check_mode: bool, process: int = 0) -> dict[str, t.Any]:
    """Run a verb and return its result; never raises a TradeopsError.

    :param process: the process for whose life a lease of ``given["operation"]`` is kept; 0: only for this verb.
    """
    name = given.get("site") or "this site"
    redactor = Redactor(str(value) for value in (given.get("secrets") or {}).values())
    run: Run | None = None
    try:
        if MISSING:
            raise InputError(f"the Python library {MISSING} is missing where {name} is called from: install it with pip.")
        _check_times(name, given)
        site = _site(name, given)
        redactor = site.redactor
        run = Run(site, _gate(name, given, check_mode=check_mode, process=process), Deadline(given["wait_timeout"]))
        try:
            found = VERBS[verb].body(run, given)
        finally:
            run.gate.close()
            site.close()
    except TradeopsError as exc:
        return failure(verb, given, exc, redactor, run).to_result()
    if isinstance(found, Outcome):
        return found.to_result()
    return {"changed": False, "failed": False, **redactor.clean(found)}


def failure(
    verb: str, given: t.Mapping[str, t.Any], exc: TradeopsError, redactor: Redactor, run: Run | None = None
) -> Outcome:
    """Return the outcome of a verb that ended with an error; what was written before it is told, not hidden."""
    name = given.get("site") or "this site"
    text = redactor.text(str(exc))
    wrote = run is not None and run.answered
    result: t.Any = exc.result
    if wrote and result == "unreachable":
        result = "unproven"
    outcome = Outcome(
        site=name,
        capability=verb,
        wanted=str(given.get("state", "")),
        result=result,
        changed=wrote,
        before={},
        after={},
        msg=text if text.startswith(name) else f"{name}: {text}",
    )
    if run is None:
        return outcome
    if wrote:
        outcome.msg += " Something had been written before; see the plan, and read the state."
    outcome.plan = redactor.clean(run.gate.plan)
    outcome.notes = redactor.clean([*run.gate.notes, *run.said])
    outcome.proof.sources = run.site.seen
    outcome.proof.elapsed = run.deadline.elapsed
    return outcome


def _site(name: str, given: Parameters) -> Site:
    urls = {str(key): str(value) for key, value in given["urls"].items()}
    secrets = {str(key): str(value) for key, value in given["secrets"].items() if value is not None}
    transport = HttpTransport(
        timeout=given["request_timeout"],
        validate_certs=given["validate_certs"],
        ca_path=given["ca_path"],
        client_cert=given["client_cert"],
        client_key=given["client_key"],
    )
    values = {key: given.get(key) or "" for key in ("reason", "operator", "operation")}
    return Site(
        name=name, profile=_profile(given), urls=urls, secrets=secrets, transport=transport, values=values
    )


def _profile(given: Parameters) -> profiles.Profile:
    if given.get("profile_text"):
        return profiles.parse(given["profile_text"], given["profile"])
    folders = [*map(pathlib.Path, given["profile_path"]), SHIPPED]
    return profiles.load(profiles.find(given["profile"], folders))


def _gate(name: str, given: Parameters, *, check_mode: bool, process: int) -> Gate:
    if check_mode or "lease_dir" not in given:
        return Gate(check_mode=check_mode)
    lease = Lease(
        os.path.expanduser(given["lease_dir"]),
        name,
        operation=given.get("operation") or f"single-{uuid.uuid4()}",
        operator=given.get("operator") or "unknown",
        ttl=given["lease_ttl"],
        pid=process,
    )
    return Gate(check_mode=False, lease=lease, keep_lease=bool(process and given.get("operation")))


def _check_times(name: str, given: Parameters) -> None:
    for option in ("wait_timeout", "request_timeout", "lease_ttl"):
        seconds = given.get(option)
        if seconds is not None and not 0 < seconds < 86400:
            raise InputError(f"{name}: {option} is {seconds:g}; give seconds between 0 and 86400. Nothing was sent.")
