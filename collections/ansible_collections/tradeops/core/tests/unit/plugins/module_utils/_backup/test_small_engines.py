# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image engine makes of Deployments and pods, and how a question to Prometheus is cut."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
import urllib.parse

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import prometheus
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.image import Image, fixed, images
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import CallError, InputError, Unproven
from ansible_collections.tradeops.core.plugins.module_utils._common.times import iso, span
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import HttpTransport

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def deployment(image: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "app"},
        "spec": {
            "selector": {"matchLabels": {"app": "app"}},
            "template": {"spec": {"containers": [{"name": "main", "image": image}]}},
        },
    }


def pod(digest: str, label: str = "app") -> dict[str, t.Any]:
    status = {"containerStatuses": [{"name": "main", "imageID": f"registry.example/app@{digest}" if digest else ""}]}
    return {"metadata": {"labels": {"app": label}}, "status": status}


@pytest.mark.parametrize(
    ("image", "pods", "digest", "remark"),
    [
        ("registry:5000/app:1.2", [pod(ONE), pod(ONE), pod(TWO, "other")], ONE, ""),
        ("registry:5000/app:1.2", [pod(ONE), pod(TWO)], "", "pods run 2 different images"),
        (f"app@{TWO}", [], TWO, ""),
        ("app:1.2", [pod("")], "", ""),
        ("registry:5000/app", [], "", "may be another one"),
    ],
)
def test_digests_are_those_that_pods_run(image: str, pods: list[t.Any], digest: str, remark: str) -> None:
    found, remarks = images([deployment(image)], pods)
    assert found == {"app": {"main": {"image": image, "digest": digest}}}
    assert remark in " ".join(remarks["app"]) and bool(remarks["app"]) == bool(remark)


def test_an_image_that_moves_is_no_answer() -> None:
    assert [fixed(name) for name in ("a:1", "r:5000/a", "a:latest", f"a@{ONE}", "a@latest")] == [
        *(True, False, False, True, False)
    ]
    Image().check("site", {"images": {"api": "registry/app:1.4.2"}}, {})
    with pytest.raises(InputError, match="does not stay the same"):
        Image().check("site", {"images": {"api": "registry/app:latest"}}, {})


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400.0), (300, 300.0), ("1.5m", 90.0), ("7d", 604800.0), ("x", None), (True, None)]
)
def test_spans_of_time(text: t.Any, seconds: float | None) -> None:
    assert span(text) == seconds


def test_times_have_their_zone() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(("begin", "end", "step", "points"), [(0, 86400, 300, 100), (0, 0, 60, 5), (0, 600, 60, 11)])
def test_parts_have_each_moment_once(begin: float, end: float, step: float, points: int) -> None:
    moments: list[float] = []
    for first, last in prometheus.windows(begin, end, step, points):
        part = [first + number * step for number in range(round((last - first) / step) + 1)]
        assert len(part) <= points
        moments += part
    assert moments == [begin + number * step for number in range(round((end - begin) / step) + 1)]


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that gives at most three points, as Prometheus refuses more than it may hold in memory."""

    said: t.ClassVar[dict[str, t.Any]] = {}

    def do_GET(self) -> None:
        asked = {
            key: values[0] for key, values in urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).items()
        }
        first, last, step = (float(asked[key]) for key in ("start", "end", "step"))
        moments = [first + number * step for number in range(round((last - first) / step) + 1)]
        body: dict[str, t.Any] = {"status": "success", "data": {"resultType": "matrix", "result": []}}
        status = 200
        if self.said:
            body, status = {**body, **self.said}, self.said.get("code", 200)
        elif len(moments) > 3:
            body, status = {"status": "error", "error": "query processing would load too many samples"}, 422
        else:
            body["data"]["result"] = [{"metric": {"a": "1"}, "values": [[moment, "1"] for moment in moments]}]
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: t.Any) -> None:
        del format, arguments


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[str]:
    monkeypatch.setattr(Answers, "said", {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def ask(url: str) -> list[prometheus.Series]:
    series: dict[str, prometheus.Series] = {}
    transport = HttpTransport()
    asked = {"query": "q", "start": 0.0, "end": 600.0, "step": 60.0}
    for part in prometheus._range(transport, url, asked, {}, Deadline(10)):
        prometheus.join(series, part)
    transport.close()
    return list(series.values())


def test_an_answer_that_is_too_large_is_asked_for_in_halves(url: str) -> None:
    assert ask(url) == [{"metric": {"a": "1"}, "values": [[60.0 * number, "1"] for number in range(11)]}]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"code": 503, "status": "error", "error": "the query engine is gone"}, "the query engine is gone"),
        ({"data": {"resultType": "vector", "result": []}}, "with ranges"),
    ],
)
def test_what_is_no_range_is_an_error(
    url: str, said: dict[str, t.Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "said", said)
    with pytest.raises(CallError, match=why):
        ask(url)


def test_an_answer_that_the_server_itself_calls_partial_is_not_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "said", {"warnings": ["remote store is away"]})
    with pytest.raises(Unproven, match="remote store is away"):
        ask(url)
