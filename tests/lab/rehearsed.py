# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of docs/procedures.md as it stands there: planned without a write, done in truth, then unchanged.

``tests/playbooks/test_procedures_*.py`` take the systems among them, for a worker takes a whole file.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import typing as t

import psycopg
import pytest
from playing import Controller, Played
from procedure_table import COVERED
from prometheus_programs import ABSENT, find
from simulator_ground import Ground

Truth = dict[str, t.Any]

# One site of each: what several do in one run is in test_emergency_*.py and in tests/maintenance.
FLASHMM = ("flashmm-primary",)
AI = ("ai-trading-primary",)
BOOK = ("adaptive-order-book-primary",)
SMC = ("smc-agent-primary",)
GM = ("grandmodel-primary",)
SERVICES = {"data_collector", "strategy_engine", "risk_manager", "trade_executor", "scheduler", "export", "maintenance"}
PLATFORMS: tuple[tuple[str, ...], ...] = (FLASHMM, AI, BOOK, SMC, GM)
CUT = {"max_daily_loss": 4000, "max_leverage": 2.4, "max_position": 200000}  # 20 % less than inventories/ say


def halted(truth: Truth) -> bool:
    return bool(
        truth["state"] == "halted" and truth["open_orders"] == truth["venue_open_orders"] == 0 and truth["positions"]
    )


def flat(truth: Truth, state: str = "halted") -> bool:
    left = (truth["venue_open_orders"], truth["positions"], truth["venue_positions"])
    return bool(truth["state"] == state and left == (0, {}, {}))


def breakers(truth: Truth) -> set[bool]:
    return set(truth["breakers"].values())


def percentages(truth: Truth) -> set[float]:
    return set(truth["rollouts"].values())


def ready(truth: Truth, **numbers: int) -> bool:
    """Whether so many pods of Deployments are wanted and ready, in the cluster itself."""
    return all(truth["pods"][name.replace("_", "-")] == (number, number) for name, number in numbers.items())


def scaled(truth: Truth, pods: int, connections: str, memory: str) -> bool:
    """How FlashMM is scaled by hand: its autoscaler is gone."""
    config = truth["config"]["flashmm-config"], truth["config"]["redis-config"]
    said = config[0]["DATABASE_MAX_CONNECTIONS"], config[1]["maxmemory"]
    return ready(truth, flashmm_app=pods) and said == (connections, memory) and not truth["autoscalers"]


def updated(truth: Truth, version: str) -> bool:
    """Whether SMC's agent is of a version, ready, and trades."""
    return ready(truth, smc_agent=2) and truth["images"]["smc-agent"][-5:] == version and truth["state"] == "active"


def runs(truth: Truth, version: str) -> bool:
    """Whether GrandModel's agents are of a version, ready, and without twins."""
    agents = [truth["images"][name] for name in ("strategic-marl", "tactical-marl")]
    twins = [name for name in truth["pods"] if name.endswith("-green")]
    return (
        ready(truth, strategic_marl=2, tactical_marl=3) and {image[-5:] for image in agents} == {version} and not twins
    )


def recovered(truth: Truth) -> bool:
    return truth["state"] == "active" and ready(truth, flashmm_app=3)


@dataclasses.dataclass
class Case:
    """``state``, ``settings`` and ``open_breakers`` make the sites what they are. ``truth`` looks at what the lab
    says of each site afterwards. ``faster``: what the test adds to the command, so that it waits less. ``grows`` is a
    query: a number in the site's database that only the real run may raise. ``stopped``: no service of the site runs.
    ``pods``: numbers that Deployments of the site have. ``before`` is a command that is played first. ``anew``: a
    second run does all of it again. ``point``: a place of this name in the log of the site's server, made after
    ``before``, with a table made before it and another made after it. ``scraped``: it needs the Prometheus of the lab.
    """

    sites: tuple[str, ...]
    truth: t.Callable[[Truth], bool]
    state: str = "active"
    settings: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    open_breakers: bool = False
    faster: tuple[str, ...] = ()
    reads_only: bool = False
    stopped: bool = False
    pods: dict[str, int] = dataclasses.field(default_factory=dict)
    grows: str = ""
    before: tuple[str, ...] = ()
    point: str = ""
    scraped: bool = False
    anew: bool = False


MAINTAINED = "SELECT sum(vacuum_count + analyze_count)::int AS n FROM pg_stat_user_tables"
ARCHIVED = "SELECT count(*)::int AS n FROM pg_class c WHERE c.relname = '{}' AND pg_relation_size(c.oid) > 0"
# The databases of before that restores have left beside.
KEPT = "SELECT count(*)::int AS n FROM pg_database WHERE datname LIKE current_database() || '\\_before\\_%'"
REVISION = "SELECT version_num::int AS n FROM alembic_version"
UPDATE = ("-e", "update_health_hold=0.5")
RECOVER = ("-e", "recover_health_hold=0.5")
CASES: dict[str, list[Case]] = {
    "FM-STOP": [
        Case(FLASHMM, halted),
        Case(FLASHMM, flat),
        Case(FLASHMM, lambda truth: halted(truth) and ready(truth, flashmm_app=3)),
    ],
    "FM-SCALE": [
        Case(FLASHMM, lambda truth: scaled(truth, 5, "50", "2gb")),
        Case(FLASHMM, lambda truth: scaled(truth, 2, "20", "1gb")),
        Case(FLASHMM, lambda truth: truth["autoscalers"]["flashmm-hpa"]["maxReplicas"] == 20),
    ],
    "FM-HPA": [
        Case(
            FLASHMM,
            lambda truth: truth["autoscalers"]["flashmm-hpa"]["behavior"]["scaleDown"]["policies"][0]["value"] == 10,
        )
    ],
    "GM-HALT": [
        Case(
            GM,
            lambda truth: (
                flat(truth, "stopped") and ready(truth, strategic_marl=0, tactical_marl=0, execution_engine=0)
            ),
        ),
        Case(GM, lambda truth: truth["gateway"] == ("ClusterIP", "isolated")),
        Case(
            GM,
            lambda truth: truth["gateway"] == ("LoadBalancer", None),
            before=("playbooks/gateway.yml", "-l", "grandmodel", "-e", "gateway_state=isolated"),
        ),
    ],
    "GM-DEPLOY": [
        Case(
            GM,
            lambda truth: runs(truth, "1.1.0") and truth["serves"] == "blue" and truth["state"] == "active",
            faster=("-e", "deploy_watch=3"),
        )
    ],
    "GM-ROLLBACK": [Case(GM, lambda truth: runs(truth, "0.9.0") and truth["state"] == "active")],
    "AT-SHUT": [
        Case(AI, lambda truth: truth["listening"] == set() and truth["maintenance"] == "maintenance"),
    ],
    # The requests of AI Trading are none of theirs: what they do is done to processes.
    "AT-START": [Case(AI, lambda truth: truth["listening"] == SERVICES, stopped=True, reads_only=True)],
    "AT-RESTART": [
        Case(AI, lambda truth: truth["restarted"] == SERVICES, reads_only=True),
        Case(AI, lambda truth: truth["restarted"] == {"export"}, reads_only=True),
        Case(AI, lambda truth: truth["restarted"] == SERVICES, reads_only=True),
    ],
    "FM-PNL": [
        Case(
            FLASHMM,
            lambda truth: flat(truth) and truth["limits"] == CUT,
            settings={"daily_pnl": -250.0, "risk_utilization": 97.0},
        )
    ],
    "AT-HALT": [Case(AI, lambda truth: flat(truth) and truth["maintenance"] == "maintenance")],
    "AT-FIN": [Case(AI, lambda truth: flat(truth, "stopped"))],
    "OB-STOP": [
        Case(
            BOOK,
            lambda truth: (
                halted(truth)
                and breakers(truth) == {True}
                and percentages(truth) == {0}
                and ready(truth, trading_service=1)
            ),
            faster=("-e", "emergency_stop_abort_window=1"),
        )
    ],
    "OB-RESUME": [
        Case(
            BOOK,
            lambda truth: truth["state"] == "active" and breakers(truth) == {False} and ready(truth, trading_service=4),
            state="halted",
            pods={"trading-service": 1},
            open_breakers=True,
            faster=("-e", "emergency_resume_health_hold=0.5"),
        )
    ],
    "OB-MIG": [
        Case(BOOK, lambda truth: percentages(truth) == {25}),
        Case(BOOK, lambda truth: truth["rollouts"]["BTCUSDT"] == 5 and truth["rollouts"]["ETHUSDT"] != 5),
        Case(BOOK, lambda truth: percentages(truth) == {0}),
        Case(BOOK, lambda truth: percentages(truth) == {0}),
    ],
    "OB-CB": [
        Case(BOOK, lambda truth: truth["state"] == "active", reads_only=True),
        Case(BOOK, lambda truth: breakers(truth) == {True}),
        Case(
            BOOK,
            lambda truth: [pair for pair, is_open in truth["breakers"].items() if not is_open] == ["BTCUSDT"],
            open_breakers=True,
        ),
        Case(BOOK, lambda truth: breakers(truth) == {False}, open_breakers=True),
    ],
    "SM-STOP": [Case(SMC, flat)],
    "GM-OPEN": [
        Case(
            GM,
            lambda truth: (
                truth["state"] == "active" and ready(truth, strategic_marl=2, tactical_marl=3, execution_engine=2)
            ),
            pods={"strategic-marl": 1, "tactical-marl": 1, "risk-management": 1, "execution-engine": 0},
            faster=("-e", "trading_day_at=2026-11-24T07:05"),
        )
    ],
    "GM-CLOSE": [
        Case(
            GM,
            lambda truth: flat(truth) and ready(truth, strategic_marl=1, tactical_marl=1, execution_engine=0),
        )
    ],
    "SM-EOD": [Case(SMC, lambda truth: flat(truth, "stopped"))],
    "SM-PAUSE": [
        Case(SMC, lambda truth: truth["state"] == "reducing" and bool(truth["positions"])),
        Case(SMC, lambda truth: truth["maintenance"] == "read_only"),
        Case(SMC, lambda truth: ready(truth, smc_agent=1) and not truth["autoscalers"]),
    ],
    "SM-UPDATE": [
        Case(SMC, lambda truth: updated(truth, "1.1.0"), faster=UPDATE, grows=REVISION),
        Case(SMC, lambda truth: updated(truth, "1.2.0"), faster=UPDATE),
    ],
    "SM-ROLLBACK": [Case(SMC, lambda truth: updated(truth, "0.9.0"))],
    "FM-RECOVER": [
        Case(FLASHMM, recovered, "halted", faster=RECOVER),
        Case(FLASHMM, recovered, "halted", faster=RECOVER),
        Case(
            FLASHMM, recovered, "halted", faster=RECOVER, before=("playbooks/backup.yml", "-l", "flashmm"), grows=KEPT
        ),
    ],
    "SM-HPA": [
        Case(
            SMC, lambda truth: truth["autoscalers"]["smc-agent-hpa"]["behavior"]["scaleUp"]["policies"][1]["value"] == 4
        )
    ],
    "AT-MODE": [
        Case(AI, lambda truth: truth["maintenance"] == "maintenance"),
        Case(AI, lambda truth: truth["maintenance"] == "read_only"),
        Case(AI, lambda truth: truth["maintenance"] == "off", state="halted", settings={"maintenance": "maintenance"}),
    ],
    **{
        name: [Case(sites, lambda truth: truth["state"] == "active", reads_only=True)]
        for sites, names in {
            FLASHMM: ("FM-MORN", "FM-EVE"),
            AI: ("AT-MORN", "AT-EVE", "AT-REPORT"),
            BOOK: ("OB-MORN", "OB-REPORT"),
            SMC: ("SM-MORN", "SM-REPORT"),
            GM: ("GM-MORN", "GM-REPORT"),
        }.items()
        for name in names
    },
}

CASES |= {
    name: [Case(sites, lambda truth: truth["state"] == "active", reads_only=True, grows=query)]
    for name, sites, query in (
        ("FM-DB", FLASHMM, MAINTAINED),
        ("AT-DB", AI, MAINTAINED),
        ("OB-DB", BOOK, ARCHIVED.format("order_book_snapshots_archive")),
        ("GM-DB", GM, ARCHIVED.format("audit_log_archive")),
        ("SM-DB", SMC, ARCHIVED.format("trades_archive")),
    )
}

# A playbook that only reads: what has to be true is in tests/health; here it is that nothing is written.
CASES |= {
    name: [Case(sites, lambda truth: truth["state"] == "active", reads_only=True, settings=settings, faster=faster)]
    * (2 if name.endswith("-ALERT") else 1)
    for name, sites, settings, faster in (
        ("FM-HEALTH", FLASHMM, {}, ()),
        ("FM-KPI", FLASHMM, {"daily_pnl": 10.0}, ()),
        ("AT-HEALTH", AI, {}, ()),
        ("OB-HEALTH", BOOK, {}, ()),
        ("GM-HEALTH", GM, {}, ()),
        ("SM-HEALTH", SMC, {}, ()),
        ("FM-LAT", FLASHMM, {}, ("-e", "latency_for=1", "-e", "latency_every=0.5")),
        ("OB-MON", BOOK, {}, ("-e", "monitor_for=1", "-e", "monitor_every=0.5")),
        ("FM-ALERT", FLASHMM, {"daily_pnl": 10.0}, ()),
        ("GM-ALERT", GM, {}, ()),
        ("SM-ALERT", SMC, {"daily_pnl": 10.0}, ()),
        ("SM-RISK", SMC, {"daily_pnl": 10.0}, ("-e", "monitor_for=1", "-e", "monitor_every=0.5")),
    )
}

# A window is opened out of its time, waits for little, and does not watch for half an hour.
WINDOW = (
    *("-e", "maintenance_window_override=test"),
    *("-e", "maintenance_window_health_at_least=warn"),
    *("-e", "maintenance_window_health_hold=0.5"),
    *("-e", "maintenance_window_watch_minutes=0"),
)
# AT-RESTART restarts all of them.
ONE_PROCESS = ("-e", "workloads_names=export")


def back(truth: Truth) -> bool:
    return bool(truth["state"] == "active" and truth["maintenance"] == "off")


def halting(sites: tuple[str, ...], grows: str = "") -> Case:
    """A window that halts trading and brings it back."""
    return Case(sites, back, faster=WINDOW, grows=grows)


def beside(sites: tuple[str, ...], grows: str = "") -> Case:
    """A window that leaves trading as it is."""
    return Case(sites, back, faster=WINDOW, reads_only=True, grows=grows)


ALERTS = {"alert_cpu_percent": 85, "alert_memory_percent": 90, "alert_disk_percent": 95}  # as inventories/ say

CASES |= {
    "AT-CONF": [
        Case(AI, lambda truth: truth["settings"]["alert_cpu_percent"] == 80, reads_only=True),
        Case(AI, lambda truth: truth["settings"].items() >= {**ALERTS, "log_level": "INFO"}.items()),
    ],
    "FM-MWEEK": [halting(FLASHMM, MAINTAINED)],
    "FM-MMONTH": [halting(FLASHMM)],
    "FM-MEMERG": [halting(FLASHMM), halting(FLASHMM), halting(FLASHMM, MAINTAINED)],
    "FM-CHANGE": [beside(FLASHMM, MAINTAINED), halting(FLASHMM)],
    "AT-MWIN": [
        Case(AI, back, reads_only=True),
        Case(
            AI, lambda truth: back(truth) and truth["settings"].items() >= ALERTS.items(), faster=WINDOW + ONE_PROCESS
        ),
    ],
    "AT-MWEEK": [Case(AI, back, faster=WINDOW + ONE_PROCESS, grows=MAINTAINED)],
    "AT-MMONTH": [beside(AI)],
    "OB-MWIN": [halting(BOOK, ARCHIVED.format("order_book_snapshots_archive"))],
    "GM-MWEEK": [halting(GM, ARCHIVED.format("audit_log_archive"))],
    "FM-LOGS": [beside(FLASHMM)],
    "AT-LOGS": [beside(AI)],
}


def kept(sites: tuple[str, ...], kind: str) -> Case:
    """A backup: trading goes on, and nothing is written at the site."""
    return Case(sites, lambda truth: truth["state"] == "active" and kind in truth["sets"], reads_only=True)


CASES |= {
    "FM-BACKUP": [kept(FLASHMM, "daily")],
    "AT-BACKUP": [kept(AI, "daily"), kept(AI, "forensic"), kept(AI, "pre-deployment")],
    "GM-BACKUP": [kept(GM, "daily"), kept(GM, "weekly")],
    "SM-BACKUP": [kept(SMC, "database"), kept(SMC, "daily"), kept(SMC, "weekly")],
}


# A restore leaves trading halted.
def restored(
    sites: tuple[str, ...], group: str, grows: str = KEPT, state: str = "halted", kind: str = "manual", **more: t.Any
) -> Case:
    backup = ("playbooks/backup.yml", "-l", group, "-e", f"backup_type={kind}")
    return Case(sites, lambda truth: truth["state"] == state, state, before=backup, grows=grows, **more)


CASES |= {
    "FM-RESTORE": [restored(FLASHMM, "flashmm", anew=True)],
    "AT-RESTORE": [
        restored(AI, "ai_trading", reads_only=True),
        restored(AI, "ai_trading", reads_only=True),
        restored(AI, "ai_trading", "", reads_only=True),
        restored(AI, "ai_trading", "", reads_only=True),
    ],
    "SM-DR": [restored(SMC, "smc_agent", reads_only=True)],
}
# GrandModel rests where its agents and its engine have no pods.
RESTING = {"strategic-marl": 0, "tactical-marl": 0, "execution-engine": 0}
CASES["GM-ROLLBACK"].append(
    restored(GM, "grandmodel", state="stopped", kind="pre-deployment", reads_only=True, pods=RESTING)
)
CASES["SM-ROLLBACK"].append(restored(SMC, "smc_agent", kind="pre-deployment", reads_only=True))


def back_in_time(sites: tuple[str, ...], group: str) -> Case:
    """What was there before the point is there again, and nothing of what came after it."""
    backup = ("playbooks/backup.yml", "-l", group, "-e", "backup_type=database")
    return Case(
        sites,
        lambda truth: truth["state"] == "halted" and truth["marks"] == ["before_the_point"],
        "halted",
        before=backup,
        point="before-change",
        reads_only=True,
    )


CASES |= {"AT-PITR": [back_in_time(AI, "ai_trading")], "SM-PITR": [back_in_time(SMC, "smc_agent")]}


def verified(sites: tuple[str, ...], group: str, level: str, kind: str = "manual") -> Case:
    """A verification of a backup that was just made: trading goes on, and nothing is written at the site."""
    backup = ("playbooks/backup.yml", "-l", group, "-e", f"backup_type={kind}")
    return Case(
        sites, lambda truth: truth["state"] == "active" and level in truth["verified"], reads_only=True, before=backup
    )


CASES |= {
    "AT-VERIFY": [verified(AI, "ai_trading", "restored"), verified(AI, "ai_trading", "tools")],
    "FM-VERIFY": [verified(FLASHMM, "flashmm", "restored")],
}


def archived(case: Case) -> Case:
    """One whose backup has every moment of a day of metrics: the past of the lab, and what is scraped since."""
    query = f'trading_orders_total{{site="{BOOK[0]}"}}'
    whole = {query: {"series": 1, "samples": 24 * 12 + 1}}
    truth = case.truth
    return dataclasses.replace(case, scraped=True, truth=lambda seen: truth(seen) and seen["metrics"] == whole)


CASES |= {
    "OB-METRICS": [
        archived(kept(BOOK, "daily")),
        archived(verified(BOOK, "adaptive_order_book", "tools", "daily")),
    ],
    "OB-EOD": [archived(kept(BOOK, "daily"))],
}

COMMANDS = {
    f"{row.id}-{number}": (command, case)
    for row in COVERED
    for number, (command, case) in enumerate(zip(row.commands, CASES.get(row.id, []), strict=False), 1)
}


@dataclasses.dataclass
class Rehearsal:
    """A command three times: as a plan, for real, and again; with what each of them wrote at the sites."""

    planned: Played
    done: Played
    again: Played
    writes: tuple[list[str], list[str], list[str]]
    truth: dict[str, Truth]
    grown: dict[str, list[int]]


def rehearse(ground: Ground, controller: Controller, command: list[str], case: Case) -> Rehearsal:
    for site in case.sites:
        ground.fresh(site, market=True)
        ground.control("PUT", f"/sites/{site}/settings", {"trading": case.state, **case.settings})
        if case.open_breakers:
            ground.call(site, "POST", "/admin/circuit-breaker/activate-all", {"reason": "test"})
        ground.settled(site)
        _arrange(ground, site, case)
    if case.before:
        controller.play(*case.before)
    for site in case.sites if case.point else ():
        _mark(ground, site, case.point)

    def play(*more: str) -> tuple[Played, list[str]]:
        ground.forget(*case.sites)
        played = controller.start(*command, *case.faster, *more).end()
        assert played.code == 0, str(played)
        return played, [f"{site}: {write}" for site in case.sites for write in ground.writes(site)]

    def count() -> list[int]:
        return [ground.sql(site, case.grows)[0]["n"] for site in case.sites] if case.grows else []

    before = count()
    planned, none = play("--check")
    counts = [before, count()]
    services = {site: _services(ground, site) for site in case.sites}
    done, some = play()
    truth = {site: ground.truth(site) | _around(ground, site, services[site]) for site in case.sites}
    counts.append(count())
    # What only reads has nothing to leave alone.
    again, nothing = (done, some) if case.reads_only or case.anew else play()
    grown = {site: [at[index] for at in counts] for index, site in enumerate(case.sites) if case.grows}
    return Rehearsal(planned, done, again, (none, some, nothing), truth, grown)


_MARKS = "SELECT relname::text AS name FROM pg_class WHERE relkind = 'r' AND relname LIKE '%\\_the\\_point' ORDER BY 1"


def _mark(ground: Ground, site: str, name: str) -> None:
    """Name a point of the log, between one table and another."""
    server = {key: ground.server(site, "postgresql")[key] for key in ("host", "port", "user", "password")}
    ground.sql(site, "DROP TABLE IF EXISTS before_the_point, after_the_point")
    ground.sql(site, "CREATE TABLE before_the_point (n int)")
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as session:
        session.execute("SELECT pg_create_restore_point(%s)", (name,))
    ground.sql(site, "CREATE TABLE after_the_point (n int)")


def _arrange(ground: Ground, site: str, case: Case) -> None:
    """Let the services of the site run or not, and its Deployments have other numbers of pods."""
    if ground.lab["sites"][site].get("supervised"):
        programs = [f"{site}:{service}" for service in _services(ground, site)]
        _supervisorctl(ground, "stop" if case.stopped else "start", *programs)
    for name, number in case.pods.items():
        path = f"apis/apps/v1 deployments/{name}/scale"
        ground.kubernetes(site, "PATCH", path, {"spec": {"replicas": number}}, kind="merge-patch")
        ground.until(lambda name=name, number=number: _pods(ground, site)[name] == (number, number))  # type: ignore[misc]


def _around(ground: Ground, site: str, services: dict[str, str]) -> Truth:
    """What is so around a site: its services by their processes, and the objects of its namespace."""
    now = _services(ground, site)
    loaded = ground.sql(site, "SELECT value FROM settings WHERE key = 'configuration'")
    found: Truth = {
        "settings": json.loads(loaded[0]["value"]) if loaded else {},
        "sets": [manifest["type"] for manifest in _manifests(ground, site)],
        "metrics": _metrics(ground, site),
        "marks": [row["name"] for row in ground.sql(site, _MARKS)],
        "verified": _verified(ground, site),
        "listening": {service for service, pid in now.items() if pid},
        "restarted": {service for service, pid in now.items() if pid and pid != services[service]},
    }
    if "namespace" not in ground.lab["sites"][site]:
        return found
    config = {item["metadata"]["name"]: item.get("data") for item in _objects(ground, site, "api/v1 configmaps")}
    scalers = _objects(ground, site, "apis/autoscaling/v2 horizontalpodautoscalers")
    ways = {item["metadata"]["name"]: item["spec"] for item in _objects(ground, site, "api/v1 services")}
    ingresses = [item["spec"] for item in _objects(ground, site, "apis/networking.k8s.io/v1 ingresses")]
    deployments = _objects(ground, site, "apis/apps/v1 deployments")
    return found | {
        "pods": _pods(ground, site),
        "images": {
            item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"] for item in deployments
        },
        "serves": ways.get("strategic-marl-service", {}).get("selector", {}).get("deployment"),
        "config": config,
        "autoscalers": {item["metadata"]["name"]: item["spec"] for item in scalers},
        "gateway": (ways.get("api-gateway", {}).get("type"), *(item.get("ingressClassName") for item in ingresses)),
    }


def _manifests(ground: Ground, site: str) -> list[Truth]:
    """Those of the backup sets that the folder of the lab has of the site, the oldest first."""
    found = sorted(pathlib.Path(ground.lab["backup"]["folder"], site).glob("*/manifest.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def _metrics(ground: Ground, site: str) -> Truth:
    """What the newest set has of each query."""
    components = [one for manifest in _manifests(ground, site)[-1:] for one in manifest["components"]]
    return {query: had for one in components for query, had in one["facts"].get("queries", {}).items()}


def _verified(ground: Ground, site: str) -> set[str]:
    """The levels of the verifications that lie beside them."""
    records = pathlib.Path(ground.lab["backup"]["folder"], site).glob("*/verified/*.json")
    return {json.loads(path.read_text(encoding="utf-8"))["level"] for path in records}


def _pods(ground: Ground, site: str) -> dict[str, tuple[int, int]]:
    found = _objects(ground, site, "apis/apps/v1 deployments")
    return {
        item["metadata"]["name"]: (item["spec"]["replicas"], item["status"].get("readyReplicas", 0)) for item in found
    }


def _objects(ground: Ground, site: str, path: str) -> list[Truth]:
    return t.cast("list[Truth]", ground.kubernetes(site, "GET", path).json["items"])


def _services(ground: Ground, site: str) -> dict[str, str]:
    """Service -> process id, empty for one that does not run, as supervisord says it."""
    if not ground.lab["sites"][site].get("supervised"):
        return {}
    lines = [line.split() for line in _supervisorctl(ground, "status", f"{site}:*").splitlines()]
    found = {name.rpartition(":")[2]: rest[1].strip(",") if state == "RUNNING" else "" for name, state, *rest in lines}
    return {service: pid for service, pid in found.items() if service not in ("postgresql", "redis")}


def _supervisorctl(ground: Ground, *arguments: str) -> str:
    program = pathlib.Path(sys.executable).with_name("supervisorctl")
    argv = [str(program), "-c", str(ground.folder / "run" / "supervisord.conf"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120).stdout


def of(*platforms: tuple[str, ...]) -> list[str]:
    """The names of the commands for the sites of some platforms."""
    return [name for name, (_command, case) in COMMANDS.items() if case.sites in platforms]


Futures = dict[str, concurrent.futures.Future[Rehearsal]]


@pytest.fixture(scope="module")
def rehearsals(ground: Ground, controller: Controller, request: pytest.FixtureRequest) -> t.Iterator[Futures]:
    """The commands that are tested now: those of one platform one after the other, the platforms side by side."""
    tested = [
        item.callspec.params
        for item in request.session.items
        if item.parent is request.node and hasattr(item, "callspec")
    ]
    chosen = {params["name"]: COMMANDS[params["name"]] for params in tested}
    chosen = {name: (command, case) for name, (command, case) in chosen.items() if not _lacks(case)}
    with contextlib.ExitStack() as stack:
        platforms = {sites: stack.enter_context(concurrent.futures.ThreadPoolExecutor(1)) for sites in PLATFORMS}
        yield {
            name: platforms[case.sites].submit(rehearse, ground, controller, command, case)
            for name, (command, case) in chosen.items()
        }


def _lacks(case: Case) -> bool:
    return case.scraped and not find("prometheus")


def check(rehearsals: Futures, name: str) -> None:
    """A command sent nothing as a plan, made true what its case says, and had nothing left to do the second time."""
    case = COMMANDS[name][1]
    if _lacks(case):
        pytest.skip(ABSENT)
    rehearsal = rehearsals[name].result()
    planned, done, again = rehearsal.writes
    assert planned == [], str(rehearsal.planned)
    for site, truth in rehearsal.truth.items():
        assert case.truth(truth), f"{site}: {truth}\n{rehearsal.done}"
    assert bool(done) is not case.reads_only, str(rehearsal.done)
    for site, (before, as_planned, after) in rehearsal.grown.items():
        assert before == as_planned < after, f"{site}\n{rehearsal.done}"
    assert again == [] or case.anew, str(rehearsal.again)
