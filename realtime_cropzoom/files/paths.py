"""Paths as users type them, and questions about them that do not raise.

A folder that the user may not enter, or a name that is too long, gives an answer instead of an error.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def user_path(given: str | Path) -> Path:
    """Return the path that a user means: a leading ~ is the home folder, unless a file has this exact name."""
    path = Path(given)
    if not str(given).startswith("~") or is_there(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # ~NAME of an unknown user
        return path


def is_there(path: Path) -> bool:
    """Return whether the path exists. A path that may not be inspected counts: opening it reports the reason."""
    try:
        return path.exists()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG


def is_folder(path: Path) -> bool:
    """Return whether the path is a folder; False if it may not be inspected."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Return whether the path is a file; False if it may not be inspected."""
    try:
        return path.is_file()
    except OSError:
        return False


def why_not_readable(path: Path) -> str:
    """Return the operating system's reason why a file cannot be read, or "" if it can. Does not wait for a pipe."""
    try:
        with open(path, "rb", opener=_at_once):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no O_NONBLOCK


def as_text(name: str) -> str:
    """Return a file name as valid UTF-8 for a message. Other bytes become backslash escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
