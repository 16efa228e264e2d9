# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What the journal keeps of what Ansible tells: the edge where Ansible's types become plain ones."""

from __future__ import annotations

import os
import pathlib
import platform
import typing as t

from ansible.playbook.block import Block
from ansible.release import __version__ as ansible_version

from ansible_collections.tradeops.core.plugins.module_utils._evidence import facts
from ansible_collections.tradeops.core.plugins.module_utils._evidence.clean import (
    clean,
    clean_parameters,
    clean_text,
    plain,
)

OURS = "tradeops."
_ROOT = pathlib.Path(__file__).resolve().parents[3]
# What a module of ours says, and what is kept of any other module.
_RESULT_OURS = ("site", "capability", "wanted", "result", "before", "after", "plan", "proof", "notes", "msg")
_RESULT_OTHERS = ("msg", "rc")
_LONGEST_TEXT = 4000  # characters of what another module says
_ARGUMENTS = ("subset", "tags", "skip_tags", "check", "diff", "start_at_task", "forks")


def text(value: t.Any) -> str:
    """Return a name as plain text without what looks like a secret."""
    return clean_text(str(plain(value)))


def start(playbook: t.Any, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return who runs what, where, why and with which code."""
    plays = playbook.get_plays()
    extra_vars = plays[0].get_variable_manager().extra_vars if plays else {}
    given = {name: plain(arguments.get(name)) for name in _ARGUMENTS}
    reason = plain(extra_vars.get("tradeops_reason"))
    return {
        "operator": facts.find_operator(os.environ, plain(dict(extra_vars))),
        "login": facts.login_name(),
        "reason": clean_text(str(reason)) if reason else "",
        "playbook": plain(playbook._file_name),
        "limit": given.pop("subset"),
        "check": bool(given["check"]),
        "arguments": {name: value for name, value in given.items() if value not in (None, [], False)},
        "inventory": plain(arguments.get("inventory") or []),
        "hosts": _hosts(plays),
        "job": {
            name: plain(extra_vars[name])
            for name in ("awx_job_id", "awx_job_template_name", "tower_job_id", "tower_job_template_name")
            if name in extra_vars
        },
        "code": {"tradeops.core": facts.collection_version(_ROOT), "commit": facts.git_commit(_ROOT)},
        "controller": platform.node(),
        "ansible": ansible_version,
        "python": platform.python_version(),
    }


def batch(play: t.Any) -> list[str]:
    """Return the hosts with which a play begins."""
    variables = play.get_variable_manager().get_vars(play=play)
    chosen = set(variables.get("ansible_play_hosts_all", ()))
    return [plain(host) for host in variables.get("ansible_play_batch", ()) if host in chosen]


def action(task: t.Any) -> str:
    """Return the full name of the module of a task, or what is written there when it is a template."""
    written = str(plain(task.action))
    return written if "{{" in written else str(plain(task.resolved_action or written))


def is_rescued(task: t.Any) -> bool:
    """Whether a failure of ``task`` is caught by the rescue section of a block around it."""
    child, parent = task, task._parent
    while parent is not None:
        # Failures inside the rescue and always sections of a block are not caught by that block itself.
        if isinstance(parent, Block) and parent.rescue and any(child._uuid == other._uuid for other in parent.block):
            return True
        child, parent = parent, parent._parent
    return False


def results(told: t.Any, common: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """Yield what is kept of a task result: one record, or of a whole fleet one for each site and then their sum."""
    task, data = told.task, told.result
    name = action(task)
    ours = name.startswith(OURS)
    kept: dict[str, t.Any] = {
        **common,
        "host": plain(told.host.get_name()),
        "task": text(told.task_name),
        "task_id": task._uuid,
        "action": name,
        "changed": bool(told.is_changed()),
    }
    if task.check_mode is True:
        kept["check"] = True
    if data.get("_ansible_no_log") or "censored" in data or task.no_log is True:
        yield {**kept, "censored": True}
        return
    sites = data.get("sites") if ours else None
    if isinstance(sites, dict) and all(isinstance(site, dict) for site in sites.values()):
        for site, part in sites.items():
            yield kept | _of_site(plain(site), part)
        kept["sites"] = len(sites)
    yield kept | _said(data, ours=ours)


def _of_site(site: str, data: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the record of one site out of the result of a fleet: its own time, and its own status."""
    said = _said(data, ours=True)
    changed, failed = bool(data.get("changed")), bool(data.get("failed"))
    status = "failed" if failed else "changed" if changed else "ok"
    elapsed = (said.get("proof") or {}).get("elapsed")
    timing = {"duration": elapsed} if isinstance(elapsed, (int, float)) and elapsed > 0 else {}
    return {"host": site, "site": site, "status": status, "changed": changed, **timing, **said}


def _said(data: dict[str, t.Any], *, ours: bool) -> dict[str, t.Any]:
    invocation = data.get("invocation")
    parameters = invocation.get("module_args") if isinstance(invocation, dict) else None
    kept = {"parameters": clean_parameters(parameters, ours=ours)} if isinstance(parameters, dict) else {}
    said = {key: clean(data[key]) for key in (_RESULT_OURS if ours else _RESULT_OTHERS) if key in data}
    return kept | (said if ours else {key: _short(value) for key, value in said.items()})


def _hosts(plays: t.Sequence[t.Any]) -> list[str]:
    """Return the hosts of all plays; a play whose pattern is a template counts with all hosts of the inventory."""
    hosts: dict[str, None] = {}
    for play in plays:
        variables = play.get_variable_manager().get_vars(play=play)
        hosts.update(dict.fromkeys(plain(list(variables.get("ansible_play_hosts_all", ())))))
    return list(hosts)


def _short(value: t.Any) -> t.Any:
    told = value if isinstance(value, (str, int, float)) or value is None else str(value)
    return f"{told[:_LONGEST_TEXT]} ..." if isinstance(told, str) and len(told) > _LONGEST_TEXT else told
