# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""What a probe is given: the site, for one thread, and where its stores and clusters are."""

from __future__ import annotations

import dataclasses
import typing as t

from .._common.errors import InputError
from .._common.gate import Gate
from .._common.waiter import Deadline
from .._platform.http import HttpTransport, Reply
from .._platform.site import Site
from .._platform.verbs.run import Run


@dataclasses.dataclass(frozen=True)
class Asked:
    """One site, as one check asks it. ``given``: the parameters of the verb."""

    site: Site
    given: t.Mapping[str, t.Any]
    deadline: Deadline

    @property
    def run(self) -> Run:
        """A run of verbs that read; nothing passes its gate."""
        return Run(self.site, Gate(check_mode=True), self.deadline)

    def secret(self, name: str) -> str | None:
        value = self.given["secrets"].get(name)
        return None if value in (None, "") else str(value)

    def authority(self, service: str) -> str | None:
        """Return the file with the authorities to trust for a service."""
        return (self.given["ca_paths"] or {}).get(service) or self.given["ca_path"]

    def get(self, url: str, *, token: str | None = None, service: str = "") -> Reply:
        """Read a page with a bearer ``token``, whatever its status is. Raises CallError."""
        given = self.given
        transport = HttpTransport(
            timeout=self.deadline.seconds,
            validate_certs=given["validate_certs"],
            ca_path=self.authority(service),
            client_cert=given["client_cert"],
            client_key=given["client_key"],
        )
        headers = {"Accept": "*/*", "User-Agent": "tradeops", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            return transport.exchange("GET", url, headers, None, self.deadline, write=False)
        finally:
            transport.close()


def server(site: str, given: t.Mapping[str, t.Any], kind: str, own: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return where a store of the site is; ``own``: what a check says instead. Raises InputError."""
    found = {**(given[kind] or {}), **own}
    if not found.get("host"):
        raise InputError(f"{site}: tradeops_{kind} says no host, which a check of kind {kind} needs. Nothing was read.")
    return found
