# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny trading platform in this process: it records every request and misbehaves on command."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import datetime
import fnmatch
import http.server
import json
import socket
import ssl
import struct
import threading
import time
import typing as t
import urllib.parse

TOKEN = "tok-5b1f9c-plain"
EMERGENCY = "emg-90cc-kill"
USER = "operator"
PASSWORD = 'p/ss "w0rd"'
SECRETS = {"token": TOKEN, "emergency_token": EMERGENCY, "username": USER, "password": PASSWORD}

PROFILE = """
name: bench
title: Bench platform
services:
  api: {path: /api}
auth:
  operator: {kind: bearer, token: token}
  emergency: {kind: bearer, token: emergency_token}
capabilities:
  trading:
    read:
      sources: {status: {path: /status}}
      value: status.state
      as_of: status.as_of
      map: {RUN: active, REDUCE: reducing, HALT: halted, STOP: stopped}
    witness:
      sources: {metrics: {path: /metrics}}
      marker: metrics.accepted
      quiet: 0.02
    transitions:
      - to: halted
        from: [active, reducing]
        blind: true
        repeatable: true
        request: {method: POST, path: /halt, auth: emergency, body: {reason: "{reason}"}}
      - {to: reducing, from: [active, halted], request: {method: POST, path: /reduce, body: {reason: "{reason}"}}}
      - {to: active, from: [reducing], repeatable: true, request: {method: POST, path: /resume}}
      - {to: stopped, from: [halted], request: {method: POST, path: /stop}}
  orders:
    list:
      request: {path: /orders, query: {status: open}}
      select: orders
      fields: {id: id, symbol: symbol, account: account, strategy: strategy}
      pages: {query: cursor, next: next}
      as_of: as_of
    witness:
      request: {path: /venue/orders}
      select: orders
      fields: {id: id, symbol: symbol}
    cancel_all:
      repeatable: true
      request: {method: DELETE, path: /orders}
      scopes: {symbol: query.symbol}
      items: {select: results, id: id, ok: ok, why: why}
      requires: [active, reducing, halted]
    cancel_one:
      request: {method: DELETE, path: "/orders/{id}"}
      requires: [active, reducing, halted]
    lookup:
      request: {path: "/orders/{id}"}
      value: status
      map: {filled: filled, cancelled: cancelled}
  positions:
    list:
      request: {path: /positions}
      select: positions
      fields: {id: symbol, symbol: symbol, account: account, quantity: quantity}
    witness:
      request: {path: /venue/positions}
      select: positions
      fields: {id: symbol, symbol: symbol, quantity: quantity}
    close_all:
      request: {method: POST, path: /positions/flatten}
      requires: [active, reducing, halted]
    close_one:
      request: {method: DELETE, path: "/positions/{id}"}
  maintenance:
    read:
      sources: {status: {path: /status}}
      value: status.mode
      map: {normal: disabled, full: maintenance, ro: read_only}
    in_flight: {sources: {status: {path: /status}}, value: status.in_flight}
    modes: {maintenance: full, read_only: ro}
    enable: {repeatable: true, request: {method: POST, path: /maintenance, body: {mode: "{mode}"}}}
    disable: {repeatable: true, request: {method: DELETE, path: /maintenance}}
  circuit_breakers:
    list: {request: {path: /breakers}, select: "@", fields: {id: pair, open: open}}
    open_all: {repeatable: true, request: {method: POST, path: /breakers, body: {pair: all, open: true}}}
    open_one: {repeatable: true, request: {method: POST, path: /breakers, body: {pair: "{id}", open: true}}}
    close_all: {repeatable: true, request: {method: POST, path: /breakers, body: {pair: all, open: false}}}
  rollout:
    list: {request: {path: /rollouts}, select: "@", fields: {id: pair, percentage: percentage}}
    set_one: {request: {method: POST, path: /rollouts, body: {pair: "{id}", percentage: "{percentage}"}}}
    stop_all: {request: {method: POST, path: /rollouts, body: {pair: all, percentage: 0}}}
  risk_limits:
    list: {request: {path: /limits}, select: "@", fields: {id: name, value: value}}
    set: {repeatable: true, request: {method: PUT, path: "/limits/{id}", body: {value: "{value}"}}}
  configuration:
    list: {request: {path: /settings}, select: "@", fields: {id: name, value: value}}
    set: {repeatable: true, request: {method: PUT, path: "/settings/{id}", body: {value: "{value}"}}}
  dead_man_switch:
    read: {sources: {switch: {path: /switch}}, value: switch.seconds}
    arm: {repeatable: true, request: {method: POST, path: /switch, body: {seconds: "{timeout}"}}}
    disarm: {repeatable: true, request: {method: DELETE, path: /switch}}
  market: {sources: {clock: {path: /clock}}, value: clock.is_open, map: {"true": open, "false": closed}}
  health: {sources: {health: {path: /health}}, value: health.status, map: {good: pass, poor: warn, bad: fail}}
  metrics:
    pnl: {sources: {metrics: {path: /metrics}}, value: metrics.pnl}
"""

# The schema of the settings of this platform.
SETTINGS: dict[str, dict[str, t.Any]] = {
    "level": {"type": "str", "choices": ["DEBUG", "INFO"]},
    "timeout": {"type": "int", "least": 1, "most": 60},
    "ratio": {"type": "float"},
    "alerts": {"type": "bool", "restart": True},
}

LOGIN_PROFILE = PROFILE.replace(
    "operator: {kind: bearer, token: token}",
    "operator: {kind: login, username: username, password: password, login: {method: POST, path: /login}, "
    "access: access, refresh: {method: POST, path: /refresh}, refresh_token: refresh}",
)


# Faults of orders and not of requests.
ORDERS = ("refuse", "filled", "reopen")


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: t.Any
    at: float

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.path not in ("/login", "/refresh")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclasses.dataclass
class Fault:
    """Misbehave for requests of ``method`` and ``path`` (a glob), ``times`` times."""

    kind: str
    method: str = "*"
    path: str = "*"
    times: int = 10**9
    skip: int = 0
    seconds: float = 0.0
    status: int = 500
    body: t.Any = None
    ids: tuple[str, ...] = ()
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def meets(self, request: Request) -> bool:
        if not (self.method in ("*", request.method) and fnmatch.fnmatch(request.path, self.path)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class Platform:
    """The state of one fake platform, and its server."""

    def __init__(self, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.state = "RUN"
        self.mode = "normal"
        self.in_flight = 0
        self.drains = True
        self.accepted: t.Any = 100
        self.pnl: t.Any = 12.5
        self.orders = {f"o{n}": _order(f"o{n}", "BTC" if n % 2 else "ETH", n) for n in range(1, 6)}
        self.venue_orders = copy.deepcopy(self.orders)
        self.ended: dict[str, str] = {}
        self.positions: list[dict[str, t.Any]] = [
            {"symbol": "BTC", "account": "a1", "quantity": "1.5"},
            {"symbol": "ETH", "account": "a1", "quantity": -2},
        ]
        self.venue_positions = copy.deepcopy(self.positions)
        self.breakers = {"BTC": False, "ETH": False}
        self.rollouts: dict[str, t.Any] = {"BTC": 50, "ETH": 0}
        self.settings: dict[str, t.Any] = {"level": "INFO", "timeout": 10, "ratio": 0.5, "alerts": True}
        self.limits: dict[str, t.Any] = {"size": 1000.0, "loss": -200.0}
        self.switch: t.Any = 0
        self.market_open: t.Any = True
        self.health = "good"
        self.page = 1000
        self.entering = False
        self.as_of: t.Any = None
        self.static_tokens = True
        self.live_tokens: set[str] = set()
        self.logins = 0
        self._stop = threading.Event()
        server = _Six if ":" in host else _Server
        self._server = server((host, 0), _handler(self), bind_and_activate=True)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if context else 'http'}://{shown}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(self, kind: str, method: str = "*", path: str = "*", **more: t.Any) -> Fault:
        fault = Fault(kind, method, path, **more)
        self.faults.append(fault)
        return fault

    @property
    def writes(self) -> list[str]:
        return [str(request) for request in self.requests if request.writes]

    @property
    def calls(self) -> list[str]:
        return [str(request) for request in self.requests]

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        self._stop.wait(seconds)

    def now(self) -> t.Any:
        return self.as_of if self.as_of is not None else datetime.datetime.now(datetime.UTC).isoformat()

    # -- the platform itself ------------------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[int, t.Any]:
        """Serve a request that does not meet a fault."""
        with self.lock:
            if self.entering or self.state == "RUN":
                self.accepted = self.accepted + 1 if isinstance(self.accepted, int) else self.accepted
            if request.path in ("/login", "/refresh"):
                return self._sign_in(request)
            if not self._known(request):
                return 401, {"error": f"bad credentials {request.headers.get('authorization')}"}
            return self._read(request) if request.method == "GET" else self._write(request)

    def _known(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").partition(" ")[2]
        return (self.static_tokens and given in (TOKEN, EMERGENCY)) or given == EMERGENCY or given in self.live_tokens

    def _sign_in(self, request: Request) -> tuple[int, t.Any]:
        given = request.headers.get("authorization", "").partition(" ")[2]
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if (request.path == "/login" and given != pair) or (
            request.path == "/refresh" and not given.startswith("refresh-")
        ):
            return 401, {"error": f"who is {given}?"}
        self.logins += 1
        self.live_tokens = {f"access-token-{self.logins}"}
        return 200, {"access": f"access-token-{self.logins}", "refresh": f"refresh-token-{self.logins}"}

    def _read(self, request: Request) -> tuple[int, t.Any]:
        path = request.path
        if path.startswith("/orders/"):
            key = urllib.parse.unquote(path.rpartition("/")[2])
            status = "open" if key in self.orders else self.ended.get(key)
            return (200, {"status": status}) if status else (404, {"error": "no such order"})
        rows = sorted(self.orders.values(), key=lambda row: str(row["id"]))
        start = int(request.query.get("cursor", 0))
        following = start + self.page if start + self.page < len(rows) else None
        pages = {"orders": rows[start : start + self.page], "next": following, "as_of": self.now()}
        found: dict[str, t.Any] = {
            "/status": {"state": self.state, "mode": self.mode, "in_flight": self.in_flight, "as_of": self.now()},
            "/metrics": {"accepted": self.accepted, "pnl": self.pnl},
            "/orders": pages,
            "/venue/orders": {"orders": list(self.venue_orders.values())},
            "/positions": {"positions": self.positions},
            "/venue/positions": {"positions": self.venue_positions},
            "/breakers": [{"pair": pair, "open": is_open} for pair, is_open in self.breakers.items()],
            "/rollouts": [{"pair": pair, "percentage": value} for pair, value in self.rollouts.items()],
            "/settings": [{"name": name, "value": value} for name, value in self.settings.items()],
            "/limits": [{"name": name, "value": value} for name, value in self.limits.items()],
            "/switch": {"seconds": self.switch},
            "/clock": {"is_open": self.market_open},
            "/health": {"status": self.health},
        }
        return (200, found[path]) if path in found else (404, {"error": f"no {path}"})

    def _write(self, request: Request) -> tuple[int, t.Any]:
        states = {"/halt": "HALT", "/reduce": "REDUCE", "/resume": "RUN", "/stop": "STOP"}
        body = request.body or {}
        key = urllib.parse.unquote(request.path.rpartition("/")[2])
        if request.path in states:
            self.state = states[request.path]
        elif str(request) == "DELETE /orders":
            wanted = request.query.get("symbol")
            ids = [row["id"] for row in self.orders.values() if wanted in (None, row["symbol"])]
            return 200, {"results": [self._cancel(one, request) for one in ids]}
        elif request.path.startswith("/orders/"):
            if key not in self.orders:
                return 404, {"error": f"order {key} is not open"}
            result = self._cancel(key, request)
            return (200, None) if result["ok"] else (409, {"error": result["why"]})
        elif request.path == "/positions/flatten":
            self.positions, self.venue_positions = [], []
        elif request.path.startswith("/positions/"):
            self.positions = [row for row in self.positions if row["symbol"] != key]
            self.venue_positions = [row for row in self.venue_positions if row["symbol"] != key]
        elif request.path == "/maintenance":
            self.mode = "normal" if request.method == "DELETE" else body["mode"]
            self.in_flight = 0 if self.drains else self.in_flight
        elif request.path == "/breakers":
            for pair in self.breakers if body["pair"] == "all" else [body["pair"]]:
                self.breakers[pair] = body["open"]
        elif request.path == "/rollouts":
            for pair in self.rollouts if body["pair"] == "all" else [body["pair"]]:
                self.rollouts[pair] = body["percentage"]
        elif request.path.startswith("/settings/"):
            self.settings[key] = body["value"]
        elif request.path.startswith("/limits/"):
            self.limits[key] = body["value"]
        elif request.path == "/switch":
            self.switch = 0 if request.method == "DELETE" else body["seconds"]
        else:
            return 404, {"error": f"no {request}"}
        return 200, {"ok": True}

    def _cancel(self, key: str, request: Request) -> dict[str, t.Any]:
        for fault in self.faults:
            if fault.kind == "refuse" and key in fault.ids:
                return {"id": key, "ok": False, "why": "locked by the venue"}
            if fault.kind == "filled" and key in fault.ids:
                self.orders.pop(key, None)
                self.venue_orders.pop(key, None)
                self.ended[key] = "filled"
                return {"id": key, "ok": False, "why": "not open"}
        row = self.orders.pop(key)
        self.venue_orders.pop(key, None)
        self.ended[key] = "cancelled"
        for fault in self.faults:
            if fault.kind == "reopen" and fault.times > 0:
                fault.times -= 1
                threading.Timer(fault.seconds, self._reopen, (row,)).start()
        return {"id": key, "ok": True}

    def _reopen(self, row: dict[str, t.Any]) -> None:
        with self.lock:
            self.orders[row["id"]] = row
            self.venue_orders[row["id"]] = row


def _order(key: str, symbol: str, number: int) -> dict[str, t.Any]:
    return {"id": key, "symbol": symbol, "account": "a1", "strategy": f"s{number % 2}", "quantity": 1}


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_args: t.Any) -> None:
        """Stay silent about clients that break off, such as those that do not trust our certificate."""


class _Six(_Server):
    address_family = socket.AF_INET6


def _handler(platform: Platform) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            if isinstance(self.request, ssl.SSLSocket):
                self.request.settimeout(2.0)
                self.request.do_handshake()
            super().setup()

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

        def log_message(self, *_args: t.Any) -> None:
            pass

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urllib.parse.urlsplit(self.path)
            body: t.Any = None
            if raw:
                body = json.loads(raw)
            request = Request(
                self.command,
                ("/" + parts.path.removeprefix("/api/")) if parts.path.startswith("/api/") else parts.path,
                dict(urllib.parse.parse_qsl(parts.query)),
                {key.lower(): value for key, value in self.headers.items()},
                body,
                time.monotonic(),
            )
            with platform.lock:
                platform.requests.append(request)
                faults = (fault for fault in platform.faults if fault.kind not in ORDERS and fault.meets(request))
                met = next(faults, Fault("none"))
            self._misbehave(request, met)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def _misbehave(self, request: Request, fault: Fault) -> None:
            kind = fault.kind
            if kind == "hang":
                platform.pause(fault.seconds or 60)
                self.close_connection = True
            elif kind == "reset":
                self._reset()
            elif kind == "reset_after":
                platform.answer(request)
                self._reset()
            elif kind == "error_before":
                self._say(fault.status, fault.body or {"error": f"no: {request.headers.get('authorization')} {TOKEN}"})
            elif kind == "error_after":
                platform.answer(request)
                self._say(fault.status, {"error": "it broke"})
            elif kind == "answer":
                self._say(fault.status, fault.body, fault.headers)
            elif kind == "lie":
                self._say(200, {"ok": True, "results": []})
            elif kind == "delay":
                threading.Timer(fault.seconds, platform.answer, (request,)).start()
                self._say(200, {"ok": True})
            elif kind == "slow":
                platform.pause(fault.seconds)
                self._say(*platform.answer(request))
            elif kind in ("truncate", "html", "drip", "drip_headers", "raw"):
                self._mangle(request, fault)
            else:
                self._say(*platform.answer(request))

        def _mangle(self, request: Request, fault: Fault) -> None:
            if fault.kind == "html":
                self._say(200, b"<html><body>Sign in with " + TOKEN.encode() + b"</body></html>", kind="text/html")
                return
            if fault.kind == "raw":
                self.wfile.write(fault.body)
                self.close_connection = True
                return
            status, answer = platform.answer(request)
            raw = json.dumps(answer).encode()
            head = (
                f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
            )
            if fault.kind == "truncate":
                self.wfile.write(head + raw[: len(raw) // 2])
                self.close_connection = True
                return
            slow = head if fault.kind == "drip_headers" else raw
            if fault.kind == "drip":
                self.wfile.write(head)
            for byte in slow:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                platform.pause(fault.seconds)
            self.close_connection = True

        def _say(
            self, status: int, answer: t.Any, headers: dict[str, str] | None = None, kind: str = "application/json"
        ) -> None:
            raw = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    return Handler
