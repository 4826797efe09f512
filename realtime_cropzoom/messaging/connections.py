"""Connection limits: counts the connections to a bound socket and what each sends, and cuts off those above the limits.

ZeroMQ receives everything that its peers send and has no function to disconnect one of them. A peer that sends
without end keeps the thread of the socket busy, and each new topic costs memory. The connections are therefore
watched from outside: ZeroMQ reports the file descriptor of each, and the kernel the number of bytes received on it.
A connection that sends more than its allowance is shut down; ZeroMQ then drops it with all its subscriptions.
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
"""Offset (bytes) of ``tcpi_bytes_received`` in Linux' ``struct tcp_info``."""
_INFO_BYTES = _BYTES_RECEIVED + 8
_GREETING = 64
"""Size of the greeting that every peer sends first (bytes)."""
SENDS_TOO_MUCH = "it sends far more than a subscriber does"
MEASURABLE = sys.platform == "linux"
"""Whether the kernel reports the bytes received. On other systems connections are only counted."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much one connection may send."""

    at_once: int
    """Bytes that are allowed from the start."""
    per_second: int
    """Bytes that each second adds."""
    in_all: int
    """Maximum for the whole connection (bytes), at any speed."""


SUBSCRIPTIONS = Allowance(1 << 16, 256, 1 << 26)
"""Allowance of a subscriber: thousands of topics at once, ten changes per second, and heartbeats for weeks."""
REQUESTS = Allowance(1 << 16, 1 << 14, 1 << 40)
"""Allowance of a client that sends requests: some hundred small requests per second."""
ORDERS = Allowance(1 << 19, 1 << 14, 1 << 40)
"""Allowance of a client that gives orders: a rules file to check and to use at once, then small requests."""


@dataclass(slots=True)
class _Connection:
    inode: int
    since_ns: int
    measurable: bool
    received: int = 0
    """Bytes received so far."""
    cut: bool = False


class Connections:
    """All connections to one socket. Use it from one thread; ``now_ns`` may be of any steady clock."""

    def __init__(self, allowance: Allowance, most: int) -> None:
        self._allowance, self._most = allowance, most
        self._open: dict[int, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def accepted(self, descriptor: int, now_ns: int) -> None:
        """Register a new connection. Its descriptor may already belong to another one, or be closed."""
        if sys.platform == "win32":  # sockets are no files there
            return
        with suppress(OSError), _held(descriptor) as (socket, inode):
            measurable = MEASURABLE and socket.family != sockets.AF_UNIX
            self._open[descriptor] = _Connection(inode, now_ns, measurable)

    def sent(self, descriptor: int, size: int) -> None:
        """Add ``size`` bytes to a connection that the kernel does not measure. May be called from any thread."""
        connection = self._open.get(descriptor)
        if connection is not None and not connection.measurable:
            connection.received += size

    def ended(self, descriptor: int) -> None:
        """Forget a connection that has ended."""
        self._open.pop(descriptor, None)

    def cut_off(self, now_ns: int) -> list[str]:
        """Shut down the connections that send too much or are too many; return one reason for each."""
        much = [d for d in list(self._open) if self.sends_too_much(d, now_ns) and self._cut(d)]
        many = [d for d in self._too_many() if self._cut(d)]
        return [SENDS_TOO_MUCH] * len(much) + [f"there are more than {self._most}"] * len(many)

    def sends_too_much(self, descriptor: int, now_ns: int) -> bool:
        """Return whether a connection has sent more than its allowance and is not shut down yet."""
        connection, may = self._open[descriptor], self._allowance
        if connection.cut:
            return False
        if connection.measurable:
            connection.received = bytes_received(descriptor)
        allowed = may.at_once + may.per_second * (now_ns - connection.since_ns) // 1_000_000_000
        return connection.received > min(allowed, may.in_all)

    def _too_many(self) -> list[int]:
        """Return the surplus: first the oldest connections without a known greeting, then the newest of the others."""
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
    """Return the number of bytes received on a TCP connection (Linux); 0 if unknown."""
    try:
        socket = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:  # closed at this moment
        return 0
    try:
        info = socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _INFO_BYTES)
    except OSError:
        return 0
    finally:
        socket.detach()  # the descriptor is ZeroMQ's: it must stay open
    return 0 if len(info) < _INFO_BYTES else int(struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0])


@contextmanager
def _held(descriptor: int) -> Iterator[tuple[sockets.socket, int]]:
    """Yield a duplicate of a connection, which ZeroMQ cannot close meanwhile, and its inode."""
    copy = os.dup(descriptor)
    try:
        socket = sockets.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with socket:
        yield socket, os.fstat(copy).st_ino
