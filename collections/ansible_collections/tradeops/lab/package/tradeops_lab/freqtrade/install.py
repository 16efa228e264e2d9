# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""freqtrade in a virtual environment of its own, made once on a machine.

Seen with Python 3.11 and two cores: 85 s and 770 MB.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import typing as t

from .. import cache
from ..errors import LabError
from ..processes import tail

VERSION = "2026.9"
_COMPLETE = "complete"  # written last: an environment without it was left half made


def environment() -> pathlib.Path:
    """Where the environment is, or will be."""
    return cache.folder() / f"freqtrade-{VERSION}-python{sys.version_info.major}.{sys.version_info.minor}"


def is_installed() -> bool:
    return (environment() / _COMPLETE).exists()


def ensure(tell: t.Callable[[str], None]) -> pathlib.Path:
    """Return the program ``freqtrade``, installed now if it was not. Raises LabError with the end of pip's output."""
    folder = environment()
    program = folder / "bin" / "freqtrade"
    if is_installed():
        return program
    with cache.locked(folder.parent):
        if is_installed():  # by another lab, while we waited
            return program
        shutil.rmtree(folder, ignore_errors=True)
        tell(f"installing freqtrade {VERSION} into {folder}, once: one or two minutes, 770 MB")
        log = folder.with_suffix(".log")
        _run([sys.executable, "-m", "venv", str(folder)], log, "wb")
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", f"freqtrade=={VERSION}"], log, "ab")
        log.unlink()
        (folder / _COMPLETE).touch()
    return program


def _run(argv: list[str], log: pathlib.Path, mode: t.Literal["wb", "ab"]) -> None:
    with log.open(mode) as output:
        status = subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if status != 0:
        raise LabError(f"{' '.join(argv)} ended with status {status}. {log} ends with:\n{tail(log)}")
