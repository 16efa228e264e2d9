# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of docs/backup.md that restore a set without tradeops do what they say, as they stand there."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest
from simulator_ground import Ground
from taking import Site, by_hand

# In test_objects.py, test_recovery.py and test_metrics.py, where the servers are that they need.
ELSEWHERE = ("kubectl ", "barman-cloud-", "promtool ")


@pytest.fixture
def site(ground: Ground, tmp_path: pathlib.Path) -> t.Iterator[Site]:
    made = Site(ground, tmp_path)
    made.fill(1)
    made.with_files("models")
    made.with_redis()
    (made.files / "model one.bin").write_bytes(b"weights")
    yield made
    with made.session("postgres") as session:
        session.execute(f'DROP DATABASE IF EXISTS "{made.database}_before" WITH (FORCE)')
    made.drop()


def test_a_set_is_restored_by_the_lines_of_the_page(site: Site, ground: Ground) -> None:
    set_id = site.take()["backup_id"]
    with site.session() as session:
        session.execute("DELETE FROM noise WHERE id > 10")
    key, work = site.work / "key.txt", site.work / "by-hand"
    key.write_text(f"# created: today\n{site.identity}\n", encoding="utf-8")
    work.mkdir()
    lines = [block for block in by_hand() if not any(word in block for word in ELSEWHERE)]
    assert len(lines) >= 8, "the page has lost its lines"
    environment = {
        **site.login,
        "PATH": f"{ground.lab['redis']['bin']}:{site.login['PATH']}",
        "SET": str(site.folder(set_id)),
        "KEY": str(key),
        "WORK": str(work),
        "DATABASE": site.database,
    }
    done = subprocess.run(
        ["bash", "-eux", "-c", "\n".join(lines)],
        cwd=site.work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with site.session() as session:
        assert session.execute("SELECT count(*) FROM noise").fetchone() == (1000,)
    with site.session(f"{site.database}_before") as session:
        assert session.execute("SELECT count(*) FROM noise").fetchone() == (10,)
    assert "public.noise 1000" in done.stdout
    assert "db9:keys=1" in done.stdout
    (model,) = (work / "models" / "unpacked").rglob("model one.bin")
    assert model.read_bytes() == b"weights"


def test_a_damaged_artefact_is_found_by_the_first_lines(site: Site) -> None:
    set_id = site.take()["backup_id"]
    dump = site.folder(set_id) / "database" / "database.dump.zst.age"
    dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    check = next(block for block in by_hand() if "sha256sum" in block)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", check],
        cwd=site.folder(set_id),
        env={**site.login, "WORK": str(site.work)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "database/database.dump.zst.age: FAILED" in done.stdout
