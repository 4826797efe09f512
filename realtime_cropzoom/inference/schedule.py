"""Which box a frame gets, and the state that says what it may be trusted for.

Pure: no threads, no clocks; ages are frame time. A schedule is fed detections in the
order of their frames and asked, frame by frame, for the box in force. It is the only
place where that is decided, so a live run that wrote down its choices (``_bbox.csv``)
can be replayed exactly by ``FileSchedule``.
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
"""What a recorded schedule gives a frame of which the recorded run made nothing."""


@dataclass(frozen=True, slots=True)
class StateLimits:
    """How old a box may be, in frame time, before the state says so."""

    coast_after_ms: float = 250.0
    """Older than this: coasting."""
    lost_after_ms: float = 1000.0
    """Older than this: lost."""

    def state(self, age_ms: float) -> State:
        """Return the state of a box that is ``age_ms`` old."""
        if age_ms > self.lost_after_ms:
            return State.LOST
        return State.COASTING if age_ms > self.coast_after_ms else State.TRACKING

    def in_force(self, detection: Detection | None, stamp: FrameMeta) -> ActiveBox:
        """Return what ``detection`` (the last usable one, or None) is to the frame ``stamp``."""
        if detection is None:
            return NO_BOX
        age_ms = (stamp.pts_ns - detection.stamp.pts_ns) / 1e6
        return ActiveBox(
            detection.box, detection.stamp.index, age_ms, self.state(age_ms), detected_ns=detection.detected_ns
        )


class Schedule(Protocol):
    """Which box a frame gets."""

    def offer(self, detection: Detection) -> None:
        """Take in a detection; they come in the order of their frames."""
        ...

    def choose(self, stamp: FrameMeta) -> ActiveBox | None:
        """Return the box in force for a frame, or None where it must wait for a detection."""
        ...


class LatestSchedule:
    """Live: the last usable detection there is. It never waits."""

    def __init__(self, limits: StateLimits) -> None:
        self._limits = limits
        self._last: Detection | None = None

    def offer(self, detection: Detection) -> None:
        """Keep ``detection`` if it has a box."""
        if detection.box is not None:
            self._last = detection

    def choose(self, stamp: FrameMeta) -> ActiveBox:
        """Return the last usable box; a box from a later frame than ``stamp`` counts as of age 0."""
        chosen = self._limits.in_force(self._last, stamp)
        if chosen.age_ms >= 0 or chosen.box is None:
            return chosen
        return ActiveBox(chosen.box, chosen.frame, 0.0, State.TRACKING, chosen.detected_ns)


class LockstepSchedule:
    """Reproducible: frame i gets the detection of the latest frame j ≤ i with j mod ``every`` = 0."""

    def __init__(self, limits: StateLimits, every: int = 1) -> None:
        self._limits = limits
        self._every = every
        self._last: Detection | None = None
        self._after: deque[tuple[int, Detection | None]] = deque()

    def wanted(self, index: int) -> int:
        """Return the frame whose detection frame ``index`` gets."""
        return index - index % self._every

    def offer(self, detection: Detection) -> None:
        """Remember which box is in force once ``detection`` has been made."""
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
    """What a recording lacks of the frames that a model has seen, or would have."""

    before: tuple[int, ...] = ()
    """Frames of the recording right before which some are missing, in order."""
    missing: int = 0
    """How many frames are missing, those after the last included."""

    @classmethod
    def between(cls, frames: Sequence[int], seen: Sequence[bool]) -> Gaps:
        """Return the gaps of a recording whose frame i is captured frame ``frames[i]``; ``seen`` is by captured frame.

        Frames beyond ``seen`` count as seen.
        """
        recorded = set(frames)
        lacks = [n for n in range(max(len(seen), max(frames, default=-1) + 1)) if n not in recorded]
        lacks = [n for n in lacks if n >= len(seen) or seen[n]]
        places = sorted({bisect_left(frames, n) for n in lacks})
        return cls(tuple(i for i in places if i < len(frames)), len(lacks))

    def problem(self, source: str) -> str | None:
        """Return a line for a context model, which sees the frames around each; None where nothing is missing."""
        if not self.missing:
            return None
        return (
            f"{source} lacks {self.missing} frames that were captured; a context model sees two frames on either side, "
            f"so that the poses next to them are not those that the whole recording would give"
        )


class FileSchedule:
    """Recorded: the boxes that a run wrote down, frame by frame; no detector runs."""

    def __init__(self, rows: list[ActiveBox], path: Path, gaps: Gaps | None = None) -> None:
        self._rows = rows
        self._path = path
        self.gaps = gaps or Gaps()
        """Where the recording lacks frames that the run has made something of."""

    @classmethod
    def read(cls, path: Path) -> FileSchedule:
        """Read a run's ``_bbox.csv``, or Lightning Pose's (``,x,y,h,w`` alone: every box is its frame's own).

        The first column says which frame a row is about; rows may be in any order.
        Raises ScheduleError where the file is missing or is none.
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
        """Return the schedule of a recording whose frame i is frame ``frames[i]`` of the run that wrote this one."""
        kept = [self._rows[frame] for frame in frames if frame < len(self._rows)]
        seen = [row is not PASSED_OVER for row in self._rows]
        return FileSchedule(kept, self._path, Gaps.between([f for f in frames if f < len(seen)], seen))

    def __len__(self) -> int:
        return len(self._rows)

    def sides(self) -> list[int]:
        """Return the larger side of each box, in frame pixels."""
        return [max(row.box.w, row.box.h) for row in self._rows if row.box is not None]

    def offer(self, detection: Detection) -> None:
        """Ignore it: the file has said it all."""

    def choose(self, stamp: FrameMeta) -> ActiveBox:
        """Return the box the file gives for ``stamp``, ``PASSED_OVER`` where the run made nothing of the frame.

        Raises ScheduleError where the file has no row for the frame.
        """
        if stamp.index >= len(self._rows):
            raise ScheduleError(
                f"{self._path} has {len(self._rows)} rows, but the source has a frame {stamp.index}; "
                "expected the box file of this very recording"
            )
        return self._rows[stamp.index]


def _in_frame_order(path: Path, columns: Sequence[str], table: list[dict[str, str]]) -> list[ActiveBox]:
    """Return what each frame gets, by the index in the first column.

    A frame that a run's own file lacks was passed over; files of boxes alone must have all. Raises DataError
    and ValueError.
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
