# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ansible-playbook runs with the journal: what is in it, what is not, and what cannot stop it."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._evidence.chain import verify

HERE = pathlib.Path(__file__).resolve().parent
COLLECTIONS = HERE.parents[1] / "collections"
SECRET = "s3cr3t"
Record = dict[str, t.Any]


class Desk:
    """A controller of its own: home, journal folder and environment."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.journals = home / "journal"
        (home / "ansible.cfg").touch()
        self.environ = {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
            "ANSIBLE_HOME": str(home / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": f"{HERE / 'collections'}:{COLLECTIONS}",
            "ANSIBLE_CALLBACKS_ENABLED": "tradeops.core.journal",
            "ANSIBLE_INVENTORY": str(HERE / "plays" / "hosts.yml"),
            "TRADEOPS_JOURNAL_DIR": str(self.journals),
            "TRADEOPS_OPERATOR": "maria",
        }

    def start(self, *arguments: str, before: str = "", **environ: str) -> subprocess.Popen[str]:
        """Start ansible-playbook; ``before`` is a shell command that prepares its process."""
        shell = ["bash", "-c", f'{before}; exec "$@"', "bash"] if before else []
        return subprocess.Popen(
            [*shell, "ansible-playbook", *arguments],
            cwd=HERE / "plays",
            env=self.environ | environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *arguments: str, status: int = 0, before: str = "", **environ: str) -> str:
        """Run ansible-playbook to its end and return what it said."""
        process = self.start(*arguments, before=before, **environ)
        said, _nothing = process.communicate(timeout=300)
        assert process.returncode == status, said
        return said

    def module(self, name: str, arguments: str, status: int = 0) -> Record:
        """Run a module on localhost and return its result."""
        command = ["ansible", "localhost", "-m", name, "-a", arguments]
        done = subprocess.run(command, env=self.environ, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return t.cast("Record", json.loads(done.stdout.partition("=> ")[2]))

    @property
    def path(self) -> pathlib.Path:
        (path,) = self.journals.glob("*.jsonl")
        return path

    def records(self, kind: str = "") -> list[Record]:
        records = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        return [record for record in records if kind in ("", record["kind"])]

    def summary(self) -> Record:
        return t.cast("Record", json.loads(self.path.with_suffix(".json").read_text()))

    def wait_for(self, *, task: str, host: str = "") -> None:
        """Wait until the journal holds the beginning of a task, or its result on a host."""
        kind = "task_result" if host else "task_start"
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with contextlib.suppress(ValueError):  # no journal yet, or a record that is just being written
                found = [item for item in self.records(kind) if item["task"] == task and item.get("host", "") == host]
                if found:
                    return
            time.sleep(0.02)
        raise AssertionError(f"no {kind} of {task!r} within 240 s")


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Desk:
    return Desk(tmp_path)


def statuses(records: list[Record], task: str) -> set[str]:
    return {record["status"] for record in records if record["task"].endswith(task)}


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_a_journal_of_everything(desk: Desk, strategy: str) -> None:
    said = desk.run(
        *("stop.yml", "-e", f"rehearsal_strategy={strategy}", "-e", "tradeops_reason='a drill'", "-l", "all"),
        *("-e", f"api_key={SECRET}-extra", "-e", "awx_job_id=7", "--diff", "-v"),
        TRADEOPS_SECRET_TOKEN=f"{SECRET}-environment",
    )
    found = verify(desk.path)
    assert found.valid, found.problem
    assert found.records == len(desk.records())

    start, end = desk.records("operation_start")[0], desk.records("operation_end")[0]
    assert (start["operation"], start["operator"]["name"], start["reason"]) == (desk.path.stem, "maria", "a drill")
    assert (start["playbook"], start["limit"], start["check"]) == ("stop.yml", "all", False)
    assert (start["hosts"], start["inventory"]) == (["site1", "site2", "site3"], [str(HERE / "plays/hosts.yml")])
    assert (start["job"], start["arguments"]["diff"]) == ({"awx_job_id": "7"}, True)
    assert start["code"]["tradeops.core"]
    assert (end["exit"], sorted(end["stats"])) == ("ok", ["site1", "site2", "site3"])

    results = desk.records("task_result")
    assert statuses(results, "Halt") == {"changed"}
    assert statuses(results, "Fails and is rescued") == statuses(results, "Inner") == {"rescued"}
    assert statuses(results, "Fails in the rescue") == {"ignored"}
    assert statuses(results, "Calls") == {"changed", "skipped"}
    assert statuses(results, "Handle") == {"ok"}
    assert {record["msg"] for record in results if record["task"] == "Sees the operation"} == {
        f"operation {desk.path.stem}"
    }

    halted = next(record for record in results if record["task"] == "Halt")
    assert halted["parameters"] == {"state": "halted"}
    assert halted["proof"]["objects"][0]["after"] == "cancelled"
    assert "not_of_the_contract" not in halted
    pairs = [record for record in results if record["task"] == "Each pair" and record["host"] == "site2"]
    assert [record.get("item", f"all {record.get('items')}") for record in pairs] == [1, 2, "all 2"]
    assert [record.get("parameters", {}).get("state") for record in pairs] == ["one", "two", None]
    assert sum(record["duration"] for record in pairs[:2]) <= pairs[2]["duration"] + 0.001

    hidden = [record for record in results if record["task"].startswith("Hidden")]
    assert hidden
    assert all(record["censored"] and "msg" not in record and "parameters" not in record for record in hidden)
    begun = collections.Counter(record["task_id"] for record in desk.records("task_start"))
    assert set(begun.values()) == {1}, "a task is told once, also by the free strategy"

    desk.run("halt.yml", TRADEOPS_OPERATION_ID=desk.path.stem)
    for path in desk.journals.iterdir():
        assert SECRET not in path.read_text(), path
    assert SECRET not in said


def test_a_second_playbook_continues_the_chain(desk: Desk) -> None:
    desk.run("halt.yml", "fleet.yml", status=0, TRADEOPS_OPERATION_ID="op-1")
    desk.run("halt.yml", TRADEOPS_OPERATION_ID="op-1")
    found = verify(desk.path)
    assert (found.valid, found.problem, desk.path.stem) == (True, "", "op-1")
    assert len({record["run"] for record in desk.records("operation_start")}) == 3
    assert [record["exit"] for record in desk.records("operation_end")] == ["ok"] * 3


def test_without_an_id_one_is_made(desk: Desk) -> None:
    desk.run("fleet.yml")
    desk.run("fleet.yml")
    assert len(list(desk.journals.glob("*.jsonl"))) == 2


def test_an_id_that_cannot_be_one_stops_nothing(desk: Desk) -> None:
    said = desk.run("fleet.yml", TRADEOPS_OPERATION_ID="../../evil")
    assert "cannot be a file name" in " ".join(said.split())
    assert verify(desk.path).valid


def test_a_fleet_is_recorded_site_by_site(desk: Desk) -> None:
    desk.run("fleet.yml")
    results = desk.records("task_result")
    assert [record["site"] for record in results[:3]] == ["site1", "site2", "site3"]
    assert [record["duration"] for record in results[:3]] == [0.01] * 3
    assert (results[3]["sites"], len(results)) == (3, 4)


def test_the_report_says_what_happened(desk: Desk) -> None:
    said = desk.run("halt.yml")
    summary = desk.summary()
    assert summary["verdict"] == {"word": "proven", "text": "All 3 sites proven", "counts": {"proven": 3}}
    assert summary["complete"]
    assert summary["journal"]["head"] in said
    assert "All 3 sites proven" in said
    assert desk.path.with_suffix(".html").is_file()

    again = desk.module(
        "tradeops.core.evidence_verify", f"operation_id={desk.path.stem} head={summary['journal']['head']}"
    )
    assert (again["valid"], again["changed"]) == (True, False)
    desk.path.write_bytes(desk.path.read_bytes().replace(b"1 cancelled", b"9 cancelled", 1))
    bad = desk.module("tradeops.core.evidence_verify", f"path={desk.path}", status=2)
    assert "was edited" in bad["msg"]
    assert bad["first_bad"] > 1


def test_the_report_of_what_was_not_proven(desk: Desk) -> None:
    desk.run("halt.yml", "-e", "rehearsal_result=unproven", status=2, TRADEOPS_OPERATION_ID="op-1")
    said = desk.run(str(COLLECTIONS.parent / "playbooks/evidence_report.yml"), "-e", "tradeops_operation_id=op-1")
    assert "3 of 3 sites not proven" in said
    assert "changed=1" in said
    page = (desk.journals / "op-1.html").read_bytes()
    again = desk.run(str(COLLECTIONS.parent / "playbooks/evidence_report.yml"))
    assert "changed=0" in again
    assert (desk.journals / "op-1.html").read_bytes() == page


def test_a_run_in_check_mode(desk: Desk) -> None:
    desk.run("fleet.yml", "--check", TRADEOPS_OPERATION_ID="op-1")
    said = desk.run(str(COLLECTIONS.parent / "playbooks/evidence_report.yml"), "-e", "tradeops_operation_id=op-1")
    assert "Check mode, nothing was sent: 3 sites to be changed" in said


def test_killed_in_the_middle(desk: Desk) -> None:
    process = desk.start("halt.yml", "-e", "rehearsal_seconds=300", TRADEOPS_OPERATION_ID="op-1")
    desk.wait_for(task="Halt")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    found = verify(desk.path)
    assert (found.valid, found.torn) == (True, False)

    with desk.path.open("ab") as handle:
        handle.write(b'{"a record":"that was being wri')
    assert verify(desk.path).torn
    desk.run("halt.yml", TRADEOPS_OPERATION_ID="op-1")
    assert verify(desk.path).valid
    summary = desk.summary()
    assert (summary["verdict"]["word"], summary["complete"]) == ("proven", False)
    assert any("was not closed" in gap for gap in summary["gaps"])
    assert any("torn" in gap for gap in summary["gaps"])


def test_killed_and_nothing_after_it(desk: Desk) -> None:
    process = desk.start("halt.yml", "-e", "rehearsal_seconds=300", TRADEOPS_OPERATION_ID="op-1")
    desk.wait_for(task="Halt")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    said = desk.run(str(COLLECTIONS.parent / "playbooks/evidence_report.yml"), "-e", "tradeops_operation_id=op-1")
    assert "3 of 3 sites not proven" in said
    summary = json.loads((desk.journals / "op-1.json").read_text())
    assert summary["sites"][0]["msg"] == "the task 'Halt' began, and the run ended without a result of it"


def test_interrupted_by_the_operator(desk: Desk) -> None:
    process = desk.start("halt.yml", "-e", "rehearsal_seconds=10")
    desk.wait_for(task="Halt")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    assert desk.records("operation_end")[0]["exit"] == "interrupted"
    assert verify(desk.path).valid


def test_a_full_disk_stops_nothing(desk: Desk) -> None:
    # No file of this process may grow beyond 8 KiB, which the transfer of a module would need too.
    said = desk.run("stop.yml", "--skip-tags", "transfer", before="ulimit -f 8")
    assert "ok=" in said
    flat = " ".join(said.split())
    assert "The journal of this operation cannot be written" in flat
    assert "The operation goes on" in flat
    assert "records are not in its journal" in flat
    found = verify(desk.path)
    assert (found.valid, found.torn) == (True, False)


def test_a_journal_that_cannot_be_made_stops_nothing_and_shows_in_the_report(
    desk: Desk, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").write_text("")
    report = tmp_path / "report"
    said = desk.run(
        "halt.yml", "-e", f"evidence_dest={report}", TRADEOPS_JOURNAL_DIR=str(tmp_path / "file" / "journal")
    )
    flat = " ".join(said.split())
    assert flat.count("The journal of this operation cannot be written") == 1
    assert "The evidence of this operation is incomplete" in flat
    (summary,) = report.glob("*.json")
    found = json.loads(summary.read_text())
    assert (found["verdict"]["word"], found["complete"]) == ("nothing", False)
    assert "Not a directory" in found["gaps"][0]


def test_two_at_once_share_one_chain(desk: Desk) -> None:
    both = [desk.start("stop.yml", TRADEOPS_OPERATION_ID="op-1") for _number in range(2)]
    assert [process.communicate(timeout=300) and process.returncode for process in both] == [0, 0]
    found = verify(desk.path)
    assert (found.valid, found.problem) == (True, "")
    runs = collections.Counter(record["run"] for record in desk.records())
    assert len(runs) == 2
    assert len(set(runs.values())) == 1
    assert len(desk.records("operation_end")) == 2


def test_the_journal_folder_of_the_configuration(desk: Desk, tmp_path: pathlib.Path) -> None:
    settings = "[defaults]\ncallbacks_enabled = tradeops.core.journal\n[tradeops]\njournal_dir = ~/there\n"
    (tmp_path / "ansible.cfg").write_text(settings)
    del desk.environ["TRADEOPS_JOURNAL_DIR"], desk.environ["ANSIBLE_CALLBACKS_ENABLED"]
    desk.run("halt.yml")
    assert sorted(path.suffix for path in (tmp_path / "there").iterdir()) == [".html", ".json", ".jsonl"]
