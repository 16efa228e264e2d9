# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import FAILURES
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import arguments, carry_out

_VERB = "trading_state_fleet"
# Seconds beyond the time budget of a site in which its own report is awaited.
_GRACE = 2.0

Results = dict[str, dict[str, t.Any]]


class ActionModule(ActionBase):
    """One order to all sites of the play, in one process with one thread a site: no site waits for another."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        results, budget = self._order(variables)
        counts: dict[str, int] = {}
        for result in results.values():
            counts[result["result"]] = counts.get(result["result"], 0) + 1
        failed = sorted(name for name, result in results.items() if result["result"] in FAILURES)
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        return {
            "changed": any(result["changed"] for result in results.values()),
            "failed": bool(failed) and self._task.args.get("on_failure", "fail") == "fail",
            "msg": f"{len(results)} sites in {budget.elapsed:.2f} s: {said}",
            "failed_sites": failed,
            "elapsed": round(budget.elapsed, 3),
            "sites": results,
        }

    def _order(self, variables: dict[str, t.Any]) -> tuple[Results, Deadline]:
        results: Results = {}
        threads: list[tuple[str, threading.Thread]] = []
        hostvars = variables["hostvars"]
        longest = 0.0
        budget = Deadline(0.0)
        wanted, names = str(self._task.args.get("state", "")), []
        for name in [str(host) for host in variables["ansible_play_hosts"]]:
            try:
                given = arguments(name, self._task.args, hostvars[name], self._templar.template)
            except Exception as exc:  # noqa: BLE001 - an undefined variable of one site must not save the others from the order
                results[name] = _silent(name, wanted) | {"result": "refused", "msg": f"{name}: {exc}. Nothing was sent."}
                names.append(name)
                continue
            names.append(name)
            longest = max(longest, _seconds(given))
            # A site starts while the variables of the next are still being read.
            thread = threading.Thread(target=self._one, args=(name, given, results), name=name, daemon=True)
            thread.start()
            threads.append((name, thread))
        budget.seconds = budget.elapsed + longest + _GRACE
        for name, thread in threads:
            thread.join(budget.remaining)
            if thread.is_alive():
                results[name] = _silent(name, wanted)
        return {name: results[name] for name in names}, budget

    def _one(self, name: str, given: dict[str, t.Any], results: Results) -> None:
        try:
            results[name] = carry_out(_VERB, name, given, check_mode=self._task.check_mode)
        except Exception as exc:  # noqa: BLE001 - a defect at one site must not hide the others; it is reported as a failure
            results[name] = _silent(name, str(given.get("state", ""))) | {"msg": f"{name}: {type(exc).__name__}: {exc}"}


def _seconds(given: t.Mapping[str, t.Any]) -> float:
    try:
        return float(given.get("wait_timeout", 30.0))
    except (TypeError, ValueError):
        return 0.0  # the site's own validation says what is wrong with it


def _silent(name: str, wanted: str) -> dict[str, t.Any]:
    return {
        "site": name,
        "capability": "trading",
        "wanted": wanted,
        "result": "unproven",
        "changed": False,
        "failed": True,
        "msg": f"{name}: no report within the time budget",
        "before": {},
        "after": {},
        "plan": [],
        "proof": {"summary": "", "sources": [], "objects": [], "witness": None, "elapsed": 0.0},
        "notes": [],
    }
