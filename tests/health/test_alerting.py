# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and routes made from the inventory, as promtool and amtool see them; and both servers asked for real."""

from __future__ import annotations

import datetime
import json
import pathlib
import subprocess
import typing as t
import urllib.request

import pytest
import yaml
from asking import Asking
from playing import Controller
from prometheus_programs import ABSENT, find, query, running
from simulator_ground import Ground

BOOK = "adaptive-order-book-primary"
PLATFORMS = ("flashmm", "grandmodel", "smc_agent")


@pytest.fixture(scope="module")
def made(ground: Ground, controller: Controller, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder with the rules and the routes; both are checked while they are made, where the programs are there."""
    folder = tmp_path_factory.mktemp("alerting")
    tools = {"alerting_promtool": find("promtool") or "", "alerting_amtool": find("amtool") or ""}
    given = json.dumps({"alerting_dest": str(folder), **tools})
    planned = controller.play("playbooks/alerting.yml", "-e", given, "--check")
    assert list(folder.iterdir()) == [], str(planned)
    played = controller.play("playbooks/alerting.yml", "-e", given)
    assert ("NOT CHECKED" in played.output) is not all(tools.values())
    again = controller.play("playbooks/alerting.yml", "-e", given)
    assert "changed=0" in again.output and "changed=1" not in again.output
    return folder


def test_every_alert_of_the_sources_is_there_with_its_limit(made: pathlib.Path) -> None:
    rules = {
        (platform, rule["alert"], rule["labels"]["severity"]): (rule["expr"], rule["for"])
        for platform in PLATFORMS
        for group in yaml.safe_load((made / "rules" / f"{platform}.yml").read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    }
    latency = "histogram_quantile(0.95, rate(flashmm_latency_seconds_bucket[5m]))"
    wanted = {
        ("flashmm", "TradingSystemDown", "critical"): ('(up{job="flashmm"}) < 1', "30s"),
        ("flashmm", "HighLatency", "warning"): (f"({latency}) > 0.35", "2m"),
        ("flashmm", "LowMLAccuracy", "warning"): ("(avg_over_time(flashmm_prediction_accuracy[30m])) < 0.5", "10m"),
        ("flashmm", "HighPositionUtilization", "critical"): ("(flashmm_position_utilization_percent) > 85", "1m"),
        ("flashmm", "DailyLossThreshold", "critical"): ("(flashmm_daily_pnl_usdc) < -100", "0s"),
        ("flashmm", "DailyLossThreshold", "warning"): ("(flashmm_daily_pnl_usdc) < -50", "0s"),
        ("grandmodel", "HighCPUUsage", "warning"): ("(cpu_usage) > 80 or (cpu_usage) < 0", "5m"),
        ("grandmodel", "HighMemoryUsage", "warning"): ("(memory_usage) > 85", "3m"),
        ("grandmodel", "SystemDown", "critical"): ('(up{job="grandmodel"}) < 1', "1m"),
        ("grandmodel", "HighDrawdown", "critical"): ("(current_drawdown) > 0.05", "1m"),
        ("grandmodel", "RiskLimitBreach", "critical"): ("(position_risk / risk_limit) > 1", "30s"),
        ("smc_agent", "HighResponseTime", "warning"): (
            '(http_request_duration_seconds{quantile="0.95"}) > 0.5',
            "2m",
        ),
        ("smc_agent", "DailyLossLimitExceeded", "critical"): ("(daily_loss) > 1000 or (daily_loss) < 0", "0s"),
        ("smc_agent", "SystemDown", "critical"): ('(up{job="smc-agent"}) < 1', "1m"),
    }
    assert {key: rules.get(key) for key in wanted} == wanted
    names = {(platform, alert) for platform, alert, _severity in rules}
    assert all((platform, f"{alert}NoData") in names for platform, alert, _severity in wanted)


def test_every_severity_has_its_route_and_its_time(made: pathlib.Path) -> None:
    config = yaml.safe_load((made / "alertmanager.yml").read_text(encoding="utf-8"))
    routes = {route["receiver"]: (route["matchers"], route["repeat_interval"]) for route in config["route"]["routes"]}
    assert routes == {
        "critical": (['severity="critical"'], "5m"),
        "warning": (['severity="warning"'], "15m"),
        "info": (['severity="info"'], "1h"),
    }
    assert {receiver["name"] for receiver in config["receivers"]} == set(routes)


@pytest.mark.skipif(not find("promtool"), reason=ABSENT)
def test_rules_fire_at_their_limits_and_when_there_is_no_data(made: pathlib.Path) -> None:
    def case(series: str, values: str, alert: str, *severities: str) -> dict[str, t.Any]:
        expected = [
            {"exp_labels": {"severity": severity, "team": "trading", "platform": "flashmm"}} for severity in severities
        ]
        return {
            "interval": "1m",
            "input_series": [{"series": series, "values": values}],
            "alert_rule_test": [{"eval_time": "20m", "alertname": alert, "exp_alerts": expected}],
        }

    name = "flashmm_daily_pnl_usdc"
    tests = [
        case(name, "-50x30", "DailyLossThreshold"),
        case(name, "-51x30", "DailyLossThreshold", "warning"),
        case(name, "-101x30", "DailyLossThreshold", "critical", "warning"),
        case(name, "-51x30", "DailyLossThresholdNoData"),
        case("flashmm_something_else", "1x30", "DailyLossThresholdNoData", "warning"),
        case("flashmm_position_utilization_percent", "85x30", "HighPositionUtilization"),
        case("flashmm_position_utilization_percent", "86x30", "HighPositionUtilization", "critical"),
    ]
    rules = yaml.safe_load((made / "rules" / "flashmm.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        rule["annotations"] = {}
    (made / "plain.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    document = {"rule_files": ["plain.yml"], "evaluation_interval": "1m", "tests": tests}
    (made / "tests.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [str(find("promtool")), "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_rule_is_refused_and_the_old_one_stays(made: pathlib.Path, controller: Controller) -> None:
    if not find("promtool"):
        pytest.skip(ABSENT)
    before = (made / "rules" / "flashmm.yml").read_bytes()
    wrong = {
        "alerting_dest": str(made),
        "alerting_promtool": find("promtool"),
        "alerting_amtool": find("amtool"),
        "health_alerts": [{"name": "Broken", "query": "sum(", "critical": "1"}],
    }
    played = controller.play("playbooks/alerting.yml", "-l", "flashmm", "-e", json.dumps(wrong), status=2)
    assert "failed to validate" in played.text
    assert (made / "rules" / "flashmm.yml").read_bytes() == before
    wrong["health_alerts"] = [{"name": "Lost", "query": "q", "check": "nothing"}]
    played = controller.play("playbooks/alerting.yml", "-l", "flashmm", "-e", json.dumps(wrong), status=2)
    assert "flashmm: alerts[0] (Lost): check: there is no check 'nothing'; known: platform, api" in played.text


@pytest.mark.parametrize(("severity", "told", "incident"), [("critical", 3, True), ("info", 1, False)])
def test_an_alert_is_answered_by_its_severity(
    ground: Ground, controller: Controller, severity: str, told: int, incident: bool
) -> None:
    ground.fresh("flashmm-primary")
    controller.forget_messages()
    given = json.dumps({"alert_name": "HighLatency", "alert_severity": severity, "alert_text": "p95 is 412 ms"})
    played = controller.play("playbooks/alert.yml", "-l", "flashmm", "-e", given)
    assert len(controller.messages()) == told
    assert all("HighLatency" in json.dumps(message) for message in controller.messages())
    assert (played.incident is not None) is incident
    within = {"critical": "5m", "info": "1h"}[severity]
    assert f"HighLatency is {severity}: to be answered within {within}" in played.text
    assert ground.writes("flashmm-primary") == []


# -- the servers themselves ---


@pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
def test_a_real_prometheus_without_data_is_unknown(ask: Asking, tmp_path: pathlib.Path) -> None:
    with running("prometheus", tmp_path, "global: {scrape_interval: 1s}\n") as url:
        check = {"kind": "prometheus", "url": url, "critical": "0.5", "timeout": 30.0}
        row = ask.one({**check, "query": "rate(errors_total[5m])"})
        assert (row["level"], row["why"]) == ("unknown", "no data")
        assert ask.one({**check, "query": "vector(0.1)"})["level"] == "pass"
        assert ask.one({**check, "query": "scalar(vector(0.7))"})["level"] == "fail"
        row = ask.one({**check, "query": "sum("})
        assert (row["level"], "answered 400" in row["why"]) == ("unknown", True), row


@pytest.mark.skipif(not find("prometheus"), reason=ABSENT)
def test_a_real_prometheus_has_the_figures_of_a_site_and_its_past(ground: Ground, ask: Asking) -> None:
    url = ground.lab["prometheus"]["url"]
    check = {"kind": "prometheus", "url": url, "critical": "12", "timeout": 30.0}

    def seen(metric: str, site: str = BOOK) -> tuple[str, float | None, str]:
        row = ask.one({**check, "query": f'{metric}{{site="{site}"}}'}, site=BOOK)
        return row["level"], row["value"], row["why"] or ""

    for latency, level in ((12.5, "fail"), (4.5, "pass")):
        ground.control("PUT", f"/sites/{BOOK}/settings", {"latency_p95_ms": latency})
        ground.until(lambda wanted=(level, latency): seen("trading_latency_p95")[:2] == wanted)  # type: ignore[misc]
    assert seen("trading_latency_p95", "nobody") == ("unknown", None, "no data")
    (hours,) = query(url, f'count_over_time(trading_orders_total{{site="{BOOK}"}}[24h:1h] offset 5m)')
    assert float(hours["value"][1]) == 24


@pytest.mark.skipif(not find("prometheus-alertmanager"), reason=ABSENT)
def test_a_real_alertmanager_tells_what_is_active(ask: Asking, tmp_path: pathlib.Path, made: pathlib.Path) -> None:
    config = (made / "alertmanager.yml").read_text(encoding="utf-8")
    with running("prometheus-alertmanager", tmp_path, config) as url:
        check = {
            "kind": "alertmanager",
            "url": url,
            "critical": "0",
            "matchers": ['severity="critical"'],
            "timeout": 30.0,
        }
        assert ask.one(check)["level"] == "pass"
        for severity in ("critical", "warning"):
            labels = {"alertname": "HighDrawdown", "severity": severity, "platform": "grandmodel"}
            ends = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)).isoformat()
            body = json.dumps([{"labels": labels, "endsAt": ends}]).encode()
            request = urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=30).close()
        row: dict[str, t.Any] = Ground.until(lambda: (found := ask.one(check))["level"] == "fail" and found)
        assert (row["value"], row["why"]) == (1.0, "1: critical above 0")
