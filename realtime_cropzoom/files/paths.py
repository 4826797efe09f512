"""Paths as users give them, asked about without an error where a folder may not be entered or a name is too long."""

from __future__ import annotations

import errno
from pathlib import Path


def user_path(given: str | Path) -> Path:
    """Return the path that a user means: a leading ~ is their home, unless there is a file of that very name."""
    path = Path(given)
    if not str(given).startswith("~") or is_there(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # ~NAME, of nobody here
        return path


def is_there(path: Path) -> bool:
    """Whether something is there, also where nobody may look at it: who opens it then says why."""
    try:
        return path.exists()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG


def is_folder(path: Path) -> bool:
    """Whether it is a folder, as far as one may look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether it is a file, as far as one may look."""
    try:
        return path.is_file()
    except OSError:
        return False


def why_not_readable(path: Path) -> str:
    """Return why a file cannot be read, in the system's words; nothing where it can."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def as_text(name: str) -> str:
    """Return a name that can be sent: a file name need not be UTF-8, a message must."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
