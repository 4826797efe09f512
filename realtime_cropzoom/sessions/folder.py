"""The folder of one run: new every time, with the settings in it from the start."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from realtime_cropzoom.errors import SinkError

CALIBRATION = "calibration.yaml"
"""The copy of the calibration that a run was given."""
_LONGEST_STEM_BYTES = 180


def file_stem(name: str) -> str:
    """Return a name that leaves room for the endings and dates of a run's files: systems allow 255 bytes in all."""
    encoded = name.encode(errors="surrogateescape")
    return name if len(encoded) <= _LONGEST_STEM_BYTES else encoded[:_LONGEST_STEM_BYTES].decode(errors="ignore")


def make_session_folder(parent: Path, name: str) -> Path:
    """Make and return ``parent/<name>_<date>-<time>[-n]``; never one that is there already. Raises SinkError."""
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
    """Return what is in the place of a folder."""
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there"
    return f"{path} is a file"


def make_given_folder(folder: Path) -> Path:
    """Make and return exactly ``folder``. Raises SinkError where that cannot be done, or it is there already."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
