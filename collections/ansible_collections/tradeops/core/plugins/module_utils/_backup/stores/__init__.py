# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The kinds of stores, by the word of the inventory."""

from __future__ import annotations

import typing as t

from ..._common.errors import InputError
from ..._common.typed import Data
from ..store import Store
from .given import S3, Local
from .local import LocalStore
from .s3 import S3Store

_KINDS: dict[str, type[Local] | type[S3]] = {"local": Local, "s3": S3}


def open_store(given: t.Mapping[str, t.Any], secrets: t.Mapping[str, t.Any]) -> Store:
    """Return the store that an entry of ``tradeops_backup_stores`` describes; nothing is sent. Raises InputError."""
    where = f"the store {given.get('name') or 'without a name'}"
    kind = _KINDS.get(str(given.get("kind")))
    if kind is None:
        raise InputError(f"{where}: kind is {given.get('kind')!r}; it can be {' or '.join(_KINDS)}. Nothing was sent.")
    # A key that is given as nothing is not given: inventories switch options off like that.
    facts = Data({key: value for key, value in given.items() if value is not None}, where).read(kind)
    if isinstance(facts, Local):
        return LocalStore(facts.name, facts.path)
    return S3Store(facts, {key: str(value) for key, value in secrets.items() if value is not None})


def open_stores(given: t.Sequence[t.Mapping[str, t.Any]], secrets: t.Mapping[str, t.Any]) -> list[Store]:
    """Return all of them. Raises InputError, also when there is none or two have one name."""
    stores = [open_store(entry, secrets) for entry in given]
    names = [store.name for store in stores]
    if not stores:
        raise InputError("no store is given: name one in tradeops_backup_stores. Nothing was sent.")
    if len(set(names)) < len(names):
        raise InputError(f"tradeops_backup_stores: two stores have one name: {', '.join(names)}. Nothing was sent.")
    return stores
