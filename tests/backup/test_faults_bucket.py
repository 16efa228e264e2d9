# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket that fails in the middle of an upload of several parts: nothing counts, no part is left, the next one goes."""

from __future__ import annotations

import hashlib
import os
import time
import typing as t

import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup.stores import open_store
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.s3 import S3Store
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import CallError, Denied, Unreachable

KEY = "site/set/database/dump"
DATA = os.urandom(17 << 20)  # three parts
PARTS = {"method": "PUT", "path": "*partNumber=*"}
Break = t.Callable[..., None]
Bucket = tuple[dict[str, t.Any], dict[str, str]]


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    entry, secrets = bucket
    return t.cast(S3Store, open_store({**entry, "attempts": 2}, secrets))


def send(store: S3Store) -> None:
    upload = store.upload(KEY)
    try:
        for start in range(0, len(DATA), 1 << 20):
            upload.write(DATA[start : start + (1 << 20)])
        upload.commit()
    except BaseException:
        upload.abort()
        raise


def whole(store: S3Store) -> bool:
    return hashlib.sha256(b"".join(store.read(KEY))).digest() == hashlib.sha256(DATA).digest()


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ({"kind": "error_before"}, Unreachable, "store s3 .*SlowDown"),
        ({"kind": "error_before", "status": 500}, Unreachable, "store s3 .*InternalError"),
        ({"kind": "reset"}, Unreachable, "store s3 .* does not answer to upload_part"),
        ({"kind": "expire_token"}, Denied, "ExpiredToken.*Renew them in the vault"),
    ],
    ids=["slow-down", "internal-error", "reset", "expired"],
)
def test_nothing_is_left_of_it_and_the_next_one_goes(
    store: S3Store, break_: Break, fault: dict[str, t.Any], error: type[CallError], said: str, after: int
) -> None:
    break_(**fault, **PARTS, after=after)
    with pytest.raises(error, match=said):
        send(store)
    assert store.head(KEY) is None
    assert list(store.unfinished("")) == [], "no part is left"
    break_()
    send(store)
    assert whole(store)


@pytest.mark.parametrize("kind", ["error_before", "reset"])
def test_what_passes_is_got_over(store: S3Store, break_: Break, kind: str) -> None:
    break_(kind, **PARTS, after=1, times=1)
    send(store)
    assert whole(store)
    assert list(store.unfinished("")) == []


def test_a_slow_one_is_waited_for(store: S3Store, break_: Break) -> None:
    break_("slow", **PARTS, seconds=0.5)
    began = time.monotonic()
    send(store)
    assert time.monotonic() - began > 0.5
    assert whole(store)


def test_one_that_says_no_more_is_given_up(bucket: Bucket, break_: Break, store: S3Store) -> None:
    entry, secrets = bucket
    hasty = t.cast(S3Store, open_store({**entry, "attempts": 1, "timeout": 2}, secrets))
    break_("slow", **PARTS, after=1, times=1, seconds=5)
    with pytest.raises(Unreachable, match=r"store s3 .* does not answer to upload_part"):
        send(hasty)
    # The part that was on its way may still arrive; what it leaves is named, and swept.
    for left in store.unfinished(""):
        store.sweep(left)
    assert list(store.unfinished("")) == []
    assert store.head(KEY) is None


def test_parts_that_expired_credentials_cannot_take_back_are_named_for_the_next_run(
    store: S3Store, break_: Break
) -> None:
    break_("expire_token", path=f"*{KEY}*", after=3)
    with pytest.raises(Denied, match="Renew them"):
        send(store)
    break_()
    assert store.head(KEY) is None
    (left,) = store.unfinished("site/")
    assert left.startswith(KEY)
    store.sweep(left)
    assert list(store.unfinished("")) == []


def test_an_upload_whose_end_is_not_answered_is_looked_at(store: S3Store, break_: Break) -> None:
    """Whether it was completed is not known after a reset; it must not be called stored unless it is there, whole."""
    break_("reset", method="POST", path="*uploadId=*", times=2)
    with pytest.raises(Unreachable):
        send(store)
    assert store.head(KEY) is None
    assert list(store.unfinished("")) == []
