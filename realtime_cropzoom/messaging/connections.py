"""The connections to a bound socket: how many there are, how much each sends, and which are cut off.

ZeroMQ takes in whatever its peers send and lets nobody disconnect one of them. A peer that sends without end
keeps the thread of the socket busy, and each new topic costs memory. So the connections are watched from outside:
ZeroMQ says which file descriptor each of them has, and the kernel how many bytes have come on it. One that sends
more than its allowance is shut down; ZeroMQ then drops it with all that it has subscribed to.
"""

from __future__ import annotations

import os
import socket as sockets
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_BYTES_RECEIVED = 128
"""Where ``tcpi_bytes_received`` lies in Linux' ``struct tcp_info``."""
_INFO_BYTES = _BYTES_RECEIVED + 8
_GREETING = 64
"""Bytes that every peer sends first."""
SENDS_TOO_MUCH = "it sends far more than a listener does"
MEASURABLE = sys.platform == "linux"
"""Whether the kernel says how much has come; elsewhere connections are only counted."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much one connection may send."""

    at_once: int
    """Bytes."""
    per_second: int
    """Bytes."""
    in_all: int
    """Bytes, however slowly they come."""


SUBSCRIPTIONS = Allowance(1 << 16, 256, 1 << 26)
"""For who only subscribes: thousands of topics at once, ten changes a second, and heartbeats for weeks."""
REQUESTS = Allowance(1 << 16, 1 << 14, 1 << 40)
"""For who asks: some hundred small requests a second."""


@dataclass(slots=True)
class _Connection:
    inode: int
    since_ns: int
    measurable: bool
    received: int = 0
    """Bytes."""
    cut: bool = False


class Connections:
    """All connections to one socket. For one thread; ``now_ns`` is of any steady clock."""

    def __init__(self, allowance: Allowance, most: int) -> None:
        self._allowance, self._most = allowance, most
        self._open: dict[int, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def accepted(self, descriptor: int, now_ns: int) -> None:
        """Learn of a connection; the descriptor may be another's by now."""
        if os.name != "posix":  # sockets are no files there
            return
        with suppress(OSError), _held(descriptor) as (socket, inode):
            measurable = MEASURABLE and socket.family != sockets.AF_UNIX
            self._open[descriptor] = _Connection(inode, now_ns, measurable)

    def sent(self, descriptor: int, size: int) -> None:
        """Count bytes that came from a connection, where the kernel does not. Any thread may say so."""
        connection = self._open.get(descriptor)
        if connection is not None and not connection.measurable:
            connection.received += size

    def ended(self, descriptor: int) -> None:
        """Learn that a connection is over."""
        self._open.pop(descriptor, None)

    def cut_off(self, now_ns: int) -> list[str]:
        """End the connections that send too much, and those that are too many; return why, one text each."""
        much = [d for d in list(self._open) if self._sends_too_much(d, now_ns) and self._cut(d)]
        many = [d for d in self._too_many() if self._cut(d)]
        return [SENDS_TOO_MUCH] * len(much) + [f"there are more than {self._most}"] * len(many)

    def _sends_too_much(self, descriptor: int, now_ns: int) -> bool:
        connection, may = self._open[descriptor], self._allowance
        if connection.cut:
            return False
        if connection.measurable:
            connection.received = bytes_received(descriptor)
        allowed = may.at_once + may.per_second * (now_ns - connection.since_ns) // 1_000_000_000
        return connection.received > min(allowed, may.in_all)

    def _too_many(self) -> list[int]:
        """Those above the number: first, the oldest of who has not said who it is, as far as known; then the newest."""
        alive = [d for d, connection in self._open.items() if not connection.cut]
        silent = [d for d in alive if self._open[d].received < _GREETING]
        known = [d for d in reversed(alive) if d not in silent]
        return [*silent, *known][: max(0, len(alive) - self._most)]

    def _cut(self, descriptor: int) -> bool:
        connection = self._open[descriptor]
        with suppress(OSError), _held(descriptor) as (socket, inode):
            if inode == connection.inode:
                socket.shutdown(sockets.SHUT_RDWR)
                connection.cut = True
                return True
        return False


def bytes_received(descriptor: int) -> int:
    """Return how many bytes have come on a TCP connection, 0 where that cannot be told. Linux."""
    try:
        socket = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:  # closed in this moment
        return 0
    try:
        info = socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _INFO_BYTES)
    except OSError:
        return 0
    finally:
        socket.detach()  # it is ZeroMQ's: not ours to close
    return 0 if len(info) < _INFO_BYTES else int(struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0])


@contextmanager
def _held(descriptor: int) -> Iterator[tuple[sockets.socket, int]]:
    """Yield a copy of a connection that ZeroMQ cannot close meanwhile, and what it is known by."""
    copy = os.dup(descriptor)
    try:
        socket = sockets.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with socket:
        yield socket, os.fstat(copy).st_ino
