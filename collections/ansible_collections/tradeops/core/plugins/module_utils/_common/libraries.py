# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What is not in Python's standard library. Where one is missing the doors say so, before anything else."""

from __future__ import annotations

import typing as t

jmespath: t.Any = None
yaml: t.Any = None
MISSING = ""
try:
    import jmespath  # type: ignore[no-redef]
except ImportError:
    MISSING = "jmespath"
try:
    import yaml  # type: ignore[no-redef]
except ImportError:
    MISSING = "PyYAML"
