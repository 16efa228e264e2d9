# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Deliver one message to several channels at once, and say for each whether its receiver acknowledged it."""

from __future__ import annotations

import concurrent.futures
import email.message
import json
import smtplib
import ssl
import typing as t

from .._common.argspec import ArgumentSpec
from .._common.errors import CallError, InputError, TradeopsError
from .._common.outcome import Object, Outcome, Proof, tally
from .._common.redact import Redactor
from .._common.waiter import Deadline, poll
from .._platform.http import HttpTransport
from .channels import KINDS, Channel, Message, call, check, parse

CHANNEL = ArgumentSpec(
    {
        "kind": {"type": "str", "choices": KINDS, "required": True},
        "url": {"type": "str"},
        "token": {"type": "str", "no_log": True},
        "project": {"type": "str"},
        "issue_type": {"type": "str"},
        "host": {"type": "str"},
        "port": {"type": "int", "default": 25},
        "starttls": {"type": "bool", "default": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "sender": {"type": "str"},
        "recipients": {"type": "list", "elements": "str", "default": []},
    }
)

SPEC = ArgumentSpec(
    {
        "channels": {"type": "dict", "required": True, "no_log": True},
        "to": {"type": "list", "elements": "str", "required": True},
        "title": {"type": "str", "required": True},
        "text": {"type": "str", "default": ""},
        "severity": {"type": "str", "choices": ["critical", "high", "medium", "low", "info"], "default": "info"},
        "event": {"type": "str", "choices": ["trigger", "resolve", "info"], "default": "info"},
        "key": {"type": "str", "required": True, "no_log": False},
        "source": {"type": "str", "default": "tradeops"},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "wait_timeout": {"type": "float", "default": 15.0},
    }
)


def notify(given: dict[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Send the message and return the result of the module."""
    budget = Deadline(given["wait_timeout"])
    redactor = Redactor(_secrets(given["channels"]))
    message = Message(**{name: given[name] for name in ("title", "text", "severity", "event", "key", "source")})
    try:
        channels = [_channel(name, given["channels"]) for name in given["to"]]
    except TradeopsError as exc:
        return _outcome([], budget, "refused", redactor.text(str(exc)), []).to_result()
    if check_mode:
        return _outcome([], budget, "planned" if channels else "unchanged", "", channels).to_result()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(channels))) as pool:
        problems = list(pool.map(lambda channel: _deliver(channel, message, given, budget), channels))
    objects = [
        Object(
            channel["name"], "notification", None, None if problem else "acknowledged", *_said(redactor.text(problem))
        )
        for channel, problem in zip(channels, problems, strict=True)
    ]
    failed = [f"{item.id}: {item.why}" for item in objects if item.why]
    result = "unproven" if failed else "proven" if objects else "unchanged"
    text = f"{len(failed)} of {len(objects)} notifications were not delivered: {'; '.join(failed)}" if failed else ""
    return _outcome(objects, budget, result, text, channels).to_result()


def _channel(name: str, channels: dict[str, t.Any]) -> Channel:
    if name not in channels:
        known = ", ".join(sorted(channels)) or "none"
        raise InputError(f"there is no notification channel {name!r}; known: {known}. Nothing was sent.")
    channel = {"name": name, **CHANNEL.validate(f"notification channel {name}", channels[name])}
    check(channel)
    return channel


def _secrets(channels: dict[str, t.Any]) -> list[str]:
    # The address of a webhook is itself a key to it.
    hidden = ("url", "token", "password")
    return [str(channel[name]) for channel in channels.values() for name in hidden if channel.get(name)]


def _said(problem: str) -> tuple[str, str]:
    return ("not delivered", problem) if problem else ("delivered", "")


def _deliver(channel: Channel, message: Message, given: dict[str, t.Any], budget: Deadline) -> str:
    """Deliver to one channel; return an empty text, or what went wrong."""
    try:
        if channel["kind"] == "mail":
            return _mail(channel, message, given, budget)
        return _http(channel, message, given, budget)
    except (OSError, smtplib.SMTPException, TradeopsError) as exc:
        return str(exc) or type(exc).__name__


def _http(channel: Channel, message: Message, given: dict[str, t.Any], budget: Deadline) -> str:
    transport = HttpTransport(
        timeout=given["wait_timeout"], validate_certs=given["validate_certs"], ca_path=given["ca_path"]
    )
    said = call(channel, message)
    headers = {"Content-Type": "application/json", "Accept": "application/json", **said.headers}
    body = json.dumps(said.body).encode()
    problem = "no attempt"
    for _attempt in poll(budget, first=0.2, longest=2.0):
        try:
            reply = transport.exchange("POST", said.url, headers, body, budget, write=True)
        except CallError as exc:
            problem = str(exc)
            if exc.sent is False:
                continue
            return problem  # it may have arrived: a message is not said twice
        if said.acknowledged(reply.status, parse(reply.body)):
            return ""
        problem = f"answered {reply.status} without the acknowledgement of a {channel['kind']} receiver"
        if reply.status != 429:
            return problem
    return problem


def _mail(channel: Channel, message: Message, given: dict[str, t.Any], budget: Deadline) -> str:
    mail = email.message.EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.title, channel["sender"], ", ".join(channel["recipients"])
    mail["Message-ID"] = f"<{message.key}.{message.event}@{message.source}>"
    mail.set_content(message.text)
    with smtplib.SMTP(channel["host"], channel["port"], timeout=max(0.1, budget.remaining)) as server:
        if channel["starttls"]:
            context = ssl.create_default_context(cafile=given["ca_path"])
            if not given["validate_certs"]:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            server.starttls(context=context)
        if channel.get("username"):
            server.login(channel["username"], channel["password"])
        refused = server.send_message(mail)
    return f"refused for {', '.join(refused)}" if refused else ""


def _outcome(objects: list[Object], budget: Deadline, result: t.Any, msg: str, channels: list[Channel]) -> Outcome:
    plan = [{"action": "notify", "channel": channel["name"], "kind": channel["kind"]} for channel in channels]
    return Outcome(
        site="notifications",
        capability="notify",
        wanted="delivered",
        result=result,
        changed=result == "planned" or any(item.after for item in objects),
        before={},
        after={item.id: item.result for item in objects},
        plan=plan,
        proof=Proof(summary=tally(objects), objects=objects, elapsed=budget.elapsed),
        msg=msg,
    )
