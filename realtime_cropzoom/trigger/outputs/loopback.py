"""Restricts sockets that a library has opened to this machine: Linux then accepts only the loopback for them."""

from __future__ import annotations

import os
import socket as sockets
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress

CAN_KEEP = sys.platform == "linux"
"""Whether the operating system can restrict sockets that are bound already."""
_LOOPBACK = b"lo"


def keep_on_this_machine(ports: Collection[int]) -> int:
    """Restrict the sockets of this process at ``ports``, TCP and UDP, to this machine.

    Returns:
        The number of sockets.

    Raises:
        OSError: if the operating system does not allow it.
    """
    kept = 0
    for socket in _bound_sockets(ports):
        with socket:
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_BINDTODEVICE, _LOOPBACK)
            kept += 1
    return kept


def _bound_sockets(ports: Collection[int]) -> Iterator[sockets.socket]:
    """Yield a copy of each internet socket of this process that is bound to one of ``ports``."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile, or not a socket
            copy = os.dup(int(number))
            try:
                socket = sockets.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            if socket.family in (sockets.AF_INET, sockets.AF_INET6) and socket.getsockname()[1] in ports:
                yield socket
            else:
                socket.close()
