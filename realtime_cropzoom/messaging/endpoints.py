"""Endpoint checks: whether other machines can reach an endpoint, and whether it may be bound."""

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
    """Return whether only this machine can reach a bound endpoint.

    True for ipc and inproc, and for tcp at ``localhost``, 127.0.0.0/8 and ``[::1]``. False for everything that is not
    known to be local, such as the name of a network interface.
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
    """Check that an endpoint is valid and that other machines reach it only if the settings allow it.

    Args:
        name: Name of the setting, for the error.
        endpoint: ZeroMQ endpoint to bind.
        keys: Whether the run uses keys.
        insecure: Whether other machines may connect without keys.

    Raises:
        ConfigError: if ``endpoint`` is not an endpoint, or if others could reach it without ``insecure`` and there are
            no keys, or keys do not protect its transport.
    """
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
    """Check that binding an ``ipc://`` endpoint replaces no file in use. Other endpoints always pass.

    ZeroMQ removes the file at the path before it binds: another program's socket as well as a file with data.

    Args:
        name: Name of the setting, for the error.
        endpoint: ZeroMQ endpoint to bind.

    Raises:
        ConfigError: if the path holds a file that is not a socket, or a socket on which another program listens.
    """
    if not endpoint.startswith(_IPC) or not hasattr(sockets, "AF_UNIX"):
        return
    path = endpoint.removeprefix(_IPC)
    if path[:1] in ("@", "*") or not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise ConfigError(f"{name} is {endpoint}, but that file is there and is no socket; give another path")
    if is_listening(path):
        raise ConfigError(f"{name} is {endpoint}, which is in use by another program; give another path")


def is_listening(where: str | int) -> bool:
    """Return whether a program listens at the path of a Unix socket (str) or at a TCP port of this machine (int)."""
    family = sockets.AF_UNIX if isinstance(where, str) else sockets.AF_INET
    with sockets.socket(family, sockets.SOCK_STREAM) as probe, suppress(OSError):
        probe.settimeout(_ANSWERS_WITHIN_S)
        probe.connect(where if isinstance(where, str) else ("127.0.0.1", where))
        return True
    return False
