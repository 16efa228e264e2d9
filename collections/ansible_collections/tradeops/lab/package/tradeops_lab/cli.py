# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``up``, ``down`` and ``status`` work on the lab, the others talk to a running one."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import typing as t

from .errors import LabError
from .folder import Folder, read_json
from .lab import OPTIONAL, Lab, Report
from .web import call

EXIT_FAILED, EXIT_STOPPED = 1, 3


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0; 1 when it failed or part of the lab does not work; 3 when no lab runs."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments, Folder.choose(arguments.name or None, arguments.dir or None)))
    except LabError as exc:
        print(f"tradeops_lab: {exc}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as exc:  # the disk is full, the folder is another user's
        print(f"tradeops_lab: {exc}", file=sys.stderr)
        return EXIT_FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("tradeops_lab: interrupted", file=sys.stderr)
        return 130


def _up(arguments: argparse.Namespace, folder: Folder) -> int:
    sites = [name.strip() for name in arguments.sites.split(",") if name.strip()]
    without = [name.strip() for name in arguments.without.split(",") if name.strip()]
    report = _run(Lab(folder).up(sites or None, without=without))
    said = "is up" if report.changed else "was up already"
    _show(arguments, report, f"lab {folder.name} {said}: {report.parts['simulator']}, {folder.path}")
    return 0


def _down(arguments: argparse.Namespace, folder: Folder) -> int:
    report = _run(Lab(folder).down(purge=arguments.purge))
    _show(arguments, report, f"lab {folder.name} is down" if report.changed else f"no lab runs in {folder.path}")
    return 0


def _status(arguments: argparse.Namespace, folder: Folder) -> int:
    report = _run(Lab(folder).status())
    running = [text.startswith("running") for text in report.parts.values()]
    lines = [f"{part:<11} {text}" for part, text in report.parts.items()] or [f"no lab in {folder.path}"]
    _show(arguments, report, "\n".join(lines))
    if running and all(running):
        return 0
    return EXIT_FAILED if any(running) or folder.lab_json.exists() else EXIT_STOPPED


def _fault(arguments: argparse.Namespace, folder: Folder) -> int:
    where = f"{_place(arguments.site)}/faults"
    if arguments.kind == "none":
        return _talk(folder, "DELETE", where)
    keys = ("service", "method", "path", "times", "seconds", "status", "ids", "after")
    fault = {key: getattr(arguments, key) for key in keys if getattr(arguments, key) is not None}
    return _talk(folder, "PUT", where, {"faults": [{"kind": arguments.kind, **fault}]})


def _place(site: str) -> str:
    """Where a site is on the control port, or S3, which has requests and faults as sites have."""
    return "/s3" if site == "s3" else f"/sites/{site}"


def _requests(arguments: argparse.Namespace, folder: Folder) -> int:
    where = f"{_place(arguments.site)}/requests"
    return (
        _talk(folder, "DELETE", where) if arguments.clear else _talk(folder, "GET", f"{where}?since={arguments.since}")
    )


def _reset(arguments: argparse.Namespace, folder: Folder) -> int:
    return _talk(folder, "POST", f"/sites/{arguments.site}/reset", {})


def _data(arguments: argparse.Namespace, folder: Folder) -> int:
    from . import data  # the clients of the stores take longer to import than everything else

    volume, changed = data.fill(
        folder, arguments.site, data.size(arguments.size), lambda line: print(line, file=sys.stderr, flush=True)
    )
    facts = dataclasses.asdict(volume) | {"total": volume.total, "changed": changed}
    parts = f"database {volume.database / 1e6:.0f} MB, files {volume.files / 1e6:.0f} MB, {volume.sessions} sessions"
    said = "holds now" if changed else "held already"
    print(json.dumps(facts) if arguments.json else f"{arguments.site} {said} {volume.total / 1e6:.0f} MB: {parts}")
    return 0


def _messages(arguments: argparse.Namespace, folder: Folder) -> int:
    return _talk(folder, "DELETE" if arguments.clear else "GET", "/messages", port="sink")


def _talk(folder: Folder, method: str, path: str, body: t.Any = None, port: str = "control") -> int:
    """Send one request to the running lab and print the answer."""
    lab = read_json(folder.lab_json)
    if lab is None:
        print(f"tradeops_lab: no lab runs in {folder.path}: python -m tradeops_lab up", file=sys.stderr)
        return EXIT_STOPPED
    url = (lab["sink"]["http"] if port == "sink" else lab["control"]) + path
    try:
        content = None if body is None else json.dumps(body).encode()
        answer = call(method, url, content, {"Content-Type": "application/json"} if content else {}, timeout=30)
    except OSError as exc:
        raise LabError(f"{exc}: python -m tradeops_lab up repairs a lab") from exc
    text = answer.body.decode(errors="replace").strip()
    if answer.status >= 400:
        raise LabError(f"{method} {url} answered {answer.status}: {text}")
    if text:
        print(text)
    return 0


def _show(arguments: argparse.Namespace, report: Report, text: str) -> None:
    if not arguments.json:
        print(text)
        return
    plan = report.plan
    facts = {
        "changed": report.changed,
        "name": report.folder.name,
        "dir": str(report.folder.path),
        "control": plan["control"] if plan else None,
        "sites": list(plan["sites"]) if plan else [],
        "parts": report.parts,
        "elapsed": report.elapsed,
    }
    print(json.dumps(facts))


def _run(work: t.Coroutine[t.Any, t.Any, Report]) -> Report:
    async def until_told() -> Report:
        # SIGINT does so already; a closed terminal or a stopped job is to leave no half a lab behind either.
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(until_told())


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", help="which lab; its folder is then ${TMPDIR:-/var/tmp}/tradeops-lab-<uid>/<name>")
    common.add_argument("--dir", help="the folder of the lab (default: $TRADEOPS_LAB_DIR, else the lab named lab)")
    parser = argparse.ArgumentParser(prog="python -m tradeops_lab", description="The practice ground of tradeops.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: t.Callable[[argparse.Namespace, Folder], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[common])
        sub.set_defaults(run=run)
        return sub

    up = command("up", _up, "start the lab, or repair it; a lab that runs is left as it is")
    up.add_argument("--sites", default="", help="only these sites, separated by commas (default: all)")
    up.add_argument(
        "--without", default="", help=f"without these parts, separated by commas; known: {', '.join(OPTIONAL)}"
    )
    down = command("down", _down, "stop the lab")
    down.add_argument("--purge", action=argparse.BooleanOptionalAction, default=False, help="remove its folder as well")
    status = command("status", _status, "say what runs and answers")
    volume = command("data", _data, "let a site hold so much data; what is there already counts")
    volume.add_argument("--site", required=True, help="which site")
    volume.add_argument("--size", required=True, help="how much, such as 50MB or 1GB")
    for sub in (up, down, status, volume):
        sub.add_argument("--json", action="store_true", help="one JSON object on standard output")

    fault = command("fault", _fault, "make a site, or s3, misbehave; replaces its earlier faults")
    fault.add_argument("site", help="the name of a site, or s3")
    fault.add_argument("kind", help="lie, hang, reset, ... (see README.md), or none to behave again")
    for option, kind, text in (
        ("service", str, "only this service"),
        ("method", str, "only this method"),
        ("path", str, "only paths that match this pattern"),
        ("times", int, "only so often"),
        ("seconds", float, "for kinds that take a time"),
        ("status", int, "for kinds that answer with a status"),
        ("ids", int, "for refuse_orders: how many orders"),
        ("after", int, "only after so many requests that fit"),
    ):
        fault.add_argument(f"--{option}", type=kind, help=text)
    requests = command("requests", _requests, "show the requests that a site, or s3, has got")
    requests.add_argument("site", help="the name of a site, or s3")
    requests.add_argument("--since", type=int, default=0, help="only those after this number")
    requests.add_argument("--clear", action="store_true", help="forget them instead")
    reset = command("reset", _reset, "put a site back to how it began, without faults")
    reset.add_argument("site")
    messages = command("messages", _messages, "show the notifications that were received")
    messages.add_argument("--clear", action="store_true", help="forget them instead")
    return parser
