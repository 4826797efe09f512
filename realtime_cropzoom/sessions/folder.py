"""The folder of one run: new every time, with the settings in it from the start."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import DataError, SinkError

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


def write_text(path: Path, text: str) -> str | None:
    """Write a small file, whole or not at all; return what went wrong instead of raising: a run goes on without it."""
    part = path.with_name(f".{path.name}.part")
    try:
        # A file name need not be UTF-8: what of it is not is written as JSON and YAML write it.
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not path.parent.exists():
            return moved_or_deleted(path.parent)
        return f"{path}: {error.strerror}"
    return None


def moved_or_deleted(path: Path) -> str:
    """Say that a folder or file is not there any more, though it is being written."""
    return f"{path} was moved or deleted while it was written: what is written is there now, or lost"


def must_write_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all. Raises DataError: what the command is for is in it."""
    if (problem := write_text(path, text)) is not None:
        raise DataError(f"cannot write {problem}; free some space, or give another folder")


def to_json(summary: dict[str, Any]) -> str:
    """Return a summary as indented JSON."""
    return json.dumps(summary, indent=2, ensure_ascii=False, default=str) + "\n"
