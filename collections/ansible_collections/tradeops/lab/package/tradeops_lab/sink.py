# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notifications go in the lab: Slack, PagerDuty, Jira and plain webhooks over HTTP, and mail over SMTP.

Run as ``python -m tradeops_lab.sink --lab FOLDER``. Everything that was accepted is kept in ``run/messages.jsonl`` and
given out by ``GET /messages``. ``PUT /faults`` makes a channel fail.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import email
import email.policy
import json
import pathlib
import socket
import typing as t

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from .folder import Folder
from .plan import load

CHANNELS = ("slack", "pagerduty", "jira", "webhook", "smtp")
_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"}
_EVENT_ACTIONS = ("trigger", "acknowledge", "resolve")


class Refused(Exception):
    """The service answers with an error of its own kind and takes nothing."""

    def __init__(self, status: int, body: t.Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Messages:
    """What was received, in order; also after a restart."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.received: list[dict[str, t.Any]] = [json.loads(line) for line in lines]

    def add(self, channel: str, path: str, headers: t.Mapping[str, str], body: t.Any) -> None:
        shown = {name.lower(): "***" if name.lower() in _SECRET_HEADERS else value for name, value in headers.items()}
        at = datetime.datetime.now(datetime.UTC).isoformat()
        message = {"channel": channel, "at": at, "path": path, "headers": shown, "body": body}
        self.received.append(message)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")

    def clear(self) -> None:
        self.received.clear()
        self.file.unlink(missing_ok=True)


class Faults:
    """Which channels fail now, with which status and how often yet."""

    def __init__(self) -> None:
        self.by_channel: dict[str, dict[str, t.Any]] = {}

    def put(self, wanted: t.Any) -> None:
        if not isinstance(wanted, dict) or wanted.get("channel") not in (*CHANNELS, "*"):
            raise Refused(400, {"error": f"give a channel: one of {', '.join(CHANNELS)} or *"})
        status, times = wanted.get("status", 500), wanted.get("times")
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise Refused(400, {"error": f"status is to be from 400 to 599, found {status!r}"})
        if times is not None and (not isinstance(times, int) or times < 1):
            raise Refused(400, {"error": f"times is to be 1 or more, or null for always, found {times!r}"})
        self.by_channel[wanted["channel"]] = {"status": status, "times": times}

    def take(self, channel: str) -> int | None:
        """Return the status with which this message is to fail, None when it may pass."""
        key = channel if channel in self.by_channel else "*"
        fault = self.by_channel.get(key)
        if fault is None:
            return None
        if fault["times"] is not None:
            fault["times"] -= 1
            if not fault["times"]:
                del self.by_channel[key]
        return int(fault["status"])


class Service:
    """Answers as the real services do, and refuses what they would refuse."""

    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self.faults = Faults()

    def slack(self, body: t.Any) -> tuple[int, t.Any]:
        if not isinstance(body, dict):
            raise Refused(400, "invalid_payload")
        if not any(body.get(key) for key in ("text", "blocks", "attachments")):
            raise Refused(400, "no_text")
        return 200, "ok"

    def pagerduty(self, body: t.Any) -> tuple[int, t.Any]:
        event = body if isinstance(body, dict) else {}
        errors = [f"'{key}' is missing or blank" for key in ("routing_key", "event_action") if not event.get(key)]
        if not errors and event["event_action"] not in _EVENT_ACTIONS:
            errors.append(f"'event_action' must be one of {', '.join(_EVENT_ACTIONS)}")
        if not errors and event["event_action"] != "trigger" and not event.get("dedup_key"):
            errors.append("'dedup_key' is missing or blank")
        payload = event.get("payload") or {}
        if not errors and event["event_action"] == "trigger":
            wanted = ("summary", "source", "severity")
            errors = [f"'payload.{key}' is missing or blank" for key in wanted if not payload.get(key)]
        if errors:
            message = "Event object is invalid"
            raise Refused(400, {"status": "invalid event", "message": message, "errors": errors})
        key = event.get("dedup_key") or f"lab-{len(self.messages.received) + 1}"
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}

    def jira(self, body: t.Any) -> tuple[int, t.Any]:
        fields = body.get("fields") if isinstance(body, dict) else None
        fields = fields if isinstance(fields, dict) else {}
        missing = [key for key in ("project", "issuetype", "summary") if not fields.get(key)]
        if missing:
            raise Refused(400, {"errorMessages": [], "errors": {key: f"{key} is required." for key in missing}})
        project = fields["project"]
        number = 1 + sum(message["channel"] == "jira" for message in self.messages.received)
        key = f"{project.get('key', 'TRADING') if isinstance(project, dict) else 'TRADING'}-{number}"
        return 201, {"id": str(10000 + number), "key": key, "self": f"/jira/rest/api/2/issue/{10000 + number}"}

    def webhook(self, body: t.Any) -> tuple[int, t.Any]:
        return 200, {"ok": True}

    async def receive(self, request: web.Request) -> web.Response:
        channel = request.path.split("/")[1]
        body = await _body(request)
        status = self.faults.take(channel)
        if status:
            return _answer(status, {"error": "this channel was told to fail"})
        status, answer = getattr(self, channel)(body)
        self.messages.add(channel, request.path, request.headers, body)
        return _answer(status, answer)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a mail (the name is that of the SMTP library's hook)."""
        status = self.faults.take("smtp")
        if status:
            return f"{status} this channel was told to fail"
        mail = email.message_from_bytes(t.cast(bytes, envelope.content), policy=email.policy.default)
        content = mail.get_body(("plain", "html"))
        body = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(mail["subject"] or ""),
            "text": content.get_content() if content else "",
        }
        self.messages.add("smtp", "", {name: str(value) for name, value in mail.items()}, body)
        return "250 OK"


async def _body(request: web.Request) -> t.Any:
    text = await request.text()
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post())
    try:
        return json.loads(text)
    except ValueError:
        return text


def _answer(status: int, body: t.Any) -> web.Response:
    return web.Response(status=status, text=body) if isinstance(body, str) else web.json_response(body, status=status)


@web.middleware
async def _refusals(request: web.Request, handler: t.Any) -> web.StreamResponse:
    try:
        return t.cast(web.StreamResponse, await handler(request))
    except Refused as refused:
        return _answer(refused.status, refused.body)


def application(messages: Messages, smtp: tuple[str, int]) -> web.Application:
    """Return the sink; it also listens for mail at the address ``smtp`` while it runs."""
    service = Service(messages)

    async def health(request: web.Request) -> web.Response:
        return _answer(200, {"status": "ok"})

    async def listing(request: web.Request) -> web.Response:
        channel = request.query.get("channel")
        found = [message for message in messages.received if channel in (None, message["channel"])]
        return _answer(200, {"messages": found})

    async def clear(request: web.Request) -> web.Response:
        messages.clear()
        return web.Response(status=204)

    async def faults(request: web.Request) -> web.Response:
        if request.method == "PUT":
            service.faults.put(await _body(request))
        elif request.method == "DELETE":
            service.faults.by_channel.clear()
        return _answer(200, {"faults": service.faults.by_channel})

    async def mail(app: web.Application) -> t.AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(service, hostname="lab.invalid", ident="tradeops lab", loop=loop), *smtp
        )
        yield
        server.close()

    app = web.Application(middlewares=[_refusals])
    app.cleanup_ctx.append(mail)
    app.add_routes(
        [
            web.get("/health", health),
            web.get("/messages", listing),
            web.delete("/messages", clear),
            *(web.route(method, "/faults", faults) for method in ("GET", "PUT", "DELETE")),
            web.post("/slack/{tail:.*}", service.receive),
            web.post("/pagerduty/v2/enqueue", service.receive),
            web.post("/jira/rest/api/2/issue", service.receive),
            web.post("/webhook/{tail:.*}", service.receive),
        ]
    )
    return app


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tradeops_lab.sink", description=__doc__)
    parser.add_argument("--lab", required=True, type=pathlib.Path, help="the folder of the lab")
    parser.add_argument("--fd", type=int, help="a listening socket that was inherited, instead of a port of its own")
    arguments = parser.parse_args(argv)
    folder = Folder(arguments.lab)
    plan = load(folder)
    if plan is None:
        raise SystemExit(f"{folder.plan_json} is missing: `up` writes it")
    app = application(
        Messages(folder.run / "messages.jsonl"), (plan["sink"]["smtp"]["host"], plan["sink"]["smtp"]["port"])
    )
    host, port = plan["sink"]["http"].removeprefix("http://").split(":")
    if arguments.fd is None:
        web.run_app(app, host=host, port=int(port), print=None, access_log=None, shutdown_timeout=1)
    else:
        web.run_app(app, sock=socket.socket(fileno=arguments.fd), print=None, access_log=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
