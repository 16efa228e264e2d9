# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gc
import queue
import threading
import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError, Unproven
from ansible_collections.tradeops.core.plugins.module_utils._common.outcome import FAILURES
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._platform.door import failure
from ansible_collections.tradeops.core.plugins.plugin_utils._hosts import Hosts
from ansible_collections.tradeops.core.plugins.plugin_utils._verb import arguments, carry_out

_VERB = "trading_state_fleet"
# Seconds beyond the time budget of a site in which its own report is awaited.
_GRACE = 2.0
# With block_only, a site that does not answer holds nobody back: it is awaited for so many seconds from the start, in
# which the order leaves also where no state can be read, and then while others still answer within a pause.
_LAGGARD = 2.0
_PAUSE = 0.5
# How many failures the message tells in full; the result has all.
_TOLD = 5

Results = dict[str, dict[str, t.Any]]


class ActionModule(ActionBase):
    """One order to all sites of the play, in one process with one thread a site: no site waits for another."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        gc.disable()  # this process ends with the task; looking for garbage costs a fifth of the order
        budget = Deadline(0.0)
        results = self._order(task_vars or {}, budget)
        counts: dict[str, int] = {}
        for result in results.values():
            counts[result["result"]] = counts.get(result["result"], 0) + 1
        failed = sorted(name for name, result in results.items() if result["result"] in FAILURES)
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        told = [results[name]["msg"] for name in failed[:_TOLD]]
        more = [f"and {len(failed) - _TOLD} more"] if len(failed) > _TOLD else []
        return {
            "changed": any(result["changed"] for result in results.values()),
            "failed": bool(failed) and self._task.args.get("on_failure", "fail") == "fail",
            "msg": "\n".join([f"{len(results)} sites in {budget.elapsed:.2f} s: {said}", *told, *more]),
            "failed_sites": failed,
            "elapsed": round(budget.elapsed, 3),
            "sites": results,
        }

    def _order(self, variables: dict[str, t.Any], budget: Deadline) -> Results:
        # Of a batch (serial), not of the whole play: an order to resume must not go further than the batch.
        names = [str(name) for name in variables["ansible_play_batch"]]
        hosts = Hosts(self._task, self._templar, variables["hostvars"])
        answers: queue.SimpleQueue[tuple[str, dict[str, t.Any]]] = queue.SimpleQueue()
        longest = 0.0
        for name in names:
            try:
                given = arguments(name, self._task.args, hosts.variables(name), hosts.template) | {"site": name}
            except Exception as exc:  # noqa: BLE001 - variables of one site that cannot be resolved must not stop the others' order
                answers.put((name, failure(_VERB, {"site": name}, InputError(f"{exc}. Nothing was sent."))))
                continue
            longest = max(longest, _seconds(given))
            # A site starts while the variables of the next are still being read.
            threading.Thread(target=self._one, args=(name, given, answers), name=name, daemon=True).start()
        budget.seconds = budget.elapsed + longest + _GRACE
        found = self._collect(names, answers, budget)
        return {name: found.get(name) or _silent(name, self._task.args, budget) for name in names}

    def _collect(self, names: list[str], answers: queue.SimpleQueue[t.Any], budget: Deadline) -> Results:
        found: Results = {}
        hurried = boolean(self._task.args.get("block_only", False), strict=False)
        while len(found) < len(names):
            wait = max(_LAGGARD - budget.elapsed, _PAUSE) if hurried and found else budget.remaining
            try:
                name, result = answers.get(timeout=min(wait, budget.remaining))
            except queue.Empty:
                break
            found[name] = result
        return found

    def _one(self, name: str, given: dict[str, t.Any], answers: queue.SimpleQueue[t.Any]) -> None:
        try:
            result = carry_out(_VERB, name, given, check_mode=self._task.check_mode)
        except Exception as exc:  # noqa: BLE001 - a defect at one site must not hide the others; it is reported as a failure
            result = failure(_VERB, given, exc)
        answers.put((name, result))


def _seconds(given: t.Mapping[str, t.Any]) -> float:
    try:
        return float(given.get("wait_timeout", 30.0))
    except (TypeError, ValueError):
        return 0.0  # the site's own validation says what is wrong with it


def _silent(name: str, given: t.Mapping[str, t.Any], budget: Deadline) -> dict[str, t.Any]:
    problem = Unproven(f"{name}: no report within {budget.elapsed:.1f} s; whether the order arrived is not known")
    return failure(_VERB, {**given, "site": name}, problem)
