# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One exchange keeps its budget and tells the truth about whether a write may have landed."""

from __future__ import annotations

import pathlib
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import (
    CallError,
    InputError,
    Unreachable,
    Untrusted,
)
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform import dial, http
from ansible_collections.tradeops.core.plugins.module_utils._platform.http import HttpTransport, Reply
from ansible_collections.tradeops.core.tests.unit.fake_platform import TOKEN, Platform

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def get(url: str, *, method: str = "GET", timeout: float = 5.0, **trust: t.Any) -> Reply:
    transport = HttpTransport(timeout=timeout, **trust)
    try:
        return transport.exchange(method, url, HEADERS, None, Deadline(15), write=method != "GET")
    finally:
        transport.close()


def failure(url: str, **more: t.Any) -> CallError:
    began = time.monotonic()
    with pytest.raises(CallError) as caught:
        get(url, **{"timeout": 5.0, **more})
    assert time.monotonic() - began < 10.0
    assert TOKEN not in str(caught.value)
    return caught.value


def test_a_kept_connection_is_used_again_by_reads_only(platform: Platform) -> None:
    transport = HttpTransport(timeout=5.0)
    ports = []
    real = dial.dial

    def count(address: tuple[str, int], timeout: float, source: t.Any = None) -> socket.socket:
        ports.append(address)
        return real(address, timeout, source)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "dial", count)
        for method in ("GET", "GET", "POST", "GET"):
            path = "/api/halt" if method == "POST" else "/api/status"
            transport.exchange(method, platform.url + path, HEADERS, None, Deadline(15), write=method == "POST")
    transport.close()
    assert len(ports) == 2
    assert platform.calls == ["GET /status", "GET /status", "POST /halt", "GET /status"]


def test_a_kept_connection_that_the_server_closed_is_replaced(platform: Platform) -> None:
    transport = HttpTransport(timeout=5.0)
    for skip in (0, 1):
        if skip:
            platform.fault("reset", path="/status", times=1)
        reply = transport.exchange("GET", platform.url + "/api/status", HEADERS, None, Deadline(15), write=False)
        assert reply.status == 200
    transport.close()


def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        exc = failure(f"http://127.0.0.1:{free.getsockname()[1]}/x", method="POST")
    assert isinstance(exc, Unreachable)
    assert exc.sent is False
    assert "connection refused" in str(exc)


@pytest.mark.parametrize(
    ("kind", "seconds", "text"),
    [
        ("hang", 0, "no answer within 0.4 s"),
        ("reset", 0, "connection reset by peer"),
        ("reset_after", 0, "connection reset by peer"),
        ("truncate", 0, "the answer was cut off after"),
        ("drip", 0.05, "no answer within 0.4 s"),
        ("drip_headers", 0.05, "no answer within 0.4 s"),
    ],
)
def test_what_was_cut_short_may_have_landed(platform: Platform, kind: str, seconds: float, text: str) -> None:
    platform.fault(kind, seconds=seconds)
    exc = failure(platform.url + "/api/halt", method="POST", timeout=0.4 if "no answer" in text else 5.0)
    assert isinstance(exc, Unreachable)
    assert exc.sent is None
    assert text in str(exc)
    assert str(exc).startswith("POST /api/halt: ")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    ],
)
def test_what_is_not_http_is_unreachable(platform: Platform, raw: bytes) -> None:
    platform.fault("raw", body=raw)
    assert failure(platform.url + "/api/status").sent is None


def test_a_chunked_answer_and_one_without_length_are_read_whole(platform: Platform) -> None:
    platform.fault(
        "raw", body=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n', times=1
    )
    assert get(platform.url + "/api/status").body == b'{"a":1}'
    platform.fault("raw", body=b'HTTP/1.0 200 OK\r\n\r\n{"a":2}', times=1)
    assert get(platform.url + "/api/status").body == b'{"a":2}'


def test_an_endless_answer_is_not_swallowed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_BODY", 10)
    assert "larger than 10 bytes" in str(failure(platform.url + "/api/status"))


def test_a_used_up_budget_sends_nothing(platform: Platform) -> None:
    with pytest.raises(Unreachable, match="the time budget is used up") as caught:
        HttpTransport().exchange("GET", platform.url, {}, None, Deadline(0), write=False)
    assert caught.value.sent is False
    assert platform.requests == []


def test_an_ipv6_address_works() -> None:
    served = Platform(host="::1")
    try:
        assert get(served.url + "/api/status").status == 200
        assert served.requests[0].headers["host"] == f"[::1]:{served.port}"
    finally:
        served.close()


def test_a_dead_address_leaves_time_for_the_next(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _number in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        dead, live = full.getsockname(), ("127.0.0.1", platform.port)
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in (dead, live)]
        monkeypatch.setattr(dial, "_addresses", lambda *_args: both)
        try:
            assert get(platform.url + "/api/status", timeout=2.0).status == 200
        finally:
            for filler in fillers:
                filler.close()


def test_a_hung_resolver_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, real = threading.Event(), socket.getaddrinfo

    def hang(host: str, port: int, *, type: int, flags: int = 0) -> t.Any:
        if not flags:
            stop.wait(10)
        return real(host, port, type=type, flags=flags | socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    exc = failure("http://site.example/x", timeout=0.2)
    stop.set()
    assert exc.sent is False
    assert "the name site.example was not resolved within 0.2 s" in str(exc)


def test_an_unknown_name_is_told() -> None:
    exc = failure("http://no-such-host.invalid/x", timeout=0.9)
    assert exc.sent is False
    assert "no connection to no-such-host.invalid" in str(exc)


def test_a_name_that_is_none_is_told() -> None:
    exc = failure(f"http://{'a' * 70}.example/x")
    assert exc.sent is False


# -- certificates -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An authority (ca.pem) and a certificate for localhost (site.pem, with its key)."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n", encoding="utf-8")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2"],
        ["req", *key, "-keyout", "site.key", "-out", "site.csr", "-subj", "/CN=site"],
        ["x509", "-req", "-in", "site.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
         "-out", "site.crt", "-extfile", "names"],
        ["ec", "-in", "site.key", "-aes128", "-passout", "pass:xxxx", "-out", "locked.key"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    (folder / "site.pem").write_text((folder / "site.crt").read_text() + (folder / "site.key").read_text())
    (folder / "broken.pem").write_text("no certificate\n")
    return folder


@pytest.fixture
def secure(certificates: pathlib.Path) -> t.Iterator[Platform]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "site.pem")
    served = Platform(context=context)
    yield served
    served.close()


def test_an_untrusted_certificate_stops_before_anything_is_sent(secure: Platform) -> None:
    exc = failure(secure.url + "/api/halt", method="POST")
    assert isinstance(exc, Untrusted)
    assert exc.sent is False
    assert exc.result == "refused"
    assert "is not trusted" in str(exc)
    assert "tradeops_ca_path" in str(exc)
    assert secure.requests == []


def test_an_own_authority_is_trusted(secure: Platform, certificates: pathlib.Path) -> None:
    url = secure.url.replace("127.0.0.1", "localhost") + "/api/status"
    assert get(url, ca_path=str(certificates / "ca.pem")).status == 200


def test_a_certificate_for_another_name_is_not_trusted(secure: Platform, certificates: pathlib.Path) -> None:
    exc = failure(secure.url, ca_path=str(certificates / "ca.pem"))
    assert isinstance(exc, Untrusted)
    assert "mismatch" in str(exc)


def test_verification_can_be_turned_off(secure: Platform) -> None:
    assert get(secure.url + "/api/status", validate_certs=False).status == 200


@pytest.mark.parametrize(
    ("option", "file", "text"),
    [
        ("ca_path", "missing.pem", "ca_path: .*missing.pem cannot be read as certificates: No such file"),
        ("ca_path", "broken.pem", "ca_path: .*broken.pem cannot be read as certificates"),
        ("client_cert", "missing.pem", "client_cert: .*missing.pem cannot be used: No such file"),
        ("client_cert", "broken.pem", "client_cert: .*broken.pem cannot be used"),
    ],
)
def test_a_wrong_file_is_named(secure: Platform, certificates: pathlib.Path, option: str, file: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        get(secure.url + "/api/status", **t.cast("dict[str, t.Any]", {option: str(certificates / file)}))


def test_a_key_with_a_password_does_not_ask_the_terminal(secure: Platform, certificates: pathlib.Path) -> None:
    locked: dict[str, t.Any] = {
        "client_cert": str(certificates / "site.crt"),
        "client_key": str(certificates / "locked.key"),
    }
    with pytest.raises(InputError, match="cannot be used"):
        get(secure.url + "/api/status", **locked)


def test_a_hundred_sites_share_what_was_read_of_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[t.Any] = []
    real = ssl.create_default_context

    def count(**given: t.Any) -> ssl.SSLContext:
        made.append(given)
        return real(**given)

    monkeypatch.setattr(ssl, "create_default_context", count)
    http._context.cache_clear()
    threads = [threading.Thread(target=http._trusting, args=((True, None, None, None),)) for _number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_http_on_a_tls_port_and_tls_on_an_http_port(secure: Platform, platform: Platform) -> None:
    assert failure(secure.url.replace("https", "http") + "/x").sent is None
    assert failure(platform.url.replace("http", "https") + "/x").sent is False


# -- proxies ----------------------------------------------------------------------------------------------------


class Proxy(socketserver.ThreadingTCPServer):
    """Keeps the first lines that it is sent; answers a CONNECT by a tunnel to ``target``, and the rest by itself."""

    daemon_threads = True

    def __init__(self, target: int) -> None:
        self.target = target
        self.heads: list[str] = []
        super().__init__(("127.0.0.1", 0), _Proxied)


class _Proxied(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = ""
        while not head.endswith("\r\n\r\n"):
            line = self.rfile.readline().decode()
            if not line:
                return
            head += line
        self.server.heads.append(head)
        if not head.startswith("CONNECT"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return
        if "deny" in head:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.target)) as far:
            threading.Thread(target=self._pump, args=(far, self.connection), daemon=True).start()
            self._pump(self.connection, far)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass


@pytest.fixture
def proxy(secure: Platform) -> t.Iterator[Proxy]:
    served = Proxy(secure.port)
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


def test_plain_http_gives_the_proxy_the_whole_address(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{proxy.server_address[1]}")
    assert get("http://site.example:81/api/x?a=1").body == b"{}"
    head = proxy.heads[0]
    assert head.startswith("GET http://site.example:81/api/x?a=1 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in head


def test_tls_goes_through_a_tunnel(proxy: Proxy, certificates: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.setattr(http, "_is_loopback", lambda _host: False)
    url = f"https://localhost:{proxy.target}/api/status"
    assert get(url, ca_path=str(certificates / "ca.pem")).status == 200
    assert proxy.heads[0].startswith(f"CONNECT localhost:{proxy.target} HTTP/1.")
    assert TOKEN not in proxy.heads[0]


def test_a_tunnel_that_is_refused_was_not_sent(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    exc = failure("https://deny.example/x", method="POST")
    assert exc.sent is False
    assert "through the proxy 127.0.0.1" in str(exc)
    assert "403" in str(exc)


def test_no_proxy_and_loopback_go_straight(proxy: Proxy, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.setenv("no_proxy", "no-such-host.invalid")
    assert get(platform.url + "/api/status").status == 200
    failure("http://no-such-host.invalid/x", timeout=0.9)
    assert proxy.heads == []


def test_another_kind_of_proxy_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://me:geheim@127.0.0.1:1080")
    with pytest.raises(InputError, match="that is no http://host:port") as caught:
        get("http://site.example/x")
    assert "geheim" not in str(caught.value)
