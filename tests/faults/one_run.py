# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One verb on backups in a process of its own, which a test may kill. Arguments come by standard input, as JSON."""

from __future__ import annotations

import json
import signal
import sys
import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._backup.registry import VERBS, run_verb


def carry_out(asked: dict[str, t.Any]) -> dict[str, t.Any]:
    verb, given = asked["verb"], asked["given"]
    spec = VERBS[verb].spec
    parameters = spec.validate(given["site"], {name: value for name, value in given.items() if name in spec.options})
    return run_verb(verb, parameters, check_mode=asked["check_mode"])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
    print(json.dumps(carry_out(json.load(sys.stdin)), default=str))
