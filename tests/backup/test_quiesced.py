# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook: trading is halted for the capture, resumed also on failure, and only where it was going on before."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from playing import Controller
from simulator_ground import Ground

SITE = "smc-agent-primary"
QUIESCED = ("playbooks/backup.yml", "-l", SITE, "-e", "backup_consistency=quiesced")


@pytest.fixture(scope="module")
def controller(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    return Controller(ground, tmp_path_factory.mktemp("controller"))


def sets(ground: Ground) -> list[dict[str, t.Any]]:
    found = sorted(pathlib.Path(ground.lab["backup"]["folder"], SITE).glob("*/manifest.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def test_halted_captured_and_resumed(ground: Ground, controller: Controller) -> None:
    ground.fresh(SITE, market=True)
    before = len(sets(ground))
    planned = controller.play(*QUIESCED, "--check")
    assert (ground.writes(SITE), len(sets(ground))) == ([], before)
    assert planned.results("Capture every component", SITE)[0]["result"] == "planned"

    played = controller.play(*QUIESCED, "-e", "backup_type=pre-deployment", "-e", "backup_tag=v1.2.0")
    made = sets(ground)[-1]
    assert len(sets(ground)) == before + 1
    assert (made["consistency"], made["type"], made["tag"]) == ("quiesced", "pre-deployment", "v1.2.0")
    assert made["stores"] == {"local": "stored", "s3": "stored"}
    assert ground.truth(SITE)["state"] == "active"
    (message,) = [item for item in controller.messages("slack") if made["id"] in str(item["body"])]
    assert "database redis config" in str(message["body"])
    # Nothing was traded between the halt and the resume: the dump has every order that the site ever took.
    (database,) = [part for part in made["components"] if part["name"] == "database"]
    halted = played.results("Trading is halted for the capture", SITE)[0]
    assert halted["result"] == "proven" and database["facts"]["rows"]["public.orders"] > 0
    assert controller.leaks(played) == []


def test_what_can_be_seen_to_be_in_the_way_halts_nothing(ground: Ground, controller: Controller) -> None:
    ground.fresh(SITE, market=True)
    before = len(sets(ground))
    ground.forget(SITE)
    played = controller.play(*QUIESCED, "-e", json.dumps({"tradeops_postgresql_bin": "/nonexistent"}), status=2)
    assert "there is no program pg_dump in /nonexistent" in played.text
    assert (ground.writes(SITE), ground.truth(SITE)["state"], len(sets(ground))) == ([], "active", before)


def test_a_capture_that_fails_leaves_trading_as_it_was(
    ground: Ground, controller: Controller, tmp_path: pathlib.Path
) -> None:
    ground.fresh(SITE, market=True)
    before = len(sets(ground))
    for path in pathlib.Path(ground.server(SITE, "postgresql")["bin"]).iterdir():
        (tmp_path / path.name).symlink_to(path)
    broken = tmp_path / "pg_dump"
    program = broken.resolve()
    broken.unlink()
    broken.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {program} "$1"\necho broken >&2\nexit 3\n')
    broken.chmod(0o755)
    played = controller.play(*QUIESCED, "-e", json.dumps({"tradeops_postgresql_bin": str(tmp_path)}), status=2)
    assert "pg_dump ended with the status 3: broken" in played.text
    assert played.results("Trading is halted for the capture", SITE)[0]["result"] == "proven"
    assert len(sets(ground)) == before
    assert not list(pathlib.Path(ground.lab["backup"]["folder"], SITE).glob("*/running.json"))
    assert ground.truth(SITE)["state"] == "active"
    assert any("NOT of smc-agent-primary" in str(message["body"]) for message in controller.messages("slack"))


def test_a_site_that_did_not_trade_is_not_resumed(ground: Ground, controller: Controller) -> None:
    ground.fresh(SITE)
    ground.control("PUT", f"/sites/{SITE}/settings", {"trading": "halted"})
    ground.forget(SITE)
    controller.play(*QUIESCED)
    assert ground.writes(SITE) == []
    assert ground.truth(SITE)["state"] == "halted"


def test_what_is_unknown_is_refused_by_name(controller: Controller) -> None:
    only = json.dumps({"backup_components_only": ["nothing"]})
    played = controller.play("playbooks/backup.yml", "-l", SITE, "-e", only, status=2)
    assert "of nothing is not known here" in played.text
    assert "components database, wal, redis, config, logs in tradeops_backup_components" in played.text
