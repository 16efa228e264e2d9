# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs end with the one who runs them, and do not begin without."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import programs
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused

pytestmark = pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv (util-linux) is not installed")
RUNS = """
import sys
from ansible_collections.tradeops.core.plugins.module_utils._backup import programs
programs.run(["sh", "-c", "echo $$ > $0; exec sleep 60", sys.argv[1]], None, env={}, what="to sleep")
"""


def test_a_program_whose_process_has_ended_before_it_does_not_begin(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "made here"
    argv = programs._bound(["touch", str(file)])
    done = subprocess.run(["sh", "-c", '"$@"; echo $?', "another", *argv], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr, file.exists()) == ("1\n", "", False)
    subprocess.run(argv, check=True)
    assert file.exists()


def test_a_program_ends_with_its_process(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "number"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", RUNS, str(file)], env=environment) as process:
        end = time.monotonic() + 60
        while not (file.exists() and file.read_text().strip()):
            assert time.monotonic() < end
            time.sleep(0.01)  # until it has begun, or the test is over
        process.kill()
    status = pathlib.Path(f"/proc/{file.read_text().strip()}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_its_arguments_its_output_and_its_status_are_its_own() -> None:
    pieces: list[bytes] = []

    class Output:
        def write(self, data: bytes) -> None:
            pieces.append(data)

    programs.run(["printf", "%s|", "a b", "$HOME", "'", "\n"], Output(), env={}, what="to print")
    assert b"".join(pieces) == b"a b|$HOME|'|\n|"
    with pytest.raises(Refused, match="to fail: sh ended with the status 7: broken"):
        programs.run(["sh", "-c", "echo broken >&2; exit 7"], None, env={}, what="to fail")
