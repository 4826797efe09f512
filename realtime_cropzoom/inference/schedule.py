"""Box schedules: choose the box of each frame, and the state that tells how far it can be trusted.

Pure: no threads, no clocks; ages are frame time. A schedule takes detections in the
order of their frames and returns the active box frame by frame. No other code decides
this, so that ``FileSchedule`` can replay exactly a live run that recorded its boxes
(``_bbox.csv``).
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from realtime_cropzoom.errors import DataError, ScheduleError, in_words
from realtime_cropzoom.files.csv_text import check_separator, frame_numbers
from realtime_cropzoom.inference.boxes import FARTHEST, MAX_SIDE
from realtime_cropzoom.types import ActiveBox, Box, Detection, FrameMeta, State

NO_BOX = ActiveBox(box=None, frame=-1, age_ms=math.nan, state=State.SEARCHING, detected_ns=0)

PASSED_OVER = ActiveBox(box=None, frame=-1, age_ms=math.nan, state=State.SEARCHING, detected_ns=0)
"""Value that a recorded schedule gives for a frame without a result in the recorded run."""


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Limits on the age of a box, in frame time, for the states coasting and lost."""

    coast_after_ms: float = 250.0
    """Age above which the state is coasting (ms)."""
    lost_after_ms: float = 1000.0
    """Age above which the state is lost (ms)."""

    def state(self, age_ms: float) -> State:
        """Return the state of a box of age ``age_ms`` (frame time, ms)."""
        if age_ms > self.lost_after_ms:
            return State.LOST
        return State.COASTING if age_ms > self.coast_after_ms else State.TRACKING

    def in_force(self, detection: Detection | None, stamp: FrameMeta) -> ActiveBox:
        """Return the active box of a frame.

        Args:
            detection: The last usable detection; None if there is none.
            stamp: The frame.

        Returns:
            The box of ``detection`` with its age and state; ``NO_BOX`` without a detection.
        """
        if detection is None:
            return NO_BOX
        age_ms = (stamp.pts_ns - detection.stamp.pts_ns) / 1e6
        return ActiveBox(
            detection.box, detection.stamp.index, age_ms, self.state(age_ms), detected_ns=detection.detected_ns
        )


class Schedule(Protocol):
    """Chooses the box of each frame."""

    def offer(self, detection: Detection) -> None:
        """Add a detection. Detections come in the order of their frames."""
        ...

    def choose(self, stamp: FrameMeta) -> ActiveBox | None:
        """Return the active box of a frame, or None if it must wait for a detection."""
        ...


class LatestSchedule:
    """Live schedule: uses the last usable detection. It never waits."""

    def __init__(self, limits: StateLimits) -> None:
        self._limits = limits
        self._last: Detection | None = None

    def offer(self, detection: Detection) -> None:
        """Keep ``detection`` if it has a box."""
        if detection.box is not None:
            self._last = detection

    def choose(self, stamp: FrameMeta) -> ActiveBox:
        """Return the last usable box. A box from a frame later than ``stamp`` has age 0."""
        chosen = self._limits.in_force(self._last, stamp)
        if chosen.age_ms >= 0 or chosen.box is None:
            return chosen
        return ActiveBox(chosen.box, chosen.frame, 0.0, State.TRACKING, chosen.detected_ns)


class LockstepSchedule:
    """Reproducible schedule: frame i gets the detection of the latest frame j ≤ i with j mod ``every`` = 0."""

    def __init__(self, limits: StateLimits, every: int = 1) -> None:
        self._limits = limits
        self._every = every
        self._last: Detection | None = None
        self._after: deque[tuple[int, Detection | None]] = deque()

    def wanted(self, index: int) -> int:
        """Return the index of the frame whose detection applies to frame ``index``."""
        return index - index % self._every

    def offer(self, detection: Detection) -> None:
        """Store which box is active after ``detection``."""
        if detection.box is not None:
            self._last = detection
        self._after.append((detection.stamp.index, self._last))

    def choose(self, stamp: FrameMeta) -> ActiveBox | None:
        """Return the box for ``stamp``, or None until its detection has been offered."""
        wanted = self.wanted(stamp.index)
        while self._after and self._after[0][0] < wanted:
            self._after.popleft()
        if not self._after or self._after[0][0] != wanted:
            return None
        return self._limits.in_force(self._after[0][1], stamp)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Frames missing in a recording that a model has seen, or would have seen."""

    before: tuple[int, ...] = ()
    """Indices of the recorded frames directly before which frames are missing, in order."""
    missing: int = 0
    """Number of missing frames, including those after the last recorded one."""

    @classmethod
    def between(cls, frames: Sequence[int], seen: Sequence[bool]) -> Gaps:
        """Return the gaps of a recording.

        Args:
            frames: Index of the captured frame of each recorded frame.
            seen: Whether the run has a result for a captured frame, by its index. Frames beyond its end count as seen.
        """
        recorded = set(frames)
        lacks = [n for n in range(max(len(seen), max(frames, default=-1) + 1)) if n not in recorded]
        lacks = [n for n in lacks if n >= len(seen) or seen[n]]
        places = sorted({bisect_left(frames, n) for n in lacks})
        return cls(tuple(i for i in places if i < len(frames)), len(lacks))

    def problem(self, source: str) -> str | None:
        """Return a warning for a context model, which sees the neighbours of each frame; None without gaps."""
        if not self.missing:
            return None
        return (
            f"{source} lacks {self.missing} frames that were captured; a context model sees two frames on either side, "
            f"so that the poses next to them are not those that the whole recording would give"
        )


class FileSchedule:
    """Recorded schedule: uses the boxes that a run recorded, frame by frame. No detector runs."""

    def __init__(self, rows: list[ActiveBox], path: Path, gaps: Gaps | None = None) -> None:
        self._rows = rows
        self._path = path
        self.gaps = gaps or Gaps()
        """Gaps of the recording: missing frames for which the run has a result."""

    @classmethod
    def read(cls, path: Path) -> FileSchedule:
        """Read the ``_bbox.csv`` of a run or of Lightning Pose.

        The first column is the frame index; rows may be in any order. A file of Lightning Pose has only the columns
        ``,x,y,h,w``: each box was detected on its own frame.

        Raises:
            ScheduleError: if the file cannot be read, or is not a box file.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                columns, table = reader.fieldnames or (), list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ScheduleError(
                f"cannot read the schedule {path}: {in_words(error)}; expected a run's _bbox.csv"
            ) from error
        try:
            check_separator(path, ",".join(columns) if len(columns) > 1 else "".join(columns))
            if missing := {"x", "y", "h", "w"} - set(columns):
                raise KeyError(f"no column {', '.join(sorted(missing))}")
            return cls(_in_frame_order(path, columns, table), path)
        except DataError as error:
            raise ScheduleError(str(error)) from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ScheduleError(
                f"{path} is no box file ({error}); expected the columns x, y, h, w with one row a frame"
            ) from error

    def of_frames(self, frames: Sequence[int]) -> FileSchedule:
        """Return the schedule of a recording that holds only some frames of the run.

        Args:
            frames: Index in the run of each recorded frame.
        """
        kept = [self._rows[frame] for frame in frames if frame < len(self._rows)]
        seen = [row is not PASSED_OVER for row in self._rows]
        return FileSchedule(kept, self._path, Gaps.between([f for f in frames if f < len(seen)], seen))

    def __len__(self) -> int:
        return len(self._rows)

    def sides(self) -> list[int]:
        """Return the larger side of each box (frame pixels). Skips frames without a box."""
        return [max(row.box.w, row.box.h) for row in self._rows if row.box is not None]

    def offer(self, detection: Detection) -> None:
        """Ignore the detection: all boxes come from the file."""

    def choose(self, stamp: FrameMeta) -> ActiveBox:
        """Return the box of a frame; ``PASSED_OVER`` if the run has no result for it.

        Raises:
            ScheduleError: if the file ends before the frame.
        """
        if stamp.index >= len(self._rows):
            raise ScheduleError(
                f"{self._path} has {len(self._rows)} rows, but the source has a frame {stamp.index}; "
                "expected the box file of this very recording"
            )
        return self._rows[stamp.index]


def _in_frame_order(path: Path, columns: Sequence[str], table: list[dict[str, str]]) -> list[ActiveBox]:
    """Return the active box of each frame, by the index in the first column.

    The run has no result for a frame without a row in its file. A file of boxes alone must have a row for every frame.

    Raises:
        DataError: if a frame index is not valid, or a row is missing.
        ValueError: if a row holds no valid box.
    """
    table = [row for row in table if any(row.values())]  # spreadsheets leave rows of empty cells
    frames = frame_numbers(path, [row[columns[0]] or "" for row in table]).tolist()
    count = max(frames, default=-1) + 1
    if count != len(frames) and ("state" not in columns or count > 2 * len(frames) + 100_000):
        hole = min(set(range(len(frames) + 1)) - set(frames))
        raise DataError(
            f"{path} has no box for frame {hole} ({count - len(frames)} frames up to {count - 1} have none); "
            "expected one row a frame"
        )
    rows = [PASSED_OVER] * count
    for frame, row in zip(frames, table, strict=True):
        rows[frame] = _read_row(frame, row)
    return rows


def _read_row(index: int, row: dict[str, str]) -> ActiveBox:
    if row["x"] == "":
        return NO_BOX if row.get("state") == State.SEARCHING else PASSED_OVER
    box = Box(*(int(float(row[name])) for name in ("x", "y", "w", "h")))
    if not (0 < box.w <= MAX_SIDE and 0 < box.h <= MAX_SIDE):
        raise ValueError(f"row {index} has a box of {box.w:.6g}x{box.h:.6g} pixels")
    if abs(box.x) > FARTHEST or abs(box.y) > FARTHEST:
        raise ValueError(f"row {index} has a box at {row['x']},{row['y']}, which is in no picture")
    if "state" not in row:
        return ActiveBox(box, index, 0.0, State.TRACKING, detected_ns=0)
    return ActiveBox(box, int(row["box_frame"]), float(row["box_age_ms"]), State(row["state"]), detected_ns=0)
