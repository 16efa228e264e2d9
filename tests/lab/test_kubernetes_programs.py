# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the cluster are made once, also by two at a time, and an interrupted build leaves none."""

from __future__ import annotations

import asyncio
import os
import pathlib

import pytest

from tradeops_lab.errors import LabError
from tradeops_lab.kubernetes import programs

# A Go that notes each build, and compiles as long as the file `slow` is there.
GO = """#!/bin/sh
case $1 in
    env) echo {version} ;;
    list) printf 'a\\nb\\nc\\n' ;;
    build)
        echo built >> {folder}/builds
        echo tradeops.lab/kubernetes >&2
        while [ -e {folder}/slow ]; do sleep 0.05; done
        if [ -e {folder}/broken ]; then echo 'main.go:1: it is broken' >&2; exit 1; fi
        while [ "$1" != -o ]; do shift; done
        echo made > "$2" ;;
esac
"""


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("TRADEOPS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    _go(tmp_path, "go1.99.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def _go(folder: pathlib.Path, version: str) -> None:
    program = folder / "go"
    program.write_text(GO.format(folder=folder, version=version), encoding="utf-8")
    program.chmod(0o755)


def builds(place: pathlib.Path) -> int:
    return len((place / "builds").read_text(encoding="utf-8").splitlines())


def test_two_at_a_time_make_them_once(place: pathlib.Path) -> None:
    (place / "slow").touch()
    said: list[str] = []

    async def both() -> None:
        jobs = [asyncio.create_task(programs.ensure(said.append)) for _number in range(2)]
        while not any("another build" in line for line in said):
            await asyncio.sleep(0.01)
        assert not programs.is_made()
        (place / "slow").unlink()
        await asyncio.gather(*jobs)

    asyncio.run(both())
    assert builds(place) == 1
    assert programs.binary().read_text(encoding="utf-8") == "made\n"
    assert [path.name for path in programs.binary().parent.iterdir()] == ["kubernetes"]
    asyncio.run(programs.ensure(said.append))
    assert builds(place) == 1
    assert programs.command("kwok") == [str(programs.binary()), "kwok"]


def test_an_interrupted_build_leaves_nothing_that_looks_whole(place: pathlib.Path) -> None:
    (place / "slow").touch()

    async def interrupted() -> None:
        job = asyncio.create_task(programs.ensure(lambda _text: None))
        while not (place / "builds").exists():
            await asyncio.sleep(0.01)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(interrupted())
    assert not programs.is_made()
    (place / "slow").unlink()
    asyncio.run(programs.ensure(lambda _text: None))
    assert programs.is_made()
    assert builds(place) == 2


def test_a_build_that_fails_says_why_and_what_to_do(place: pathlib.Path) -> None:
    (place / "broken").touch()
    with pytest.raises(LabError, match=r"(?s)status 1.*it is broken.*--without kubernetes"):
        asyncio.run(programs.ensure(lambda _text: None))
    assert not programs.is_made()


def test_programs_of_the_user_go_before_our_own(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = place / "assets"
    assets.mkdir()
    server = assets / "kube-apiserver"
    server.write_text(f"#!/bin/sh\necho Kubernetes {programs.RELEASE}\n", encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    asyncio.run(programs.ensure(lambda _text: None))
    assert programs.command("kube-apiserver") == [str(server)]
    assert programs.command("kube-scheduler") == [str(programs.binary()), "kube-scheduler"]


def test_an_api_server_of_another_release_is_refused(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = place / "kube-apiserver"
    server.write_text("#!/bin/sh\necho Kubernetes v1.21.0\n", encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(place))
    with pytest.raises(LabError, match=r"KUBEBUILDER_ASSETS=.* has Kubernetes v1\.21\.0"):
        asyncio.run(programs.ensure(lambda _text: None))
    assert not (place / "builds").exists()
