# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.kubernetes``: make the programs of the cluster now, not at the first `up`."""

from __future__ import annotations

import asyncio
import sys

from ..errors import LabError
from . import programs


def main() -> int:
    try:
        asyncio.run(programs.ensure(lambda text: print(text, file=sys.stderr, flush=True)))
    except LabError as exc:
        print(f"tradeops_lab.kubernetes: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the next one goes on from here", file=sys.stderr)
        return 130
    print(programs.binary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
