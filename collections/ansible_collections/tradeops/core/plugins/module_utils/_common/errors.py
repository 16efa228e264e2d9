# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""The one error tree. Every error is a sentence for an operator; it never carries a secret."""

from __future__ import annotations

import typing as t


class TradeopsError(Exception):
    """Anything that stops an operation. ``result`` is the word that the module returns for it."""

    result: t.ClassVar[str] = "refused"


class InputError(TradeopsError):
    """What the operator gave is not usable: nothing was sent."""


class ProfileError(InputError):
    """A platform profile is not valid. The message begins with ``file:line: key``."""


class Unsupported(InputError):
    """The platform lacks the capability: refused by name before any call."""


class Unproven(TradeopsError):
    """What was sent did not show its effect, or what was read contradicts itself."""

    result = "unproven"


class Damaged(TradeopsError):
    """A stored artefact or manifest is not what it says it is: damaged, cut off, exchanged or edited."""


class LeaseHeld(TradeopsError):
    """Another operation holds the site, or has taken it over from this one."""


class CallError(TradeopsError):
    """An HTTP exchange that did not give a usable answer.

    :param sent: False when the request provably never reached the server, True when it was answered, None when
        nobody can know (a timeout, a reset, a 5xx): the state has to be read.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str,
        path: str,
        status: int | None = None,
        sent: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.status = status
        self.sent = sent
        self.retry_after = retry_after


class Unreachable(CallError):
    """No answer, or none that can be read: connection refused, timeout, reset, 5xx, HTML, truncated body."""

    result = "unreachable"


class Untrusted(CallError):
    """The certificate of the site could not be verified: nothing was sent."""


class Refused(CallError):
    """The system said no (4xx, or what its profile calls a refusal)."""


class Denied(Refused):
    """The system does not accept our credentials (401, 403)."""


class RateLimited(CallError):
    """429: provably not processed; ``retry_after`` is in seconds."""
