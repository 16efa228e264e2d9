# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the tradeops.core collection.
"""Sockets that keep one time budget, from the name of the host to the last byte of the answer."""

from __future__ import annotations

import io
import queue
import socket
import threading
import typing as t

from .._common.waiter import Deadline

_Found = list[tuple[t.Any, ...]]


class TimedSocket:
    """A connected socket on which no operation outlasts ``budget``, however slowly the bytes drip."""

    def __init__(self, raw: socket.socket, budget: Deadline) -> None:
        self._raw = raw
        self.budget = budget

    def limit(self) -> None:
        if self.budget.over:
            raise TimeoutError
        self._raw.settimeout(self.budget.remaining)

    def sendall(self, data: bytes) -> None:
        self.limit()
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._raw.makefile("rb", buffering=0)))

    def close(self) -> None:
        self._raw.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, owner: TimedSocket, raw: t.Any) -> None:
        self._owner = owner
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        self._owner.limit()
        return t.cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


def dial(address: tuple[str, int], timeout: float, _source: t.Any = None) -> socket.socket:
    """Return a socket that is connected to host and port within ``timeout`` seconds. Raises OSError.

    The time is shared by the addresses of the host, so that a dead one does not use up that of the next.
    """
    budget = Deadline(timeout)
    found = _addresses(*address, budget)
    problem: OSError = OSError("the host has no address")
    for index, (family, kind, protocol, _name, place) in enumerate(found):
        share = budget.remaining / (len(found) - index)
        if share <= 0:
            raise TimeoutError
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(share)
            connection.connect(place)
        except OSError as exc:
            connection.close()
            problem = exc
            continue
        connection.settimeout(max(budget.remaining, 0.001))
        return connection
    raise problem


def _addresses(host: str, port: int, budget: Deadline) -> _Found:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # it is a name
    except UnicodeError as exc:
        raise OSError(f"{host} is not the name of a host") from exc
    answers: queue.SimpleQueue[_Found | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as exc:
            answers.put(exc)

    # The resolver of the system has no time limit of its own that we could set: a dead name server costs half a minute.
    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = answers.get(timeout=budget.remaining)
    except queue.Empty:
        raise OSError(f"the name {host} was not resolved within {budget.seconds:.1f} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
