"""``frames/frames.csv``: where each picture of a project comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from realtime_cropzoom.errors import DataError, listed, shorten
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.files.csv_text import Records, csv_line, parse_frame_number
from realtime_cropzoom.project.folder import Project

COLUMNS = ("image", "recording", "frame", "round", "why")
IMPORTED = "imported with its labels"
"""Why a picture is there that was not picked."""
_DIGITS = 8
"""Number of digits of a frame in the name of its picture."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A picture of a project."""

    image: str
    """Path of the picture, relative to the folder of the project: ``frames/RECORDING/img00001234.png``."""
    recording: str
    """Path of the recording, absolute; of a picture that was imported, where it came from."""
    frame: int
    """Number of the frame in the recording, from 0."""
    round: int
    """Number of the round that picked it, from 1."""
    why: str = ""
    """Why it was picked."""

    @property
    def folder(self) -> str:
        """Name of its recording in this project: the folder below ``frames/``."""
        return self.image.split("/")[1]


def image_path(folder: str, frame: int) -> str:
    """Return the path of a picture, relative to the folder of the project.

    Args:
        folder: Name of the recording in this project.
        frame: Number of the frame.
    """
    return f"frames/{folder}/img{frame:0{_DIGITS}d}.png"


def unique_folder(
    wanted: str, recording: str, rows: Iterable[FrameRow], is_free: Callable[[str], bool] = lambda name: True
) -> str:
    """Return the name of a recording in this project: the one that it has, or one that no other recording has.

    Args:
        wanted: Its name, if that is free; else ``NAME-2`` and so on.
        recording: Its path, as in ``FrameRow.recording``.
        rows: The pictures of the project.
        is_free: Whether a folder that no row names can be used: it may hold pictures that the table does not know.
    """
    owners = {row.folder: row.recording for row in rows}
    known = next((folder for folder, owner in owners.items() if owner == recording), None)
    if known is not None:
        return known
    taken = {folder.casefold() for folder in owners}  # some disks do not tell capital letters from small ones
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    return next(name for name in names if name.casefold() not in taken and is_free(name))


def read_frame_table(project: Project) -> tuple[FrameRow, ...]:
    """Return the pictures of a project, in the order of its table; none if there is no table yet.

    Args:
        project: The project.

    Raises:
        DataError: if the table cannot be read, a row is none, or two rows name the same picture.
    """
    path = project.frames_table
    if not path.exists():
        return ()
    records = Records(path)
    missing = [name for name in COLUMNS if name not in records.columns]
    if missing:
        raise DataError(f"{path} has no column {listed(missing)}; expected {listed(COLUMNS)}")
    rows = tuple(_row(path, record) for record in records)
    lines: dict[str, int] = {}
    for line, row in enumerate(rows, 2):
        if row.image in lines:
            raise DataError(
                f"{path}: got {row.image} in lines {lines[row.image]} and {line}, expected it once. "
                "Take one of the lines out"
            )
        lines[row.image] = line
    return rows


def write_frame_table(project: Project, rows: Sequence[FrameRow]) -> None:
    """Write the table of a project, which is complete or as it was.

    Args:
        project: The project.
        rows: All pictures that it has afterwards.

    Raises:
        SinkError: if it cannot be written.
    """
    lines = [csv_line((row.image, row.recording, row.frame, row.round, row.why)) for row in rows]
    write_whole(project.frames_table, csv_line(COLUMNS) + "".join(lines), MAKE_ROOM)


def _row(path: Path, record: dict[str, str]) -> FrameRow:
    image, frame = record["image"] or "", parse_frame_number(record["frame"] or "")
    parts = image.split("/")
    if len(parts) != 3 or parts[0] != "frames" or ".." in parts or frame is None:
        expected = "frames/RECORDING/img….png and the number of its frame"
        raise DataError(f"{path}: got {shorten(record)}, expected {expected}")
    return FrameRow(
        image, record["recording"] or "", frame, parse_frame_number(record["round"] or "") or 1, record["why"] or ""
    )
