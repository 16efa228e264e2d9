# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.engines.physical import Server
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Refused, Unproven
from ansible_collections.tradeops.core.plugins.module_utils._recovery import service as module
from ansible_collections.tradeops.core.plugins.module_utils._recovery.service import Service


def service(place: pathlib.Path, script: str) -> Service:
    """A service of a supervisor whose control is a script."""
    control = place / "supervisorctl"
    control.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    control.chmod(0o755)
    supervisor = {"supervisorctl": str(control)}
    return Service("site", Server(place / "data", "", "site:postgresql", "supervisor", supervisor, 1.0, {}))


def test_who_answers_is_believed_before_the_supervisor_has_waited(tmp_path: pathlib.Path) -> None:
    one = service(tmp_path, 'until [ -e "$0.go" ]; do sleep 0.05; done; touch "$0.done"')
    one.begin(lambda: True)
    assert not (tmp_path / "supervisorctl.done").exists()
    (tmp_path / "supervisorctl.go").touch()
    one.begun()
    assert (tmp_path / "supervisorctl.done").exists()


def test_a_supervisor_that_says_no_is_heard(tmp_path: pathlib.Path) -> None:
    one = service(tmp_path, 'echo "ERROR (spawn error)" >&2; exit 7')
    with pytest.raises(Refused, match=r"start site:postgresql: supervisorctl ended with the status 7: ERROR"):
        one.start(lambda: False)
    # Also where somebody answered meanwhile.
    slow = service(tmp_path, "sleep 1; exit 7")
    slow.begin(lambda: True)
    with pytest.raises(Refused, match="status 7"):
        slow.begun()


def test_a_supervisor_that_says_nothing_has_a_budget(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUDGET", 3.0)
    one = service(tmp_path, 'echo "waiting for the server" >&2; exec sleep 600')
    with pytest.raises(
        Unproven, match=r"stop site:postgresql: supervisorctl did not end within 3 s: waiting for the s"
    ):
        one.stop()
    # Also where somebody answered meanwhile.
    one.begin(lambda: True)
    with pytest.raises(Unproven, match=r"start site:postgresql: supervisorctl did not end within 3 s"):
        one.begun()
