# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""A folder as a store: an object is a file, written beside its name and moved there once it is whole and on disk."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import secrets
import shutil
import typing as t

from ..._common.errors import Refused, TradeopsError, Unreachable
from ..store import Entry

_PARTIAL = ".partial"
_PIECE = 1 << 20  # bytes
# What a file system without hard links answers: objects are then made by their name.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class LocalStore:
    """``path`` is made with the first object; its owner alone may read what is in it."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.root = pathlib.Path(path).expanduser()

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        for key, info in self._walk(prefix):
            if not key.endswith(_PARTIAL):
                yield Entry(key, info.st_size, info.st_mtime)

    def head(self, key: str) -> Entry | None:
        with self._told("read", key):
            try:
                info = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Entry(key, info.st_size, info.st_mtime)

    def read(self, key: str) -> t.Iterator[bytes]:
        with self._told("read", key), self._path(key).open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                yield piece

    def upload(self, key: str) -> LocalUpload:
        return LocalUpload(self, key, self._path(key))

    def put(self, key: str, data: bytes, *, new: bool = False) -> Entry:
        upload = self.upload(key)
        try:
            upload.write(data)
            return upload.commit(new=new)
        except BaseException:
            upload.abort()
            raise

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._told("delete", key):
            path.unlink(missing_ok=True)
            # Folders that are empty now go, too; the root stays.
            for folder in path.parents:
                if folder == self.root or not folder.is_relative_to(self.root):
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break
            if path.exists():
                raise Refused(f"{self.said(key)} is still there after it was removed.", method="delete", path=key)

    def held(self, key: str) -> str:
        return ""  # a folder has no locks

    def unfinished(self, prefix: str) -> t.Iterator[str]:
        return (key for key, _info in self._walk(prefix) if key.endswith(_PARTIAL))

    def sweep(self, unfinished: str) -> None:
        if not unfinished.endswith(_PARTIAL):
            raise ValueError(f"{unfinished} is no unfinished upload")
        self.delete(unfinished)

    def free(self) -> int | None:
        for folder in (self.root, *self.root.absolute().parents):
            with contextlib.suppress(FileNotFoundError):
                return shutil.disk_usage(folder).free
        return None

    def said(self, key: str) -> str:
        """Name an object for a sentence."""
        return f"{key} of the store {self.name} ({self.root})"

    def told(self, method: str, key: str, exc: OSError) -> TradeopsError:
        """Return what the system said, as an error of ours."""
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return Refused(
                f"the store {self.name} is full: {self.root} has no room for {key} ({exc.strerror}). Make room and "
                f"run it again.",
                method=method,
                path=key,
                sent=True,
            )
        kind = Refused if isinstance(exc, (PermissionError, FileNotFoundError, FileExistsError)) else Unreachable
        return kind(f"{self.said(key)} cannot be used to {method}: {exc.strerror}.", method=method, path=key)

    @contextlib.contextmanager
    def _told(self, method: str, key: str) -> t.Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self.told(method, key, exc) from exc

    def _path(self, key: str) -> pathlib.Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in key:
            raise Refused(f"{key!r} is no key of an object of the store {self.name}.", method="name", path=key)
        return self.root.joinpath(*parts)

    def _walk(self, prefix: str) -> t.Iterator[tuple[str, os.stat_result]]:
        """List every file whose key begins with ``prefix``, in the order of their keys within a folder."""
        above = prefix.rpartition("/")[0]
        folder = self._path(above) if above else self.root
        with self._told("list", prefix):
            yield from self._below(str(folder), f"{above}/" if above else "", prefix)

    def _below(self, folder: str, base: str, prefix: str) -> t.Iterator[tuple[str, os.stat_result]]:
        """``base`` is what keys in ``folder`` begin with: a catalogue has tens of thousands, so texts do."""
        try:
            found = sorted(os.scandir(folder), key=lambda item: item.name)
        except (FileNotFoundError, NotADirectoryError):
            if folder == str(self.root) or self.root.is_dir():
                return
            raise
        for item in found:
            key = base + item.name
            if item.is_dir(follow_symlinks=False):
                if key.startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._below(item.path, f"{key}/", prefix)
            elif key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):  # removed while we look
                    yield key, item.stat(follow_symlinks=False)


class LocalUpload:
    """A file that has another name until it is whole."""

    def __init__(self, store: LocalStore, key: str, path: pathlib.Path) -> None:
        self._store = store
        self._key = key
        self._path = path
        self._partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
        self._size = 0
        self._file: t.BinaryIO | None = None
        try:
            _make(path.parent)
            self._file = t.cast(t.BinaryIO, open(self._partial, "xb", buffering=0, opener=_private))  # noqa: SIM115 -- closed by commit or abort
        except OSError as exc:
            raise store.told("write", key, exc) from exc

    def write(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError("this upload has ended")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as exc:
            raise self._store.told("write", self._key, exc) from exc
        self._size += len(data)

    def commit(self, *, new: bool = False) -> Entry:
        if self._file is None:
            raise ValueError("this upload has ended")
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if new:
                self._link()
            else:
                os.replace(self._partial, self._path)
            self._file = None
            _sync(self._path.parent)
        except FileExistsError as exc:
            raise Refused(f"{self._store.said(self._key)} is there already.", method="write", path=self._key) from exc
        except OSError as exc:
            raise self._store.told("write", self._key, exc) from exc
        found = self._store.head(self._key)
        if found is None or found.size != self._size:
            seen = "nothing" if found is None else f"{found.size} bytes"
            raise Refused(
                f"{self._store.said(self._key)}: {self._size} bytes were written and {seen} is there.",
                method="write",
                path=self._key,
            )
        return found

    def abort(self) -> None:
        """Remove what was written. What cannot be removed now is named as unfinished and swept later."""
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(TradeopsError):
                self._store.delete(os.path.relpath(self._partial, self._store.root))

    def _link(self) -> None:
        """Give the file its name unless another one has it."""
        try:
            os.link(self._partial, self._path)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            with open(self._path, "xb", opener=_private) as file:
                file.write(self._partial.read_bytes())
                file.flush()
                os.fsync(file.fileno())
        self._partial.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _make(folder: pathlib.Path) -> None:
    """Make a folder that is on the disk when this returns, with those above it."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync(folder.parent)


def _sync(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
