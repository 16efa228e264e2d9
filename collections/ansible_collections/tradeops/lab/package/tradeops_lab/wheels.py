# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the servers lie that came as wheels."""

from __future__ import annotations

import importlib.metadata
import pathlib

from .errors import LabError


def find(distribution: str, ends_with: str) -> pathlib.Path:
    """Return the installed file of ``distribution`` whose path ends with ``ends_with``."""
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError as exc:
        raise LabError(
            f"the Python package {distribution} is not installed: pip install -r requirements-lab.txt"
        ) from exc
    for file in files:
        if str(file).endswith(ends_with):
            return pathlib.Path(str(file.locate())).resolve()
    raise LabError(f"the Python package {distribution} has no {ends_with}: install it again")
