"""The table of a recording: which captured frame each of its frames is, and what became of the others.

``<name>_recording.csv`` stands beside the video, with one row a captured frame, in order. A copy of a
camera's own stream may hold frames that were not captured, but from which captured ones are made: the
numbers in the table leave them out, and so does whoever plays it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from realtime_cropzoom.errors import DataError, in_words
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.inference.schedule import FileSchedule, Gaps, Schedule

RECORDING_COLUMNS = "frame,recorded,dropped,segment"


def recording_table(video: Path) -> Path:
    """Return where the table of a recording is."""
    return video.with_name(f"{video.stem}_recording.csv")


def captured_frames(video: str | Path) -> list[int] | None:
    """Return which captured frame each frame of ``video`` is, as ``VideoFile`` plays it; None where it is none of ours.

    A last row that was cut off does not count. Raises DataError where the table cannot be read.
    """
    recorded = _recorded(recording_table(Path(video)))
    return None if recorded is None else list(recorded)


def left_out_numbers(video: Path) -> frozenset[int]:
    """Return the numbers of the frames in a recording that were not captured; none where it is no recording of ours."""
    try:
        numbers = set((_recorded(recording_table(video)) or {}).values())
    except DataError:  # a table of something else
        return frozenset()
    return frozenset(range(max(numbers, default=0))) - numbers


def _recorded(table: Path) -> dict[int, int] | None:
    """Captured frame → its number in the recording."""
    try:
        text = table.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {table}: {in_words(error)}") from error
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    try:
        return {int(row["frame"]): int(row["recorded"]) for row in rows if row["recorded"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{table} is no table of a recording ({error}); expected {RECORDING_COLUMNS}") from error


def is_recording_of(video: str | Path, poses: Path) -> bool:
    """Whether ``video`` is the recording that stands beside the pose file of its run, with its table."""
    table = recording_table(poses)
    return table.is_file() and recording_table(Path(video)).resolve() == table.resolve()


def gaps_in(source: str | None, schedule: Schedule | None = None) -> Gaps:
    """Return what a recording of ours lacks; nothing of any other source.

    With a recorded schedule, frames that the run has passed over are not missed.
    """
    if isinstance(schedule, FileSchedule):
        return schedule.gaps
    if source is None or "://" in source:
        return Gaps()
    try:
        frames = captured_frames(user_path(source))
    except DataError:  # a table of something else
        return Gaps()
    return Gaps() if frames is None else Gaps.between(frames, ())


def schedule_for(path: Path, source: str | None) -> FileSchedule:
    """Read a recorded schedule for ``source``: a frame of a run's own recording gets the box of its captured frame.

    Only with the boxes that the run left beside its recording; any others are by row, as ever.
    Raises ScheduleError, and DataError where the table of the recording cannot be read.
    """
    schedule = FileSchedule.read(path)
    if source is None or "://" in source:
        return schedule
    video = user_path(source)
    if user_path(path).resolve() != video.with_name(f"{video.stem}_bbox.csv").resolve():
        return schedule
    frames = captured_frames(video)
    return schedule if frames is None else schedule.of_frames(frames)
