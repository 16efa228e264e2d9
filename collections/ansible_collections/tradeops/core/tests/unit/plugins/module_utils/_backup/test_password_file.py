# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of a database is in a file for as long as a program needs it, and no longer."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.postgresql import environment

GIVEN: dict[str, t.Any] = {
    "postgresql": {"host": "db", "port": 5432, "database": "site", "user": "tradeops"},
    "secrets": {"postgresql_password": "a:b\\c"},
}
HOLDS = """
import json, sys
from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.postgresql import environment
with environment(json.loads(sys.argv[1])) as env:
    print(env["PGPASSFILE"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_for_us_alone_and_goes_with_the_block(tmp_path: pathlib.Path) -> None:
    with environment(GIVEN) as env:
        file = pathlib.Path(env["PGPASSFILE"])
        assert file.read_text() == "*:*:*:*:a\\:b\\\\c\n"
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_killed_run_is_removed_by_the_next(tmp_path: pathlib.Path) -> None:
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, json.dumps(GIVEN)],
        env=surroundings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        left = pathlib.Path(t.cast("t.IO[str]", process.stdout).readline().strip())
        with environment(GIVEN):
            assert left.is_file()  # it lives
        process.send_signal(signal.SIGKILL)
    assert left.is_file()
    with environment(GIVEN):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []
