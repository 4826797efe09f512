"""Token file: a secret that stays the same from start to start, for bookmarks and for programs such as Prometheus."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.view.serve import new_token

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")
_OTHERS = 0o077


def read_or_make_token(path: Path) -> str:
    """Return the token in a file; make the file, which only this user can read, if it does not exist.

    Args:
        path: The file.

    Raises:
        ConfigError: if it cannot be read or made, if others can read it, or if there is no token in it.
    """
    try:
        _make(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"{path}: cannot make it: {explain(error)}; choose another file") from error
    return _read(path)


def _make(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{new_token()}\n")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            status = os.fstat(file.fileno())
            text = file.read(1024).strip()
    except OSError as error:
        raise ConfigError(f"{path}: {explain(error)}; choose another file") from error
    if sys.platform != "win32" and (status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & _OTHERS):
        raise ConfigError(f"{path}: others can read it, so that its token is no secret. Remove it: it is made again")
    if not _TOKEN.fullmatch(text):
        raise ConfigError(f"{path}: expected 32 or more letters, digits, - or _. Remove it: it is made again")
    return text
