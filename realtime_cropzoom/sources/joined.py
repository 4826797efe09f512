"""What a file holds beyond what is read of it: another recording that was joined to it, or one that goes on.

Of files that were joined byte by byte (``cat a.flv b.flv``) FFmpeg reads the first and ends without a word where they
are FLV or MP4. Of other kinds it reads them all.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_FLV = b"FLV\x01"


def joined_problem(path: Path, format_name: str, read_to: int) -> str:
    """Say so where another recording follows that FFmpeg does not read; ``read_to``: where the last packet ends."""
    at = _second_begins_at(path, format_name, read_to)
    if at is None:
        return ""
    rest = 100 * (1 - at / path.stat().st_size)
    return (
        f"{path} is of several recordings that were joined byte by byte: what follows the first was not read, "
        f"{rest:.0f} % of the file. Join them with ffmpeg -f concat"
    )


def grown_problem(path: Path, size: int) -> str:
    """Say so where a file has become longer than the ``size`` in bytes that it had when it was opened."""
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
    """Yield the place and kind of each box of the top level."""
    at = 0
    while at + 16 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield at, kind
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        if size < 8:  # 0: it reaches to the end
            return
        at += size
