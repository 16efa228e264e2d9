# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import time

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import programs
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines import barman
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused

SLEEP = ["sleep", "600"]


def test_another_thread_ends_what_runs_and_what_is_about_to() -> None:
    running = programs.Running()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(programs.run, SLEEP, None, env={}, what="a rest", running=running)
        time.sleep(0.2)  # so that it mostly runs; it is ended all the same where it does not yet
        running.end()
        with pytest.raises(Refused, match="a rest: sleep was killed by SIGTERM"):
            done.result(timeout=30)
    with pytest.raises(Refused, match="a rest: sleep was killed by SIGTERM"):
        programs.run(SLEEP, None, env={}, what="a rest", running=running)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "#!/opt/venv/bin/python3.11\nimport sys\nfrom barman.clients.cloud_restore import main\nsys.exit(main())\n",
            (["/opt/venv/bin/python3.11"], "barman.clients.cloud_restore"),
        ),
        (
            "#!/usr/bin/env python3\nfrom barman.clients.cloud_walrestore import main\n",
            (["/usr/bin/env", "python3"], "barman.clients.cloud_walrestore"),
        ),
        (
            "#!/bin/sh\n'''exec' '/a b/python' \"$0\" \"$@\"\n' '''\nfrom barman.clients.cloud_restore import main\n",
            None,
        ),
        ("#!/usr/bin/python3\nfrom elsewhere import main\n", None),
        ("\x7fELF", None),
    ],
)
def test_a_script_of_barman_tells_its_python_and_its_main(
    tmp_path: pathlib.Path, text: str, found: tuple[list[str], str] | None
) -> None:
    program = tmp_path / "barman-cloud-restore"
    program.write_text(text, encoding="utf-8")
    assert barman._inside(program) == found


def test_one_process_runs_a_main_for_each_line(tmp_path: pathlib.Path) -> None:
    """Barman and boto3 are played: what is told is how they are called, and that an archive is read in large pieces."""
    package = tmp_path / "barman" / "clients"
    package.mkdir(parents=True)
    for file in (tmp_path / "boto3.py", package / "__init__.py", package.parent / "__init__.py"):
        file.touch()
    (package / "cloud_played.py").write_text(
        "import json, os, sys, tarfile\n"
        "def main(argv):\n"
        "    print(json.dumps([os.getpid(), argv, tarfile.open.keywords['bufsize']]))\n"
        "    if argv == ['fail']: sys.exit(3)\n",
        encoding="utf-8",
    )

    def told(*argvs: list[str]) -> tuple[int, list[tuple[int, list[str], int]]]:
        done = subprocess.run(
            [sys.executable, "-c", barman._RUN, "barman.clients.cloud_played"],
            input="".join(json.dumps(argv) + "\n" for argv in argvs),
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    status, seen = told(["one", "ä"], ["two"])
    assert (status, [row[1] for row in seen]) == (0, [["one", "ä"], ["two"]])
    assert len({row[0] for row in seen}) == 1 and all(row[2] > 10240 for row in seen)
    status, seen = told(["fail"], ["two"])
    assert (status, [row[1] for row in seen]) == (3, [["fail"]])
    assert told() == (0, [])
