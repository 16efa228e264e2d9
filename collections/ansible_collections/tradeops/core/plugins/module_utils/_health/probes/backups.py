# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Probe of the backups of a site: how old is what one could go back to."""

from __future__ import annotations

import datetime as dt

from ..._backup.catalogue import Catalogue, read_stamp
from ..._backup.store import Store
from ..._backup.stores import open_stores
from ..._common.errors import InputError, TradeopsError, Unproven
from ..asked import Asked
from ..checks import BackupFreshness
from ..reading import NoAnswer, Reading, Unreadable


def freshness(check: BackupFreshness, asked: Asked) -> Reading:
    stores = _stores(check, asked)
    catalogue = Catalogue(stores, asked.site.name, key=asked.secret("backup_manifest_key") or "")
    wanted = (
        f"set{' of type ' + ' or '.join(check.types) if check.types else ''}"
        f"{' with ' + ' and '.join(check.components) if check.components else ''}"
        f" that was verified at level {check.level}"
    )
    try:
        newest = catalogue.newest(check.level, check.types, check.components)
    except Unproven as exc:  # every store lists nothing
        raise NoAnswer(str(exc)) from exc
    except TradeopsError as exc:
        raise Unreadable(str(exc)) from exc
    unread = "; ".join(catalogue.problems.values())
    if newest is None:
        if unread:
            raise Unreadable(f"no store that could be read has a {wanted}: {unread}")
        raise NoAnswer(f"there is no {wanted}")
    hours = (dt.datetime.now(dt.UTC) - newest.taken).total_seconds() / 3600
    where = ", ".join(copy.store for copy in newest.copies.values() if copy.whole)
    note = f"{newest.id}, verified ({newest.level}) {read_stamp(newest.verified):%Y-%m-%dT%H:%M:%SZ}"
    return Reading(
        round(hours, 3), f"{asked.site.name}/{newest.id} in {where}", note=f"{note}; {unread}" if unread else note
    )


def prepare(check: BackupFreshness, asked: Asked) -> None:
    """Refuse a check that cannot work. Raises InputError."""
    names = [store.name for store in open_stores(asked.given["backup_stores"], asked.given["secrets"])]
    strange = sorted(set(check.stores) - set(names))
    if strange:
        raise InputError(
            f"{asked.site.name}: check {check.name}: stores: {', '.join(strange)} is none of tradeops_backup_stores "
            f"({', '.join(names)}). Nothing was read."
        )


def _stores(check: BackupFreshness, asked: Asked) -> list[Store]:
    found = open_stores(asked.given["backup_stores"], asked.given["secrets"])
    return [store for store in found if not check.stores or store.name in check.stores]
