# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule of backups, written into a folder and read by systemd itself where it is there."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.tradeops.core.plugins.filter.scheduled import scheduled

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENTRIES: list[dict[str, t.Any]] = [
    {"name": "daily", "type": "daily", "hour": 2, "timezone": "America/New_York"},
    {"name": "database", "type": "database", "hour": "*/4"},
    {
        "name": "retention",
        "playbook": "backup_retention",
        "hour": 5,
        "weekday": "Sunday",
        "vars": {"tradeops_confirm": "x"},
    },
    {"name": "odd", "on_calendar": "Mon..Fri *-*-* 17:15", "timezone": "Europe/Berlin"},
]


def written(
    tmp_path: pathlib.Path, entries: list[dict[str, t.Any]], how: str, *more: str
) -> subprocess.CompletedProcess[str]:
    """Play the schedule of the site ``site`` into a folder."""
    host = {"ansible_connection": "local", "tradeops_backup_schedule": entries}
    (tmp_path / "hosts.yml").write_text(json.dumps({"trading_sites": {"hosts": {"site": host}}}))
    (tmp_path / "made").mkdir(exist_ok=True)
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), "playbooks/backup_schedule.yml"]
    command += ["-e", f"backup_schedule_dest={tmp_path / 'made'}", "-e", f"backup_schedule_with={how}", *more]
    environment = {
        **os.environ,
        "TRADEOPS_STATE_DIR": str(tmp_path / "state"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def made(tmp_path: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "made").iterdir())


def test_timers_are_written_once_and_go_with_their_entry(tmp_path: pathlib.Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "tradeops.site.dr.daily.timer").touch()  # of another site
    first = written(tmp_path, ENTRIES, "systemd")
    assert first.returncode == 0, first.stdout
    assert len(made(tmp_path)) == 9
    timer = (tmp_path / "made" / "tradeops.site.daily.timer").read_text()
    assert "OnCalendar=*-*-* 02:00:00 America/New_York" in timer and "Persistent=true" in timer
    service = (tmp_path / "made" / "tradeops.site.retention.service").read_text()
    assert "playbooks/backup_retention.yml -l site -e tradeops_confirm=x" in service
    again = written(tmp_path, ENTRIES, "systemd")
    assert "changed=0" in again.stdout.split("site ")[-1]
    assert written(tmp_path, ENTRIES[:1], "systemd").returncode == 0
    assert made(tmp_path) == [
        "tradeops.site.daily.service",
        "tradeops.site.daily.timer",
        "tradeops.site.dr.daily.timer",
    ]


def test_cron_gets_what_it_can_say_and_refuses_the_rest(tmp_path: pathlib.Path) -> None:
    refused = written(tmp_path, ENTRIES, "cron")
    assert refused.returncode and "cron has only the time zone of its machine" in " ".join(refused.stdout.split())
    assert made(tmp_path) == []
    assert written(tmp_path, ENTRIES[1:3], "cron").returncode == 0
    assert made(tmp_path) == ["tradeops-site"]
    lines = (tmp_path / "made" / "tradeops-site").read_text().splitlines()
    assert [line.split(" root ")[0] for line in lines if " root " in line] == ["0 */4 * * *", "0 5 * * sun"]


@pytest.mark.parametrize("file", sorted((ROOT / "inventories/shared/group_vars").glob("*/backup_keeping.yml")), ids=str)
def test_the_schedules_of_the_inventories_are_understood(file: pathlib.Path) -> None:
    entries = yaml.safe_load(file.read_text())["tradeops_backup_schedule"]
    for entry in entries:
        entry["vars"] = {key: "site" if "{{" in str(value) else value for key, value in entry.get("vars", {}).items()}
    found = scheduled(entries)
    assert {row["playbook"] for row in found} <= {path.stem for path in (ROOT / "playbooks").glob("*.yml")} | {"backup"}
    analyze = shutil.which("systemd-analyze")
    for row in found if analyze else ():
        done = subprocess.run(
            [str(analyze), "calendar", row["on_calendar"]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (row, done.stderr)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "x", "hour": 24}, "hour is '24'"),
        ({"name": "x"}, "hour is ''"),
        ({"name": "x", "hour": "*/5"}, r"\*/n where n divides 24"),
        ({"name": "x", "hour": "*/0"}, "n divides 24"),
        ({"name": "x", "hour": 1, "minute": 60}, "minute is 60"),
        ({"name": "x", "hour": 1, "weekday": "someday"}, "weekday is 'someday'"),
        ({"name": "x", "hour": 1, "timezone": "EDT5"}, "'EDT5' is no time zone"),
        ({"name": "X y", "hour": 1}, "lower-case letters"),
        ({"name": "x", "hour": 1, "on_calendar": "daily"}, "either on_calendar or hour"),
        ({"name": "x", "hour": 1, "vars": {"a": "b; rm -rf /"}}, "only letters"),
        ({"name": "x", "hour": 1, "wekday": "sunday"}, "unknown key 'wekday'"),
    ],
)
def test_what_cannot_be_meant_is_refused(entry: dict[str, t.Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        scheduled([entry])


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="two entries are named x"):
        scheduled([{"name": "x", "hour": 1}, {"name": "x", "hour": 2}])
