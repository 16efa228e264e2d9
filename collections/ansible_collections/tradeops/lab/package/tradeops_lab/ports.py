# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of a lab: one block, claimed as a whole.

A lab owns a block of ports below the range from which the kernel takes ports for outgoing connections. The
first port of the block is bound before the others are looked at and stays bound: `up` gives the listening socket to the
notification sink. So two labs never share a block, also when they start at the same moment, and no file has to say so.
"""

from __future__ import annotations

import pathlib
import random
import socket

from .errors import LabError

BLOCK = 200
_FIRST = 20000
_LAST = 32768  # where Linux begins with ports for outgoing connections unless it is told otherwise
HOST = "127.0.0.1"


def claim(preferred: int | None = None) -> socket.socket:
    """Return a socket that listens on the first port of a free block, preferably ``preferred``. Raises LabError."""
    bases = list(range(_FIRST, _ceiling() - BLOCK + 1, BLOCK))
    random.SystemRandom().shuffle(bases)
    for base in [preferred, *bases] if preferred else bases:
        holder = claim_again(base)
        if holder is None:
            continue
        if all(is_free(port) for port in range(base + 1, base + BLOCK)):
            return holder
        holder.close()
    raise LabError(
        f"no {BLOCK} free ports in a row between {_FIRST} and {_ceiling()} on {HOST}: stop labs you do not need"
    )


def claim_again(base: int) -> socket.socket | None:
    """Return a socket that listens on ``base``, None if that is taken; the other ports of the block are ours."""
    try:
        holder = _bind(base)
    except OSError:
        return None
    try:
        holder.listen(128)  # two can bind a port, one can listen: this is the claim
    except OSError:
        holder.close()
        return None
    return holder


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of 127.0.0.1 now."""
    try:
        _bind(port).close()
    except OSError:
        return False
    return True


def _bind(port: int) -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: a port whose last connections are in TIME_WAIT counts as free, one that is listened on does not.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError:
        probe.close()
        raise
    return probe


def _ceiling() -> int:
    try:
        lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _LAST
    return lowest if _FIRST + 20 * BLOCK <= lowest <= _LAST else _LAST
