# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Rules of Prometheus from the thresholds that the health checks have. Pure functions."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from .._common.errors import InputError
from .._common.typed import Data
from .thresholds import Range

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DURATION = re.compile(r"(\d+(ms|s|m|h|d|w|y))+")
SEVERITIES = ("critical", "warning", "info")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alert:
    """``query`` (PromQL) gives what the thresholds are put on: those of the check named in ``check``, or its own.

    ``for``: how long it must be so. ``no_data``: for how long there may be no data before that is an alert, too.
    """

    name: str
    query: str
    check_: t.Optional[str] = None
    critical: t.Optional[Range] = None
    warning: t.Optional[Range] = None
    info: t.Optional[Range] = None
    for_: str = "0s"
    no_data: str = "10m"
    team: str = "operations"
    summary: str = ""
    description: str = ""
    runbook: str = ""

    def check(self) -> t.Any:
        if not _NAME.fullmatch(self.name):
            return ("name",), f"{self.name!r} must be letters, digits and underscores"
        for key, text in (("for", self.for_), ("no_data", self.no_data)):
            if not _DURATION.fullmatch(text):
                return (key,), f"{text!r} is no duration of Prometheus, such as '30s' or '1h30m'"
        if bool(self.check_) == any(getattr(self, severity) for severity in SEVERITIES):
            return "give either a check, whose thresholds it has, or critical, warning or info of its own"
        return None


def rules(platform: str, alerts: t.Sequence[t.Any], checks: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return the document of the rules of a platform. Raises InputError that names platform, alert and key."""
    known = {str(check.get("name")): check for check in checks}
    found = []
    for index, item in enumerate(alerts):
        where = f"{platform}: alerts[{index}]"
        label = item.get("name") if isinstance(item, dict) else None
        alert = Data(item, f"{where}{f' ({label})' if label else ''}").read(Alert)
        found += _rules_of(platform, where, alert, known)
    return {"groups": [{"name": f"{platform}.health", "rules": found}]}


def _rules_of(
    platform: str, where: str, alert: Alert, checks: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[dict[str, t.Any]]:
    found = []
    for severity, limit in _limits(where, alert, checks).items():
        found.append(
            {
                "alert": alert.name,
                "expr": expression(alert.query, limit),
                "for": alert.for_,
                "labels": {"severity": severity, "team": alert.team, "platform": platform},
                "annotations": {
                    "summary": alert.summary or f"{alert.name} of {platform}",
                    "description": alert.description or f"It is {{{{ $value }}}}, {severity} is {limit.meaning()}",
                    **({"runbook": alert.runbook} if alert.runbook else {}),
                },
            }
        )
    # Where there is no data no rule fires, and an alert that fired is resolved: silence has to be an alert of its own.
    silence = {
        "alert": f"{alert.name}NoData",
        "expr": f"absent({alert.query})",
        "for": alert.no_data,
        "labels": {"severity": "warning", "team": alert.team, "platform": platform},
        "annotations": {
            "summary": f"Nobody can tell {alert.name} of {platform}",
            "description": f"There is no data for {alert.query}",
        },
    }
    return [*found, silence]


def _limits(where: str, alert: Alert, checks: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, Range]:
    if alert.check_ is None:
        own = {severity: getattr(alert, severity) for severity in SEVERITIES}
        return {severity: limit for severity, limit in own.items() if limit is not None}
    check = checks.get(alert.check_)
    if check is None:
        raise InputError(
            f"{where} ({alert.name}): check: there is no check {alert.check_!r}; known: {', '.join(checks) or 'none'}"
        )
    found = {}
    for severity in ("critical", "warning"):
        if check.get(severity) is not None:
            try:
                found[severity] = Range.from_text(str(check[severity]))
            except ValueError as exc:
                raise InputError(f"{where} ({alert.name}): {severity} of the check {alert.check_}: {exc}") from exc
    if not found:
        raise InputError(f"{where} ({alert.name}): check: {alert.check_} has no threshold")
    return found


def expression(query: str, limit: Range) -> str:
    """Return the PromQL that is true exactly where a range raises its alarm."""
    if limit.inside:
        sides = [(">=", limit.start), ("<=", limit.end)]
        return " and ".join(f"({query}) {sign} {_number(end)}" for sign, end in sides if not math.isinf(end))
    sides = [(">", limit.end), ("<", limit.start)]
    return " or ".join(f"({query}) {sign} {_number(end)}" for sign, end in sides if not math.isinf(end))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
