# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.freqtrade <command>``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from ..errors import LabError
from ..folder import Folder
from . import bot


def main(arguments: list[str] | None = None) -> int:
    """Run one command; progress goes to standard error, the description of the site to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tradeops_lab.freqtrade", description=bot.__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument(
        "--lab", metavar="FOLDER", help="the folder of the lab (default: $TRADEOPS_LAB_DIR, else the usual one)"
    )
    options = parser.parse_args(arguments)
    folder = Folder.choose(directory=options.lab)
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        if options.command == "up":
            site, _changed = asyncio.run(bot.up(folder, tell))
            shown = {**site, "secrets": sorted(site["secrets"])}
            print(json.dumps({bot.SITE: shown, "folder": str(folder.path)}))
        elif options.command == "down":
            tell(f"{bot.SITE} {'stopped' if asyncio.run(bot.down(folder, tell)) else 'did not run'}")
        else:
            print(asyncio.run(bot.status(folder)))
    except LabError as exc:
        print(f"tradeops_lab.freqtrade: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
