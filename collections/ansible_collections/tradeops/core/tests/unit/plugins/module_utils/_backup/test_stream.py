# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One artefact there and back: whole, or an error that says what is wrong."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import sys
import typing as t

import pyrage
import pytest

from ansible_collections.tradeops.core.plugins.module_utils._backup import programs
from ansible_collections.tradeops.core.plugins.module_utils._backup.ciphers import identities, recipients
from ansible_collections.tradeops.core.plugins.module_utils._backup.manifest import Artefact, Digest
from ansible_collections.tradeops.core.plugins.module_utils._backup.reading import Reading
from ansible_collections.tradeops.core.plugins.module_utils._backup.stores.local import LocalStore
from ansible_collections.tradeops.core.plugins.module_utils._backup.stream import STORED, Targets, Writing
from ansible_collections.tradeops.core.plugins.module_utils._common.errors import (
    Damaged,
    InputError,
    Refused,
    Unreachable,
)
from ansible_collections.tradeops.core.tests.unit.faulty_store import Faulty

KEY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()
BASE = "site/set/"
# Half of it compresses to nothing, half of it not at all.
CONTENT = bytes(1_500_000) + os.urandom(1_500_000)


def write(targets: Targets, content: bytes = CONTENT, *, compress: bool = True, name: str = "data/x") -> Artefact:
    writing = Writing(targets, BASE, name, recipients=[KEY.to_public()], compress=compress)
    try:
        for start in range(0, len(content), 70_001):
            writing.write(content[start : start + 70_001])
        return writing.finish()
    except BaseException:
        writing.abort()
        raise


def read(store: LocalStore, artefact: Artefact, *keys: t.Any) -> bytes:
    with Reading(store, BASE, artefact, keys or [KEY]) as reading:
        return b"".join(reading)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> LocalStore:
    return LocalStore("local", str(tmp_path / "one"))


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(50_000_000)], ids=["nothing", "one", "mixed", "zeros"])
def test_what_went_in_comes_out(store: LocalStore, content: bytes, compress: bool) -> None:
    artefact = write(Targets([store]), content, compress=compress)
    assert artefact.name == ("data/x.zst.age" if compress else "data/x.age")
    assert artefact.plain.size == len(content)
    entry = store.head(f"{BASE}{artefact.name}")
    assert entry and entry.size == artefact.stored.size
    assert read(store, artefact) == content
    assert read(store, artefact, OTHER, KEY) == content


def test_age_and_zstd_alone_read_it(store: LocalStore) -> None:
    import zstandard

    artefact = write(Targets([store]))
    stored = b"".join(store.read(f"{BASE}{artefact.name}"))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(pyrage.decrypt(stored, [KEY])) == CONTENT


def test_pieces_are_small_and_asked_for(store: LocalStore) -> None:
    artefact = write(Targets([store]), bytes(20_000_000))
    with Reading(store, BASE, artefact, [KEY]) as reading:
        assert max(len(piece) for piece in reading) <= 1 << 20
    with Reading(store, BASE, artefact, [KEY]) as reading:
        assert len(reading.read(10)) == 10
        assert reading.read(0) == b""
        reading.drain()
        assert reading.read() == b""
    with Reading(store, BASE, artefact, [KEY]) as reading:
        reading.read(10)  # who stops early waits for nothing


def damaged(store: LocalStore, artefact: Artefact, change: t.Callable[[bytes], bytes]) -> None:
    path = store.root / BASE / artefact.name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("place", [0, 10, 30, 60, 150, 400, 70_000, 1_000_000, -1])
def test_one_flipped_bit_anywhere_is_found(store: LocalStore, place: int, compress: bool) -> None:
    artefact = write(Targets([store]), compress=compress)

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 4
        return bytes(changed)

    damaged(store, artefact, flip)
    with pytest.raises(Damaged, match=r"data/x.* in the store local is damaged: the SHA-256 of its stored bytes"):
        read(store, artefact)


@pytest.mark.parametrize("left", [0, 1, 100, 5000, 800_000, -1])
def test_a_truncated_artefact_is_found(store: LocalStore, left: int) -> None:
    artefact = write(Targets([store]))
    damaged(store, artefact, lambda data: data[:left])
    with pytest.raises(Damaged, match=f"stored bytes, and its manifest says {artefact.stored.size}"):
        read(store, artefact)


def test_what_was_added_is_found(store: LocalStore) -> None:
    artefact = write(Targets([store]))
    damaged(store, artefact, lambda data: data + b"x")
    with pytest.raises(Damaged, match="stored bytes, and its manifest says"):
        read(store, artefact)


def test_a_missing_and_an_exchanged_artefact_are_found(store: LocalStore) -> None:
    targets = Targets([store])
    one, two = write(targets, name="data/one"), write(targets, CONTENT[:1000], name="data/two")
    damaged(store, one, lambda _data: (store.root / BASE / two.name).read_bytes())
    with pytest.raises(Damaged, match=r"data/one.zst.age in the store local is damaged"):
        read(store, one)
    store.delete(f"{BASE}{two.name}")
    with pytest.raises(Refused, match=r"data/two.zst.age of the store local .* No such file"):
        read(store, two)


def test_a_manifest_that_is_wrong_about_the_plain_bytes_is_found(store: LocalStore) -> None:
    artefact = write(Targets([store]))
    for plain in (Digest(artefact.plain.size, "0" * 64), Digest(artefact.plain.size + 1, artefact.plain.sha256)):
        with pytest.raises(Damaged, match="plain bytes"):
            read(store, dataclasses.replace(artefact, plain=plain))
    with pytest.raises(Damaged, match="went through rot13, which cannot be undone"):
        read(store, dataclasses.replace(artefact, filters=("rot13",)))


def test_a_wrong_key_is_told_from_damage(store: LocalStore) -> None:
    artefact = write(Targets([store]))
    with pytest.raises(InputError, match="no identity opens site/set/data/x") as caught:
        read(store, artefact, OTHER)
    assert "AGE-SECRET" not in str(caught.value)


def test_a_store_that_breaks_off_is_not_called_damage(store: LocalStore) -> None:
    artefact = write(Targets([store]))

    class Breaking(LocalStore):
        def read(self, key: str) -> t.Iterator[bytes]:
            yield from itertools.islice(super().read(key), 1)
            raise Unreachable("the store is gone", method="read", path=key)

    with pytest.raises(Unreachable, match="the store is gone"):
        read(Breaking("local", str(store.root)), artefact)


@pytest.mark.parametrize(("fault", "after"), [("upload", 0), ("write", 0), ("write", 900_000), ("commit", 0)])
def test_a_store_that_fails_is_out_and_the_others_go_on(tmp_path: pathlib.Path, fault: str, after: int) -> None:
    good, bad = LocalStore("good", str(tmp_path / "good")), Faulty("bad", str(tmp_path / "bad"), fault, after=after)
    said: list[str] = []
    targets = Targets([bad, good], said.append)
    artefact, later = write(targets), write(targets, name="data/later")
    assert read(good, artefact) == read(good, later) == CONTENT
    assert targets.fates == {"bad": "the store bad is gone", "good": STORED}
    assert said == ["goes on without the store bad: the store bad is gone"]
    assert list(bad.root.rglob("*")) == []


@pytest.mark.parametrize(("fault", "after"), [("upload", 0), ("write", 0), ("write", 900_000), ("commit", 0)])
def test_without_any_store_it_ends(tmp_path: pathlib.Path, fault: str, after: int) -> None:
    stores = [Faulty(name, str(tmp_path / name), fault, after=after) for name in ("one", "two")]
    with pytest.raises(Unreachable, match="the store two is gone"):
        write(Targets(stores))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_given_up_it_leaves_nothing(store: LocalStore) -> None:
    writing = Writing(Targets([store]), BASE, "x", recipients=[KEY.to_public()])
    writing.write(CONTENT)
    writing.abort()
    assert list(store.root.rglob("*")) == []


# -- keys ----------------------------------------------------------------------------------------------------------


def test_keys_that_cannot_be_used_are_named() -> None:
    with pytest.raises(InputError, match="no key is given to encrypt for"):
        recipients([])
    with pytest.raises(InputError, match="'age1nonsense' is no public key"):
        recipients(["age1nonsense"])
    for text in ("", "nonsense", str(KEY)[:-3] + "AAA"):
        with pytest.raises(InputError, match="backup_identity") as caught:
            identities(text)
        assert not text or text not in str(caught.value)
    assert len(identities(f"# created today\n{KEY}\n\n{OTHER}\n")) == 2


# -- programs ------------------------------------------------------------------------------------------------------


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def test_a_program_that_ends_well_has_said_everything() -> None:
    kept = Kept()
    said = programs.run(["sh", "-c", "printf '%s' \"$A\"; echo remark >&2"], kept, env={"A": "text"}, what="a")
    assert (kept.data, said) == (b"text", "remark")


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("echo no >&2; exit 3", "a: sh ended with the status 3: no"),
        ("exit 1", "a: sh ended with the status 1 and said nothing."),
        ("kill -9 $$", "a: sh was killed by SIGKILL"),
        ("printf 'half of it'; echo secret >&2; kill -TERM $$", r"a: sh was killed by SIGTERM: \*\*\*"),
    ],
)
def test_a_program_that_ends_badly_is_refused(script: str, ending: str) -> None:
    with pytest.raises(Refused, match=ending):
        programs.run(["sh", "-c", script], Kept(), env={}, what="a", clean=lambda text: text.replace("secret", "***"))


def test_a_program_that_talks_much_holds_nothing_up() -> None:
    kept = Kept()
    said = programs.run(["sh", "-c", "yes word | head -c 3000000 >&2; echo end >&2; printf x"], kept, env={}, what="a")
    assert kept.data == b"x" and said.endswith("end") and len(said) < 30_000


def test_a_program_is_ended_when_its_output_cannot_be_kept() -> None:
    class Full:
        def write(self, _data: bytes) -> None:
            raise Refused("full", method="write", path="x")

    with pytest.raises(Refused, match="full"):
        programs.run(["sh", "-c", "yes; sleep 60"], Full(), env={}, what="a")


def test_a_program_that_is_fed_less_than_all_is_not_called_done() -> None:
    def broken() -> t.Iterator[bytes]:
        yield b"half"
        raise Damaged("the source is damaged")

    kept = Kept()
    assert programs.run(["cat"], kept, env={}, what="a", source=[b"one", b"two"]) == "" and kept.data == b"onetwo"
    with pytest.raises(Damaged, match="the source is damaged"):
        programs.run(["cat"], Kept(), env={}, what="a", source=broken())
    assert programs.run(["true"], Kept(), env={}, what="a", source=[bytes(1 << 20)]) == ""


def test_a_missing_program_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=f"there is no program pg_dump in {tmp_path}, which tradeops_x names"):
        programs.find("pg_dump", str(tmp_path), "tradeops_x")
    with pytest.raises(InputError, match="nothing-like-it is missing where the backup runs"):
        programs.find("nothing-like-it", None, "tradeops_x")
    assert programs.version(sys.executable)[:2] == sys.version_info[:2]
    with pytest.raises(Refused, match="false --version ended with the status 1"):
        programs.version(programs.find("false", None, ""))
