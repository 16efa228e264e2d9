# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: static secrets are compared with the hashes in the tokens table, sessions with those in Redis."""

from __future__ import annotations

import hashlib
import typing as t

import asyncpg

from ..platforms.base import Auth, Bearer, Headers, InBody, Refusal, Session
from . import sessions
from .engine import Engine


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def names_of(db: asyncpg.Connection, values: t.Collection[str]) -> set[str]:
    """The names of those of ``values`` that are valid secrets of the site."""
    rows = await db.fetch(
        "SELECT name FROM tokens WHERE hash = ANY($1) AND NOT revoked", [digest(value) for value in values]
    )
    return {row["name"] for row in rows}


async def check(
    engine: Engine,
    auth: Auth,
    headers: t.Mapping[str, str],
    body: t.Mapping[str, t.Any],
    *,
    expired_since: float | None = None,
) -> str:
    """Return who signed in (the name of the secret, or the user of a session). Raises Refusal with 401 or 403.

    ``expired_since`` (seconds of the epoch): nothing that was valid before counts (fault ``expire_token``).
    """
    if isinstance(auth, Session):
        return await _session(engine, auth, headers, expired_since)
    wanted, given = _presented(auth, headers, body)
    if not all(given):
        raise Refusal(401, "unauthorized", "credentials are missing")
    if expired_since is not None:
        raise Refusal(401, "token_expired", "the token has expired")
    if not set(wanted) <= await engine.names_of([digest(value) for value in given]):
        code = "forbidden" if auth.denied == 403 else "unauthorized"
        raise Refusal(auth.denied, code, "the credentials are not valid")
    return wanted[0]


def _presented(auth: Auth, headers: t.Mapping[str, str], body: t.Mapping[str, t.Any]) -> tuple[list[str], list[str]]:
    if isinstance(auth, Bearer):
        return [auth.secret], [bearer(headers)]
    if isinstance(auth, Headers):
        return list(auth.fields.values()), [headers.get(name, "") for name in auth.fields]
    if isinstance(auth, InBody):
        return list(auth.fields.values()), [str(body.get(name) or "") for name in auth.fields]
    raise TypeError(f"{type(auth).__name__} presents no static secret")


def bearer(headers: t.Mapping[str, str]) -> str:
    kind, _blank, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def _session(engine: Engine, auth: Session, headers: t.Mapping[str, str], expired_since: float | None) -> str:
    token = bearer(headers)
    if not token:
        raise Refusal(401, "unauthorized", "credentials are missing")
    session = await sessions.find(engine.site, token)
    if session is None or (expired_since is not None and session.issued_at <= expired_since):
        raise Refusal(auth.denied, "token_expired", "the token is not valid or has expired")
    return session.actor
