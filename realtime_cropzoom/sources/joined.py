"""Checks for data in a file beyond its recording: a second recording joined to it, or one still being written.

If FLV or MP4 files were joined byte by byte (``cat a.flv b.flv``), FFmpeg reads the first one and ends without an
error. In other formats it reads all of them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_FLV = b"FLV\x01"


def joined_problem(path: Path, format_name: str, read_to: int) -> str:
    """Return a message if the file holds another recording that FFmpeg does not read; empty otherwise.

    Args:
        path: The video file.
        format_name: FFmpeg's name of its container format.
        read_to: Byte offset at which the last packet ends.
    """
    at = _second_begins_at(path, format_name, read_to)
    if at is None:
        return ""
    rest = 100 * (1 - at / path.stat().st_size)
    return (
        f"{path} consists of several recordings joined byte by byte, of which only the first was read, not the other "
        f"{rest:.0f} % of the file. Join them with ffmpeg -f concat"
    )


def grown_problem(path: Path, size: int) -> str:
    """Return a message if the file is longer than ``size`` (bytes), its size when it was opened; empty otherwise."""
    try:
        grown = path.stat().st_size > size
    except OSError:
        return ""
    return f"{path} was still being written while it was read: the end may be missing. Run this again" if grown else ""


def _second_begins_at(path: Path, format_name: str, read_to: int) -> int | None:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if format_name == "flv":
                found = data.find(_FLV, max(read_to, len(_FLV)))
                return None if found < 0 else found
            if format_name.startswith("mov"):
                return next((at for at, kind in _boxes(data) if at and kind == b"ftyp"), None)
    except (OSError, ValueError):
        return None
    return None


def _boxes(data: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield the byte offset and type of each top-level box."""
    at = 0
    while at + 16 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield at, kind
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        if size < 8:  # 0: the box reaches to the end of the file
            return
        at += size
