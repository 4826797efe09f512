"""Box files as schedules: reads the boxes that a run or Lightning Pose recorded, for ``--schedule``.

A live run reads them here, without pandas. ``offline.bbox_csv`` reads the same files for offline commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime_cropzoom.errors import DataError, ScheduleError
from realtime_cropzoom.files.csv_text import Records, parse_frame_numbers
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.inference.boxes import MAX_OFFSET, MAX_SIDE, whole
from realtime_cropzoom.inference.schedule import NO_BOX, SKIPPED_IN_RECORDING, FileSchedule, Gaps, Schedule
from realtime_cropzoom.sources.recording_table import read_recorded_frames, session_stem
from realtime_cropzoom.types import ActiveBox, Box, BoxOrigin, State


def read_schedule(path: Path, source: str | None) -> FileSchedule:
    """Read a recorded schedule of boxes for ``source``.

    If ``source`` is a recording of a run and ``path`` the file of boxes of that run next to it, each frame gets the box
    of its captured frame. Otherwise the boxes apply row by row.

    Args:
        path: The file of boxes.
        source: The source as the user gives it; None if there is none.

    Raises:
        ScheduleError: if the file of boxes cannot be read.
        DataError: if the table of the recording cannot be read.
    """
    schedule = read_schedule_file(path)
    if source is None or "://" in source:
        return schedule
    video, boxes = user_path(source), user_path(path).resolve()
    stem = session_stem(video) or video.stem
    of_region = boxes.parent == video.parent.resolve() and boxes.name.startswith(f"{stem}_")
    if boxes != video.with_name(f"{stem}_bbox.csv").resolve() and not of_region:
        return schedule
    recorded = read_recorded_frames(video)
    return schedule if recorded is None else schedule.of_frames(recorded.frames, recorded.rows)


def read_schedule_file(path: Path) -> FileSchedule:
    """Read the ``_bbox.csv`` of a run or of Lightning Pose.

    The first column is the frame index; rows may be in any order. A file of Lightning Pose has only the columns
    ``,x,y,h,w``: each box was detected on its own frame.

    Raises:
        ScheduleError: if the file cannot be read, or is not a box file.
    """
    refuse_boxes_of_several(path)
    try:
        records = Records(path, what="the schedule ")
        if missing := {"x", "y", "h", "w"} - set(records.columns):
            raise KeyError(f"no column {', '.join(sorted(missing))}")
        return FileSchedule(_in_frame_order(path, records.columns, list(records)), path)
    except DataError as error:
        raise ScheduleError(str(error)) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ScheduleError(
            f"{path} is not a box file ({error}); expected the columns x, y, h, w with one row per frame"
        ) from error


def refuse_boxes_of_several(path: Path) -> None:
    """Raise ScheduleError if a path is the folder of a run with several animals or regions, which has files of each."""
    several = sorted(path.glob("*_bbox.csv")) if path.is_dir() else []
    if several:
        raise ScheduleError(
            f"{path} has the boxes of several animals; expected those of one. Give the file {several[0]}"
        )


def _in_frame_order(path: Path, columns: Sequence[str], table: Sequence[dict[str, str]]) -> list[ActiveBox]:
    """Return the active box of each frame, by the index in the first column.

    The run has no result for a frame without a row in its file. A file of boxes alone must have a row for every frame.

    Raises:
        DataError: if a frame index is not valid, or a row is missing.
        ValueError: if a row holds no valid box.
    """
    table = [row for row in table if any(row.values())]  # spreadsheets leave rows of empty cells
    frames = parse_frame_numbers(path, [row[columns[0]] or "" for row in table]).tolist()
    count = max(frames, default=-1) + 1
    if count != len(frames) and ("state" not in columns or count > 2 * len(frames) + 100_000):
        hole = min(set(range(len(frames) + 1)) - set(frames))
        raise DataError(
            f"{path} has no box for frame {hole} ({count - len(frames)} frames up to {count - 1} have none); "
            "expected one row a frame"
        )
    rows = [SKIPPED_IN_RECORDING] * count
    for frame, row in zip(frames, table, strict=True):
        rows[frame] = _read_row(frame, row)
    return rows


def _read_row(index: int, row: dict[str, str]) -> ActiveBox:
    if row["x"] == "":
        return NO_BOX if row.get("state") == State.SEARCHING else SKIPPED_IN_RECORDING
    x, y, w, h = (float(row[name]) for name in ("x", "y", "w", "h"))
    box = Box(whole(x), whole(y), int(w), int(h))
    if not (0 < box.w <= MAX_SIDE and 0 < box.h <= MAX_SIDE):
        raise ValueError(f"row {index} has a box of {box.w:.6g}x{box.h:.6g} pixels")
    if abs(box.x) > MAX_OFFSET or abs(box.y) > MAX_OFFSET:
        raise ValueError(f"row {index} has a box at {row['x']},{row['y']}, which is in no picture")
    if "state" not in row:
        return ActiveBox(box, index, 0.0, State.TRACKING, detected_ns=0)
    origin = BoxOrigin(row.get("box_origin") or BoxOrigin.DETECTION)
    return ActiveBox(box, int(row["box_frame"]), float(row["box_age_ms"]), State(row["state"]), 0, origin)


def find_gaps(source: str | None, schedule: Schedule | None = None) -> Gaps:
    """Return the captured frames that the recording of a run lacks; no gaps for any other source.

    Args:
        source: The source as the user gives it; None if there is none.
        schedule: A recorded schedule brings its own gaps: frames that the run skipped do not count as missing.
    """
    if isinstance(schedule, FileSchedule):
        return schedule.gaps
    if source is None or "://" in source:
        return Gaps()
    try:
        recorded = read_recorded_frames(user_path(source))
    except DataError:  # another program's table
        return Gaps()
    return Gaps() if recorded is None else Gaps.between(recorded.frames, (), recorded.rows)
