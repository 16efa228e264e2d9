# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill: stop and resume trading on the lab while some of its sites lie, and check the verdicts against the truth.

It runs the playbooks that an operator runs. The truth comes from the lab's control port, which the playbooks never see.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import typing as t
import urllib.request

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATE = ROOT / ".tradeops" / "drill"
JOURNALS = STATE / "journal"

# What each liar does in the first stop: a client that trusts status codes would call all of them stopped.
LIARS: dict[str, dict[str, t.Any]] = {
    "flashmm-dr": {"kind": "lie", "method": "POST"},
    "adaptive-order-book-dr": {"kind": "lie", "method": "DELETE"},
    "ai-trading-dr": {"kind": "stale"},
    "smc-agent-dr": {"kind": "dead"},
    "grandmodel-dr": {"kind": "lie", "service": "kubernetes"},  # its API server says "scaled", and the pods stay
}


class DrillError(Exception):
    """The drill saw something that must not be."""


@dataclasses.dataclass
class Lab:
    """The control port of a running lab."""

    control: str
    sites: list[str]
    facts: dict[str, t.Any]

    @classmethod
    def running(cls) -> Lab:
        folder = pathlib.Path(os.environ["TRADEOPS_LAB_DIR"])
        facts = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
        # GrandModel is stopped by scaling its workloads: without a cluster it cannot be operated.
        sites = facts["sites"].items()
        operable = [
            name for name, site in sites if site["platform"] != "grandmodel" or "kubernetes" in site["services"]
        ]
        return cls(facts["control"], operable, facts)

    def call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.control + path, content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def truth(self, site: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self.call("GET", f"/sites/{site}/truth"))

    def sql(self, site: str, *statements: str) -> list[tuple[t.Any, ...]]:
        """Run statements in the database of a site, past its platform; return the rows of the last one."""
        plan = self.facts["sites"][site]
        server = plan.get("postgresql") or self.facts["postgresql"]
        settings = {key: server[key] for key in ("host", "port", "user", "password")}
        with psycopg.connect(**settings, dbname=plan["database"], autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def fault(self, site: str, fault: dict[str, t.Any] | None) -> None:
        self.call("PUT", f"/sites/{site}/faults", {"faults": [fault]}) if fault else self.call(
            "DELETE", f"/sites/{site}/faults"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quiet", action="store_true", help="show the output of a playbook only when it surprises")
    quiet = parser.parse_args().quiet
    lab = Lab.running()
    shutil.rmtree(STATE, ignore_errors=True)  # the pages of the drill before
    started = time.monotonic()
    try:
        _play_all(lab, quiet)
    except DrillError as exc:
        print(f"\ndrill: FAILED: {exc}", file=sys.stderr)
        return 1
    print(f"\ndrill: passed in {time.monotonic() - started:.0f} s. What happened, proven, in your browser:")
    for page in sorted(JOURNALS.glob("*.html")):
        print(f"  {page}")
    return 0


def _play_all(lab: Lab, quiet: bool) -> None:
    liars = {site: fault for site, fault in LIARS.items() if site in lab.sites}
    honest = [site for site in lab.sites if site not in liars]
    chapter("The sites trade")
    play("status.yml", quiet=False)

    chapter(f"Emergency stop of {len(lab.sites)} sites, {len(liars)} of which misbehave")
    for site, fault in liars.items():
        print(f"  {site}: {fault['kind']}{' on ' + fault['method'] if 'method' in fault else ''}")
        lab.fault(site, fault)
    play(
        "emergency_stop.yml",
        *reason("stop with liars"),
        "-e",
        "emergency_stop_wait_timeout=15",
        succeeds=False,
        quiet=quiet,
    )
    for site in honest:
        expect(lab, site, state="halted", orders=0)
    for site in liars:
        truth = lab.truth(site)
        print(f"  {site}: in truth {truth['state']}, {truth['open_orders']} open orders; not reported as stopped")

    chapter("The liars are mended; the same stop again")
    for site in liars:
        lab.fault(site, None)
    play("emergency_stop.yml", *reason("stop again"), quiet=quiet)
    for site in lab.sites:
        expect(lab, site, state="halted", orders=0)

    chapter("Resume: without a confirmation nothing is sent")
    play("emergency_resume.yml", succeeds=False, quiet=quiet)
    chapter("Resume: the venue of one site holds an order that its platform does not know")
    lab.fault("flashmm-primary", {"kind": "drift"})
    confirmed = ("-e", "tradeops_confirm=trading_sites", "-e", "emergency_resume_health_hold=3")
    play("emergency_resume.yml", *confirmed, succeeds=False, quiet=quiet)
    expect(lab, "flashmm-primary", state="halted", orders=0)
    lab.fault("flashmm-primary", None)

    chapter("Resume: every gate passes")
    play("emergency_resume.yml", *confirmed, *reason("all clear"), quiet=quiet)
    for site in lab.sites:
        expect(lab, site, state="active")
    play("status.yml", quiet=False)

    if "grandmodel-primary" in lab.sites:
        _trading_day(lab, quiet)
    _backup(lab, quiet)

    chapter("A maintenance window on each system, out of its time: halted, maintained, resumed")
    window = ("-l", "primary", "-e", "tradeops_confirm=primary", "-e", "maintenance_window_name=weekly")
    play("maintenance_window.yml", *window, succeeds=False, quiet=quiet)
    # Ten sites on one small machine are slower than the thresholds of production allow.
    quick = (
        "-e",
        "maintenance_window_health_at_least=warn",
        "-e",
        "maintenance_window_health_hold=1",
        "-e",
        "maintenance_window_override='a drill'",
    )
    play("maintenance_window.yml", *window, *quick, *reason("weekly maintenance"), quiet=quiet)
    for site in lab.sites:
        expect(lab, site, state="active")

    chapter("Each journal is checked against the chain head that its page shows")
    for page in sorted(JOURNALS.glob("*.html")):
        verify(page)


def _trading_day(lab: Lab, quiet: bool) -> None:
    """GrandModel ends a day, is kept from starting the next by one gate, starts it, and trades."""
    site, morning = "grandmodel-primary", "2026-11-24T07:05"
    start = ("-l", site, "-e", f"tradeops_confirm={site}", "-e", f"trading_day_at={morning}")
    chapter("The trading day of GrandModel ends: positions closed, report, agents down")
    play("trading_day_end.yml", "-l", site, *reason("end of the day"), quiet=quiet)
    expect(lab, site, state="halted", orders=0)

    chapter(f"The next one, as if it were {morning} in New York, with a margin that is too low")
    lab.call("PUT", f"/sites/{site}/settings", {"margin_available": 12_000.0})
    play("trading_day_start.yml", *start, *reason("start of the day"), succeeds=False, quiet=quiet)
    expect(lab, site, state="halted", orders=0)

    chapter("The margin is paid in: every gate passes, then the agents, then the engine")
    lab.call("PUT", f"/sites/{site}/settings", {"margin_available": 620_000.0})
    play("trading_day_start.yml", *start, *reason("start of the day"), quiet=quiet)
    expect(lab, site, state="active")


def _backup(lab: Lab, quiet: bool) -> None:
    """A site is captured while it does not trade, loses its data, and gets them back as of the second before."""
    site = "ai-trading-primary"
    here = ("-l", site)
    chapter(f"A backup of all that {site} has, taken at one moment: halted, captured, resumed")
    play(
        "backup.yml",
        *here,
        "-e",
        "backup_type=daily",
        "-e",
        "backup_consistency=quiesced",
        *reason("daily backup"),
        quiet=quiet,
    )
    expect(lab, site, state="active")
    play("backup_verify.yml", *here, "-e", "backup_verify_level=restored", *reason("test restore"), quiet=quiet)

    chapter("It trades on; then somebody empties its books")
    known = lab.truth(site)["orders_accepted"]
    end = time.monotonic() + 60
    while lab.truth(site)["orders_accepted"] < known + 5:
        if time.monotonic() > end:
            raise DrillError(f"{site} trades, and no order enters")
        time.sleep(0.2)
    # Whatever can be seen now was acknowledged before the target.
    accepted = "SELECT object FROM audit WHERE action = 'order_accepted'"
    acknowledged = {row[0] for row in lab.sql(site, accepted)}
    now = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
    ((target,),) = lab.sql(site, now)
    time.sleep(1)
    lab.sql(site, "TRUNCATE trades", "DELETE FROM audit", "UPDATE positions SET quantity = quantity * 10")
    print(f"  {len(acknowledged)} orders were acknowledged until {target}; the books are empty now")
    play("emergency_stop.yml", *here, *reason("the books are empty"), quiet=quiet)

    chapter("Back to the second before: planned, then done, beside the server that runs")
    back = (*here, "-e", json.dumps({"restore_at": target}), "-e", f"tradeops_confirm={site}", *reason("emptied books"))
    play("restore.yml", *back, "--check", quiet=quiet)
    play("restore.yml", *back, quiet=quiet)
    missing = acknowledged - {row[0] for row in lab.sql(site, accepted)}
    if missing or not acknowledged:
        raise DrillError(
            f"{site}: of {len(acknowledged)} acknowledged orders {len(missing)} are missing after the restore"
        )
    print(f"  none of the {len(acknowledged)} acknowledged orders is missing")
    expect(lab, site, state="halted")  # with the orders that were open then

    chapter("It trades again, behind the gates of a resume")
    play(
        "emergency_resume.yml",
        *here,
        *(
            "-e",
            f"tradeops_confirm={site}",
            "-e",
            "emergency_resume_health_hold=1",
            "-e",
            "emergency_resume_health_at_least=warn",
        ),
        *reason("restored"),
        quiet=quiet,
    )
    expect(lab, site, state="active")


def verify(page: pathlib.Path) -> None:
    """Check the journal of a page against the head that was kept beside the page. Raises DrillError."""
    kept = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["journal"]
    arguments = json.dumps({"path": kept["path"], "head": kept["head"]})
    run(["ansible", "localhost", "-m", "tradeops.core.evidence_verify", "-a", arguments], succeeds=True, quiet=True)


def reason(text: str) -> tuple[str, str]:
    return "-e", json.dumps({"tradeops_reason": f"drill: {text}"})


def chapter(title: str) -> None:
    print(f"\n=== {title}\n", flush=True)


def play(playbook: str, *arguments: str, succeeds: bool = True, quiet: bool) -> None:
    """Run a playbook as an operator would, on the sites that can be operated."""
    lab = Lab.running()
    given, left_out = list(arguments), sorted(lab.facts["sites"].keys() - set(lab.sites))
    if left_out:
        if "-l" not in given:
            given += ["-l", "all"]
        place = given.index("-l") + 1
        given[place] = ":".join([given[place], *(f"!{site}" for site in left_out)])
    run(
        ["ansible-playbook", "-i", "inventories/lab", f"playbooks/{playbook}", *given],
        succeeds=succeeds,
        quiet=quiet,
    )


def run(command: list[str], *, succeeds: bool, quiet: bool) -> None:
    """Run a command. Raises DrillError when its exit code is not the expected one."""
    print(f"$ {shlex.join(command)}", flush=True)
    environment = {**os.environ, "TRADEOPS_STATE_DIR": str(STATE)}
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=quiet, text=True, check=False)
    print(f"  exit code {done.returncode} after {time.monotonic() - started:.1f} s", flush=True)
    if (done.returncode == 0) is not succeeds:
        if quiet:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        wanted = "succeeded" if succeeds else "failed"
        raise DrillError(f"{command[0]} ended with exit code {done.returncode}; it should have {wanted}")


def expect(lab: Lab, site: str, *, state: str, orders: int | None = None) -> None:
    """Compare with the truth; a stricter state does for a wish to halt. Raises DrillError."""
    truth = lab.truth(site)
    fine = {state, "stopped"} if state == "halted" else {state}
    if truth["state"] not in fine or (orders is not None and truth["open_orders"] != orders):
        raise DrillError(
            f"{site} should be {state}; in truth it is {truth['state']} with {truth['open_orders']} open orders"
        )


if __name__ == "__main__":
    sys.exit(main())
