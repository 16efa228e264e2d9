# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of the five systems as their manuals ask for it: every threshold of the inventory trips where it says."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import threading
import typing as t

from playing import ROOT, Controller, Played
from simulator_ground import Ground

FLASHMM, AI, BOOK, SMC, GRAND = (
    "flashmm-primary",
    "ai-trading-primary",
    "adaptive-order-book-primary",
    "smc-agent-primary",
    "grandmodel-primary",
)


@dataclasses.dataclass
class Figure:
    """A setting of the lab, at which value it warns and at which it fails (None: it never does), and who tells."""

    site: str
    check: str
    setting: str
    warns: float | None
    fails: float | None
    good: float


# The pairs of the manuals of the five systems.
FIGURES = [
    Figure(FLASHMM, "cpu", "cpu_percent", 71, 86, 70),
    Figure(FLASHMM, "memory", "memory_percent", 81, 91, 80),
    Figure(FLASHMM, "disk", "disk_percent", 81, 91, 80),
    Figure(FLASHMM, "network", "network_latency_ms", 201, 351, 200),
    Figure(FLASHMM, "pnl", "daily_pnl", -51, -101, -50),
    Figure(FLASHMM, "ml-accuracy", "ml_accuracy", 0.49, 0.44, 0.5),
    Figure(FLASHMM, "latency-p95", "latency_p95_ms", 301, 401, 300),
    Figure(FLASHMM, "utilization", "risk_utilization", 71, 91, 70),
    Figure(FLASHMM, "uptime", "uptime_percent", None, 94.9, 95),
    Figure(AI, "health-score", "health_score", 94.9, None, 95),
    Figure(AI, "cpu", "cpu_percent", 71, 91, 70),
    Figure(AI, "memory", "memory_percent", 81, 96, 80),
    Figure(AI, "disk", "disk_percent", 81, 91, 80),
    Figure(AI, "network", "network_latency_ms", 101, 501, 100),
    Figure(AI, "execution", "execution_time", 1.1, 5.1, 1),
    Figure(AI, "fill-rate", "fill_rate", 94, 89, 95),
    Figure(AI, "errors", "error_rate", 1.1, 5.1, 1),
    Figure(AI, "queue", "queue_depth", 101, 1001, 100),
    Figure(BOOK, "latency-p95", "latency_p95_ms", 20.1, None, 20),
    Figure(BOOK, "errors", "error_rate", 0.011, None, 0.01),
    Figure(BOOK, "memory", "memory_mi", 6001, None, 6000),
    Figure(SMC, "cpu", "cpu_percent", 71, None, 70),
    Figure(SMC, "memory", "memory_percent", 81, None, 80),
    Figure(SMC, "daily-loss", "daily_pnl", None, -1001, -1000),
    Figure(SMC, "market-data", "market_data_age", None, 90, 5),
    Figure(GRAND, "memory", "memory", 71, 86, 70),
    Figure(GRAND, "disk", "disk", 81, None, 80),
    Figure(GRAND, "errors", "error_rate", 1.1, None, 1),
]


def test_every_threshold_trips_where_the_sources_say(ground: Ground, controller: Controller) -> None:
    """All figures at once, in three runs: the last good value, the first that warns, the first that fails."""

    def seen(pick: t.Callable[[Figure], float | None], **options: t.Any) -> dict[tuple[str, str], str]:
        for site in {figure.site for figure in FIGURES}:
            ground.fresh(site)
            mine = [figure for figure in FIGURES if figure.site == site]
            values = {figure.setting: pick(figure) if pick(figure) is not None else figure.good for figure in mine}
            ground.control("PUT", f"/sites/{site}/settings", values)
        played = controller.play("playbooks/health.yml", **options)
        return {
            (site, name): level for site in {f.site for f in FIGURES} for name, level in levels(played, site).items()
        }

    good = seen(lambda figure: figure.good)
    assert {key: good[key] for key in key_of(FIGURES)} == dict.fromkeys(key_of(FIGURES), "pass")
    warned = seen(lambda figure: figure.warns)
    assert {key for key in key_of(FIGURES) if warned[key] == "warn"} == set(
        key_of(f for f in FIGURES if f.warns is not None)
    )
    failed = seen(lambda figure: figure.fails, status=2)
    assert {key for key in key_of(FIGURES) if failed[key] == "fail"} == set(
        key_of(f for f in FIGURES if f.fails is not None)
    )


def key_of(figures: t.Iterable[Figure]) -> list[tuple[str, str]]:
    return [(figure.site, figure.check) for figure in figures]


def levels(played: Played, site: str) -> dict[str, str]:
    """The level of every check, as the journal has it."""
    proof = played.results("Read the health", site)[-1]["proof"]
    return {item["id"]: item["result"] for item in proof["objects"]}


def verdict(played: Played, site: str) -> tuple[str, str]:
    after = played.results("Read the health", site)[-1]["after"]
    return after["health"], after["state"]


def test_a_seeded_lab_is_healthy_and_the_table_says_so(ground: Ground, controller: Controller) -> None:
    for site in (FLASHMM, AI, BOOK, GRAND):
        ground.fresh(site)
    played = controller.play("playbooks/health.yml", "-l", f"{FLASHMM},{AI},{BOOK},{GRAND}", "-e", "health_of=checks")
    # A machine that is busy answers slowly, which two of them are warned of; nothing is worse, and nothing else.
    slow = {
        (site, name)
        for site in (FLASHMM, AI, BOOK, GRAND)
        for name, level in levels(played, site).items()
        if level != "pass"
    }
    assert slow <= {(AI, "api")}, str(played)
    assert "flashmm-primary" in played.output and "healthy" in played.output
    assert not [write for site in (FLASHMM, AI, BOOK, GRAND) for write in ground.writes(site)]


def test_a_degraded_order_book_names_its_ways_and_an_unhealthy_one_fails(
    ground: Ground, controller: Controller
) -> None:
    ground.fresh(BOOK)
    ground.control("PUT", f"/sites/{BOOK}/settings", {"latency_p95_ms": 50, "memory_mi": 7000})
    ground.call(BOOK, "POST", "/admin/circuit-breaker/activate/BTCUSDT", {"reason": "test"})
    played = controller.play("playbooks/health.yml", "-l", BOOK)
    assert verdict(played, BOOK) == ("warn", "breakers-open, slow, memory-high"), str(played)
    ground.faults(BOOK, {"kind": "error_before", "status": 503, "path": "/health"})
    played = controller.play("playbooks/health.yml", "-l", BOOK, status=2)
    assert verdict(played, BOOK)[0] == "fail"
    assert f"{BOOK}: fail: service is fail: it answered 503, wanted is 200" in played.text
    ground.fresh(BOOK)


def test_a_site_that_does_not_answer_does_not_hide_the_others(ground: Ground, controller: Controller) -> None:
    ground.fresh(FLASHMM)
    ground.fresh(BOOK)
    ground.faults(FLASHMM, {"kind": "dead"})
    try:
        played = controller.play("playbooks/health.yml", "-l", f"{FLASHMM},{BOOK}", status=2)
    finally:
        ground.faults(FLASHMM)
    assert verdict(played, FLASHMM)[0] == "fail"
    assert verdict(played, BOOK) == ("pass", "healthy")


def test_a_check_that_is_wrong_is_one_message_for_its_site(ground: Ground, controller: Controller) -> None:
    ground.fresh(FLASHMM)
    wrong = '{"health_checks": [{"name": "db", "kind": "postgresql", "critcal": "5"}], "health_of": ["checks"]}'
    played = controller.play("playbooks/health.yml", "-l", FLASHMM, "-e", wrong, status=2)
    assert f"{FLASHMM}: checks[0] (db): critcal: unknown key (did you mean 'critical'?)" in played.text
    assert ground.requests(FLASHMM) == []


def test_only_some_checks_and_only_business_figures(ground: Ground, controller: Controller) -> None:
    ground.fresh(SMC)
    played = controller.play("playbooks/health.yml", "-l", SMC, "-e", '{"health_only": ["daily-loss", "database"]}')
    assert list(levels(played, SMC)) == ["database", "daily-loss"]
    played = controller.play(
        "playbooks/health.yml", "-l", SMC, "-e", "health_of=kpis", "-e", "health_at_least=pass", status=2
    )
    assert verdict(played, SMC)[0] == "warn"


def test_a_resume_asks_the_checks_of_the_inventory(ground: Ground, controller: Controller) -> None:
    ground.fresh(FLASHMM)
    ground.control("PUT", f"/sites/{FLASHMM}/settings", {"trading": "halted", "cpu_percent": 95})
    resume = ("playbooks/emergency_resume.yml", "-l", FLASHMM, "-e", f"tradeops_confirm={FLASHMM}")
    quick = ("-e", "emergency_resume_health_hold=0.2")
    played = controller.play(*resume, *quick, "-e", "emergency_resume_health_within=10", status=2)
    assert "cpu is fail: 95 %: critical above 85 %" in played.text
    assert ground.truth(FLASHMM)["state"] == "halted"
    ground.control("PUT", f"/sites/{FLASHMM}/settings", {"cpu_percent": 40})
    controller.play(*resume, *quick)
    assert ground.truth(FLASHMM)["state"] == "active"


# -- what a shell and other programs get ---


def run(controller: Controller, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bin" / program), "-i", "inventories/lab", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=controller.environ, capture_output=True, text=True, timeout=600, check=False
    )


def test_a_shell_gets_the_status_of_the_order_book(ground: Ground, controller: Controller) -> None:
    ground.fresh(BOOK)
    done = run(controller, "health", "-l", BOOK)
    assert (done.returncode, done.stdout.startswith(f"HEALTH OK - {BOOK} is healthy")) == (0, True), done.stdout
    ground.control("PUT", f"/sites/{BOOK}/settings", {"latency_p95_ms": 50})
    done = run(controller, "health", "-l", BOOK)
    assert (done.returncode, f"HEALTH WARNING - {BOOK} is slow" in done.stdout) == (1, True), done.stdout
    assert "latency-p95=50.0ms;20;" in done.stdout
    ground.faults(BOOK, {"kind": "dead"})
    try:
        done = run(controller, "health", "-l", BOOK)
    finally:
        ground.faults(BOOK)
    assert (done.returncode, f"HEALTH CRITICAL - {BOOK} is unhealthy" in done.stdout) == (2, True), done.stdout
    ground.faults(BOOK, {"kind": "html", "path": "/admin/metrics/*"})
    done = run(
        controller,
        "health",
        "-l",
        BOOK,
        "-e",
        '{"health_checks": [{"name": "p95", "kind": "platform", "read": "metric", "metric": "latency_p95_ms"}]}',
        "-e",
        "health_of=checks",
    )
    assert (done.returncode, "HEALTH UNKNOWN" in done.stdout) == (3, True), done.stdout
    done = run(controller, "health", "-l", "nowhere")
    assert (done.returncode, "HEALTH UNKNOWN - no site could be read" in done.stdout) == (3, True), done.stdout
    ground.fresh(BOOK)


def test_all_forms_are_written_and_none_in_check_mode(
    ground: Ground, controller: Controller, tmp_path: pathlib.Path
) -> None:
    ground.fresh(SMC)
    forms = {
        form: f"{tmp_path}/{{{{ inventory_hostname }}}}.{form}" for form in ("json", "nagios", "prometheus", "junit")
    }
    output = json.dumps({"health_output": forms})
    controller.play("playbooks/health.yml", "-l", SMC, "-e", output, "--check")
    assert list(tmp_path.iterdir()) == []
    controller.play("playbooks/health.yml", "-l", SMC, "-e", output)
    assert json.loads((tmp_path / f"{SMC}.json").read_text(encoding="utf-8"))["serviceId"] == SMC
    assert (tmp_path / f"{SMC}.nagios").read_text(encoding="utf-8").startswith("HEALTH ")
    assert f'tradeops_health_level{{site="{SMC}"}}' in (tmp_path / f"{SMC}.prometheus").read_text(encoding="utf-8")
    assert "<testsuite" in (tmp_path / f"{SMC}.junit").read_text(encoding="utf-8")


def test_the_latency_report_counts_what_took_too_long_and_draws_it(ground: Ground, controller: Controller) -> None:
    ground.fresh(FLASHMM)
    ground.faults(FLASHMM, {"kind": "hang", "path": "/ml/predictions", "times": 2, "seconds": 0.4})
    played = controller.play("playbooks/latency.yml", "-l", FLASHMM, "-e", "latency_for=4", "-e", "latency_every=0.4")
    (record,) = [r for r in played.results("Read the health", FLASHMM) if "after" in r]
    points = record["after"]["series"]["latency"]["points"]
    assert 5 <= len(points) <= 10  # one that takes longer than its turn skips the next
    assert sum(value > 350 for _at, value in points) >= 2
    assert "violations" in played.output and "p99" in played.output
    assert "<polyline" in played.page and "350 ms" in played.page


def test_a_watch_ends_when_it_is_bad_enough_and_people_hear_of_it(ground: Ground, controller: Controller) -> None:
    ground.fresh(SMC)
    controller.forget_messages()
    watch = ("-e", "health_of=kpis", "-e", "monitor_for=300", "-e", "monitor_every=0.3", "-e", "monitor_until=fail")
    playing = controller.start("playbooks/monitor.yml", "-l", SMC, *watch)
    loss = threading.Timer(3.0, ground.control, ("PUT", f"/sites/{SMC}/settings", {"daily_pnl": -1500}))
    loss.start()
    played = playing.end()
    loss.join()
    assert played.code == 2 and played.seconds < 300, str(played)
    assert "daily-loss is fail: 1500 USD: critical above 1000 USD" in played.text
    assert {message["channel"] for message in controller.messages()} == {"pagerduty", "slack", "jira"}
    assert ground.writes(SMC) == []


def test_the_live_view_shows_every_check_and_ends_by_itself(ground: Ground, controller: Controller) -> None:
    ground.fresh(BOOK)
    done = run(controller, "monitor", "-l", BOOK, "-e", "monitor_for=2", "-e", "monitor_every=0.5")
    assert done.returncode == 0, done.stdout
    for name in ("latency-p95", "throughput", "migrations", "breakers", "memory", "healthy"):
        assert name in done.stdout
    assert "▁" in done.stdout
