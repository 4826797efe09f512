"""Folder of one run: creates a new one every time, for the settings and all files of the run."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.names import windows_name

CALIBRATION = "calibration.yaml"
"""File name of the run's copy of its calibration."""
_MAX_STEM_BYTES = 180


def file_stem(name: str) -> str:
    """Return ``name``, shortened to leave room for the suffixes and dates of file names, which may have 255 bytes.

    On Windows, characters and names that it refuses are replaced.
    """
    name = windows_name(name) if sys.platform == "win32" else name
    encoded = name.encode(errors="surrogateescape")
    return name if len(encoded) <= _MAX_STEM_BYTES else encoded[:_MAX_STEM_BYTES].decode(errors="ignore")


def make_session_folder(parent: Path, name: str) -> Path:
    """Create and return the new folder ``parent/<name>_<date>-<time>[-n]``.

    Args:
        parent: Folder in which it is created; created itself if missing.
        name: Start of its name.

    Raises:
        SinkError: if it cannot be created.
    """
    stem = f"{file_stem(name)}_{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = parent / (stem + suffix)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise SinkError(f"{_what_is(parent)}; give a folder with --out") from None
            continue
        except OSError as error:
            raise SinkError(
                f"cannot make the folder {folder}: {error.strerror}; give one that can be written with --out"
            ) from error
        return folder
    raise SinkError(f"{parent} holds a thousand runs of {stem}; give another folder with --out")


def _what_is(path: Path) -> str:
    """Return, in words, what occupies the path of a folder."""
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there"
    return f"{path} is a file"


def make_given_folder(folder: Path) -> Path:
    """Create and return exactly ``folder``. Raises SinkError if it exists or cannot be created."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
