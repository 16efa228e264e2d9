# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.prometheus``: get the programs of Prometheus and Alertmanager now; no `up` does it."""

from __future__ import annotations

import sys

from . import programs

if __name__ == "__main__":
    # What cannot be had is no failure: a lab starts without it, and tests that need it are skipped with the reason.
    print(programs.fetch() or programs.missing() or programs.place())
    sys.exit(0)
