# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that runs the playbooks on a lab, as an operator would, and looks at what every run left behind."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

from simulator_ground import BUDGET, Answer, Ground, request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST = 600.0  # s that a playbook may take
Record = dict[str, t.Any]


def ending(output: str, lines: int = 150) -> str:
    """The end of what a run said, which tells why it failed; whole outputs hide each other in a log of all tests."""
    return "\n".join(output.splitlines()[-lines:])


@dataclasses.dataclass
class Played:
    """What a finished run said and wrote."""

    code: int
    output: str
    operation: str
    seconds: float
    state: pathlib.Path

    def __str__(self) -> str:
        return f"exit code {self.code} after {self.seconds:.1f} s\n{ending(self.output)}"

    @property
    def text(self) -> str:
        """The output in one line, for it is wrapped where it is shown as YAML."""
        return " ".join(self.output.split())

    @property
    def journal(self) -> pathlib.Path:
        return self.state / "journal" / f"{self.operation}.jsonl"

    @property
    def records(self) -> list[Record]:
        return [json.loads(line) for line in self.journal.read_bytes().splitlines()]

    def results(self, task: str, host: str) -> list[Record]:
        """The journal's results of a task, by the end of its name, on a host."""
        found = (record for record in self.records if record["kind"] == "task_result")
        return [record for record in found if record["task"].endswith(task) and record["host"] == host]

    @property
    def page(self) -> str:
        return self.journal.with_suffix(".html").read_text(encoding="utf-8")

    @property
    def summary(self) -> Record:
        """The evidence page in its form for machines."""
        return t.cast(Record, json.loads(self.journal.with_suffix(".json").read_text(encoding="utf-8")))

    @property
    def sites(self) -> dict[str, Record]:
        return {site["site"]: site for site in self.summary["sites"]}

    @property
    def incident(self) -> Record | None:
        path = self.state / "incidents" / f"INC-{self.operation}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Playing:
    """A run that goes on."""

    def __init__(self, process: subprocess.Popen[str], operation: str, controller: Controller) -> None:
        self._process = process
        self._controller = controller
        self._began = time.monotonic()
        self.operation = operation
        self.journal = controller.state / "journal" / f"{operation}.jsonl"

    def wait_for(self, text: str, budget: float = 180.0) -> None:
        """Wait until the journal of the run holds ``text``."""
        Ground.until(lambda: self.journal.exists() and text in self.journal.read_text(encoding="utf-8"), budget)

    def kill(self) -> None:
        """End the controller so that it can do nothing more; its workers write no more, except to stop."""
        self._process.kill()
        self._process.wait(30)
        if self._process.stdout:
            self._process.stdout.close()

    def end(self, longest: float = LONGEST) -> Played:
        """Wait for the end. Fails when a secret of the lab got out of the run."""
        try:
            output, _nothing = self._process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _nothing = self._process.communicate()
            raise AssertionError(f"the playbook did not end within {longest:g} s:\n{ending(output)}") from None
        seconds = time.monotonic() - self._began
        played = Played(self._process.returncode, output, self.operation, seconds, self._controller.state)
        assert self._controller.leaks(played) == []
        return played


class Controller:
    """A controller with a state folder of its own. Every run is one operation of the operator maria."""

    def __init__(self, ground: Ground, home: pathlib.Path) -> None:
        self.ground = ground
        self.home = home
        self.state = home / "state"
        self._runs = itertools.count(1)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "TRADEOPS_"))}
        self.environ = {
            **kept,
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(home / "ansible"),
            "TRADEOPS_LAB_DIR": str(ground.folder),
            "TRADEOPS_STATE_DIR": str(self.state),
            "TRADEOPS_OPERATOR": "maria",
        }

    def start(self, *command: str, inventories: t.Sequence[str] = ("inventories/lab",)) -> Playing:
        """Begin a command: a playbook with its arguments, or ``ansible`` with its own."""
        operation = f"run-{next(self._runs)}"
        program = [] if command[0] == "ansible" else ["ansible-playbook"]
        sources = [word for source in inventories for word in ("-i", source)]
        process = subprocess.Popen(
            [*program, *command, *sources],
            cwd=ROOT,
            env={**self.environ, "TRADEOPS_OPERATION_ID": operation},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Playing(process, operation, self)

    def play(self, *command: str, status: int | None = 0, **options: t.Any) -> Played:
        """Run a command to its end; ``status`` is the exit code that it has to have, None for any but 0."""
        played = self.start(*command, **options).end()
        assert played.code != 0 if status is None else played.code == status, str(played)
        return played

    def messages(self, channel: str = "") -> list[Record]:
        """What the receivers of notifications got."""
        found = self._sink("GET", "/messages").json["messages"]
        return [message for message in found if channel in ("", message["channel"])]

    def forget_messages(self) -> None:
        self._sink("DELETE", "/messages")
        self._sink("DELETE", "/faults")

    def break_channel(self, channel: str) -> None:
        """Make a receiver answer 500 from now on."""
        self._sink("PUT", "/faults", {"channel": channel})

    def _sink(self, method: str, path: str, body: t.Any = None) -> Answer:
        answer = request(self.ground.lab["sink"]["http"], method, path, body, {}, BUDGET)
        assert answer.status < 300, answer.body
        return answer

    def leaks(self, played: Played) -> list[str]:
        """Where secrets of the lab can be read in what a run said or wrote; the secrets themselves are not told."""
        written = [path for path in self.state.rglob("*") if path.is_file() and self._of(played, path)]
        texts = {str(path): path.read_text(encoding="utf-8") for path in written} | {"its output": played.output}
        return [f"{name} in {where}" for where, text in texts.items() for name, value in self.secrets if value in text]

    def _of(self, played: Played, path: pathlib.Path) -> bool:
        return played.operation in path.name or (path.parent.name == "leases" and path.suffix == ".json")

    @property
    def secrets(self) -> list[tuple[str, str]]:
        """Every secret of the lab: those of its sites, of its servers, and of the channels of its inventory."""
        lab = self.ground.lab
        sites = [
            (f"{site}.{name}", value) for site, plan in lab["sites"].items() for name, value in plan["secrets"].items()
        ]
        servers = [
            ("postgresql", lab["postgresql"]["password"]),
            ("redis", lab["redis"]["password"]),
            ("s3", lab["s3"]["secret_key"]),
            ("backup identity", lab["backup"]["identity"]),
            ("backup manifest key", lab["backup"]["manifest_key"]),
        ]
        servers += [
            (f"{site}.{kind}", plan[kind]["password"])
            for site, plan in lab["sites"].items()
            for kind in ("postgresql", "redis")
            if kind in plan
        ]
        return [*sites, *servers, ("pagerduty", "lab-routing-key"), ("jira", "lab-jira-token")]
