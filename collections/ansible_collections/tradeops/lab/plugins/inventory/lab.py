# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of the running lab as inventory hosts. See DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab
short_description: The sites of the running practice ground
version_added: 0.1.0
description:
  - Makes a host of each site of a running lab, with the variables that the modules of tradeops.core read.
  - Where the databases of a site are is in C(tradeops_postgresql) and C(tradeops_redis), with the passwords in its
    secrets.
  - A PostgreSQL that a site has for itself is in C(tradeops_postgresql_server), with the program of the supervisor that
    it is, its folder, whom that belongs to (empty for who runs the lab), the database in which the user of the site may
    take base backups, switch the WAL and name restore points, and where Barman archives its WAL.
  - Where its backups go is in C(tradeops_backup_stores), whom they are encrypted for in C(tradeops_backup_recipients),
    and the keys for that are in its secrets. The programs of the databases are in the folders
    C(tradeops_postgresql_bin) and C(tradeops_redis_bin).
  - Where the metrics of a site are kept is in C(tradeops_prometheus), with what selects its series; only where the lab
    has a Prometheus.
  - The files that a site has are in C(tradeops_models_dir), C(tradeops_config_dir), C(tradeops_data_dir) and
    C(tradeops_logs_dir).
  - A site that lives in the cluster of the lab has its namespace in C(tradeops_namespace), the API server among its
    C(tradeops_urls), what that is trusted by in C(tradeops_ca_paths), and a token for its own namespace in its secrets.
  - A site is in the group of its platform, which is a child of C(trading_sites), and in C(primary) or C(dr).
  - Where the lab's sink takes notifications is in the variable C(tradeops_lab_sink) of all hosts.
  - A platform without a profile, or without the cluster that it needs, cannot be operated, so its group is no child of
    C(trading_sites).
  - The lab is started by C(python -m tradeops_lab up) or by the role P(tradeops.lab.lab#role).
author: tradeops contributors (@tradeops)
options:
  plugin:
    description: Marks the file as one of this plugin.
    type: str
    required: true
    choices: [tradeops.lab.lab]
  dir:
    description: The folder of the lab. Without it the lab called O(name) below the base folder of labs is taken.
    type: path
    env:
      - name: TRADEOPS_LAB_DIR
  name:
    description: The name of the lab, where O(dir) is not given.
    type: str
    default: lab
"""

EXAMPLES = r"""
# inventories/lab/lab.yml
plugin: tradeops.lab.lab
"""

import json
import os
import pathlib
import socket
import sys
import typing as t
import urllib.parse

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

_PROFILES = pathlib.Path(__file__).resolve().parents[2] / "profiles"
_CORE_PROFILES = pathlib.Path(__file__).resolve().parents[3] / "core" / "profiles"
_GROUP = "trading_sites"
_ROLE_GROUPS = ("primary", "dr")
# What a site has in files, by the folder in run/.
_FOLDERS = {
    "models": "tradeops_models_dir",
    "config": "tradeops_config_dir",
    "data": "tradeops_data_dir",
    "site-logs": "tradeops_logs_dir",
}
_ANSWER_BUDGET = 5.0  # seconds


class InventoryModule(BaseInventoryPlugin):
    """Reads lab.json of the running lab."""

    NAME = "tradeops.lab.lab"

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        folder = pathlib.Path(self.get_option("dir") or _base() / self.get_option("name"))
        lab = _read(folder)
        inventory.add_group(_GROUP)
        inventory.set_variable("all", "tradeops_lab_sink", lab["sink"])
        for name, site in lab["sites"].items():
            self._add(name, site, lab)
            supervisor = {
                "config": str(folder / "run" / "supervisord.conf"),
                "supervisorctl": str(pathlib.Path(sys.executable).with_name("supervisorctl")),
            }
            if "postgresql" in site:
                server = {**postgresql_server(name, site["postgresql"], lab), "supervisor": supervisor}
                inventory.set_variable(name, "tradeops_postgresql_server", server)
            if site.get("supervised"):
                if "namespace" not in site:  # in the cluster the site's own facts say what runs it
                    inventory.set_variable(name, "tradeops_runtime", "supervisor")
                inventory.set_variable(name, "tradeops_supervisor", {**supervisor, "group": name})
            for kind, variable in _FOLDERS.items():
                place = folder / "run" / kind / name
                if place.is_dir():
                    inventory.set_variable(name, variable, str(place))

    def _add(self, name: str, site: dict[str, t.Any], lab: dict[str, t.Any]) -> None:
        platform, role = site["platform"], site["role"]
        self.inventory.add_group(platform)
        if operable(platform, site["services"]):
            self.inventory.add_child(_GROUP, platform)
        self.inventory.add_host(name, group=platform)
        if role in _ROLE_GROUPS:
            self.inventory.add_group(role)
            self.inventory.add_child(role, name)
        for key, value in host_variables(name, site, lab).items():
            self.inventory.set_variable(name, key, value)


def host_variables(name: str, site: dict[str, t.Any], lab: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the variables of one site of lab.json. A site that others joined to the lab may have no databases."""
    variables = {
        "ansible_connection": "local",
        "tradeops_profile": profile(site["platform"]),
        "tradeops_urls": site["services"],
        "tradeops_secrets": dict(site["secrets"]),
        "tradeops_site_role": site["role"],
        "tradeops_lab_control": lab["control"],
    }
    if "namespace" in site:
        authority = pathlib.Path(lab["kubernetes"]["folder"]) / "ca.crt"
        variables |= {"tradeops_namespace": site["namespace"], "tradeops_ca_paths": {"kubernetes": str(authority)}}
    if "database" in site:
        server = site.get("postgresql") or lab["postgresql"]
        variables["tradeops_postgresql"] = {
            "host": server["host"],
            "port": server["port"],
            "database": site["database"],
            "user": server["user"],
        }
        variables["tradeops_postgresql_bin"] = server["bin"]
        variables["tradeops_secrets"]["postgresql_password"] = server["password"]
    if "redis_db" in site:
        server = site.get("redis") or lab["redis"]
        variables["tradeops_redis"] = {"host": server["host"], "port": server["port"], "db": site["redis_db"]}
        variables["tradeops_redis_bin"] = server["bin"]
        variables["tradeops_secrets"]["redis_password"] = server["password"]
    if "metrics" in site:
        variables["tradeops_prometheus"] = {"url": lab["prometheus"]["url"], "series": f'{{site="{name}"}}'}
    variables["tradeops_backup_stores"] = backup_stores(lab)
    variables["tradeops_backup_recipients"] = [lab["backup"]["recipient"]]
    variables["tradeops_secrets"] |= {
        "backup_identity": lab["backup"]["identity"],
        "backup_manifest_key": lab["backup"]["manifest_key"],
        "backup_s3_access_key": lab["s3"]["access_key"],
        "backup_s3_secret_key": lab["s3"]["secret_key"],
    }
    return variables


def backup_stores(lab: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return where backups of every site go: a folder of the lab, and a bucket of its S3."""
    bucket = {
        "name": "s3",
        "kind": "s3",
        "endpoint": lab["s3"]["endpoint"],
        "bucket": lab["backup"]["bucket"],
        "prefix": "",
        "region": "us-east-1",
        "access_key_secret": "backup_s3_access_key",
        "secret_key_secret": "backup_s3_secret_key",
    }
    return [{"name": "local", "kind": "local", "path": lab["backup"]["folder"]}, bucket]


def postgresql_server(name: str, server: dict[str, t.Any], lab: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return how the server that a site has for itself is stopped, started and put back to a moment."""
    return {
        "data": server["data"],
        "owner": server["owner"],
        "service": f"{name}:postgresql",
        "runtime": "supervisor",
        "database": "postgres",
        # Not past the front, as the server's own archive command does.
        "barman": server["archive"] | {"endpoint": lab["s3"]["endpoint"]},
    }


def profile(platform: str) -> str | None:
    """Return the profile of a platform, by path when it exists in the lab only; None while nobody has written one."""
    if (_PROFILES / f"{platform}.yml").exists():
        return str(_PROFILES / f"{platform}.yml")
    return platform if (_CORE_PROFILES / f"{platform}.yml").exists() else None


def operable(platform: str, services: t.Container[str]) -> bool:
    """Whether a platform has a profile, and a cluster where its trading is told by numbers of pods."""
    name = profile(platform)
    if name is None:
        return False
    path = pathlib.Path(name) if name.endswith(".yml") else _CORE_PROFILES / f"{name}.yml"
    return "kubernetes" in services or "trading_by_workloads:" not in path.read_text(encoding="utf-8")


def _base() -> pathlib.Path:
    return pathlib.Path(os.environ.get("TMPDIR") or "/var/tmp") / f"tradeops-lab-{os.getuid()}"  # noqa: S108 - only read


def _read(folder: pathlib.Path) -> dict[str, t.Any]:
    """Return lab.json. Raises AnsibleParserError when no lab runs there."""
    advice = f"python -m tradeops_lab up --dir {folder}"
    try:
        lab: dict[str, t.Any] = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnsibleParserError(f"no lab runs in {folder}. Start it: {advice}") from None
    except (OSError, ValueError) as exc:
        raise AnsibleParserError(f"cannot read the description of the lab: {folder}/lab.json: {exc}") from None
    control = urllib.parse.urlsplit(lab["control"])
    try:
        socket.create_connection((control.hostname or "", control.port or 0), timeout=_ANSWER_BUDGET).close()
    except OSError as exc:
        raise AnsibleParserError(
            f"the lab in {folder} has broken down ({lab['control']}: {exc}). Repair it: {advice}"
        ) from None
    return lab
