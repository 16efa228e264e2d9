# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A site whose data are exchanged must not trade; what cannot be read does not count as halted."""

from __future__ import annotations

import typing as t

from .._common.errors import Refused
from .._common.waiter import Deadline, poll
from .._platform.door import execute
from .._platform.registry import VERBS
from .._platform.states import UNKNOWN

_QUIET = ("halted", "flat", "stopped")
Said = dict[str, t.Any]


class Unknown(Refused):
    """Nobody can say whether the site trades."""


def ensure_quiet_again(site: str, given: t.Mapping[str, t.Any], budget: float) -> str:
    """Do as ``ensure_quiet``, and give a platform that was without its database time to say how it is."""
    for _attempt in poll(Deadline(budget)):
        try:
            return ensure_quiet(site, given)
        except Unknown as exc:
            problem = exc
    raise problem


def ensure_quiet(site: str, given: t.Mapping[str, t.Any]) -> str:
    """Return the trading state of a site that does not trade. Raises Refused.

    A platform of which nothing runs cannot tell its state; then the cluster has to show that no pod of it is left.
    """
    found = _ask("trading_info", given, {"gather": ["trading"], "metrics": []})
    state = str(found.get("trading", {}).get("state", UNKNOWN))
    if state in _QUIET:
        return state
    problem = found.get("msg") or found.get("problems", {}).get("trading") or "it is not told why"
    if state == UNKNOWN and given.get("workloads") and "kubernetes" in given["urls"]:
        pods = _ask(
            "workloads",
            given,
            {"state": "stopped", "names": [], "replicas": {}, "patience": 10.0, "on_autoscaler": "note"},
        )
        if pods["result"] == "unchanged":
            return "stopped"
    if state == UNKNOWN:
        text = f"{site}: whether it trades is unknown: {problem}. Halt it (playbooks/emergency_stop.yml), then restore."
    else:
        text = f"{site}: it is {state}, and data are not exchanged under a site that trades. Stop it first: "
        text += "playbooks/emergency_stop.yml."
    kind = Unknown if state == UNKNOWN else Refused
    raise kind(f"{text} Nothing was touched.", method="read", path="trading", sent=False)


def _ask(verb: str, given: t.Mapping[str, t.Any], more: Said) -> Said:
    """Ask an existing verb; in check mode, so that it cannot write."""
    asked = {name: given.get(name) for name in VERBS[verb].spec.options}
    return execute(verb, {**asked, **more}, check_mode=True)
