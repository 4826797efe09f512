"""Endpoints: parses TCP endpoints, checks who can reach an endpoint, and whether it may be bound.

The module does not import ZeroMQ, so that settings can be checked without it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket as sockets
import stat
import sys
from contextlib import suppress
from typing import NamedTuple

from realtime_cropzoom.errors import ConfigError

_TCP = re.compile(r"tcp://(?P<host>.+):(?P<port>[0-9]{1,9}|\*)")
_MAX_PORT = 65535
_IPC = "ipc://"
_LOCAL_TRANSPORTS = (_IPC, "inproc://")
_CONNECT_TIMEOUT_S = 0.5
"""Timeout (s) of the connection that shows whether a program listens."""
_TRANSPORTS_WITH_KEYS = ("tcp://", *_LOCAL_TRANSPORTS)
"""Transports that keys protect, or that only this machine can reach."""


class TcpEndpoint(NamedTuple):
    """Host and port of a TCP endpoint."""

    host: str
    """Name or address of a host, as it stands in the endpoint: an IPv6 address is in brackets, * is every interface."""
    port: int | None
    """None if the system chooses the port (``*``)."""


def parse_tcp(endpoint: str) -> TcpEndpoint | None:
    """Return host and port of ``tcp://HOST:PORT``; None if the endpoint does not have this form."""
    matched = _TCP.fullmatch(endpoint)
    if matched is None:
        return None
    return TcpEndpoint(matched["host"], None if matched["port"] == "*" else int(matched["port"]))


def is_local(endpoint: str) -> bool:
    """Return whether only this machine can reach a bound endpoint.

    True for ipc and inproc, and for tcp at ``localhost``, 127.0.0.0/8 and ``[::1]``. False for everything that is not
    known to be local, such as the name of a network interface.
    """
    if endpoint.startswith(_LOCAL_TRANSPORTS):
        return True
    tcp = parse_tcp(endpoint)
    if tcp is None:
        return False
    if tcp.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(tcp.host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def as_reached_here(endpoint: str) -> str:
    """Return the endpoint at which a program of this machine reaches another one that is bound to ``endpoint``.

    A tcp endpoint at every interface, or at ``localhost``, is reached at the loopback address.
    """
    tcp = parse_tcp(endpoint)
    if tcp is None or tcp.port is None:
        return endpoint
    host = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "[::]": "[::1]"}.get(tcp.host, tcp.host)
    return f"tcp://{host}:{tcp.port}"


def endpoint_beside(publish: str) -> str | None:
    """Return where to bind the time server of a publisher: on the same host, at a port that the system chooses.

    Returns:
        The endpoint; None if ``publish`` is not a tcp endpoint (ipc, inproc), which no other machine can reach.
    """
    tcp = _parse_plain_tcp(publish)
    return None if tcp is None else f"tcp://{tcp.host}:*"


def preview_beside(publish: str) -> str | None:
    """Return where to bind the previews of a publisher: on the same host, or at a path with ``.preview`` behind it.

    Returns:
        The endpoint; None if ``publish`` is neither a tcp endpoint nor an ipc path.
    """
    if publish.startswith(_IPC) and publish[len(_IPC) :] not in ("", "*"):
        return f"{publish}.preview"
    return endpoint_beside(publish)


def endpoint_seen_from(subscribed: str, named: str | None) -> str | None:
    """Return the endpoint at which a subscriber reaches a server that a hello message names.

    The server runs on the host that sends the poses. The hello message may name that host differently, so that only the
    port is read from it.

    Args:
        subscribed: Endpoint to which the subscriber is connected.
        named: Field ``echo`` or ``preview`` of the hello.

    Returns:
        The endpoint; None if the two give no valid tcp endpoint, or ipc path of this machine.
    """
    if named is not None and named.startswith(_IPC) and is_local(subscribed):
        return named
    here, there = _parse_plain_tcp(subscribed), _parse_plain_tcp(named or "")
    if here is None or there is None or not 0 < (there.port or 0) <= _MAX_PORT:
        return None
    return f"tcp://{here.host}:{there.port}"


def _parse_plain_tcp(endpoint: str) -> TcpEndpoint | None:
    """Parse an endpoint; None also for one with a source address (``tcp://SOURCE;HOST:PORT``)."""
    tcp = parse_tcp(endpoint)
    return None if tcp is None or ";" in tcp.host else tcp


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
    if "://" not in endpoint or (endpoint.startswith("tcp://") and parse_tcp(endpoint) is None):
        raise ConfigError(f"{name}: got {endpoint}, expected an endpoint such as tcp://127.0.0.1:5660")
    check_transport(name, endpoint)
    if is_local(endpoint) or insecure:
        return
    if not keys:
        raise ConfigError(
            f"{name}: other machines can reach {endpoint}; expected one like tcp://127.0.0.1:5660. To let "
            "others connect, give --key-folder, made by 'cropzoom keys', or --insecure to let anyone in"
        )
    if not endpoint.startswith(_TRANSPORTS_WITH_KEYS):
        raise ConfigError(f"{name}: keys do not protect {endpoint}; expected an endpoint such as tcp://0.0.0.0:5660")


def check_transport(name: str, endpoint: str) -> None:
    """Raise ConfigError for an ``ipc://`` endpoint on Windows, whose ZeroMQ has none.

    Args:
        name: Name of the setting, for the error.
        endpoint: ZeroMQ endpoint to bind or to connect to.
    """
    if endpoint.startswith(_IPC) and sys.platform == "win32":
        raise ConfigError(
            f"{name}: got {endpoint}, which Windows does not have; expected tcp://127.0.0.1:5660 or the like"
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
        raise ConfigError(f"{name}: {endpoint} is an existing file that is not a socket; give another path")
    if is_listening(path):
        raise ConfigError(f"{name}: {endpoint} is in use by another program; give another path")


def is_listening(where: str | int) -> bool:
    """Return whether a program listens at the path of a Unix socket (str) or at a TCP port of this machine (int)."""
    family = sockets.AF_UNIX if isinstance(where, str) else sockets.AF_INET
    with sockets.socket(family, sockets.SOCK_STREAM) as probe, suppress(OSError):
        probe.settimeout(_CONNECT_TIMEOUT_S)
        probe.connect(where if isinstance(where, str) else ("127.0.0.1", where))
        return True
    return False
