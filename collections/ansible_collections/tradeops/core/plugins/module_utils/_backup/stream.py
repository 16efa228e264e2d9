# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One pass: bytes are hashed, compressed, encrypted, hashed again and put into every store, in constant memory."""

from __future__ import annotations

import hashlib
import threading
import typing as t

from .._common.errors import LeaseHeld, TradeopsError
from .ciphers import SUFFIXES, compressor, library
from .manifest import Artefact, Digest
from .pipe import Cut, Pipe
from .store import Store, Upload

T = t.TypeVar("T")
STORED = "stored"


class Targets:
    """The stores of one run. One that fails is out for the whole set, and why is kept; the others go on.

    ``fates`` is what became of each. ``dropped`` is told of one that is out.
    """

    def __init__(self, stores: t.Sequence[Store], dropped: t.Callable[[str], None] = lambda _text: None) -> None:
        self.alive = {store.name: store for store in stores}
        self.fates = dict.fromkeys(self.alive, STORED)
        self._lost: dict[str, Store] = {}
        self._dropped = dropped

    @property
    def lost(self) -> list[Store]:
        """Those that are out."""
        return list(self._lost.values())

    def each(self, do: t.Callable[[Store], T]) -> dict[str, T]:
        """Do something at every store that is left, and return what it gave. Raises what the last of them raised."""
        found = {}
        for name, store in list(self.alive.items()):
            try:
                found[name] = do(store)
            except LeaseHeld:  # it is the run that has to end, and not the store
                raise
            except TradeopsError as exc:
                self.drop(name, exc)
        return found

    def drop(self, name: str, exc: TradeopsError) -> None:
        """Go on without a store. Raises ``exc`` when none is left."""
        self.fates[name] = str(exc)
        self._lost[name] = self.alive.pop(name)
        self._dropped(f"goes on without the store {name}: {exc}")
        if not self.alive:
            raise exc


class Writing:
    """One artefact on its way. ``write`` takes plain bytes; it is stored after ``finish``, and gone after ``abort``."""

    def __init__(
        self, targets: Targets, base: str, name: str, *, recipients: t.Sequence[t.Any], compress: bool = True
    ) -> None:
        self.filters = ("zstd", "age") if compress else ("age",)
        self.name = name + "".join(SUFFIXES[word] for word in self.filters)
        self.plain = 0
        self._hash = hashlib.sha256()
        self._zstd = compressor() if compress else None
        self._fan = _Fan(targets, f"{base}{self.name}")
        self._pipe = Pipe()
        self._problem: BaseException | None = None
        self._recipients = list(recipients)
        self._encrypt = library("pyrage").encrypt_io
        self._thread = threading.Thread(target=self._run, name=f"encrypt {name}", daemon=True)
        self._thread.start()

    @property
    def stored(self) -> int:
        """Bytes that went to the stores so far."""
        return self._fan.size

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.plain += len(data)
        self._pass(self._zstd.compress(data) if self._zstd else bytes(data))
        return len(data)

    def finish(self) -> Artefact:
        """Send the rest, and make the artefact appear in every store that is left."""
        if self._zstd:
            self._pass(self._zstd.flush())
        self._pipe.end()
        self._thread.join()
        if self._problem:
            raise self._problem
        self._fan.commit()
        return Artefact(self.name, Digest(self.plain, self._hash.hexdigest()), self._fan.digest(), self.filters)

    def abort(self) -> None:
        self._pipe.cut()
        self._thread.join()
        self._fan.abort()

    def _pass(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._pipe.write(data)
        except Cut:
            self._thread.join()
            raise self._problem or Cut() from None

    def _run(self) -> None:
        try:
            self._encrypt(self._pipe, self._fan, self._recipients)
        except BaseException as exc:  # noqa: BLE001 -- whatever ends the thread is raised by the one who writes
            self._problem = self._fan.problem or exc
            self._pipe.cut()


class _Fan:
    """Takes what is to be stored, hashes it and gives it to every store that is left."""

    def __init__(self, targets: Targets, key: str) -> None:
        self.problem: TradeopsError | None = None
        self.size = 0
        self._targets = targets
        self._hash = hashlib.sha256()
        self._uploads: dict[str, Upload] = targets.each(lambda store: store.upload(key))

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._each(lambda upload: upload.write(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def digest(self) -> Digest:
        return Digest(self.size, self._hash.hexdigest())

    def commit(self) -> None:
        self._each(lambda upload: upload.commit())

    def abort(self) -> None:
        while self._uploads:
            self._uploads.popitem()[1].abort()

    def _each(self, do: t.Callable[[Upload], t.Any]) -> None:
        for name, upload in list(self._uploads.items()):
            try:
                do(upload)
            except TradeopsError as exc:
                self._uploads.pop(name).abort()
                try:
                    self._targets.drop(name, exc)
                except TradeopsError as last:
                    self.problem = last
                    raise
