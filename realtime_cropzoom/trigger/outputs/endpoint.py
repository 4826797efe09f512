"""Which endpoints an output may bind: those that only this machine reaches."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from realtime_cropzoom.errors import ConfigError


def refuse_open_endpoint(endpoint: str) -> None:
    """Raise ConfigError where programs of other machines could connect to ``endpoint``."""
    parts = urlsplit(endpoint)
    if parts.scheme in ("ipc", "inproc"):
        return
    try:
        local = parts.scheme == "tcp" and _is_loopback(parts.hostname or "")
    except ValueError:
        local = False
    if not local:
        raise ConfigError(f"{endpoint} would be open to others; expected something like tcp://127.0.0.1:5670")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
