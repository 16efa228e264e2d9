# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a restore replaces and cannot keep beside it is a set of its own first, of the type ``safety``.

It lies in the stores of the site, is read back whole before anything is replaced, and is put back by its id.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._backup.ciphers import identities
from .._backup.manifest import SAFETY, Manifest, folder, read_manifest
from .._backup.run import Run
from .._backup.store import Store
from .._backup.stores import open_stores
from .._backup.stream import STORED
from .._backup.verbs.backup import BACKUP, ensure_backup
from .._backup.verbs.verify import ensure_verified
from .._common.errors import Refused, TradeopsError
from .back import Back


@dataclasses.dataclass(frozen=True)
class Safety:
    """A set of before, in a store where it was read back."""

    store: Store
    manifest: Manifest

    def back(self, back: Back) -> Back:
        """Return what its components are put back with."""
        return dataclasses.replace(
            back, store=self.store, base=folder(back.site, self.manifest.id), set_id=self.manifest.id
        )


def take(back: Back, components: list[dict[str, t.Any]]) -> Safety:
    """Capture what is there now. Raises Refused unless it is whole in a store, and was read back there."""
    given = {
        **back.given,
        **{name: option.get("default") for name, option in BACKUP.options.items()},
        "type": SAFETY,
        "tag": back.set_id,
        "components": components,
        "recipients": back.given["recipients"] or _own(back),
    }
    run = _run(back)
    try:
        taken = ensure_backup(run, given)
    except TradeopsError as exc:
        raise _refused(back, str(exc)) from exc
    made: dict[str, t.Any] = run.more.get("set") or {}
    stored = [name for name, fate in made.get("stores", {}).items() if fate == STORED]
    if not stored or any(item.result != "proven" for item in taken.proof.objects):
        raise _refused(back, taken.msg)
    if taken.failed:  # one store of several has it, which is enough to go back to
        back.note(taken.msg)
    wish = {"id": made["id"], "level": "hashes", "types": [], "subset": "", "only_stores": stored}
    seen = ensure_verified(_run(back), {**given, **wish})
    if seen.failed:
        raise _refused(back, seen.msg)
    key = str(given["secrets"].get("backup_manifest_key") or "")
    store = next(store for store in run.stores if store.name == stored[0])
    back.note(f"what was there before is the set {made['id']} of type {SAFETY}; a restore of it puts it back")
    return Safety(store, read_manifest(store, back.site, made["id"], key))


def _run(back: Back) -> Run:
    stores = open_stores(back.given["stores"], back.given["secrets"])
    return Run(back.site, back.gate, stores, back.redactor, back.tell)


def _own(back: Back) -> list[str]:
    """Return the public keys of the one who restores, where the inventory names none."""
    found = identities(str(back.given["secrets"].get("backup_identity") or ""))
    return [str(identity.to_public()) for identity in found if hasattr(identity, "to_public")]


def _refused(back: Back, why: str) -> Refused:
    text = f"{back.site}: what is there now cannot be kept: {why.removeprefix(f'{back.site}: ')}"
    return Refused(text, method="backup", path="", sent=False)
