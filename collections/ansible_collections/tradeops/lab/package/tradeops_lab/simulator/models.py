# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model files of a site with their manifest: real files, so that a test can damage them."""

from __future__ import annotations

import hashlib
import pathlib
import shutil
import typing as t

MANIFEST = "SHA256SUMS"
SIZE = 64 * 1024  # bytes of a model


def furnish(folder: pathlib.Path, names: t.Sequence[str]) -> None:
    """Write the models anew, as if the training had just ended."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    sums = []
    for name in names:
        content = hashlib.shake_256(name.encode()).digest(SIZE)
        (folder / name).write_bytes(content)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / MANIFEST).write_text("".join(sums), encoding="utf-8")
