# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import typing as t
import zoneinfo

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: scheduled
short_description: When the operations of a schedule run, for systemd and for cron
version_added: "0.1.0"
author: tradeops contributors (@tradeops)
description:
  - Returns for each entry of C(tradeops_backup_schedule) its time as systemd and as cron write it, and the arguments of
    its command.
  - An entry has a C(name) and either C(on_calendar) (an expression of systemd) or C(hour), with C(minute) (0) and
    C(weekday). C(hour) is 0 to 23, or V(*/4) for every four hours.
  - C(timezone) is that of these times, UTC if not given. Cron has only that of its machine.
  - C(playbook) is V(backup), V(backup_verify), V(backup_retention) or any other, without C(.yml). C(type) is the type
    of a backup, C(vars) are other variables of the playbook.
options:
  _input:
    description: The entries.
    type: list
    elements: dict
    required: true
  cron_timezone:
    description: The time zone of the machine where cron runs.
    type: str
    default: UTC
"""

EXAMPLES = r"""
- name: Show when backups are made
  ansible.builtin.debug:
    msg: "{{ tradeops_backup_schedule | tradeops.core.scheduled }}"
"""

RETURN = r"""
_value:
  description:
    - The entries, each with C(name), C(playbook), C(on_calendar), C(arguments), and C(cron). C(cron) is empty where
      cron cannot say it, and C(why_not) tells why.
  type: list
  elements: dict
"""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# What needs no quotes for systemd, cron or a shell.
_PLAIN = re.compile(r"[A-Za-z0-9_./:+=,-]+")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS = ("name", "on_calendar", "hour", "minute", "weekday", "timezone", "playbook", "type", "vars")
_EVERY = re.compile(r"\*/(\d+)")
Row = dict[str, t.Any]


def scheduled(entries: t.Sequence[Row], cron_timezone: str = "UTC") -> list[Row]:
    """Return when the entries run and with which arguments."""
    found = [_entry(row, cron_timezone) for row in entries]
    names = [row["name"] for row in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AnsibleFilterError(f"tradeops_backup_schedule: two entries are named {twice[0]}")
    return found


def _entry(row: Row, cron_timezone: str) -> Row:
    name = str(row.get("name") or "")
    where = f"tradeops_backup_schedule: {name or 'an entry without a name'}"
    strange = sorted(set(row) - set(_KEYS))
    if strange:
        raise AnsibleFilterError(f"{where}: unknown key {strange[0]!r}; known here: {', '.join(_KEYS)}")
    playbook = str(row.get("playbook") or "backup")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(playbook):
        raise AnsibleFilterError(f"{where}: name and playbook are lower-case letters, digits, - and _")
    zone = str(row.get("timezone") or "UTC")
    if zone not in zoneinfo.available_timezones():
        raise AnsibleFilterError(f"{where}: {zone!r} is no time zone; give one such as America/New_York")
    variables = {**({"backup_type": row["type"]} if row.get("type") else {}), **(row.get("vars") or {})}
    for key, value in variables.items():
        if not _PLAIN.fullmatch(str(key)) or not _PLAIN.fullmatch(str(value)):
            raise AnsibleFilterError(f"{where}: {key}={value!r}: only letters, digits and _./:+=,- can stand there")
    arguments = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    made = {"name": name, "playbook": playbook, "arguments": arguments}
    if row.get("on_calendar"):
        if row.get("hour") is not None or row.get("weekday"):
            raise AnsibleFilterError(f"{where}: give either on_calendar or hour, minute and weekday")
        why = "on_calendar is for systemd alone"
        return {**made, "on_calendar": f"{row['on_calendar']} {zone}", "cron": "", "why_not": why}
    hour, minute, day = _time(row, where)
    every = _EVERY.fullmatch(hour)
    clock = f"{f'00/{every[1]}' if every else hour.zfill(2)}:{minute:02}:00"
    calendar = f"{f'{day.capitalize()} ' if day else ''}*-*-* {clock} {zone}"
    other = zone != cron_timezone
    cron = "" if other else f"{minute} {hour} * * {day or '*'}"
    why = f"cron has only the time zone of its machine, which is {cron_timezone}, and not {zone}" if other else ""
    return {**made, "on_calendar": calendar, "cron": cron, "why_not": why}


def _time(row: Row, where: str) -> tuple[str, int, str]:
    """Return hour, minute and weekday of an entry as they were meant."""
    hour, minute, day = str(row.get("hour", "")), row.get("minute", 0), str(row.get("weekday") or "").lower()[:3]
    every = _EVERY.fullmatch(hour)
    # An interval that does not divide the day would make one that is shorter, each night.
    right = 24 % int(every[1]) == 0 if every and int(every[1]) else hour.isdigit() and int(hour) < 24
    if not right:
        raise AnsibleFilterError(f"{where}: hour is {hour!r}; give 0 to 23, or */n where n divides 24")
    if not isinstance(minute, int) or not 0 <= minute < 60:
        raise AnsibleFilterError(f"{where}: minute is {minute!r}; give 0 to 59")
    if day and day not in _DAYS:
        raise AnsibleFilterError(f"{where}: weekday is {row['weekday']!r}; give one such as sunday")
    return hour, minute, day


class FilterModule:
    """Filters for schedules."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"scheduled": scheduled}
