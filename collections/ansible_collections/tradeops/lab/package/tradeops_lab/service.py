# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.service --lab <folder> SITE SERVICE``: one service of a site, as its supervisor sees it.

The simulator answers for the service; this process decides whether it is there. Its port is open while this process
runs, and closes with it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import socket
import sys
import time

from .waiting import POLL, pause

PATIENCE = 60.0  # seconds to wait for a simulator that is still starting
OPEN = b"open\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tradeops_lab.service", description=__doc__)
    parser.add_argument("--lab", type=pathlib.Path, required=True, help="the folder of the lab")
    parser.add_argument("site")
    parser.add_argument("service")
    given = parser.parse_args(arguments)
    _belong(given.lab)
    connection = _connect(str(given.lab / "run" / "services.sock"))
    if connection is None:
        print(f"{given.site} {given.service}: no simulator within {PATIENCE:.0f} s", file=sys.stderr)
        return 1
    with connection:
        connection.sendall(f"{given.site} {given.service}\n".encode())
        if connection.recv(len(OPEN)) != OPEN:
            print(f"{given.site} {given.service}: it does not start", file=sys.stderr)
            return 1
        connection.recv(1)  # comes back when the simulator has ended
    return 1


def _belong(lab: pathlib.Path) -> None:
    """Take the log of the part as standard error, which makes a process one of the lab (see ``processes``)."""
    log = os.open(lab / "logs" / "supervisor.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    os.close(log)


def _connect(path: str) -> socket.socket | None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            pause(POLL)
            continue
        return connection
    return None


if __name__ == "__main__":
    sys.exit(main())
