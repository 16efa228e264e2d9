# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One verb on backups in a process of its own, which a test may kill. Arguments come by standard input, as JSON."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import signal
import sys
import time
import typing as t


def carry_out(asked: dict[str, t.Any]) -> dict[str, t.Any]:
    # Once the clock is what it is to be.
    from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb

    verb, given = asked["verb"], asked["given"]
    spec = VERBS[verb].spec
    parameters = spec.validate(given["site"], {name: value for name, value in given.items() if name in spec.options})
    return run_verb(verb, parameters, check_mode=asked["check_mode"])


def _set_clock(file: pathlib.Path) -> None:
    """Let the clock of this process be off by the seconds that a file says, at any moment."""

    def off() -> float:
        return float(file.read_text())

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> t.Self:
            return super().now(tz) + datetime.timedelta(seconds=off())

    true_time = time.time
    datetime.datetime = Clock  # type: ignore[misc]
    time.time = lambda: true_time() + off()


if __name__ == "__main__":
    if "TEST_CLOCK" in os.environ:
        _set_clock(pathlib.Path(os.environ["TEST_CLOCK"]))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
    print(json.dumps(carry_out(json.load(sys.stdin)), default=str))
