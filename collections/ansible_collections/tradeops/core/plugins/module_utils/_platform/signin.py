# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Who we are to a platform: the kinds of sign-in that a profile may name."""

from __future__ import annotations

import base64
import dataclasses
import time
import typing as t

from .._common.errors import InputError
from .profile import Auth, Profile


@dataclasses.dataclass
class Session:
    """A token that a login gave; ``expires`` is on the monotonic clock, in seconds."""

    access: str
    refresh: str | None
    expires: float


class SignIn:
    """Turns the secrets of a site into headers and body keys; keeps the sessions of logins for this process."""

    def __init__(self, site: str, profile: Profile, secrets: t.Mapping[str, str]) -> None:
        self._site = site
        self._profile = profile
        self._secrets = secrets
        self._sessions: dict[str, Session] = {}

    def check(self, names: t.Iterable[str]) -> None:
        """Raise InputError unless every secret that the named ways of signing in need was given."""
        for name in sorted(set(names)):
            for secret in self._profile.auth[name].secrets():
                if not self._secrets.get(secret):
                    raise InputError(
                        f"{self._site}: the secret {secret!r} is missing, which {self._profile.name} needs to sign in as "
                        f"{name!r}. Set tradeops_secrets.{secret} for this site; nothing was sent."
                    )

    def auth(self, name: str | None) -> tuple[str, Auth]:
        name = name or self._profile.default_auth
        return name, self._profile.auth[name]

    def headers(self, auth: Auth) -> dict[str, str]:
        """Return the headers of an auth that needs no login."""
        if auth.kind == "bearer":
            return {"Authorization": f"Bearer {self._secrets[t.cast(str, auth.token)]}"}
        if auth.kind == "basic":
            return self.basic(auth)
        if auth.kind == "headers":
            return {header: self._secrets[secret] for header, secret in auth.fields.items()}
        return {}

    def basic(self, auth: Auth) -> dict[str, str]:
        pair = f"{self._secrets[t.cast(str, auth.username)]}:{self._secrets[t.cast(str, auth.password)]}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}

    def fields(self, auth: Auth) -> dict[str, str]:
        """Return what an auth adds to the body of a request."""
        return {key: self._secrets[secret] for key, secret in auth.fields.items()}

    def session(self, name: str) -> Session | None:
        """Return the session of a login, also one that is over and can only be refreshed."""
        return self._sessions.get(name)

    def fresh(self, name: str) -> Session | None:
        session = self._sessions.get(name)
        return session if session and session.expires > time.monotonic() else None

    def keep(self, name: str, access: str, refresh: str | None, lifetime: float) -> Session:
        """Remember a session; it counts as over a little early, so that no request meets its last moment."""
        session = Session(access, refresh, time.monotonic() + lifetime * 0.9)
        self._sessions[name] = session
        return session

    def forget(self, name: str) -> None:
        self._sessions.pop(name, None)
