# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that breaks where it is told to."""

from __future__ import annotations

import typing as t

from ansible_collections.tradeops.core.plugins.module_utils._backup.store import Entry, Upload
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import Unreachable


class Faulty(LocalStore):
    """``fails`` names the methods that do not work; ``after``: bytes that an upload takes before its write does not."""

    def __init__(self, name: str, path: str, *fails: str, after: int = 0) -> None:
        super().__init__(name, path)
        self.fails = set(fails)
        self.after = after

    def breaks(self, what: str, key: str) -> None:
        if what in self.fails:
            raise Unreachable(f"the store {self.name} is gone", method=what, path=key)

    def head(self, key: str) -> Entry | None:
        self.breaks("head", key)
        return super().head(key)

    def put(self, key: str, data: bytes, *, new: bool = False) -> Entry:
        self.breaks("put", key)
        self.breaks(f"put {key.rpartition('/')[2]}", key)
        return super().put(key, data, new=new)

    def delete(self, key: str) -> None:
        self.breaks("delete", key)
        super().delete(key)

    def upload(self, key: str) -> t.Any:
        self.breaks("upload", key)
        return _Breaking(self, key, super().upload(key))


class _Breaking:
    def __init__(self, store: Faulty, key: str, inner: Upload) -> None:
        self.store, self.key, self.inner, self.size = store, key, inner, 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.store.after:
            self.store.breaks("write", self.key)
        self.inner.write(data)

    def commit(self, **more: t.Any) -> Entry:
        self.store.breaks("commit", self.key)
        return self.inner.commit(**more)

    def abort(self) -> None:
        self.inner.abort()
