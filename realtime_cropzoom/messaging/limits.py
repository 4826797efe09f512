"""Limits of open files and connections: raises the limit of the process and checks it in advance.

The check comes first because libraries abort the process, or wait without end, if they cannot open a file.
"""

from __future__ import annotations

import os

from realtime_cropzoom.errors import ConfigError

try:
    import resource

    _IS_LIMITED = True
except ImportError:  # Windows
    _IS_LIMITED = False

NEEDED = 128
"""Number of files (sockets, pipes, files) that a run or a trigger process may need, with all outputs and recordings."""
NEEDED_BY_ANY = 48
"""The same for a command that reads or listens."""
NEEDED_TO_LISTEN = 24
"""The same for one subscriber in a script."""
_MAX_FILES = 1 << 16
"""Maximum limit of open files that is set or assumed."""
_MOST_CONNECTIONS = 250
"""Maximum number of connections to one endpoint. With a few endpoints all descriptors stay below 1024, the limit of
``select``."""
_MIN_CONNECTIONS = 16
"""Minimum number of connections to one endpoint that are allowed, even with a low limit of open files."""


def check_open_files(needed: int = NEEDED) -> None:
    """Raise ConfigError if this process cannot open ``needed`` more files."""
    if not _IS_LIMITED:
        return
    limit, open_now = _soft_limit(), _open_files()
    if limit - open_now < needed:
        expected = open_now + needed
        raise ConfigError(
            f"open files: this process may have {limit}, and has {open_now}; expected at least {expected}. Run "
            "'ulimit -n 1024' first, or ask the administrator of this machine"
        )


def raise_limit() -> None:
    """Raise the limit of open files to the maximum of this user, at most ``_MAX_FILES``. A failure is ignored."""
    if not _IS_LIMITED:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS allows less than it reports
            return


def connections_allowed() -> int:
    """Return the maximum number of connections to one endpoint, which leaves files for everything else."""
    return max(_MIN_CONNECTIONS, min(_MOST_CONNECTIONS, (_soft_limit() - NEEDED) // 4))


def _soft_limit() -> int:
    if not _IS_LIMITED:
        return _MAX_FILES
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MAX_FILES if soft == resource.RLIM_INFINITY else soft


def _open_files() -> int:
    try:
        return len(os.listdir("/dev/fd")) - 1  # minus the listing itself
    except OSError:
        return 0
