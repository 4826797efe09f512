"""Recording table: maps captured frames to the frames of the run's recording, and lists those not recorded.

``<name>_recording.csv`` lies next to the video, with one row per captured frame, in order. A copy of a
camera's own stream may hold frames that were not captured but that captured ones depend on. The table
skips their numbers, and a player leaves these frames out.
"""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.paths import is_there

RECORDING_COLUMNS = "frame,recorded,dropped,segment"
"""Columns of the table."""


def recording_table_path(video: Path) -> Path:
    """Return the path of the table of a recording."""
    return video.with_name(f"{video.stem}_recording.csv")


def read_captured_frames(video: str | Path) -> list[int] | None:
    """Return the number of the captured frame for each frame of ``video``, as ``VideoFile`` plays it.

    Returns:
        The numbers, without a truncated last row; None if the video has no table, so is no recording of a run.

    Raises:
        DataError: if the table cannot be read.
    """
    recorded = _recorded(recording_table_path(Path(video)))
    return None if recorded is None else list(recorded)


def read_uncaptured(video: Path) -> frozenset[int]:
    """Return the numbers of the uncaptured frames in a recording; empty if it is not a recording of a run."""
    try:
        numbers = set((_recorded(recording_table_path(video)) or {}).values())
    except DataError:  # another program's table
        return frozenset()
    return frozenset(range(max(numbers, default=0))) - numbers


def _recorded(table: Path) -> dict[int, int] | None:
    """Return {captured frame: its number in the recording}; None if there is no table."""
    if not is_there(table):
        return None
    rows = Records(table, complete_only=True)
    try:
        return {int(row["frame"]): int(row["recorded"]) for row in rows if row["recorded"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{table} is not the table of a recording ({error}); expected {RECORDING_COLUMNS}") from error


def is_recording_of(video: str | Path, poses: Path) -> bool:
    """Return whether ``video`` is the recording that lies, with its table, next to the pose file of its run.

    Args:
        video: The video file.
        poses: The pose file of the run.
    """
    table = recording_table_path(poses)
    return table.is_file() and recording_table_path(Path(video)).resolve() == table.resolve()
