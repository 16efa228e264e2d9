# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios run: one lab for all, started and stopped by the scenario default."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from playing import ending

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(sys.executable).parent


@pytest.mark.timeout(1800)  # all of them, one after the other
def test_all_scenarios() -> None:
    done = subprocess.run(
        [str(PROGRAMS / "molecule"), "test", "--all"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, ending(done.stdout)
