# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Find and read the profiles, and check what their parts say about each other."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import threading
import typing as t

from .._common.errors import InputError, ProfileError
from .._common.typed import Document, Path
from . import kubernetes
from .profile import PLACEHOLDER, SCOPE_KEYS, Action, Listing, Profile, Request

# What every verb, or the one that a request belongs to, fills in; the fields of listings come on top.
_FILLED = {
    "reason",
    "operator",
    "operation",
    "namespace",
    "percentage",
    "mode",
    "value",
    "timeout",
    "refresh_token",
    *SCOPE_KEYS,
}
_one_at_a_time = threading.Lock()


def parse(content: str, name: str) -> Profile:
    """Read a profile from its text; ``name`` is the file that errors name. Raises ProfileError."""
    document = Document(content, name)
    profile = kubernetes.equipped(document.read(Profile))
    for path, problem in problems(profile):
        raise document.error(path, problem)
    return profile


def load(path: pathlib.Path) -> Profile:
    """Read a profile from a file, once for every version of the file. Raises ProfileError."""
    # The threads of a fleet ask for the same few files at once: one of them reads, the others wait for it.
    with _one_at_a_time:
        return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=64)
def _load(path: pathlib.Path, _stamp: int) -> Profile:
    return parse(text(path), str(path))


def text(path: pathlib.Path) -> str:
    """Return the text of a profile. Raises ProfileError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise ProfileError(f"{path}:1: not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except OSError as exc:
        raise ProfileError(f"{path}:1: cannot be read: {exc.strerror}") from exc


def find(name: str, folders: t.Sequence[pathlib.Path]) -> pathlib.Path:
    """Return the file of the profile ``name``: a path to a YAML file, or a name looked up in ``folders``."""
    if name.endswith((".yml", ".yaml")):
        path = pathlib.Path(name).expanduser()
        if path.is_file():
            return path
        raise InputError(f"profile: the file {name} does not exist")
    for folder in folders:
        path = folder / f"{name}.yml"
        if path.is_file():
            return path
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yml")})
    raise InputError(
        f"profile: there is no profile {name!r} in {', '.join(map(str, folders))}; "
        f"known: {', '.join(known)}. Set tradeops_profile to one of them or to the path of your own YAML file."
    )


def problems(profile: Profile) -> t.Iterator[tuple[Path, str]]:
    """Yield what does not fit together: where, and a sentence."""
    if profile.default_auth not in profile.auth:
        yield ("auth",), f"has no {profile.default_auth!r}, which is the default_auth"
    filled = _FILLED | {name for _path, listing in _every(Listing, profile) for name in listing.fields}
    filled |= {name for _path, action in _every(Action, profile) for entry in action.each for name in entry}
    for path, request in _every(Request, profile):
        if request.service not in profile.services:
            yield (*path, "service"), f"services has no {request.service!r}"
        if request.auth and request.auth not in profile.auth:
            yield (*path, "auth"), f"auth has no {request.auth!r}"
        for unknown in sorted(_placeholders([request.path, request.query, request.body]) - filled):
            yield path, f"unknown placeholder {{{unknown}}}; known: {', '.join(sorted(filled))}"


T = t.TypeVar("T")


def _every(kind: type[T], value: t.Any, path: Path = ()) -> t.Iterator[tuple[Path, T]]:
    if isinstance(value, kind):
        yield path, value
    parts: t.Iterable[tuple[t.Union[str, int], t.Any]] = ()
    if dataclasses.is_dataclass(value):
        parts = [(field.name.rstrip("_"), getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        yield from _every(kind, part, (*path, key))


def _placeholders(value: t.Any) -> set[str]:
    if isinstance(value, str):
        return set(PLACEHOLDER.findall(value))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_placeholders, parts))
