# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook on three fake sites: what an operator sees, what is sent, and the exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import time
import typing as t

import pytest
import yaml

from ansible_collections.tradeops.core.tests.unit.fake_platform import PROFILE, SECRETS, Platform

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("bench-a", "bench-b", "bench-c")
TYPO = PROFILE.replace("blind: true", "blnd: true", 1)
TYPO_LINE = next(number for number, line in enumerate(TYPO.splitlines(), 1) if "blnd" in line)
RECORDER = """
import json, os
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recorder"

    def _keep(self, result):
        kept = {"host": result._host.get_name(), "task": result._task.get_name(), "result": dict(result._result)}
        with open(os.environ["RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(kept, default=str) + chr(10))

    def v2_runner_on_ok(self, result):
        self._keep(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._keep(result)
"""


@dataclasses.dataclass
class Ran:
    """One run of ansible-playbook."""

    code: int
    output: str
    results: list[dict[str, t.Any]]

    def of(self, host: str, task: str = "") -> dict[str, t.Any]:
        """The result of a host, of its last task or of the one that is named."""
        found = [kept["result"] for kept in self.results if kept["host"] == host and task in kept["task"]]
        assert found, self.output
        return t.cast("dict[str, t.Any]", found[-1])


class Bench:
    """An inventory of fake sites, and a way to run plays on it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.sites = {name: Platform() for name in NAMES}
        self.hosts: dict[str, dict[str, t.Any]] = {
            name: {"tport": site.port, "tname": name} for name, site in self.sites.items()
        }
        self.variables: dict[str, t.Any] = {
            "ansible_connection": "local",
            "tradeops_profile": str(folder / "bench.yml"),
            # Of a group, and different for every host: they have to be resolved in the context of each.
            "tradeops_urls": {"api": "http://127.0.0.1:{{ tport }}"},
            "tradeops_secrets": "{{ {'token': lookup('ansible.builtin.env', 'BENCH_TOKEN')} | combine(emergency) }}",
            "emergency": {"emergency_token": SECRETS["emergency_token"]},
            "tradeops_request_timeout": 10,
            "tradeops_wait_timeout": 60,
            "tradeops_reason": "drill of {{ tname }}",
        }
        (folder / "bench.yml").write_text(PROFILE, encoding="utf-8")
        (folder / "callbacks").mkdir()
        (folder / "callbacks" / "recorder.py").write_text(RECORDER, encoding="utf-8")

    @property
    def writes(self) -> list[list[str]]:
        return [site.writes for site in self.sites.values()]

    def forget(self) -> None:
        for site in self.sites.values():
            site.requests.clear()

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "TRADEOPS_"))}
        return kept | {
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_CALLBACK_PLUGINS": str(self.folder / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "recorder",
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "TRADEOPS_STATE_DIR": str(self.folder / "state"),
            "BENCH_TOKEN": SECRETS["token"],
            "RECORD": str(self.folder / "record"),
        }

    def command(
        self, tasks: list[dict[str, t.Any]], *arguments: str, play: dict[str, t.Any] | None = None
    ) -> list[str]:
        """Write the play and its inventory; return the command that runs it."""
        (self.folder / "ansible.cfg").touch()
        inventory = {"trading_sites": {"hosts": self.hosts, "vars": self.variables}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        plays = [{"hosts": "trading_sites", "gather_facts": False, "tasks": tasks} | (play or {})]
        (self.folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
        program = pathlib.Path(sys.executable).with_name("ansible-playbook")
        found = str(program) if program.exists() else shutil.which("ansible-playbook") or "ansible-playbook"
        return [found, "-i", str(self.folder / "hosts.yml"), str(self.folder / "play.yml"), *arguments]

    def run(self, module: str, options: dict[str, t.Any], *arguments: str, play: dict[str, t.Any] | None = None) -> Ran:
        return self.run_all([{f"tradeops.core.{module}": options}], *arguments, play=play)

    def run_all(self, tasks: list[dict[str, t.Any]], *arguments: str, play: dict[str, t.Any] | None = None) -> Ran:
        record = self.folder / "record"
        record.unlink(missing_ok=True)
        command = self.command(tasks, *arguments, play=play)
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=600, check=False
        )
        kept = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        output = ran.stdout + ran.stderr
        for secret in (SECRETS["token"], SECRETS["emergency_token"]):
            assert secret not in output + "".join(kept)
        assert "Traceback" not in output
        return Ran(ran.returncode, output, [json.loads(line) for line in kept])

    def close(self) -> None:
        for site in self.sites.values():
            site.close()


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> t.Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_stop_its_second_run_and_its_diff(bench: Bench) -> None:
    wish = {"state": "halted", "cancel_orders": True}
    planned = bench.run("trading_state", wish, "--check", "--diff")
    assert planned.code == 0, planned.output
    assert bench.writes == [[], [], []]
    assert planned.output.count("-    state: active") + planned.output.count('-    "state": "active"') == 3
    assert [planned.of(name)["result"] for name in NAMES] == ["planned"] * 3

    done = bench.run("trading_state", wish)
    assert done.code == 0, done.output
    assert bench.writes == [["POST /halt", "DELETE /orders"]] * 3
    for name, site in bench.sites.items():
        result = done.of(name)
        assert (result["site"], result["result"], result["changed"]) == (name, "proven", True)
        assert result["proof"]["summary"] == "5 cancelled"
        assert next(request for request in site.requests if request.writes).body == {"reason": f"drill of {name}"}
        assert "secrets" not in result["invocation"]["module_args"]

    again = bench.run("trading_state", wish)
    assert [(again.of(name)["result"], again.of(name)["changed"]) for name in NAMES] == [("unchanged", False)] * 3
    assert "changed=1" not in again.output


def test_a_fleet_orders_every_site_with_its_own_variables(bench: Bench) -> None:
    bench.sites["bench-b"].fault("hang", "GET")
    bench.hosts["bench-c"]["tradeops_wait_timeout"] = 61
    play = {"vars": {"tradeops_reason": "the play says {{ tname }}"}}
    planned = bench.run("trading_state_fleet", {"state": "halted"}, "--check", "-l", "bench-a,bench-c", play=play)
    assert planned.code == 0, planned.output
    assert bench.writes == [[], [], []]

    ran = bench.run("trading_state_fleet", {"state": "halted", "wait_timeout": 8}, play=play)
    assert ran.code == 2
    sites = ran.of("bench-a")["sites"]
    assert {name: site["result"] for name, site in sites.items()} == {
        "bench-a": "proven",
        "bench-b": "unproven",
        "bench-c": "proven",
    }
    assert ran.of("bench-a")["failed_sites"] == ["bench-b"]
    assert "3 sites in" in ran.of("bench-a")["msg"]
    assert "bench-b: trading: wanted halted" in ran.of("bench-a")["msg"]
    assert bench.writes == [["POST /halt"]] * 3
    # A play variable goes before the inventory's, and is resolved for each site.
    halts = {name: next(request for request in site.requests if request.writes) for name, site in bench.sites.items()}
    assert {name: halt.body["reason"] for name, halt in halts.items()} == {
        name: f"the play says {name}" for name in NAMES
    }
    assert (
        max(sites[name]["proof"]["elapsed"] for name in ("bench-a", "bench-c")) < sites["bench-b"]["proof"]["elapsed"]
    )


def test_a_fleet_blocks_first_and_a_hung_site_holds_nobody_back(bench: Bench) -> None:
    bench.sites["bench-b"].fault("hang")
    bench.variables["tradeops_wait_timeout"] = 60
    bench.variables["tradeops_request_timeout"] = 30
    tasks: list[dict[str, t.Any]] = [
        {
            "name": "order",
            "tradeops.core.trading_state_fleet": {"state": "flat", "block_only": True, "on_failure": "report"},
        },
        {"name": "prove", "tradeops.core.trading_state": {"state": "flat", "wait_timeout": 8}, "ignore_errors": True},
    ]
    ran = bench.run_all(tasks)
    order = ran.of("bench-a", "order")
    assert {name: site["result"] for name, site in order["sites"].items()} == {
        "bench-a": "ordered",
        "bench-b": "unproven",
        "bench-c": "ordered",
    }
    assert "failed" not in order
    assert order["elapsed"] < 50  # of the 60 seconds that the hung site has
    assert "POST /halt" in bench.sites["bench-b"].writes
    assert [ran.of(name, "prove")["result"] for name in NAMES] == ["proven", "unproven", "proven"]


def test_a_batch_is_all_that_a_fleet_reaches(bench: Bench) -> None:
    for site in bench.sites.values():
        site.state = "REDUCE"
    bench.sites["bench-a"].fault("lie", "POST", "/resume")
    ran = bench.run("trading_state_fleet", {"state": "active", "wait_timeout": 2}, play={"serial": 1})
    assert ran.code == 2
    assert [site.state for site in bench.sites.values()] == ["REDUCE"] * 3
    assert bench.writes == [["POST /resume"], [], []]


def test_one_site_without_its_variables_does_not_save_the_others(bench: Bench) -> None:
    bench.hosts["bench-a"]["tradeops_urls"] = {"api": "http://{{ nowhere }}"}
    bench.hosts["bench-c"]["tradeops_secrets"] = {"token": SECRETS["token"]}
    ran = bench.run("trading_state_fleet", {"state": "halted"})
    assert ran.code == 2
    sites = ran.of("bench-a")["sites"]
    assert [sites[name]["result"] for name in NAMES] == ["refused", "proven", "refused"]
    assert "'nowhere' is undefined" in sites["bench-a"]["msg"]
    assert "the secret 'emergency_token' is missing" in sites["bench-c"]["msg"]
    assert bench.writes == [[], ["POST /halt"], []]


def test_orders_of_a_scope_and_a_table_of_all(bench: Bench) -> None:
    options = {"scope": {"symbol": "BTC"}, "expected_count": 3}
    assert bench.run("open_orders", options, "--check").code == 0
    assert bench.writes == [[], [], []]
    ran = bench.run("open_orders", options)
    assert ran.code == 0, ran.output
    assert [sorted(site.orders) for site in bench.sites.values()] == [["o2", "o4"]] * 3
    bench.forget()
    tasks: list[dict[str, t.Any]] = [
        {"name": "look", "tradeops.core.trading_info": {"gather": ["trading", "orders", "metrics"]}},
        {"name": "again", "tradeops.core.open_orders": {"scope": {"symbol": "BTC"}}},
    ]
    again = bench.run_all(tasks)
    assert again.code == 0, again.output
    assert bench.writes == [[], [], []]
    for name in NAMES:
        facts = again.of(name, "look")
        assert (facts["trading"]["state"], len(facts["orders"]), facts["changed"]) == ("active", 2, False)
        assert again.of(name, "again")["result"] == "unchanged"


@pytest.mark.parametrize("module", ["trading_state", "trading_state_fleet", "trading_info"])
@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"tradeops_profile": "flashm"}, "there is no profile 'flashm' in"),
        (
            {"tradeops_profile": "typo.yml"},
            f"typo.yml:{TYPO_LINE}: capabilities.trading.transitions[0].blnd: unknown key",
        ),
        ({"tradeops_secrets": {}}, "the secret 'token' is missing"),
        ({"tradeops_urls": {}}, "tradeops_urls has no 'api'"),
        ({"tradeops_urls": {"api": "https://127.0.0.1:{{ tport }}"}}, "is not trusted"),
    ],
)
def test_wrong_variables_are_one_message_for_each_site(
    bench: Bench, module: str, variables: dict[str, t.Any], text: str
) -> None:
    """One run for all three sites; the exit code is not 0 and nothing is written."""
    if text == "is not trusted":
        _serve_untrusted(bench)
    (bench.folder / "typo.yml").write_text(TYPO, encoding="utf-8")
    bench.variables |= variables
    ran = bench.run(module, {} if module == "trading_info" else {"state": "halted"})
    results = ran.of("bench-a")["sites"] if module == "trading_state_fleet" else {name: ran.of(name) for name in NAMES}
    assert bench.writes == [[], [], []]
    for name in NAMES:
        said = results[name]["problems"]["trading"] if "problems" in results[name] else results[name]["msg"]
        assert text in said
        assert name in said or "problems" in results[name]
        assert "\n" not in said
    # What cannot be read is what trading_info reports; a site that was described wrongly is an error there, too.
    assert (ran.code == 0) is (module == "trading_info" and text == "is not trusted")


def _serve_untrusted(bench: Bench) -> None:
    folder = bench.folder
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    command = ["openssl", "req", "-x509", *key, "-out", "cert.pem", "-subj", "/CN=127.0.0.1", "-days", "2"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    for name in NAMES:
        bench.sites[name].close()
        bench.sites[name] = Platform(context=context)
        bench.hosts[name]["tport"] = bench.sites[name].port


@pytest.mark.parametrize(
    ("module", "options", "text"),
    [
        ("open_orders", {}, "an empty scope; scope may name account"),
        ("open_orders", {"scope": {"symbol": ""}, "all": True}, "scope.symbol is ''"),
        ("trading_state", {"state": "halted", "wait_timeout": -5}, "wait_timeout is -5; give seconds"),
        (
            "trading_state",
            {"state": "hatled"},
            "value of state must be one of: active, reducing, halted, flat, stopped",
        ),
        ("trading_state", {"state": "halted", "cancel": True}, "cancel"),
        ("trading_state", {}, "missing required arguments: state"),
        ("trading_info", {"gather": ["trading", "moon"]}, "value of gather must be one or more of"),
    ],
)
def test_wrong_options_are_one_message(bench: Bench, module: str, options: dict[str, t.Any], text: str) -> None:
    ran = bench.run(module, options, "-l", "bench-a")
    assert ran.code == 2
    assert text in ran.of("bench-a")["msg"]
    assert bench.sites["bench-a"].requests == []


def test_a_site_that_answers_html_is_unproven_and_says_so(bench: Bench) -> None:
    for site in bench.sites.values():
        site.fault("html")
    ran = bench.run("trading_state_fleet", {"state": "halted", "wait_timeout": 2})
    assert ran.code == 2
    for result in ran.of("bench-a")["sites"].values():
        assert (result["result"], result["changed"]) == ("unproven", False) or result["after"]["state"] == "unknown"
        assert "with text/html that is no JSON: <html>" in result["msg"]


def test_an_interrupt_ends_the_run_and_frees_the_lease(bench: Bench) -> None:
    for site in bench.sites.values():
        site.fault("hang", "GET", skip=1)
    command = bench.command([{"tradeops.core.trading_state_fleet": {"state": "halted", "wait_timeout": 900}}])
    environment = bench.environment() | {"TRADEOPS_OPERATION_ID": "op-interrupted"}
    with subprocess.Popen(
        command,
        cwd=bench.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 240
        while not all(site.writes for site in bench.sites.values()):
            assert time.monotonic() < deadline
            time.sleep(0.02)  # the order of every site has to be on its way before the interrupt
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    for site in bench.sites.values():
        site.faults.clear()
        site.state = "RUN"
    ran = bench.run("open_orders", {"all": True})
    assert ran.code == 0, ran.output


def test_a_secret_of_a_vault_is_used_and_not_shown(bench: Bench) -> None:
    (bench.folder / "vault").write_text("opensesame\n", encoding="utf-8")
    program = str(pathlib.Path(sys.executable).with_name("ansible-vault"))
    made = subprocess.run(
        [program, "encrypt_string", "--vault-password-file", "vault", "--stdin-name", "token"],
        input=SECRETS["token"], cwd=bench.folder, env=bench.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.strip() for line in made.stdout.splitlines()[1:]]
    (bench.folder / "group_vars").mkdir()
    text = "tradeops_secrets:\n  token: !vault |\n" + "".join(f"    {line}\n" for line in lines)
    text += f"  emergency_token: {SECRETS['emergency_token']}\n"
    (bench.folder / "group_vars" / "all.yml").write_text(text, encoding="utf-8")
    del bench.variables["tradeops_secrets"]
    for module in ("trading_state", "trading_state_fleet"):
        ran = bench.run(module, {"state": "halted"}, "--vault-password-file", "vault")
        assert ran.code == 0, ran.output
    assert bench.sites["bench-b"].requests[0].headers["authorization"] == f"Bearer {SECRETS['token']}"
