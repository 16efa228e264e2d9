#!/usr/bin/env python3
# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what the shipped profiles can do into docs/modules.md. With --check: only tell whether it is current."""

from __future__ import annotations

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.tradeops.core.plugins.module_utils._platform.profile import (  # noqa: E402 - found by the line above
    SCOPE_KEYS,
    Action,
    Listing,
    Orders,
    Positions,
    Profile,
)
from ansible_collections.tradeops.core.plugins.module_utils._platform.profiles import load  # noqa: E402

PROFILES = ROOT / "collections" / "ansible_collections" / "tradeops" / "core" / "profiles"
PAGE = ROOT / "docs" / "modules.md"
BEGIN = "<!-- tools/capabilities.py writes from here -->\n"
END = "<!-- to here -->\n"
LACKS = "-"


def state(profile: Profile, level: str) -> str:
    """Whether a trading state can be reached, or which one is used in its place."""
    trading = profile.capabilities.trading
    if trading is None:
        return LACKS
    for name, used in trading.levels.items():
        if name == level:
            return f"as {used}"
    return "yes" if level in {step.to for step in trading.transitions} else LACKS


def flat(profile: Profile) -> str:
    """Whether a site can be brought to no order and no position."""
    able = profile.capabilities
    halts = any(state(profile, level) != LACKS for level in ("halted", "stopped"))
    closes = able.orders and able.orders.can and able.positions and able.positions.can
    return "yes" if halts and closes else LACKS


def doable(found: Orders | Positions | None) -> str:
    """Whether orders can be cancelled or positions closed."""
    return LACKS if found is None else "yes" if found.can else "listed only"


def scopes(listing: Listing, every: Action | None, one: Action | None) -> str:
    """By what a wish can be narrowed: the platform tells it of every row, and it can act by it or row by row."""
    found = [key for key in SCOPE_KEYS if key in listing.fields and (one or (every and key in every.scopes))]
    return ", ".join(found) or LACKS


def column(profile: Profile) -> dict[str, str]:
    """What one profile can do, by the name of the row."""
    able = profile.capabilities
    orders, positions = able.orders, able.positions
    by_order = scopes(orders.list, orders.cancel_all, orders.cancel_one) if orders else LACKS
    by_position = scopes(positions.list, positions.close_all, positions.close_one) if positions else LACKS
    return {
        **{f"trading_state {level}": state(profile, level) for level in ("active", "reducing", "halted")},
        "trading_state flat": flat(profile),
        "trading_state stopped": state(profile, "stopped"),
        "a witness proves a stop": "yes" if able.trading and able.trading.witness else LACKS,
        "trading is told by": "its pods" if able.trading_by_workloads else "its API" if able.trading else LACKS,
        "open_orders": doable(orders),
        "orders narrowed by": by_order,
        "orders proven at the venue": "yes" if orders and orders.witness else LACKS,
        "open_positions": doable(positions),
        "positions narrowed by": by_position,
        "positions proven at the venue": "yes" if positions and positions.witness else LACKS,
        "maintenance_mode": ", ".join(able.maintenance.modes) if able.maintenance else LACKS,
        "circuit_breaker": "yes" if able.circuit_breakers else LACKS,
        "rollout": "yes" if able.rollout else LACKS,
        "risk_limits": "yes" if able.risk_limits else LACKS,
        "configuration": "yes" if able.configuration else LACKS,
        "dead_man_switch": "yes" if able.dead_man_switch else LACKS,
        "health": "yes" if able.health else LACKS,
        "hours of the market": "yes" if able.market else LACKS,
        "metrics": str(len(able.metrics)) if able.metrics else LACKS,
    }


def matrix() -> str:
    """The table of all shipped profiles."""
    found = {path.stem: column(load(path)) for path in sorted(PROFILES.glob("*.yml"))}
    lines = [f"| | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for name in next(iter(found.values())):
        lines.append(f"| {name} | {' | '.join(column[name] for column in found.values())} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is not current")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    current = f"{before}{BEGIN}{matrix()}{END}{after}"
    if current == page:
        return 0
    if arguments.check:
        print(f"{PAGE.relative_to(ROOT)} is not current: run tools/capabilities.py", file=sys.stderr)
        return 1
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
