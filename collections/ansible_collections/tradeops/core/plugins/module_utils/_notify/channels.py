# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The kinds of channel: how a message is said in each, and what answer shows that it arrived."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._common.errors import InputError


@dataclasses.dataclass(frozen=True)
class Message:
    """``event``: trigger, resolve or info. ``key`` ties the messages about one incident together."""

    title: str
    text: str
    severity: str
    event: str
    key: str
    source: str


@dataclasses.dataclass(frozen=True)
class Call:
    """One HTTP call of a channel. ``acknowledged`` looks at the status and the parsed body of the answer."""

    url: str
    headers: dict[str, str]
    body: dict[str, t.Any]
    acknowledged: t.Callable[[int, t.Any], bool]


Channel = dict[str, t.Any]

_PAGERDUTY_SEVERITY = {"critical": "critical", "high": "error", "medium": "warning"}


def call(channel: Channel, message: Message) -> Call:
    """Return the call that says ``message`` in a channel of kind slack, pagerduty, jira or webhook."""
    return _KINDS[channel["kind"]](channel, message)


def check(channel: Channel) -> None:
    """Raise InputError when a channel lacks what its kind needs."""
    missing = [name for name in _NEEDS[channel["kind"]] if not channel.get(name)]
    if missing:
        what = f"the notification channel {channel['name']!r} of kind {channel['kind']}"
        raise InputError(f"{what} needs {' and '.join(missing)}; nothing was sent.")


def _slack(channel: Channel, message: Message) -> Call:
    body = {"text": f"*{message.title}*\n{message.text}"}
    # An incoming webhook answers 200 with the plain text "ok".
    return Call(channel["url"], {}, body, lambda status, _body: status == 200)


def _pagerduty(channel: Channel, message: Message) -> Call:
    action = "resolve" if message.event == "resolve" else "trigger"
    body: dict[str, t.Any] = {"routing_key": channel["token"], "event_action": action, "dedup_key": message.key}
    if action == "trigger":
        body["payload"] = {
            "summary": message.title[:1024],
            "source": message.source,
            "severity": _PAGERDUTY_SEVERITY.get(message.severity, "info"),
            "custom_details": {"text": message.text},
        }
    return Call(channel["url"], {}, body, lambda status, answer: status == 202 and _get(answer, "status") == "success")


def _jira(channel: Channel, message: Message) -> Call:
    fields = {
        "project": {"key": channel["project"]},
        "issuetype": {"name": channel.get("issue_type") or "Incident"},
        "summary": message.title,
        "description": message.text,
    }
    headers = {"Authorization": f"Bearer {channel['token']}"}
    return Call(
        channel["url"], headers, {"fields": fields}, lambda status, answer: status == 201 and bool(_get(answer, "key"))
    )


def _webhook(channel: Channel, message: Message) -> Call:
    headers = {"Authorization": f"Bearer {channel['token']}"} if channel.get("token") else {}
    return Call(channel["url"], headers, dataclasses.asdict(message), lambda status, _body: 200 <= status < 300)


def _get(answer: t.Any, key: str) -> t.Any:
    return answer.get(key) if isinstance(answer, dict) else None


def parse(body: bytes) -> t.Any:
    """Return the JSON of an answer, or None when it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


_KINDS: dict[str, t.Callable[[Channel, Message], Call]] = {
    "slack": _slack,
    "pagerduty": _pagerduty,
    "jira": _jira,
    "webhook": _webhook,
}
_NEEDS: dict[str, tuple[str, ...]] = {
    "slack": ("url",),
    "pagerduty": ("url", "token"),
    "jira": ("url", "token", "project"),
    "webhook": ("url",),
    "mail": ("host", "sender", "recipients"),
}
KINDS = sorted(_NEEDS)
