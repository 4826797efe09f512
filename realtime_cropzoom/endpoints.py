"""Who can reach an endpoint: this machine alone, or others too; and what it takes to bind one that others can reach.

Pure: nothing is resolved or opened.
"""

from __future__ import annotations

import ipaddress
import re

from realtime_cropzoom.errors import ConfigError

_TCP = re.compile(r"^tcp://(?P<host>.+):(?P<port>\d+|\*)$")
_LOCAL_TRANSPORTS = ("ipc://", "inproc://")
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
