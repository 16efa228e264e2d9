# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tradeops_lab.simulator --lab <folder>``: serve the sites of ``<folder>/run/plan.json``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import pathlib
import sys

from . import app, plan


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tradeops_lab.simulator", description=__doc__)
    parser.add_argument("--lab", type=pathlib.Path, required=True, help="the folder of the lab")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(app.run(plan.read(options.lab / "run" / "plan.json")))
    except (plan.PlanError, LookupError, OSError) as exc:
        print(f"simulator: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
