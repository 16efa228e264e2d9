# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The variables of many hosts inside one task, each resolved as the task of that host would."""

from __future__ import annotations

import functools
import typing as t


class Hosts:
    """Resolves values of any host of the play in that host's own context, with the play, role and task variables.

    ``hostvars`` does not serve: it knows neither play nor task variables, and compiles every template anew. A hundred
    hosts with five templates each cost it most of a second, this a fifth of that.
    """

    def __init__(self, task: t.Any, templar: t.Any, hostvars: t.Any) -> None:
        self._task = task
        self._play = task.get_play()
        self._manager = hostvars._variable_manager
        self._inventory = hostvars._inventory
        self._templar = templar.copy_with_new_env(available_variables={})
        # Groups give their hosts the same templates. This environment is ours alone: nobody else meets the cache.
        engine = getattr(self._templar, "_engine", None)
        if engine is not None:
            engine.environment.from_string = functools.lru_cache(maxsize=1024)(engine.environment.from_string)

    def variables(self, name: str) -> dict[str, t.Any]:
        """Return the variables of a host, not yet resolved, and make ``template`` resolve in its context."""
        host = self._inventory.get_host(name)
        found: dict[str, t.Any] = self._manager.get_vars(play=self._play, host=host, task=self._task)
        self._templar.available_variables = found
        return found

    def template(self, value: t.Any) -> t.Any:
        """Resolve a value in the context of the host that was asked for last."""
        return self._templar.template(value)
