# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sink answers as the services do, keeps what it took, and fails when it is told to."""

from __future__ import annotations

import asyncio
import pathlib
import smtplib
import socket
import typing as t

import pytest
from aiohttp import ClientSession, web

from tradeops_lab.sink import Messages, application

Talk = t.Callable[..., t.Awaitable[tuple[int, t.Any]]]
EVENT = {
    "routing_key": "R",
    "event_action": "trigger",
    "payload": {"summary": "halted", "source": "fox", "severity": "critical"},
}
ISSUE = {"fields": {"project": {"key": "TRADING"}, "issuetype": {"name": "Incident"}, "summary": "halted"}}


class Sink:
    """A sink that runs in this process; ``talk`` sends one request."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.smtp = probe.getsockname()[1]

    def run(self, work: t.Callable[[Talk], t.Awaitable[None]]) -> None:
        async def serve() -> None:
            runner = web.AppRunner(application(Messages(self.file), ("127.0.0.1", self.smtp)))
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with ClientSession(f"http://{host}:{port}") as session:

                async def talk(method: str, path: str, **options: t.Any) -> tuple[int, t.Any]:
                    async with session.request(method, path, **options) as answer:
                        is_json = answer.content_type == "application/json"
                        return answer.status, await (answer.json() if is_json else answer.text())

                await work(talk)
            await runner.cleanup()

        asyncio.run(serve())


@pytest.fixture
def sink(tmp_path: pathlib.Path) -> Sink:
    return Sink(tmp_path / "messages.jsonl")


def test_every_channel_takes_a_proper_message(sink: Sink) -> None:
    async def work(talk: Talk) -> None:
        assert await talk("POST", "/slack/services/T/B/X", json={"text": "halted"}) == (200, "ok")
        status, body = await talk("POST", "/pagerduty/v2/enqueue", json=EVENT)
        assert (status, body["status"]) == (202, "success")
        assert body["dedup_key"]
        status, body = await talk("POST", "/jira/rest/api/2/issue", json=ISSUE)
        assert (status, body["key"]) == (201, "TRADING-1")
        assert (await talk("POST", "/webhook/ops", data={"state": "halted"}))[0] == 200
        _, listed = await talk("GET", "/messages")
        assert [message["channel"] for message in listed["messages"]] == ["slack", "pagerduty", "jira", "webhook"]
        assert listed["messages"][3]["body"] == {"state": "halted"}
        _, listed = await talk("GET", "/messages", params={"channel": "jira"})
        assert [message["body"] for message in listed["messages"]] == [ISSUE]

    sink.run(work)


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/slack/x", {"colour": "red"}, 400, "no_text"),
        ("/slack/x", ["text"], 400, "invalid_payload"),
        ("/pagerduty/v2/enqueue", {**EVENT, "routing_key": ""}, 400, "routing_key"),
        ("/pagerduty/v2/enqueue", {"routing_key": "R", "event_action": "resolve"}, 400, "dedup_key"),
        ("/pagerduty/v2/enqueue", {**EVENT, "payload": {"summary": "x", "source": "y"}}, 400, "severity"),
        ("/jira/rest/api/2/issue", {"fields": {"summary": "x"}}, 400, "project"),
    ],
)
def test_what_the_service_would_refuse_is_refused(sink: Sink, path: str, body: t.Any, status: int, word: str) -> None:
    async def work(talk: Talk) -> None:
        answer = await talk("POST", path, json=body)
        assert answer[0] == status
        assert word in str(answer[1])
        assert (await talk("GET", "/messages"))[1] == {"messages": []}

    sink.run(work)


def test_mail_is_taken(sink: Sink) -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", sink.smtp, timeout=30) as client:
            client.sendmail("lab@example.com", ["ops@example.com"], "Subject: halted\r\n\r\nfox is halted\r\n")

    async def work(talk: Talk) -> None:
        await asyncio.to_thread(send)
        assert (await talk("PUT", "/faults", json={"channel": "smtp", "status": 451}))[0] == 200
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            await asyncio.to_thread(send)
        ((message,),) = [(await talk("GET", "/messages"))[1]["messages"]]
        assert message["body"]["subject"] == "halted"
        assert message["body"]["to"] == ["ops@example.com"]
        assert "fox is halted" in message["body"]["text"]

    sink.run(work)


def test_a_channel_fails_as_often_as_it_is_told(sink: Sink) -> None:
    async def work(talk: Talk) -> None:
        await talk("PUT", "/faults", json={"channel": "slack", "status": 503, "times": 2})
        statuses = [(await talk("POST", "/slack/x", json={"text": "halted"}))[0] for _ in range(3)]
        assert statuses == [503, 503, 200]
        assert (await talk("POST", "/webhook/x", json={}))[0] == 200
        await talk("PUT", "/faults", json={"channel": "*"})
        assert (await talk("POST", "/webhook/x", json={}))[0] == 500
        await talk("DELETE", "/faults")
        assert (await talk("POST", "/webhook/x", json={}))[0] == 200

    sink.run(work)


@pytest.mark.parametrize(
    "fault", [[], {"channel": "fax"}, {"channel": "jira", "status": 200}, {"channel": "*", "times": 0}]
)
def test_a_fault_that_makes_no_sense_is_refused(sink: Sink, fault: t.Any) -> None:
    async def work(talk: Talk) -> None:
        assert (await talk("PUT", "/faults", json=fault))[0] == 400

    sink.run(work)


def test_messages_outlive_a_restart_and_hold_no_credentials(sink: Sink) -> None:
    async def first(talk: Talk) -> None:
        await talk("POST", "/webhook/x", json={}, headers={"Authorization": "Bearer do-not-keep", "X-Kind": "drill"})

    async def second(talk: Talk) -> None:
        ((message,),) = [(await talk("GET", "/messages"))[1]["messages"]]
        assert message["headers"]["authorization"] == "***"
        assert message["headers"]["x-kind"] == "drill"
        assert (await talk("DELETE", "/messages"))[0] == 204
        assert (await talk("GET", "/messages"))[1] == {"messages": []}

    sink.run(first)
    assert "do-not-keep" not in sink.file.read_text(encoding="utf-8")
    sink.run(second)
    assert not sink.file.exists()
