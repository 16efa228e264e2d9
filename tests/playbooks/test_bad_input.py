# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be right is refused: a message names the site or the option and says what to do, and nothing is sent."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
import typing as t

import pytest
import simulator_ground
from playing import ROOT, Controller, Played
from simulator_ground import Ground
from tls_proxy import tls_in_front_of

SITE = "flashmm-primary"
BOOK = "adaptive-order-book-primary"
ground = simulator_ground.ground(SITE, "flashmm-dr", BOOK)
STOP = ("playbooks/emergency_stop.yml", "-l", SITE)
FLASHMM = ROOT / "collections/ansible_collections/tradeops/core/profiles/flashmm.yml"


@dataclasses.dataclass
class Bad:
    """``says``: pieces of the message in their order. ``status``: the exit code."""

    command: tuple[str, ...]
    says: tuple[str, ...]
    status: int = 2
    inventory: str = "inventories/lab"


def given(**variables: t.Any) -> tuple[str, str]:
    return "-e", json.dumps(variables)


MIGRATIONS = ("playbooks/rollout.yml", "-l", BOOK, "-e", "rollout_state=percentage", "-e", "rollout_all=true")
BREAKERS = ("playbooks/circuit_breakers.yml", "-l", BOOK)
CASES: dict[str, Bad] = {
    "unknown profile": Bad(
        (*STOP, "-e", "tradeops_profile=flasmm"),
        (f"{SITE}: profile: there is no profile 'flasmm'", "known: adaptive_order_book", "Set tradeops_profile"),
    ),
    "typo in a profile": Bad(
        (*STOP, "-e", "tradeops_profile={folder}/flashmm.yml"),
        (f"{SITE}: ", "flashmm.yml:", "capabilities.trading", "transitons"),
    ),
    "missing token": Bad(
        (*STOP, *given(tradeops_secrets={"token": "x"})),
        (f"{SITE}: ", "emergency_token", "tradeops_secrets"),
    ),
    "negative timeout": Bad(
        (*STOP, "-e", "emergency_stop_wait_timeout=-5"),
        (f"{SITE}: ", "wait_timeout is -5", "give seconds, more than 0"),
    ),
    "timeout that is no number": Bad(
        (*STOP, "-e", "emergency_stop_wait_timeout=soon"),
        ("argument 'emergency_stop_wait_timeout' is of type str", "cannot be converted to a float"),
    ),
    "unknown level": Bad(
        (*STOP, "-e", "emergency_stop_level=haltd"),
        ("emergency_stop_level", "reducing, halted, flat, stopped", "haltd"),
    ),
    "level that the platform lacks": Bad(
        (*STOP, "-e", "emergency_stop_level=stopped"),
        (f"{SITE}: ", "has no trading state 'stopped'", "reducing, halted", "Nothing was sent"),
    ),
    "capability that the platform lacks": Bad(
        (
            "playbooks/circuit_breakers.yml",
            "-l",
            SITE,
            "-e",
            "circuit_breakers_state=open",
            "-e",
            "circuit_breakers_all=true",
        ),
        (f"{SITE}: ", "FlashMM", "circuit_breakers"),
    ),
    "wrong confirmation": Bad(
        (
            "playbooks/maintenance_mode.yml",
            "-l",
            SITE,
            "-e",
            "maintenance_mode_state=disabled",
            "-e",
            "tradeops_confirm=flashm",
        ),
        (f"{SITE}: refused, tradeops_confirm is 'flashm'", f"Say -e tradeops_confirm={SITE}", "Nothing was sent"),
    ),
    "breakers closed without a confirmation": Bad(
        (*BREAKERS, "-e", "circuit_breakers_state=closed", "-e", "circuit_breakers_all=true"),
        (f"{BOOK}: refused, tradeops_confirm is ''", f"Say -e tradeops_confirm={BOOK}", "Nothing was sent"),
    ),
    "migrations raised without a confirmation": Bad(
        (*MIGRATIONS, "-e", "rollout_percentage=50"),
        (f"{BOOK}: refused, tradeops_confirm is ''", f"Say -e tradeops_confirm={BOOK}", "Nothing was sent"),
    ),
    "state that is not said": Bad(
        (*BREAKERS, "-e", "circuit_breakers_all=true"),
        ("circuit_breakers_state is ''", "Say -e circuit_breakers_state=open", "Nothing was sent"),
    ),
    "empty scope": Bad(
        (*BREAKERS, "-e", "circuit_breakers_state=open"),
        (f"{BOOK}: neither pairs nor all: true given", "Nothing was sent"),
    ),
    "empty scope of orders": Bad(
        ("ansible", SITE, "-m", "tradeops.core.open_orders", "-a", '{"scope": {}}'),
        (f"{SITE}: an empty scope", "scope may name", "say all: true", "Nothing was sent"),
    ),
    "unknown pair": Bad(
        (*BREAKERS, "-e", "circuit_breakers_state=open", "-e", "circuit_breakers_pairs=DOGEUSDT"),
        (f"{BOOK}: there is no circuit breaker DOGEUSDT", "has ADAUSDT, BTCUSDT", "Nothing was sent"),
    ),
    "percentage over 100": Bad(
        (*MIGRATIONS, "-e", "rollout_percentage=250", "-e", f"tradeops_confirm={BOOK}"),
        (f"{BOOK}: percentage is 250", "give 0 to 100", "Nothing was sent"),
    ),
    "inventory without sites": Bad(
        ("playbooks/emergency_stop.yml",),
        ("The inventory", "empty.yml", "has no host in the group trading_sites", "with -i"),
        inventory="{folder}/empty.yml",
    ),
    "inventory that is not there": Bad(
        ("playbooks/emergency_stop.yml",),
        ("nowhere.yml",),
        status=1,
        inventory="{folder}/nowhere.yml",
    ),
    "unknown limit": Bad(
        ("playbooks/emergency_stop.yml", "-l", "flashm"),
        ("flashm", "no hosts to target"),
        status=1,
    ),
    "HTML instead of JSON": Bad(
        ("playbooks/maintenance_mode.yml", "-l", "flashmm-dr", "-e", "maintenance_mode_state=enabled"),
        ("flashmm-dr: ", "maintenance is unknown", "text/html", "that is no JSON"),
    ),
    "untrusted certificate": Bad(
        (*STOP, *given(tradeops_urls={"api": "{tls}"})),
        (f"{SITE}: ", "certificate", "tradeops_ca_path"),
    ),
}


@pytest.fixture(scope="module")
def refusals(
    ground: Ground, controller: Controller, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[dict[str, concurrent.futures.Future[Played]]]:
    """All of them at once, for none may change anything."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.yml").write_text("all: {hosts: {some-server: {}}}", encoding="utf-8")
    text = FLASHMM.read_text(encoding="utf-8")
    (folder / "flashmm.yml").write_text(text.replace("transitions:", "transitons:"), encoding="utf-8")
    for site in ground.sites:
        ground.fresh(site, market=True)
    ground.faults("flashmm-dr", {"kind": "html"})
    with tls_in_front_of(ground.lab["sites"][SITE]["services"]["api"], folder) as (address, _certificate):

        def play(bad: Bad) -> Played:
            words = [word.replace("{folder}", str(folder)).replace("{tls}", address) for word in bad.command]
            return controller.start(*words, inventories=(bad.inventory.replace("{folder}", str(folder)),)).end()

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            yield {name: pool.submit(play, bad) for name, bad in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_one_clear_message(refusals: dict[str, concurrent.futures.Future[Played]], name: str) -> None:
    bad, done = CASES[name], refusals[name].result()
    assert done.code == bad.status, str(done)
    position = 0
    for piece in bad.says:
        position = done.text.find(piece, position)
        assert position >= 0, f"{piece!r} is not said, or not in its place\n{done}"
    assert "Traceback" not in done.output


def test_nothing_was_sent_by_any_of_them(
    ground: Ground, refusals: dict[str, concurrent.futures.Future[Played]]
) -> None:
    assert {name: future.result().code for name, future in refusals.items() if future.result().code == 0} == {}
    assert {site: writes for site in ground.sites if (writes := ground.writes(site))} == {}


@pytest.mark.usefixtures("_fresh")
def test_a_certificate_that_is_vouched_for_is_trusted(
    ground: Ground, controller: Controller, tmp_path: pathlib.Path
) -> None:
    with tls_in_front_of(ground.lab["sites"][SITE]["services"]["api"], tmp_path) as (address, certificate):
        words = given(tradeops_urls={"api": address}, tradeops_ca_path=str(certificate))
        controller.play("playbooks/maintenance_mode.yml", "-l", SITE, "-e", "maintenance_mode_state=enabled", *words)
    assert ground.truth(SITE)["maintenance"] == "maintenance"
