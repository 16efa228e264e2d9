# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed-in sessions of a site, in its Redis database: only hashes of tokens, each with the time it has to live."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import time
import typing as t

if t.TYPE_CHECKING:
    from .site import Site

ACCESS_LIFETIME = 900
REFRESH_LIFETIME = 30 * 24 * 3600


@dataclasses.dataclass(frozen=True)
class Session:
    """``issued_at`` in seconds of the epoch."""

    actor: str
    issued_at: float


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a sign-in gives; lifetimes in seconds."""

    access: str
    refresh: str
    expires_in: int = ACCESS_LIFETIME


def _key(kind: str, token: str) -> str:
    return f"{kind}:{hashlib.sha256(token.encode()).hexdigest()}"


async def sign_in(site: Site, actor: str) -> Tokens:
    """Begin a session for ``actor``; the caller has checked the password (``auth.names_of``)."""
    tokens = Tokens(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    await _store(site, "session", tokens.access, actor, ACCESS_LIFETIME)
    await _store(site, "refresh", tokens.refresh, actor, REFRESH_LIFETIME)
    return tokens


async def refresh(site: Site, token: str) -> Tokens | None:
    """Exchange a refresh token for new tokens; it is good for one exchange. None: it is not valid."""
    found = await site.redis.getdel(_key("refresh", token))
    return await sign_in(site, json.loads(found)["actor"]) if found else None


async def find(site: Site, token: str) -> Session | None:
    """The session of an access token, or None."""
    found = await site.redis.get(_key("session", token))
    return Session(**json.loads(found)) if found else None


async def end_all(site: Site) -> int:
    """End every session of the site. Returns how many tokens have become invalid."""
    keys: list[bytes] = []
    for kind in ("session", "refresh"):
        keys.extend([key async for key in site.redis.scan_iter(f"{kind}:*", count=1000)])
    return int(await site.redis.delete(*keys)) if keys else 0


async def _store(site: Site, kind: str, token: str, actor: str, lifetime: int) -> None:
    await site.redis.set(_key(kind, token), json.dumps({"actor": actor, "issued_at": time.time()}), ex=lifetime)
