# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operations never act on one site at once, except that a stop takes over and says so."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import LeaseHeld, Refused, Unreachable
from ansible_collections.tradeops.core.plugins.module_utils._common.gate import Gate
from ansible_collections.tradeops.core.plugins.module_utils._common.lease import Lease

STEP = {"action": "cancel", "method": "DELETE", "path": "/orders", "service": "api", "why": "x"}
Take = t.Callable[..., Lease]


@pytest.fixture
def take(tmp_path: pathlib.Path) -> Take:
    def lease(operation: str, site: str = "bench-1", **more: t.Any) -> Lease:
        return Lease(str(tmp_path / "leases"), site, operation=operation, operator="ada", **more)

    return lease


def stored(lease: Lease) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads(lease.path.read_text(encoding="utf-8")))


def test_an_operation_renews_its_lease_and_another_is_refused(take: Take) -> None:
    assert take("a").acquire("halt") is None
    assert take("a").acquire("cancel") is None
    with pytest.raises(LeaseHeld, match=r"bench-1: held by operation a of ada \(cancel\), until 20"):
        take("b").acquire("resume")
    holder = take("b").holder()
    assert holder is not None
    assert holder.operation == "a"


def test_a_stop_takes_over_and_the_evicted_operation_never_writes_again(take: Take) -> None:
    take("a").acquire("resume")
    evicted = take("stop").acquire("halt", takeover=True)
    assert evicted is not None
    assert evicted.operation == "a"
    for takeover in (False, True):
        with pytest.raises(LeaseHeld, match="taken over by a stop"):
            take("a").acquire("resume", takeover=takeover)
    assert take("stop").release()
    assert take("stop").holder() is None
    with pytest.raises(LeaseHeld, match="taken over by a stop"):
        take("a").acquire("resume")
    assert take("b").acquire("resume") is None
    assert stored(take("b"))["evicted"] == ["a"]


def test_a_lease_ends_with_its_time_to_live(take: Take) -> None:
    take("a", ttl=0.05).acquire("halt")
    deadline = time.monotonic() + 30
    while take("b").holder() is not None:
        assert time.monotonic() < deadline
    assert take("b").acquire("resume") is None


def test_a_dead_process_frees_its_lease(take: Take) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        take("a", pid=process.pid).acquire("halt")
        with pytest.raises(LeaseHeld):
            take("b").acquire("resume")
        process.kill()
        deadline = time.monotonic() + 30
        # A zombie, which nobody has waited for yet, is dead, too.
        while take("b").holder() is not None:
            assert time.monotonic() < deadline
    assert take("b").acquire("resume") is None


def test_without_its_process_only_a_stop_goes_on(take: Take) -> None:
    """A worker that outlives its playbook writes no more, also where nobody else has taken the site."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lease = take("a", pid=process.pid)
        lease.acquire("resume")
        process.kill()
    with pytest.raises(LeaseHeld, match=rf"the process {process.pid} of this operation has ended"):
        lease.acquire("resume")
    lease.acquire("stop", takeover=True)


def test_another_process_with_the_same_number_does_not_hold_it(take: Take) -> None:
    lease = take("a")
    lease.acquire("halt")
    lease.path.write_text(json.dumps(stored(lease) | {"born": "1"}), encoding="utf-8")
    assert take("b").acquire("resume") is None


def test_a_lease_of_another_machine_holds(take: Take) -> None:
    lease = take("a")
    lease.acquire("halt")
    lease.path.write_text(json.dumps(stored(lease) | {"machine": "elsewhere", "born": "1"}), encoding="utf-8")
    with pytest.raises(LeaseHeld):
        take("b").acquire("resume")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"operation": "a", "unknown": 1}', "FIELD expires soon", "FIELD evicted no"]
)
def test_a_damaged_file_refuses_and_says_what_to_do(take: Take, text: str) -> None:
    lease = take("a")
    lease.acquire("halt")
    if text.startswith("FIELD"):
        _word, field, value = text.split()
        text = json.dumps(stored(lease) | {field: value})
    lease.path.write_text(text, encoding="utf-8")
    with pytest.raises(LeaseHeld, match=r"damaged \(.+\); remove it by hand"):
        take("b").acquire("resume")
    with pytest.raises(LeaseHeld, match="damaged"):
        take("b").holder()


@pytest.mark.parametrize("site", ["a/b", "..", "two words", "ß", "a" * 100])
def test_any_name_of_a_site_is_a_file_in_the_folder(take: Take, site: str) -> None:
    lease = take("a", site=site)
    lease.acquire("halt")
    assert lease.path.parent == lease.folder
    assert lease.path.is_file()
    assert lease.release()
    assert not take("b", site=site).release()


def test_an_unusable_folder_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    lease = Lease(str(tmp_path / "file" / "leases"), "bench-1", operation="a", operator="ada")
    with pytest.raises(LeaseHeld, match=r"the lease folder .* cannot be used: Not a directory"):
        lease.acquire("halt")


def test_a_full_disk_is_no_crash(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: t.Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(LeaseHeld, match="No space left"):
        take("a").acquire("halt")
    assert [path.name for path in take("a").folder.iterdir()] == [".bench-1.lock"]


def test_a_stop_waits_for_a_stuck_lock_only_a_moment(take: Take) -> None:
    lease = take("a")
    lease.acquire("halt")
    with (lease.folder / ".bench-1.lock").open("w") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(LeaseHeld, match="another process has kept"):
            take("stop").acquire("halt", takeover=True)
        assert time.monotonic() - began < 5.0


def test_only_one_of_many_gets_it(take: Take) -> None:
    won: list[str] = []
    lost: list[str] = []
    start = threading.Barrier(8)

    def try_it(name: str) -> None:
        lease = take(name)
        start.wait()
        try:
            lease.acquire("resume")
            won.append(name)
        except LeaseHeld:
            lost.append(name)

    threads = [threading.Thread(target=try_it, args=(f"op{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)


# -- the gate ---------------------------------------------------------------------------------------------------


def test_check_mode_plans_and_sends_nothing(take: Take) -> None:
    gate = Gate(check_mode=True, lease=take("a"))
    assert gate.write([STEP], lambda: pytest.fail("sent")) is None
    gate.close()
    assert (gate.plan, gate.sent, take("a").path.exists()) == ([STEP], 0, False)


def test_a_write_takes_the_lease_and_gives_it_back(take: Take) -> None:
    gate = Gate(check_mode=False, lease=take("a"))
    assert gate.write([STEP], lambda: take("b").holder()) is not None
    gate.write([STEP], lambda: None)
    gate.close()
    assert (gate.plan, gate.sent, take("b").holder()) == ([STEP], 2, None)


def test_a_lease_of_a_whole_operation_is_kept(take: Take) -> None:
    gate = Gate(check_mode=False, lease=take("a"), keep_lease=True)
    gate.write([STEP], lambda: None)
    gate.close()
    assert take("b").holder() is not None


@pytest.mark.parametrize(("sent", "counted"), [(False, 0), (None, 1), (True, 1)])
def test_what_provably_did_not_leave_is_not_counted(take: Take, sent: bool | None, counted: int) -> None:
    def send() -> None:
        raise (Refused if sent else Unreachable)("x", method="POST", path="/", sent=sent)

    gate = Gate(check_mode=False, lease=take("a"))
    with pytest.raises((Refused, Unreachable)):
        gate.write([STEP], send)
    gate.close()
    assert (gate.sent, take("a").holder()) == (counted, None)


def test_a_stop_takes_over_with_a_note_and_others_are_refused(take: Take) -> None:
    take("a").acquire("resume")
    gate = Gate(check_mode=False, lease=take("b"))
    with pytest.raises(LeaseHeld):
        gate.write([STEP], lambda: pytest.fail("sent"))
    gate.stopping = True
    assert gate.write([STEP], lambda: "done") == "done"
    assert gate.notes[0].startswith("took the lease over from operation a of ada (resume)")


def test_a_stop_that_finds_nothing_to_do_ends_what_others_do(take: Take) -> None:
    window = take("window")
    window.acquire("maintenance window")
    gate = Gate(check_mode=False, lease=take("stop"))
    gate.stopping = True
    gate.close()
    assert [note.partition(" from ")[0] for note in gate.notes] == ["took the lease over"]
    with pytest.raises(LeaseHeld, match="taken over by a stop"):
        window.acquire("resume")


def test_a_planned_stop_ends_nothing(take: Take) -> None:
    window = take("window")
    window.acquire("maintenance window")
    gate = Gate(check_mode=True, lease=take("stop"))
    gate.stopping = True
    window.acquire("resume")


def test_a_stop_goes_on_without_a_lease(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    gate = Gate(check_mode=False, lease=Lease(str(tmp_path / "file"), "x", operation="a", operator="ada"))
    gate.stopping = True
    assert gate.write([STEP], lambda: "done") == "done"
    gate.close()
    assert "stopping without a lease" in gate.notes[0]
