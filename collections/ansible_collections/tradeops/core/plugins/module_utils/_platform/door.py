# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The way into a verb, the same from a module and from an action plugin: parameters in, result out."""

from __future__ import annotations

import pathlib
import typing as t

from .._common.errors import InputError, TradeopsError
from .._common.gate import gate_of
from .._common.libraries import MISSING
from .._common.outcome import FAILURES, Outcome, Proof
from .._common.redact import Redactor
from .._common.waiter import Deadline
from . import kubernetes, profiles
from .http import transport_of
from .profile import Profile
from .registry import VERBS, Parameters
from .site import Site
from .verbs.run import Run

# The profiles of the collection, when the code runs from where it is installed (a module travels without them).
SHIPPED = pathlib.Path(__file__).resolve().parents[3] / "profiles"

# What a site has beside the services of its platform, and the checks of its health ask.
_BESIDE = ("prometheus", "alertmanager", "certificate")


def execute(verb: str, given: Parameters, *, check_mode: bool, process: int = 0) -> dict[str, t.Any]:
    """Run a verb and return its result; never raises a TradeopsError.

    :param process: the process for whose life a lease of ``given["operation"]`` is kept; 0: only for this verb.
    """
    name = given.get("site") or "this site"
    run: Run | None = None
    try:
        if MISSING:
            raise InputError(
                f"the Python library {MISSING} is missing where {name} is called from: install it with pip."
            )
        _check_times(name, given)
        gate = gate_of(name, given, check_mode=check_mode, process=process)
        site = _site(name, given)
        run = Run(site, gate, Deadline(given["wait_timeout"]))
        try:
            found = VERBS[verb].body(run, given)
        finally:
            gate.close()
            site.close()
    except TradeopsError as exc:
        return failure(verb, given, exc, run)
    if isinstance(found, Outcome):
        return found.to_result()
    return {"changed": False, "failed": False, **site.redactor.clean(found)}


def failure(verb: str, given: t.Mapping[str, t.Any], exc: Exception, run: Run | None = None) -> dict[str, t.Any]:
    """Return the result of a verb that was ended by an error, with what is known of it."""
    name = str(given.get("site") or "this site")
    redactor = run.site.redactor if run else Redactor(_texts(given.get("secrets")))
    text = str(exc) if isinstance(exc, TradeopsError) else f"{type(exc).__name__}: {exc}"
    word = exc.result if isinstance(exc, TradeopsError) else "unproven"
    sent = run.gate.sent if run else 0
    text += " Something had been sent before; see the plan, and read the state." if sent else ""
    outcome = Outcome(
        site=name,
        capability=verb,
        wanted=str(given.get("state", "")),
        # Once something was sent, the site is no longer as it was found, whatever ended the verb.
        result=t.cast(t.Any, "unproven" if sent and word == "unreachable" else word if word in FAILURES else "refused"),
        changed=sent > 0,
        before={},
        after={},
        plan=run.gate.plan if run else [],
        proof=Proof(sources=run.site.seen, elapsed=run.deadline.elapsed) if run else Proof(),
        msg=text if text.startswith(name) else f"{name}: {text}",
        notes=[*run.gate.notes, *run.said] if run else [],
    )
    return outcome.cleaned(redactor.clean).to_result()


def _texts(secrets: t.Any) -> list[str]:
    return [str(value) for value in secrets.values()] if isinstance(secrets, dict) else []


def _site(name: str, given: Parameters) -> Site:
    urls = {str(key): str(value) for key, value in given["urls"].items()}
    secrets = {str(key): str(value) for key, value in given["secrets"].items() if value is not None}
    profile = _profile(name, given)
    unknown = sorted(set(given["ca_paths"]) - {*profile.services, *_BESIDE})
    if unknown:
        raise InputError(
            f"{name}: tradeops_ca_paths names {', '.join(unknown)}; {profile.name} has the services "
            f"{', '.join(profile.services)}, and beside them there are {', '.join(_BESIDE)}. Nothing was sent."
        )
    transport = transport_of(given, urls)
    values = {key: given.get(key) or "" for key in ("reason", "operator", "operation", "namespace")}
    return Site(name=name, profile=profile, urls=urls, secrets=secrets, transport=transport, values=values)


def _profile(name: str, given: Parameters) -> Profile:
    numbers = kubernetes.numbers(kubernetes.facts(given["workloads"], name))
    if given.get("profile_text"):
        found = profiles.parse(given["profile_text"], given["profile"])
    else:
        folders = [*map(pathlib.Path, given["profile_path"]), SHIPPED]
        found = profiles.load(profiles.find(given["profile"], folders))
    return kubernetes.equipped(found, numbers) if numbers else found


def _check_times(name: str, given: Parameters) -> None:
    for option in ("wait_timeout", "request_timeout", "lease_ttl"):
        seconds = given.get(option)
        if seconds is not None and not 0 < seconds <= 86400:
            raise InputError(
                f"{name}: {option} is {seconds:g}; give seconds, more than 0 and at most 86400. Nothing was sent."
            )
