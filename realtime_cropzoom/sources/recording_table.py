"""Recording table: maps captured frames to the frames of a run's recording, and lists those not recorded.

``<video>_recording.csv`` lies next to the video, with one row per frame that was captured while the recording went on,
in order. A run may make several recordings, one after another: that of its whole length has the name of the run, the
others have their own. A copy of a camera's own stream may hold frames that were not captured but that captured ones
depend on. The table skips their numbers, and a player leaves these frames out.
"""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.paths import is_there

RECORDING_COLUMNS = "frame,recorded,dropped,segment"
"""Columns of the table."""
VIDEO_SUFFIXES = (".mp4", ".mkv")
"""Suffixes of recordings."""
CROPS = "_crops"
"""End of the name of a recording of crops, which is none of frames."""
_TABLE, _TIMING, _EVENTS = "_recording.csv", "_timing.csv", "_events.csv"


def recording_table_path(video: Path) -> Path:
    """Return the path of the table of a recording."""
    return video.with_name(f"{video.stem}{_TABLE}")


@dataclass(frozen=True, slots=True)
class RecordedFrames:
    """The frames of a recording."""

    frames: list[int]
    """Number of the captured frame for each frame of the video, as ``VideoFile`` plays it."""
    rows: range
    """Numbers of the captured frames from the first to the last that has a row: those of the time of the recording."""


def read_recorded_frames(video: str | Path) -> RecordedFrames | None:
    """Return the frames of ``video``, without a truncated last row; None if it is no recording of a run.

    Raises:
        DataError: if its table cannot be read.
    """
    rows = _read_rows(recording_table_path(Path(video)))
    if rows is None:
        return None
    span = range(min(rows, default=0), max(rows, default=-1) + 1)
    return RecordedFrames([frame for frame, number in rows.items() if number is not None], span)


def read_captured_frames(video: str | Path) -> list[int] | None:
    """Return ``frames`` of ``read_recorded_frames``; None if ``video`` is no recording of a run. Raises DataError."""
    recorded = read_recorded_frames(video)
    return None if recorded is None else recorded.frames


def read_uncaptured(video: Path) -> frozenset[int]:
    """Return the numbers of the uncaptured frames in a recording; empty if it is not a recording of a run."""
    try:
        rows = _read_rows(recording_table_path(video)) or {}
    except DataError:  # another program's table
        return frozenset()
    numbers = {number for number in rows.values() if number is not None}
    return frozenset(range(max(numbers, default=0))) - numbers


def _read_rows(table: Path) -> dict[int, int | None] | None:
    """Return {captured frame: its number in the recording, or None}; None if there is no table."""
    if not is_there(table):
        return None
    rows = Records(table, complete_only=True)
    try:
        return {int(row["frame"]): int(row["recorded"]) if row["recorded"] else None for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{table} is not the table of a recording ({error}); expected {RECORDING_COLUMNS}") from error


def session_stem(video: Path) -> str | None:
    """Return how the names of the files begin that the run of a recording has left next to it.

    Returns:
        The stem; None if ``video`` is no recording of frames, or not next to the times of one run.
    """
    if not is_there(recording_table_path(video)):
        return None
    stems = {path.name.removesuffix(_TIMING) for path in video.parent.glob(f"*{_TIMING}")}
    if video.stem in stems:
        return video.stem
    (stem,) = stems if len(stems) == 1 else (_stem_of_regions(video.parent, stems),)
    return None if stem is None or video.stem == stem + CROPS else stem


def _stem_of_regions(folder: Path, stems: Collection[str]) -> str | None:
    """Return how the names begin that the files of all regions of one run share; None if they are not of one run.

    Args:
        folder: The folder of the files.
        stems: How the names of the files of each region begin.
    """
    runs = [path.name.removesuffix(_EVENTS) for path in folder.glob(f"*{_EVENTS}")]
    return next((run for run in runs if stems and all(stem.startswith(f"{run}_") for stem in stems)), None)


def timing_path(video: Path) -> Path:
    """Return where the times of the captured frames are, of the run that has recorded a video; there may be none.

    Each region of a run has the times of all frames: they are the same.
    """
    stem = session_stem(video) or video.stem
    own = video.with_name(f"{stem}{_TIMING}")
    return own if own.is_file() else min(video.parent.glob(f"{glob.escape(stem)}_*{_TIMING}"), default=own)


def recording_tables(poses: Path) -> list[Path]:
    """Return the tables of all recordings of frames of a run, in the order of their frames.

    Args:
        poses: The pose file of the run.
    """
    own, timing = recording_table_path(poses), poses.with_name(f"{poses.stem}{_TIMING}")
    begins = {own: 0} if own.is_file() else {}
    timings = list(poses.parent.glob(f"*{_TIMING}"))
    stems = [path.name.removesuffix(_TIMING) for path in timings]
    if timings == [timing] or _stem_of_regions(poses.parent, stems) is not None:
        crops = poses.with_name(f"{poses.stem}{CROPS}{_TABLE}")
        for table in poses.parent.glob(f"*{_TABLE}"):
            with contextlib.suppress(DataError):  # another program's table
                if table != crops:
                    begins[table] = min(_read_rows(table) or {}, default=0)
    return sorted(begins, key=lambda table: (begins[table], table.name))


def recorded_videos(poses: Path) -> list[Path]:
    """Return all recordings of frames of a run that are there, in the order of their frames.

    Args:
        poses: The pose file of the run.
    """
    return [video for table in recording_tables(poses) if (video := video_of(table)) is not None]


def video_of(table: Path) -> Path | None:
    """Return the video next to the table of a recording; None if there is none."""
    stem = table.name.removesuffix(_TABLE)
    return next((v for v in (table.with_name(stem + suffix) for suffix in VIDEO_SUFFIXES) if v.is_file()), None)


def is_recording_of(video: str | Path, poses: Path) -> bool:
    """Return whether ``video`` is a recording that lies, with its table, next to the pose file of its run.

    Args:
        video: The video file.
        poses: The pose file of the run.
    """
    table = recording_table_path(Path(video))
    if not table.is_file() or table.parent.resolve() != poses.parent.resolve():
        return False
    stem = session_stem(Path(video))
    of_region = stem is not None and poses.stem.startswith(f"{stem}_")
    return poses.stem in (Path(video).stem, stem) or (of_region and poses.with_name(f"{poses.stem}{_TIMING}").is_file())
