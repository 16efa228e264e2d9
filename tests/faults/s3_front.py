# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A front before an S3 server that breaks: after so many parts of an upload it fails, resets, or forgets its clients."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import socket
import struct
import threading
import time
import typing as t
import urllib.parse

LOOPBACK = "127.0.0.1"
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code} by the front</Message></Error>'
)


@dataclasses.dataclass
class Fault:
    """What befalls requests of ``method`` (any when empty) whose target holds ``having``, once ``after`` went through.

    ``kind``: ``status`` (answer with ``status`` and ``code``), ``reset`` (half of the body is read) or ``slow`` (each
    waits ``seconds``). ``times``: how many are struck, for ever when 0.
    """

    kind: t.Literal["status", "reset", "slow"]
    method: str = "PUT"
    having: str = ""
    after: int = 0
    times: int = 0
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 0.0
    seen: int = 0

    def strikes(self, method: str, target: str) -> bool:
        if self.method not in ("", method) or self.having not in target:
            return False
        self.seen += 1
        struck = self.seen - self.after
        return struck > 0 and (not self.times or struck <= self.times)


class Front:
    """``url`` is what the store is told; ``faults`` may be changed at any time; ``log`` is what was asked for."""

    def __init__(self, target: str) -> None:
        self.target = urllib.parse.urlsplit(target)
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.url = ""

    def struck(self, method: str, target: str) -> Fault | None:
        with self.lock:
            self.log.append((method, target))
            return next((fault for fault in self.faults if fault.strikes(method, target)), None)


@contextlib.contextmanager
def front_of(target: str) -> t.Iterator[Front]:
    front = Front(target)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            fault = front.struck(self.command, self.path)
            length = int(self.headers.get("Content-Length") or 0)
            if fault and fault.kind == "reset":
                self.rfile.read(length // 2)
                # Closing with a linger of 0 sends a reset, not an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            body = self.rfile.read(length)
            if fault and fault.kind == "slow":
                time.sleep(fault.seconds)
            if fault and fault.kind == "status":
                self._give(fault.status, {"Content-Type": "application/xml"}, _ERROR.format(code=fault.code).encode())
                return
            # The signature covers the name of the host, so all headers go on as they came.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            server = http.client.HTTPConnection(str(front.target.hostname), front.target.port, timeout=60)
            try:
                server.request(self.command, self.path, body, headers)
                response = server.getresponse()
                found = {name: value for name, value in response.headers.items() if name.lower() not in _HOP}
                self._give(response.status, found, response.read(), int(response.headers.get("Content-Length") or 0))
            finally:
                server.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def _give(self, status: int, headers: t.Mapping[str, str], body: bytes, length: int = 0) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length if self.command == "HEAD" else len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that goes away in the middle of it
                super().handle()

        def log_message(self, format: str, *args: t.Any) -> None:
            """The log is ``front.log``."""

    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        front.url = f"http://{LOOPBACK}:{server.server_address[1]}"
        yield front
        server.shutdown()


_HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})
