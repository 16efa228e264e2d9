# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What an inventory says of a store."""

from __future__ import annotations

import dataclasses
import re
import typing as t

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclasses.dataclass(frozen=True)
class Local:
    name: str
    kind: t.Literal["local"]
    path: str

    def check(self) -> tuple[tuple[str, ...], str] | None:
        if not self.path.startswith(("/", "~/")):
            return ("path",), f"{self.path!r} depends on where it is run; give one that begins with /"
        return _name(self.name)


@dataclasses.dataclass(frozen=True)
class ObjectLock:
    mode: t.Literal["COMPLIANCE", "GOVERNANCE"]
    days: int

    def check(self) -> tuple[tuple[str, ...], str] | None:
        return None if self.days > 0 else (("days",), "give at least 1")


@dataclasses.dataclass(frozen=True)
class S3:
    """``access_key_secret`` and ``secret_key_secret`` are names in ``tradeops_secrets``; without them the machine's own
    credentials are used (a role of the instance, the environment). ``timeout`` (s) is for one answer."""

    name: str
    kind: t.Literal["s3"]
    bucket: str
    endpoint: str = ""
    prefix: str = ""
    region: str = ""
    access_key_secret: str = ""
    secret_key_secret: str = ""
    ca_path: str = ""
    object_lock: t.Optional[ObjectLock] = None
    addressing: t.Literal["path", "virtual"] = "path"
    timeout: float = 60.0
    attempts: int = 5

    def check(self) -> tuple[tuple[str, ...], str] | None:
        if bool(self.access_key_secret) != bool(self.secret_key_secret):
            return ("access_key_secret",), "give it together with secret_key_secret, or neither"
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            return ("endpoint",), f"{self.endpoint!r} is no address; it begins with https://"
        if self.attempts < 1 or not 0 < self.timeout <= 3600:
            return ("timeout",), "give a timeout of 1 to 3600 seconds and at least 1 attempt"
        return _name(self.name)


def _name(name: str) -> tuple[tuple[str, ...], str] | None:
    if _NAME.fullmatch(name):
        return None
    return ("name",), f"{name!r} is no name for a store; use lower-case letters, digits, - and _"
