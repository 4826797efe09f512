"""Who can reach an endpoint: this machine alone, or others too; and what it takes to bind it."""

from __future__ import annotations

import ipaddress
import os
import re
import socket as sockets
import stat
from contextlib import suppress

from realtime_cropzoom.errors import ConfigError

_TCP = re.compile(r"^tcp://(?P<host>.+):(?P<port>\d+|\*)$")
_IPC = "ipc://"
_LOCAL_TRANSPORTS = (_IPC, "inproc://")
_ANSWERS_WITHIN_S = 0.5
_TRANSPORTS_WITH_KEYS = ("tcp://", *_LOCAL_TRANSPORTS)


def is_local(endpoint: str) -> bool:
    """Return whether nothing but this machine can reach an endpoint that is bound.

    True for ipc and inproc, and for tcp at ``localhost``, 127.0.0.0/8 and ``[::1]``. What is not known to be local,
    such as a network interface by its name, is not.
    """
    if endpoint.startswith(_LOCAL_TRANSPORTS):
        return True
    tcp = _TCP.match(endpoint)
    if tcp is None:
        return False
    host = tcp["host"]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def check_reach(name: str, endpoint: str, *, keys: bool, insecure: bool) -> None:
    """Raise ConfigError where ``endpoint``, the setting ``name``, is none, or others could reach it without leave."""
    if "://" not in endpoint or (endpoint.startswith("tcp://") and _TCP.match(endpoint) is None):
        raise ConfigError(f"{name} is {endpoint}, which is no endpoint; expected something like tcp://127.0.0.1:5660")
    if is_local(endpoint) or insecure:
        return
    if not keys:
        raise ConfigError(
            f"{name} is {endpoint}, which is not this machine's alone as tcp://127.0.0.1:5660 is; to let "
            "others listen, give --key-folder, made by 'cropzoom keys', or --insecure to let in everybody"
        )
    if not endpoint.startswith(_TRANSPORTS_WITH_KEYS):
        raise ConfigError(
            f"{name} is {endpoint}, where keys protect nothing; expected something like tcp://0.0.0.0:5660"
        )


def check_free(name: str, endpoint: str) -> None:
    """Raise ConfigError where an ``ipc://`` endpoint, the setting ``name``, would take a file from somebody.

    ZeroMQ removes what is at the path before it binds, be it another program's socket or a file with data.
    """
    if not endpoint.startswith(_IPC) or not hasattr(sockets, "AF_UNIX"):
        return
    path = endpoint.removeprefix(_IPC)
    if path[:1] in ("@", "*") or not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise ConfigError(f"{name} is {endpoint}, but that file is there and is no socket; give another path")
    if answers(path):
        raise ConfigError(f"{name} is {endpoint}, which is in use by another program; give another path")


def answers(where: str | int) -> bool:
    """Return whether a program listens at the path of a Unix socket, or at a port of this machine."""
    family = sockets.AF_UNIX if isinstance(where, str) else sockets.AF_INET
    with sockets.socket(family, sockets.SOCK_STREAM) as probe, suppress(OSError):
        probe.settimeout(_ANSWERS_WITHIN_S)
        probe.connect(where if isinstance(where, str) else ("127.0.0.1", where))
        return True
    return False
