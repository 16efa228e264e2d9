# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What compresses and encrypts, by the names in a manifest: ``zstd`` and ``age``."""

from __future__ import annotations

import importlib
import typing as t

from .._common.errors import InputError

SUFFIXES = {"zstd": ".zst", "age": ".age"}
# A dump is no smaller at a higher level, and takes twice as long. One thread is faster than what dumps, and the threads
# of the library hold some 30 MB more.
_LEVEL = 1
# How far back it looks, log2 of bytes: at this level it finds little that lies farther. So it works in the cache of a
# processor, and is a fifth faster.
_WINDOW = 17


def library(name: str) -> t.Any:
    """Return pyrage or zstandard. Raises InputError when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise InputError(f"the Python library {name} is missing where the backup runs: install it") from exc


def compressor() -> t.Any:
    """Return what compresses one artefact."""
    zstandard = library("zstandard")
    how = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW, write_checksum=True)
    return zstandard.ZstdCompressor(compression_params=how).compressobj()


def recipients(keys: t.Sequence[str]) -> list[t.Any]:
    """Return the public keys of age, or of SSH, that a set is encrypted for. Raises InputError."""
    pyrage = library("pyrage")
    if not keys:
        raise InputError("no key is given to encrypt for: name an age public key in tradeops_backup_recipients.")
    found = []
    for key in keys:
        kind = pyrage.ssh if key.startswith("ssh-") else pyrage.x25519
        try:
            found.append(kind.Recipient.from_str(key.strip()))
        except pyrage.RecipientError as exc:
            raise InputError(
                f"tradeops_backup_recipients: {key!r} is no public key of age (age1...) or SSH: {exc}"
            ) from exc
    return found


def identities(text: str) -> list[t.Any]:
    """Return the private keys in ``text``, one a line, as in a file of age. Raises InputError, never with a key."""
    pyrage = library("pyrage")
    if "-----BEGIN" in text:
        try:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        except pyrage.IdentityError as exc:
            raise InputError(
                f"tradeops_secrets.backup_identity is no private key of SSH that can be used: {exc}"
            ) from exc
    found = []
    for line in text.split():
        if line.upper().startswith("AGE-SECRET-KEY-"):
            try:
                found.append(pyrage.x25519.Identity.from_str(line))
            except pyrage.IdentityError as exc:
                raise InputError("tradeops_secrets.backup_identity has a private key of age that is damaged.") from exc
    if not found:
        raise InputError(
            "tradeops_secrets.backup_identity has no private key of age (a line AGE-SECRET-KEY-...): without it no set "
            "can be read."
        )
    return found
