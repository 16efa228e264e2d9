# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What is not in Python's standard library. Where one is missing the doors say so, before anything else."""

from __future__ import annotations

import importlib
import typing as t


def _library(name: str) -> t.Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


jmespath = _library("jmespath")
yaml = _library("yaml")
MISSING = "" if jmespath and yaml else "PyYAML" if jmespath else "jmespath"
