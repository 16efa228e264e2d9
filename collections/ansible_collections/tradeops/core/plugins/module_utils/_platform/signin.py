# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Who we are to a platform: the kinds of sign-in that a profile may name."""

from __future__ import annotations

import base64
import dataclasses
import re
import threading
import time
import typing as t

from .._common.errors import InputError
from .profile import Auth, Profile

# What a header can carry; a token that was read from a file often ends with a line break.
_HEADER_TEXT = re.compile(r"[!-~]+( +[!-~]+)*")


@dataclasses.dataclass
class Session:
    """A token that a login gave; ``expires`` is on the monotonic clock, in seconds."""

    access: str
    refresh: str | None
    expires: float

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.access)


class SignIn:
    """Turns the secrets of a site into headers and body keys; keeps the sessions of logins for this process."""

    def __init__(self, site: str, profile: Profile, secrets: t.Mapping[str, str]) -> None:
        self._site = site
        self._profile = profile
        self._secrets = secrets
        self._sessions: dict[str, Session] = {}
        # Held while signing in: threads that need the same session wait for the one that gets it.
        self.lock = threading.Lock()

    def check(self, name: str) -> None:
        """Raise InputError unless every secret that this way of signing in needs was given and can be sent."""
        auth = self._profile.auth[name]
        for secret in auth.secrets():
            given = self._secrets.get(secret)
            if not given:
                raise InputError(
                    f"{self._site}: the secret {secret!r} is missing, which {self._profile.name} needs to sign in as "
                    f"{name!r}. Set tradeops_secrets.{secret} for this site; nothing was sent."
                )
            if auth.kind in ("bearer", "headers") and not _HEADER_TEXT.fullmatch(given):
                raise InputError(
                    f"{self._site}: the secret {secret!r} holds a line break or another character that no header can "
                    f"carry. Set tradeops_secrets.{secret} without it; nothing was sent."
                )

    def public_names(self) -> set[str]:
        """Return which of the site's secrets are names of users: no secrets, and too short and common to hide."""
        return {"username", *(auth.username for auth in self._profile.auth.values() if auth.username)}

    def headers(self, auth: Auth) -> dict[str, str]:
        """Return the headers of an auth that needs no login."""
        if auth.kind == "bearer":
            return bearer(self._secrets[t.cast(str, auth.token)])
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

    def fresh(self, name: str) -> Session | None:
        """Return the session of a login unless it is over."""
        session = self._sessions.get(name)
        return session if session and session.expires > time.monotonic() else None

    def keep(self, name: str, access: str, refresh: str | None, lifetime: float) -> Session:
        """Remember a session; it counts as over a little early, so that no request meets its last moment."""
        session = Session(access, refresh, time.monotonic() + lifetime * 0.9)
        self._sessions[name] = session
        return session

    def forget(self, name: str) -> Session | None:
        """Return the session of a login, also one that is over and can only be refreshed, and keep it no longer."""
        return self._sessions.pop(name, None)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
