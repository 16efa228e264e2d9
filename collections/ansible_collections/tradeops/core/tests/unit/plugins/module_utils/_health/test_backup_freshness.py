# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime as dt
import pathlib
import types
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._common.errors import InputError
from ansible_collections.tradeops.core.plugins.module_utils._common.waiter import Deadline
from ansible_collections.tradeops.core.plugins.module_utils._health.asked import Asked
from ansible_collections.tradeops.core.plugins.module_utils._health.checks import BackupFreshness, parse_checks
from ansible_collections.tradeops.core.plugins.module_utils._health.probes.backups import freshness, prepare
from ansible_collections.tradeops.core.plugins.module_utils._health.reading import NoAnswer, Unreadable, judged
from ansible_collections.tradeops.core.tests.unit.written_sets import Ground

CHECK = {"name": "backup", "kind": "backup_freshness", "critical": "26"}


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


def asked(ground: Ground) -> Asked:
    stores = [{"name": store.name, "kind": "local", "path": str(store.root)} for store in ground.stores]
    site: t.Any = types.SimpleNamespace(name="here")
    return Asked(site, {"backup_stores": stores, "secrets": {}}, Deadline(5))


def check(**more: t.Any) -> BackupFreshness:
    return t.cast(BackupFreshness, parse_checks("here", [{**CHECK, **more}])[0])


def aged(ground: Ground, hours: float, *records: str, stores: tuple[str, ...] = ("local", "s3"), **facts: t.Any) -> str:
    at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    set_id = f"{at:%Y%m%dT%H%M%SZ}-daily-aaaaaa"
    ground.write(set_id, *stores, **facts)
    for level in records:
        ground.put(stores[0], set_id, f"verified/{at:%Y%m%dT%H%M%SZ}-{level}.json")
    return set_id


def test_the_age_is_that_of_the_newest_verified_set(ground: Ground) -> None:
    aged(ground, 30, "restored")
    verified = aged(ground, 10, "hashes")
    aged(ground, 1)  # nobody has read it yet
    reading = freshness(check(), asked(ground))
    assert reading.value == pytest.approx(10, abs=0.1)
    assert reading.note.startswith(f"{verified}, verified (hashes) ")
    assert judged(check(), reading, now=0.0).level == "pass"
    deep = freshness(check(level="restored"), asked(ground))
    assert judged(check(), deep, now=0.0).level == "fail"


def test_a_set_that_is_not_whole_any_more_is_none(ground: Ground) -> None:
    damaged = aged(ground, 1, "hashes", stores=("local",))
    aged(ground, 20, "hashes", stores=("s3",))
    (ground.path / "local/here" / damaged / "database/database.dump.zst.age").write_bytes(b"")
    assert freshness(check(), asked(ground)).value == pytest.approx(20, abs=0.1)


def test_none_is_a_failure_and_not_unknown(ground: Ground) -> None:
    aged(ground, 1)
    with pytest.raises(NoAnswer, match="there is no set that was verified at level hashes"):
        freshness(check(), asked(ground))
    with pytest.raises(NoAnswer, match="there is no set of type weekly or config that"):
        freshness(check(types=["weekly", "config"], level="listed"), asked(ground))


def test_a_set_without_what_counts_is_none(ground: Ground) -> None:
    """One that was verified today, and has nothing of the database, is no younger recovery point."""
    aged(ground, 20, "hashes", base="20261124T020000")
    aged(ground, 1, "hashes")
    assert freshness(check(), asked(ground)).value == pytest.approx(1, abs=0.1)
    assert freshness(check(components=["wal"]), asked(ground)).value == pytest.approx(20, abs=0.1)
    with pytest.raises(NoAnswer, match="there is no set with redis and wal that was verified"):
        freshness(check(components=["redis", "wal"]), asked(ground))


def test_stores_that_are_empty_are_a_failure(ground: Ground) -> None:
    for store in ground.stores:
        store.root.mkdir()
    with pytest.raises(NoAnswer, match="has nothing of this site"):
        freshness(check(), asked(ground))


def test_a_store_that_is_not_read_leaves_it_unknown_unless_another_one_knows(ground: Ground) -> None:
    aged(ground, 1, stores=("local",))  # the folder of the other store is not there
    with pytest.raises(Unreadable, match="no store that could be read has a set that was verified"):
        freshness(check(), asked(ground))
    aged(ground, 2, "hashes", stores=("local",))
    reading = freshness(check(), asked(ground))
    assert reading.value == pytest.approx(2, abs=0.1)
    assert "s3" in reading.note
    with pytest.raises(Unreadable):
        freshness(check(stores=["s3"]), asked(ground))


def test_what_cannot_work_is_refused(ground: Ground) -> None:
    with pytest.raises(InputError, match="stores: tape is none of tradeops_backup_stores"):
        prepare(check(stores=["tape"]), asked(ground))
    with pytest.raises(InputError, match="no store is given"):
        prepare(check(), Asked(asked(ground).site, {"backup_stores": [], "secrets": {}}, Deadline(5)))
