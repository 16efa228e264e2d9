# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a window: opened once, carried on with, never in two hands, and honest about what is left."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._maintenance.window import SPEC, run

SUNDAY = dt.datetime(2026, 11, 29, 2, 0, tzinfo=dt.UTC)
WINDOWS = {
    "weekly": {"day": "sunday", "at": "02:00", "minutes": 120, "body": ["packages", "database", "logs"]},
    "monthly": {"day": "sunday", "nth": 4, "at": "01:00", "minutes": 240},
    "patch": {"any_time": True, "minutes": 60, "change": "EMRG", "approval": True, "review_hours": 24},
}
Result = dict[str, t.Any]


class Site:
    """Asks the module, minutes after Sunday 02:00."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def ask(
        self, state: str, minutes: float = 0, *, check_mode: bool = False, process: int = 0, **options: t.Any
    ) -> Result:
        given = {
            "site": "site-1",
            "state": state,
            "name": "weekly",
            "windows": WINDOWS,
            "directory": str(self.folder / "records"),
            "lease_dir": str(self.folder / "leases"),
            "known": ["packages", "database", "logs", "backup"],
            "operation": "op-1",
            "found": {"state": "active"},
            **options,
        }
        moment = SUNDAY + dt.timedelta(minutes=minutes)
        return run(SPEC.validate("site-1", given), check_mode=check_mode, process=process, moment=moment)

    def note(self, step: str, minutes: float = 0, **options: t.Any) -> Result:
        return self.ask("noted", minutes, step=step, **options)


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def test_outside_of_it_nothing_is_opened_without_an_override(site: Site) -> None:
    refused = site.ask("opened", -1)
    assert refused["failed"]
    assert "begins at 2026-11-29T02:00:00Z" in refused["msg"]
    assert not (site.folder / "records").exists()
    opened = site.ask("opened", -1, override="the vendor waits")
    assert (opened["record"]["begins"], opened["record"]["ends"]) == ("2026-11-29T01:59:00Z", "2026-11-29T03:59:00Z")
    assert opened["record"]["override"] == "the vendor waits"


def test_check_mode_keeps_nothing(site: Site) -> None:
    assert site.ask("opened", 5, check_mode=True)["result"] == "planned"
    assert site.note("packages", 5, check_mode=True)["begin"] is True
    assert site.note("packages", 5, check_mode=True, name="patch")["begin"] is True
    assert not (site.folder / "records").exists()


def test_a_window_is_carried_on_with_where_it_was_ended(site: Site) -> None:
    site.ask("opened", 5)
    site.note("halt", 6)
    site.note("packages", 7, status="done")
    again = site.ask("opened", 30, operation="op-2", found={"state": "halted"})
    assert (again["continued"], again["touched"], again["left"]) == (True, True, ["database", "logs"])
    assert again["record"]["found"] == {"state": "active"}
    assert again["record"]["operations"] == ["op-1", "op-2"]


def test_one_that_touched_nothing_looks_at_the_site_anew(site: Site) -> None:
    site.ask("opened", 5)
    again = site.ask("opened", 6, found={"state": "halted"})
    assert (again["continued"], again["touched"], again["record"]["found"]) == (True, False, {"state": "halted"})


def test_a_refusal_before_the_site_was_touched_is_no_window(site: Site) -> None:
    site.ask("opened", 5)
    assert site.ask("failed", 6)["record"]["status"] == "refused"
    again = site.ask("opened", 7)
    assert (again["continued"], again["already"]) == (False, False)


def test_after_a_failure_it_stays_to_be_carried_on_with_also_after_its_end(site: Site) -> None:
    site.ask("opened", 5)
    site.note("halt", 6)
    failed = site.ask("failed", 7)
    assert (failed["record"]["status"], failed["left"]) == ("failed", ["packages", "database", "logs"])
    late = site.ask("opened", 500)
    assert (late["continued"], late["over"]) == (True, True)
    assert site.note("packages", 501)["begin"] is False
    other = site.ask("opened", 501, name="monthly", override="x")
    assert other["failed"]
    assert "-e maintenance_window_name=weekly" in other["msg"]


def test_a_window_that_was_carried_out_is_not_done_twice(site: Site) -> None:
    site.ask("opened", 5)
    for step in ("packages", "database", "logs"):
        site.note(step, 6, status="done")
    assert site.ask("closed", 8)["left"] == []
    again = site.ask("opened", 9)
    assert (again["already"], again["changed"]) == (True, False)
    next_week = site.ask("opened", 7 * 24 * 60 + 5)
    assert (next_week["already"], next_week["left"]) == (False, ["packages", "database", "logs"])
    assert len(list((site.folder / "records" / "site-1").glob("weekly*.json"))) == 2
    assert site.ask("closed", 7 * 24 * 60 + 6)["record"]["status"] == "closed"
    assert site.ask("opened", 7 * 24 * 60 + 7, override="again")["already"] is False


def test_alarms_are_told_once_and_no_step_begins_after_the_end(site: Site) -> None:
    site.ask("opened", 5)
    assert site.note("packages", 59)["alarms"] == []
    assert site.note("packages", 60, status="done")["alarms"] == [50]
    assert site.note("database", 119)["alarms"] == []
    late = site.note("logs", 120)
    assert (late["alarms"], late["begin"], late["over"]) == ([100], False, True)
    # The return begins however late it is.
    assert site.note("return", 121)["begin"] is True
    assert site.ask("closed", 122)["left"] == ["database", "logs"]


def test_a_change_has_an_id_an_approver_and_a_review(site: Site) -> None:
    refused = site.ask("opened", name="patch")
    assert "needs an approver" in refused["msg"]
    opened = site.ask("opened", name="patch", approver="maria")
    assert opened["record"]["change"] == {
        "id": "EMRG-20261129-020000",
        "approver": "maria",
        "review_by": "2026-11-30T02:00:00Z",
    }
    site.ask("closed", 1, name="patch")
    assert site.ask("opened", 2, name="patch", approver="maria", change="EMRG-20261129-020000")["already"] is True
    assert site.ask("opened", 3, name="patch", approver="maria", change="CHG-7")["record"]["change"]["id"] == "CHG-7"


def test_an_unknown_step_opens_nothing(site: Site) -> None:
    refused = site.ask("opened", body=["databse"])
    assert refused["failed"]
    assert "has no step 'databse'; there are packages, database, logs, backup" in refused["msg"]


def test_another_operation_that_holds_the_site_keeps_it(site: Site) -> None:
    # The lease of an operation ends with its process, here with that of the test.
    assert site.ask("opened", process=os.getpid(), operation="op-2")["failed"] is False
    refused = site.ask("opened", 1)
    assert refused["failed"]
    assert "held by operation op-2" in refused["msg"]


def test_a_damaged_record_is_not_guessed_at(site: Site) -> None:
    site.ask("opened", 5)
    (path,) = (site.folder / "records" / "site-1").glob("weekly.json")
    path.write_text("{", encoding="utf-8")
    refused = site.ask("opened", 6)
    assert refused["failed"]
    assert "is damaged" in refused["msg"]
