# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""One artefact read back: fetched, hashed, decrypted, decompressed, hashed again, in constant memory."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import typing as t

from .._common.errors import Damaged, InputError
from .ciphers import library
from .manifest import Artefact, Digest
from .pipe import Cut, Pipe
from .store import Store

_PIECE = 1 << 20  # bytes


class Reading:
    """The plain bytes of an artefact as a file to read from once.

    The end is only reached when both hashes and both sizes are those of the manifest: the last ``read`` raises Damaged
    otherwise. Whoever stops before the end has verified nothing; ``drain`` reads the rest.
    """

    def __init__(self, store: Store, base: str, artefact: Artefact, identities: t.Sequence[t.Any]) -> None:
        self.store = store
        self.artefact = artefact
        self.where = f"{base}{artefact.name} in the store {store.name}"
        unknown = [name for name in artefact.filters if name not in ("zstd", "age")]
        if unknown or artefact.filters not in ((), ("zstd",), ("age",), ("zstd", "age")):
            raise Damaged(f"{self.where} says it went through {', '.join(artefact.filters)}, which cannot be undone.")
        self._fetch = _Fetch(store, f"{base}{artefact.name}")
        self._decrypting = _Decrypting(self._fetch, identities) if "age" in artefact.filters else None
        source: t.Any = self._decrypting.pipe if self._decrypting else self._fetch
        self._zstd = None
        if "zstd" in artefact.filters:
            self._zstd = library("zstandard").ZstdDecompressor().stream_reader(source, read_size=_PIECE // 8)
        self._source = source
        self._hash = hashlib.sha256()
        self._size = 0
        self._over = False

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> t.Iterator[bytes]:
        while piece := self.read():
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Return up to a megabyte, up to ``size`` bytes, nothing at the end. Raises Damaged and what a store raises."""
        if self._over or size == 0:
            return b""
        wanted = _PIECE if size < 0 else min(size, _PIECE)
        try:
            piece = bytes((self._zstd or self._source).read(wanted))
        except Cut:
            raise self._broken() from None
        except Exception as exc:
            if self._zstd and isinstance(exc, library("zstandard").ZstdError):
                raise self._broken(f"cannot be decompressed ({exc})") from exc
            raise
        if piece:
            self._hash.update(piece)
            self._size += len(piece)
            return piece
        self._over = True
        self._finish()
        return b""

    def drain(self) -> None:
        """Read to the end, for what only the end can tell."""
        for _piece in self:
            pass

    def close(self) -> None:
        self._over = True
        if self._decrypting:
            self._decrypting.close()
        self._fetch.close()

    def _finish(self) -> None:
        """Compare what went by with the manifest."""
        try:
            # What lies behind the end of the compressed bytes belongs to what was stored, and is not passed over.
            while behind := self._source.read(_PIECE):
                if behind:
                    continue
        except Cut:
            raise self._broken() from None
        if self._decrypting and self._decrypting.problem:
            raise self._broken()
        self._compare("stored", self._fetch.digest(), self.artefact.stored)
        self._compare("plain", Digest(self._size, self._hash.hexdigest()), self.artefact.plain)

    def _compare(self, what: str, found: Digest, wanted: Digest) -> None:
        if found.size != wanted.size:
            text = f"{self.where} is damaged: {found.size} {what} bytes, and its manifest says {wanted.size}."
            raise Damaged(text)
        if found.sha256 != wanted.sha256:
            text = f"{self.where} is damaged: the SHA-256 of its {what} bytes is {found.sha256}, and its manifest says "
            raise Damaged(f"{text}{wanted.sha256}.")

    def _broken(self, why: str = "") -> Exception:
        """Say why the bytes could not be undone: the store failed, they are damaged, or the key is another one."""
        if self._fetch.problem:
            return self._fetch.problem
        problem = self._decrypting.problem if self._decrypting else None
        if self._decrypting:
            self._decrypting.close()
        # Damage is known by the bytes as they are stored, whatever the cipher calls it.
        self._fetch.drain()
        if self._fetch.problem:
            return self._fetch.problem
        self._compare("stored", self._fetch.digest(), self.artefact.stored)
        if "No matching keys" in str(problem):
            return InputError(
                f"no identity opens {self.where}: the private key in tradeops_secrets.backup_identity is none of those "
                f"that the set is encrypted for (key_ids of its manifest)."
            )
        return Damaged(f"{self.where} {why or f'cannot be decrypted ({problem})'}.")


class _Fetch:
    """The bytes of an object as a file, hashed as they go by."""

    def __init__(self, store: Store, key: str) -> None:
        self.problem: Exception | None = None
        self._pieces = store.read(key)
        self._piece = b""
        self._taken = 0  # bytes of it that were read
        self._hash = hashlib.sha256()
        self._size = 0
        self._closed = False

    def read(self, size: int = -1) -> bytes:
        if self._taken == len(self._piece):
            self._piece, self._taken = self._next(), 0
        end = len(self._piece) if size < 0 else min(len(self._piece), self._taken + size)
        found = self._piece[self._taken : end]
        self._taken = end
        return found

    def digest(self) -> Digest:
        return Digest(self._size, self._hash.hexdigest())

    def drain(self) -> None:
        self._piece, self._taken = b"", 0
        with contextlib.suppress(Exception):  # it is kept as the problem
            while self._next():
                pass

    def close(self) -> None:
        self._closed = True
        self._piece, self._taken = b"", 0
        close = getattr(self._pieces, "close", None)
        if close:
            close()

    def _next(self) -> bytes:
        if self._closed:
            return b""
        try:
            piece = next(self._pieces, b"")
        except Exception as exc:
            self.problem = exc
            raise
        self._hash.update(piece)
        self._size += len(piece)
        return piece


class _Decrypting:
    """age, in a thread of its own; the plain bytes come out of ``pipe``."""

    def __init__(self, fetch: _Fetch, identities: t.Sequence[t.Any]) -> None:
        self.pipe = Pipe()
        self.problem: Exception | None = None
        self._fetch = fetch
        self._identities = list(identities)
        self._decrypt = library("pyrage").decrypt_io
        self._thread = threading.Thread(target=self._run, name="decrypt", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.pipe.cut()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._decrypt(self._fetch, self.pipe, self._identities)
        except Exception as exc:  # noqa: BLE001 -- whatever ends the thread is told by the one who reads
            self.problem = exc
            self.pipe.cut()
        else:
            self.pipe.end()
