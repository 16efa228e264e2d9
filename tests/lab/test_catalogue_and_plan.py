# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of sites and the plan that is made of it."""

from __future__ import annotations

import json
import pathlib

import pytest

from tradeops_lab import catalogue, plan, ports
from tradeops_lab.errors import LabError
from tradeops_lab.folder import Folder
from tradeops_lab.prometheus.server import Prometheus, past

TWO_PLATFORMS = """
quick_fox:
  services: [api, feed, {root: {same_as: api}}]
  metrics: {service: feed, counters: [jumps_total]}
  secrets: [token]
  sites: [primary, dr]
owl:
  services: [api]
  secrets: [key_id, secret_key]
  sites: [paper]
"""


def sites_of(tmp_path: pathlib.Path, text: str) -> dict[str, catalogue.Site]:
    file = tmp_path / "catalogue.yml"
    file.write_text(text, encoding="utf-8")
    return catalogue.read(file)


def test_a_site_is_named_after_platform_and_role(tmp_path: pathlib.Path) -> None:
    assert list(sites_of(tmp_path, TWO_PLATFORMS)) == ["quick-fox-primary", "quick-fox-dr", "owl-paper"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- fox", "expected a mapping of platforms"),
        ("fox: {services: [api]}", "fox: expected the keys services, secrets and sites"),
        ("fox: {services: [{root: {like: api}}], secrets: [], sites: [dr]}", "found {'root': {'like': 'api'}}"),
        (
            "fox: {services: [api], metrics: {service: feed, counters: []}, secrets: [], sites: [dr]}",
            "found {'service': 'feed', 'counters': []}",
        ),
        ("fox: {services: [{root: {same_as: api}}], secrets: [], sites: [dr]}", "'api', which has none of its own"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named(tmp_path: pathlib.Path, text: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        sites_of(tmp_path, text)
    assert message in str(caught.value)


def test_unknown_sites_are_refused_with_the_nearest_name(tmp_path: pathlib.Path) -> None:
    with pytest.raises(LabError, match=r"no site 'owl-papr' \(did you mean owl-paper\?\)"):
        catalogue.select(sites_of(tmp_path, TWO_PLATFORMS), ["owl-papr"])


def test_every_service_gets_a_port_of_the_block_and_an_alias_shares_one(tmp_path: pathlib.Path) -> None:
    made = plan.make("lab", list(sites_of(tmp_path, TWO_PLATFORMS).values()), 20000, None)
    services = [url for site in made["sites"].values() for url in site["services"].values()]
    fox = made["sites"]["quick-fox-primary"]["services"]
    assert fox["root"] == fox["api"] != fox["feed"]
    used = [int(url.rpartition(":")[2]) for url in {*services, made["control"], made["sink"]["http"]}]
    used += [made["postgresql"]["port"], made["redis"]["port"], made["sink"]["smtp"]["port"]]
    used += made["s3"]["ports"].values()
    assert len(used) == len(set(used))
    assert all(20000 <= port < 20100 for port in used)


def test_sites_with_metrics_are_scraped_and_have_a_past(tmp_path: pathlib.Path) -> None:
    sites = list(sites_of(tmp_path, TWO_PLATFORMS).values())
    made = plan.make("lab", sites, 20000, None, prometheus=True)
    assert made["prometheus"]
    fox = made["sites"]["quick-fox-dr"]
    assert fox.get("metrics") == {"url": f"{fox['services']['feed']}/metrics", "counters": ["jumps_total"]}
    assert "metrics" not in made["sites"]["owl-paper"]
    (job,) = Prometheus(Folder(tmp_path / "lab"), made).configuration()["scrape_configs"]
    assert [target["labels"]["site"] for target in job["static_configs"]] == ["quick-fox-primary", "quick-fox-dr"]
    *lines, end = past(made, 1_800_000_000).splitlines()
    assert end == "# EOF"
    assert len(lines) == 2 * 25 * 60
    assert lines[0].startswith('jumps_total{instance="quick-fox-primary",job="sites",site="quick-fox-primary"} 0 ')
    assert lines[-1].endswith(f"{7 * (25 * 60 - 1)} {1_800_000_000 - 60}")
    without = plan.make("lab", sites, 20000, None)
    assert without["prometheus"] is None
    assert not any("metrics" in site for site in without["sites"].values())
    assert past(without, 1_800_000_000) == "# EOF\n"


def test_sites_do_not_share_databases_or_secrets(tmp_path: pathlib.Path) -> None:
    sites = plan.make("lab", list(sites_of(tmp_path, TWO_PLATFORMS).values()), 20000, None)["sites"].values()
    secrets = [secret for site in sites for secret in site["secrets"].values()]
    assert len({site["database"] for site in sites}) == len({site["redis_db"] for site in sites}) == 3
    assert len(secrets) == len(set(secrets)) == 4


def test_a_new_plan_keeps_what_servers_and_sites_have_stored(tmp_path: pathlib.Path) -> None:
    known = sites_of(tmp_path, TWO_PLATFORMS)
    before = plan.make("lab", list(known.values()), 20000, None)
    after = plan.make("lab", catalogue.select(known, ["owl-paper"]), 20100, before)
    assert after["postgresql"]["password"] == before["postgresql"]["password"]
    assert after["postgresql"]["superuser"] == before["postgresql"]["superuser"]
    assert after["redis"]["password"] == before["redis"]["password"]
    assert after["s3"]["secret_key"] == before["s3"]["secret_key"]
    owl, same_owl = before["sites"]["owl-paper"], after["sites"]["owl-paper"]
    assert (same_owl["database"], same_owl["redis_db"]) == (owl["database"], owl["redis_db"])
    assert same_owl["secrets"] == owl["secrets"]
    assert after["control"] != before["control"]


def test_lab_json_keeps_the_sites_that_others_have_joined(tmp_path: pathlib.Path) -> None:
    folder = Folder(tmp_path / "lab")
    folder.create()
    made = plan.make("lab", list(sites_of(tmp_path, TWO_PLATFORMS).values()), 20000, None)
    assert plan.publish(folder, made, {"redis": 7})
    assert not plan.publish(folder, made, {"redis": 7})
    lab = json.loads(folder.lab_json.read_text(encoding="utf-8"))
    lab["sites"]["guest-dry"] = {"platform": "guest"}
    folder.lab_json.write_text(json.dumps(lab), encoding="utf-8")
    assert not plan.publish(folder, made, {"redis": 7})
    assert plan.publish(folder, made, {"redis": 8})
    assert json.loads(folder.lab_json.read_text(encoding="utf-8"))["sites"]["guest-dry"] == {"platform": "guest"}


def test_too_many_services_are_refused() -> None:
    services: dict[str, str | None] = {f"service{number}": None for number in range(ports.BLOCK)}
    with pytest.raises(LabError, match=f"more than the {ports.BLOCK} ports"):
        plan.make("lab", [catalogue.Site("wide-dr", "wide", "dr", services, [], 0, False, False)], 20000, None)


def test_the_shipped_catalogue_fits_into_one_lab() -> None:
    known = catalogue.read()
    made = plan.make("lab", list(known.values()), 20000, None)
    assert max(site["redis_db"] for site in made["sites"].values()) < 32  # databases of the lab's Redis
