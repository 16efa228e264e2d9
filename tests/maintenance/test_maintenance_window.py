# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""maintenance_window.yml on the lab: what it claims is true at the sites, and what fails leaves them halted in maintenance."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import os
import pathlib
import time
import typing as t

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playing import Controller, Played
from simulator_ground import Ground

WINDOW = "playbooks/maintenance_window.yml"
CONFIRMED = ("-e", "tradeops_confirm=trading_sites")
HALTED = {"any_time": True, "minutes": 30, "body": ["database", "security_scan"]}


def given(**variables: t.Any) -> tuple[str, ...]:
    """Extra variables of a run that waits for little."""
    quick = {
        # A busy machine is slower than the thresholds of production allow.
        "maintenance_window_health_at_least": "warn",
        "maintenance_window_health_hold": 0.5,
        "maintenance_window_health_within": 120,
        "maintenance_window_drain": 60,
        "maintenance_window_wait_timeout": 120,
        "database_maintenance_lock_timeout": 4,
        "maintenance_window_name": "test",
        "maintenance_windows": {"test": HALTED},
    }
    return (*CONFIRMED, "-e", json.dumps(quick | variables))


def record(controller: Controller, site: str) -> dict[str, t.Any]:
    path = controller.state / "maintenance" / site / "test.json"
    return t.cast("dict[str, t.Any]", json.loads(path.read_text(encoding="utf-8")))


def is_open(ground: Ground, site: str) -> bool:
    truth = ground.truth(site)
    return bool(truth["state"] == "active" and truth["maintenance"] == "off")


def is_held(ground: Ground, site: str) -> bool:
    truth = ground.truth(site)
    return bool(truth["state"] == "halted" and truth["maintenance"] != "off" and truth["venue_open_orders"] == 0)


@contextlib.contextmanager
def locked(ground: Ground, site: str) -> t.Iterator[psycopg.Connection[t.Any]]:
    """Somebody who keeps a table that the maintenance of the database wants, but the platform does not."""
    server = ground.server(site, "postgresql")
    with psycopg.connect(
        host=server["host"],
        port=server["port"],
        user=server["user"],
        password=server["password"],
        dbname=ground.lab["sites"][site]["database"],
    ) as session:
        session.execute("CREATE TABLE IF NOT EXISTS kept (id int PRIMARY KEY)")
        session.commit()
        session.execute("LOCK TABLE kept IN ACCESS EXCLUSIVE MODE")
        yield session
        session.rollback()
        session.execute("DROP TABLE kept")


def test_outside_of_its_time_and_with_a_step_that_is_none_nothing_is_sent(
    ground: Ground, controller: Controller
) -> None:
    never = {"day": "sunday", "at": "02:00", "minutes": 1} | {"nth": 1}
    done = controller.play(WINDOW, "-l", "flashmm-primary", *given(maintenance_windows={"test": never}), status=2)
    assert "and the window test (the first Sunday 02:00 UTC, 1 minutes) begins at" in done.text
    assert ground.writes("flashmm-primary") == []
    assert not (controller.state / "maintenance").exists()
    done = controller.play(WINDOW, "-l", "flashmm-primary", *given(maintenance_window_body=["databse"]), status=2)
    assert "has no step 'databse'" in done.text
    nowhere = {"tradeops_backup_components": [], "maintenance_window_body": ["backup"]}
    done = controller.play(WINDOW, "-l", "flashmm-primary", *given(**nowhere), status=2)
    assert "has no step 'backup'" in done.text
    done = controller.play(WINDOW, "-l", "flashmm-primary", *given(maintenance_window_name="wekly"), status=2)
    assert "maintenance_window_name is 'wekly'; maintenance_windows has test" in done.text
    done = controller.play(WINDOW, "-l", "flashmm-primary", "-e", "maintenance_window_name=weekly", status=2)
    assert "refused, tradeops_confirm is ''" in done.text
    assert ground.writes("flashmm-primary") == []
    assert is_open(ground, "flashmm-primary")


def test_each_site_fails_at_another_place_and_the_next_run_goes_on_from_there(
    ground: Ground, controller: Controller
) -> None:
    """Five sites in one run; four of them fail, each its own way."""
    red, drains, late, stuck, good = (
        "flashmm-primary",
        "flashmm-dr",
        "adaptive-order-book-primary",
        "ai-trading-primary",
        "smc-agent-primary",
    )
    ground.control("PUT", f"/sites/{red}/settings", {"health": "unhealthy"})
    # At this one an order stays in flight from the moment at which maintenance begins.
    ground.sql(
        drains,
        "CREATE OR REPLACE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO orders SELECT 'STAYS', symbol, side, quantity, price, type, 'open', account, venue, strategy, owner,"
        " false, now() + interval '1 hour' FROM orders LIMIT 1 ON CONFLICT DO NOTHING; RETURN NEW; END $$",
    )
    ground.sql(
        drains,
        "CREATE TRIGGER stay AFTER UPDATE ON settings FOR EACH ROW"
        " WHEN (NEW.key = 'maintenance' AND NEW.value <> '\"off\"') EXECUTE FUNCTION stay()",
    )
    # Those that have to fail wait for little.
    ill, full = [red, late], [drains]
    patience = {
        "maintenance_window_health_within": f"{{{{ 8 if inventory_hostname in {ill} else 120 }}}}",
        "maintenance_window_drain": f"{{{{ 6 if inventory_hostname in {full} else 60 }}}}",
    }
    with locked(ground, stuck):
        playing = controller.start(WINDOW, *given(**patience))
        # This one falls ill while it is maintained.
        Ground.until(lambda: ground.truth(late)["maintenance"] != "off", 400)
        ground.control("PUT", f"/sites/{late}/settings", {"health": "unhealthy"})
        done = playing.end()
    assert done.code == 2, str(done)

    assert ground.writes(red) == []
    assert ground.truth(red)["state"] == "active"
    assert "flashmm-primary: health: wanted warn for 0.5 s" in done.text
    assert record(controller, red)["status"] == "refused"

    assert "orders are still in flight" in done.text, str(done)
    assert ground.truth(drains)["state"] == "halted"
    assert is_held(ground, late)
    assert is_held(ground, stuck)
    assert f"{stuck}: step database: {stuck}: database_tables" in done.text
    assert "Left to do: database, security_scan. Correct it and run the same window again" in done.text
    assert {site: record(controller, site)["status"] for site in (drains, late, stuck)} == dict.fromkeys(
        (drains, late, stuck), "failed"
    )
    assert is_open(ground, good)
    assert record(controller, good)["status"] == "closed"
    assert record(controller, good)["steps"]["security_scan"]["status"] == "planned"

    # All is mended; the same command goes on.
    ground.control("PUT", f"/sites/{red}/settings", {"health": "healthy"})
    ground.control("PUT", f"/sites/{late}/settings", {"health": "healthy"})
    ground.sql(drains, "DROP TRIGGER stay ON settings")
    ground.sql(drains, "DELETE FROM orders WHERE id = 'STAYS'")
    ground.forget(*ground.sites)
    again = controller.start(WINDOW, *given()).end()
    assert again.code == 0, str(again)
    assert all(is_open(ground, site) for site in ground.sites)
    for site in (drains, late, stuck):
        kept = record(controller, site)
        assert (kept["status"], kept["left"], len(kept["operations"])) == ("closed", [], 2)
        assert kept["found"]["state"] == "active"
    # What was halted is not halted again.
    assert not any("emergency-stop" in write or "halt" in write for write in ground.writes(stuck))
    assert again.results("Trading is halted", stuck)[0]["result"] == "unchanged"


def test_a_window_that_was_carried_out_is_left_alone(ground: Ground, controller: Controller) -> None:
    site = "smc-agent-primary"
    once = (
        "-l",
        site,
        *given(maintenance_window_override="test", maintenance_windows={"test": {**HALTED, "body": ["security_scan"]}}),
    )
    controller.play(WINDOW, *once)
    ground.forget(site)
    again = controller.play(WINDOW, *once)
    assert ground.writes(site) == []
    assert "unchanged" in again.text


def test_killed_in_the_body_it_is_carried_on_with(ground: Ground, controller: Controller) -> None:
    site = "flashmm-primary"
    with locked(ground, site):
        playing = controller.start(WINDOW, "-l", site, *given(database_maintenance_lock_timeout=300))
        playing.wait_for("Tables are vacuumed and analyzed")
        Ground.until(lambda: is_held(ground, site))
        time.sleep(0.5)  # the task has to be under way, and not only announced
        playing.kill()
    # Nobody has brought it back, and the record says where it was.
    assert is_held(ground, site)
    kept = record(controller, site)
    assert (kept["status"], kept["steps"]["database"]["status"], kept["steps"]["halt"]["status"]) == (
        "open",
        "begun",
        "done",
    )
    ground.forget(site)
    again = controller.play(WINDOW, "-l", site, *given())
    assert is_open(ground, site)
    assert record(controller, site)["status"] == "closed"
    assert again.results("Trading is halted", site)[0]["result"] == "unchanged"
    # It was announced once.
    begins = [message for message in controller.messages("smtp") if "begins at" in str(message["body"])]
    assert len(begins) == 1


def test_over_its_end_it_says_so_begins_nothing_more_and_brings_the_site_back(
    ground: Ground, controller: Controller
) -> None:
    site = "ai-trading-primary"
    short = {"test": {**HALTED, "minutes": 0.03, "body": ["database", "logs"]}}
    done = controller.play(WINDOW, "-l", site, *given(maintenance_windows=short), status=2)
    assert "the window ended before database, logs could begin: left to do" in done.text
    assert is_open(ground, site)
    kept = record(controller, site)
    assert (kept["status"], kept["left"], kept["alarms"]) == ("closed", ["database", "logs"], [50, 100])
    assert done.results("Tables are vacuumed and analyzed", site) == []
    told = [str(message["body"]) for message in controller.messages()]
    assert any("100 % of the maintenance window test is used up" in text for text in told)


def test_a_site_that_did_not_trade_before_does_not_trade_afterwards(ground: Ground, controller: Controller) -> None:
    site = "adaptive-order-book-primary"
    ground.control("PUT", f"/sites/{site}/settings", {"trading": "halted"})
    controller.play(WINDOW, "-l", site, *given())
    truth = ground.truth(site)
    assert (truth["state"], truth["maintenance"]) == ("halted", "off")


def test_a_stop_takes_the_site_over_and_the_window_does_not_resume_it(ground: Ground, controller: Controller) -> None:
    site = "flashmm-primary"
    with locked(ground, site):
        playing = controller.start(WINDOW, "-l", site, *given(database_maintenance_lock_timeout=300))
        playing.wait_for("Tables are vacuumed and analyzed")
        Ground.until(lambda: is_held(ground, site))
        controller.play("playbooks/emergency_stop.yml", "-l", site)
    done = playing.end()
    assert done.code == 2
    assert "this operation was taken over by a stop" in done.text
    assert ground.truth(site)["state"] == "halted"


def test_a_plan_changes_nothing(ground: Ground, controller: Controller) -> None:
    ground.forget(*ground.sites)
    controller.play(WINDOW, *given(), "--check")
    assert {site: ground.writes(site) for site in ground.sites} == {site: [] for site in ground.sites}
    assert not (controller.state / "maintenance").exists()


# -- the steps of the body ---------------------------------------------------------------------------------------------

QUIET = {"any_time": True, "minutes": 30, "trading": "as_is", "health": False}


def carry_out(controller: Controller, body: list[str], status: int = 0, **variables: t.Any) -> Played:
    windows = {"test": {**QUIET, "body": body}}
    return controller.play(
        WINDOW, "-l", "flashmm-primary", *given(maintenance_windows=windows, **variables), status=status
    )


def test_old_logs_are_compressed_and_ancient_ones_removed(
    ground: Ground, controller: Controller, tmp_path: pathlib.Path
) -> None:
    ages = {"new.log": 1, "old.log": 8, "ancient.log.gz": 31, "kept.log.gz": 20, "other.txt": 90}
    for name, days in ages.items():
        path = tmp_path / name
        path.write_text(name, encoding="utf-8")
        os.utime(path, (time.time() - days * 86400,) * 2)
    logs = [{"folder": str(tmp_path)}]
    ground.forget("flashmm-primary")
    carry_out(controller, ["logs"], maintenance_window_logs=logs)
    assert {path.name for path in tmp_path.iterdir()} == {"new.log", "old.log.gz", "kept.log.gz", "other.txt"}
    assert gzip.decompress((tmp_path / "old.log.gz").read_bytes()) == b"old.log"
    assert record(controller, "flashmm-primary")["steps"]["logs"]["why"] == "1 compressed, 1 removed"
    # Trading went on.
    assert ground.writes("flashmm-primary") == []


def test_a_folder_of_logs_that_is_not_there_is_no_success(controller: Controller, tmp_path: pathlib.Path) -> None:
    done = carry_out(controller, ["logs"], status=2, maintenance_window_logs=[{"folder": str(tmp_path / "none")}])
    assert "step logs" in done.text


def certificate(path: pathlib.Path, days: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_a_certificate_that_ends_soon_is_renewed_or_it_is_said(controller: Controller, tmp_path: pathlib.Path) -> None:
    soon, fresh = tmp_path / "soon.pem", tmp_path / "fresh.pem"
    certificate(soon, 10)
    certificate(fresh, 90)
    done = carry_out(controller, ["certificates"], status=2, maintenance_window_certificates=[{"path": str(soon)}])
    assert "and it must be valid for 30 days" in done.text
    useless = {"path": str(soon), "renew": ["true"]}
    done = carry_out(controller, ["certificates"], status=2, maintenance_window_certificates=[useless])
    assert "its command renew did not" in done.text
    renewed = {"path": str(soon), "renew": ["cp", str(fresh), str(soon)]}
    carry_out(controller, ["certificates"], maintenance_window_certificates=[renewed, {"path": str(fresh)}])
    assert soon.read_bytes() == fresh.read_bytes()


def test_steps_with_nothing_to_do_and_planned_ones_are_not_called_done(controller: Controller) -> None:
    carry_out(controller, ["packages", "certificates", "security_scan"])
    steps = {name: step["status"] for name, step in record(controller, "flashmm-primary")["steps"].items()}
    assert steps == {"packages": "nothing", "certificates": "nothing", "security_scan": "planned"}


def test_a_backup_in_a_window_is_of_one_moment_and_named_after_its_change(
    ground: Ground, controller: Controller
) -> None:
    site = "smc-agent-primary"
    window = {"any_time": True, "minutes": 30, "health": False, "body": ["backup"], "change": "CHG"}
    controller.play(WINDOW, "-l", site, *given(maintenance_windows={"test": window}))
    kept = record(controller, site)
    assert kept["steps"]["backup"]["status"] == "done"
    made = pathlib.Path(ground.lab["backup"]["folder"], site)
    (manifest,) = [
        json.loads(path.read_text(encoding="utf-8")) for path in made.glob("*-pre-deployment-*/manifest.json")
    ]
    assert f"set {manifest['id']}, " in kept["steps"]["backup"]["why"]
    assert (manifest["consistency"], manifest["tag"]) == ("quiesced", kept["change"]["id"])
    assert {component["name"] for component in manifest["components"]} == {"database", "redis", "config"}
    assert ground.truth(site)["state"] == "active"


# -- ahead, and changes ------------------------------------------------------------------------------------------------


def test_people_are_told_of_the_window_ahead(ground: Ground, controller: Controller) -> None:
    done = controller.play(
        "playbooks/maintenance_ahead.yml", "-l", "ai_trading", "-e", "maintenance_window_name=weekly"
    )
    assert "weekly (every Sunday 02:00 America/New_York, 120 minutes)" in done.text
    (message,) = controller.messages("smtp")
    assert "Maintenance ahead: weekly" in str(message["body"])
    assert ground.writes("ai-trading-primary") == []


def test_a_change_has_its_record(controller: Controller) -> None:
    change = {"test": {**QUIET, "body": ["security_scan"], "change": "EMRG", "approval": True, "review_hours": 24}}
    refused = controller.play(WINDOW, "-l", "flashmm-primary", *given(maintenance_windows=change), status=2)
    assert "needs an approver" in refused.text
    controller.play(
        WINDOW, "-l", "flashmm-primary", *given(maintenance_windows=change, maintenance_window_approver="paula")
    )
    kept = record(controller, "flashmm-primary")["change"]
    assert kept["id"].startswith("EMRG-20")
    assert kept["approver"] == "paula"
    assert kept["review_by"]
    assert any("EMRG-20" in str(message["body"]) for message in controller.messages())


@pytest.fixture(autouse=True)
def _mended(ground: Ground) -> t.Iterator[None]:
    yield
    for site in ground.sites:
        ground.sql(site, "DROP TRIGGER IF EXISTS stay ON settings")


def test_a_wrong_setting_holds_the_window_and_nothing_is_set(ground: Ground, controller: Controller) -> None:
    site = "ai-trading-primary"

    def loaded() -> dict[str, t.Any]:
        (row,) = ground.sql(site, "SELECT value FROM settings WHERE key = 'configuration'")
        return t.cast("dict[str, t.Any]", json.loads(row["value"]))

    before = loaded()
    body = {"any_time": True, "minutes": 30, "body": ["configuration", "security_scan"]}

    def run(settings: dict[str, t.Any], status: int) -> Played:
        variables = given(maintenance_windows={"test": body}, configuration_settings=settings)
        return controller.play(WINDOW, "-l", site, *variables, status=status)

    done = run({"log_level": "DEBUG", "alert_cpu_percent": "85"}, 2)
    assert "alert_cpu_percent: '85' must be of type int, is of type str" in done.text
    assert "Left to do: configuration, security_scan" in done.text
    assert is_held(ground, site)
    assert loaded() == before
    run({"log_level": "DEBUG", "alert_cpu_percent": 85}, 0)
    assert loaded() == before | {"log_level": "DEBUG", "alert_cpu_percent": 85}
    assert record(controller, site)["steps"]["configuration"]["status"] == "done"
    assert is_open(ground, site)
