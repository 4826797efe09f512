"""How many files and connections a process may have open: raised as far as it goes, and checked before it matters.

Libraries end the whole process, or wait for ever, where they cannot open a file. So it is looked at first.
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
"""Files that a run or a trigger process may open at once, with every output and recording: sockets, pipes, files."""
NEEDED_BY_ANY = 48
"""The same of a command that reads or listens."""
NEEDED_TO_LISTEN = 24
"""The same of one subscriber, in a script."""
_ENOUGH = 1 << 16
_MOST_CONNECTIONS = 250
"""A few endpoints of so many, and descriptors still fit below 1024, where ``select`` ends."""
_FEWEST_CONNECTIONS = 16


def check_open_files(needed: int = NEEDED) -> None:
    """Raise ConfigError where this process can open too few files."""
    if not _IS_LIMITED:
        return
    limit, open_now = _soft_limit(), _open_files()
    if limit - open_now < needed:
        expected = open_now + needed
        raise ConfigError(
            f"open files: this process may have {limit}, and has {open_now}; expected at least {expected}. Run "
            "'ulimit -n 1024' first, or ask who looks after this machine"
        )


def raise_limit() -> None:
    """Raise the limit of open files to what this user may have, within reason."""
    if not _IS_LIMITED:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS allows less than it says
            return


def connections_allowed() -> int:
    """Return how many connections one endpoint may have, so that files are left for everything else."""
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, (_soft_limit() - NEEDED) // 4))


def _soft_limit() -> int:
    if not _IS_LIMITED:
        return _ENOUGH
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def _open_files() -> int:
    try:
        return len(os.listdir("/dev/fd")) - 1  # the listing itself is one of them
    except OSError:
        return 0
