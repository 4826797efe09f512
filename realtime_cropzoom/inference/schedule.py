"""Box schedules: choose the box of each frame, and the state that follows from its age.

No I/O, no threads, no clocks; ages are frame time. A schedule receives detections in the
order of their frames and returns the active box frame by frame. No other code chooses
the box, so that ``FileSchedule`` can replay exactly a live run that recorded its boxes
(``_bbox.csv``). The state of the frame, which messages and files carry, is decided after
the pose is known: by ``presence.PoseJudge.state``, from this state and the pose.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from realtime_cropzoom.errors import ScheduleError
from realtime_cropzoom.types import ActiveBox, Box, BoxOrigin, Detection, FrameMeta, State

NO_BOX = ActiveBox(box=None, frame=-1, age_ms=math.nan, state=State.SEARCHING, detected_ns=0)

SKIPPED_IN_RECORDING = ActiveBox(box=None, frame=-1, age_ms=math.nan, state=State.SEARCHING, detected_ns=0)
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

    def active_box(self, detection: Detection | None, meta: FrameMeta) -> ActiveBox:
        """Return the active box of a frame.

        Args:
            detection: The last usable detection; None if there is none.
            meta: The frame.

        Returns:
            The box of ``detection`` with its age and state; ``NO_BOX`` without a detection.
        """
        if detection is None:
            return NO_BOX
        marks = (detection.uncertain, detection.meetings)
        if detection.box is None:  # missing among several: no box of another time takes its place
            return ActiveBox(None, -1, math.nan, State.COASTING, 0, detection.origin, *marks)
        age_ms = (meta.pts_ns - detection.meta.pts_ns) / 1e6
        return ActiveBox(
            detection.box, detection.meta.index, age_ms, self.state(age_ms), detection.detected_ns, detection.origin,
            *marks,
        )  # fmt: skip


class Schedule(Protocol):
    """Chooses the box of each frame."""

    def offer(self, detection: Detection) -> None:
        """Add a detection. Detections come in the order of their frames."""
        ...

    def choose(self, meta: FrameMeta) -> ActiveBox | None:
        """Return the active box of a frame, or None if it must wait for a detection."""
        ...


class LatestSchedule:
    """Live schedule: uses the last usable detection. It never waits."""

    def __init__(self, limits: StateLimits, *, missing: bool = False) -> None:
        """Make the schedule.

        Args:
            limits: Limits on the age of a box.
            missing: Whether a detection without a box says that the animal is missing. The last box then counts no
                longer: another animal could be in it.
        """
        self._missing = missing
        self.limits = limits
        """Limits on the age of a box. They may be replaced between two frames."""
        self._last: Detection | None = None

    def offer(self, detection: Detection) -> None:
        """Keep ``detection`` if it has a box, or says that the animal is missing."""
        if detection.box is not None or (self._missing and self._last is not None):
            self._last = detection

    def choose(self, meta: FrameMeta) -> ActiveBox:
        """Return the last usable box. A box from a frame later than ``meta`` has age 0."""
        chosen = self.limits.active_box(self._last, meta)
        if chosen.age_ms >= 0 or chosen.box is None:
            return chosen
        return replace(chosen, age_ms=0.0, state=State.TRACKING)


class LockstepSchedule:
    """Reproducible schedule: frame i gets the detection of the latest frame j ≤ i with j mod ``every`` = 0."""

    def __init__(self, limits: StateLimits, every: int = 1, *, missing: bool = False) -> None:
        """Make the schedule; the arguments are those of ``LatestSchedule``, and how often there is a detection."""
        self._missing = missing
        self._limits = limits
        self._every = every
        self._last: Detection | None = None
        self._after: deque[tuple[int, Detection | None]] = deque()

    def wanted(self, index: int) -> int:
        """Return the index of the frame whose detection applies to frame ``index``."""
        return index - index % self._every

    def offer(self, detection: Detection) -> None:
        """Store which box is active after ``detection``."""
        if detection.box is not None or (self._missing and self._last is not None):
            self._last = detection
        self._after.append((detection.meta.index, self._last))

    def choose(self, meta: FrameMeta) -> ActiveBox | None:
        """Return the box for ``meta``, or None until its detection has been offered."""
        wanted = self.wanted(meta.index)
        while self._after and self._after[0][0] < wanted:
            self._after.popleft()
        if not self._after or self._after[0][0] != wanted:
            return None
        return self._limits.active_box(self._after[0][1], meta)


class WholeFrameSchedule:
    """Schedule of a pose model that sees whole frames, or whole regions: no detector runs."""

    def __init__(self, box: Box) -> None:
        """Make the schedule of what the model sees: the frame, or a region of it (frame pixels)."""
        self._box = box

    @property
    def side(self) -> int:
        """The larger side of what the model sees (pixels)."""
        return max(self._box.w, self._box.h)

    def offer(self, detection: Detection) -> None:
        """Ignore the detection: nobody makes one."""

    def choose(self, meta: FrameMeta) -> ActiveBox:
        """Return the box of what the model sees."""
        return ActiveBox(self._box, meta.index, 0.0, State.TRACKING, 0, BoxOrigin.FRAME)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Frames missing in a recording that a model has seen, or would have seen."""

    before: tuple[int, ...] = ()
    """Indices of the recorded frames directly before which frames are missing, in order."""
    missing: int = 0
    """Number of missing frames, including those after the last recorded one."""

    @classmethod
    def between(cls, frames: Sequence[int], seen: Sequence[bool], within: range | None = None) -> Gaps:
        """Return the gaps of a recording.

        Args:
            frames: Index of the captured frame of each recorded frame.
            seen: Whether the run has a result for a captured frame, by its index. Frames beyond its end count as seen.
            within: Indices of the frames that were captured while the recording went on; None for all of the run.
        """
        recorded = set(frames)
        within = range(max(len(seen), max(frames, default=-1) + 1)) if within is None else within
        lacks = [n for n in within if n not in recorded]
        lacks = [n for n in lacks if n >= len(seen) or seen[n]]
        places = sorted({bisect_left(frames, n) for n in lacks})
        return cls(tuple(i for i in places if i < len(frames)), len(lacks))

    def problem(self, source: str) -> str | None:
        """Return a warning for a context model, which sees the neighbours of each frame; None without gaps."""
        if not self.missing:
            return None
        return (
            f"{source} lacks {self.missing} frames that were captured; a context model sees two frames on either side, "
            f"so the poses next to a gap differ from those of the complete recording"
        )


class FileSchedule:
    """Recorded schedule: uses the boxes that a run recorded, frame by frame. No detector runs.

    ``sessions.schedule_file`` reads it from a file.
    """

    def __init__(self, rows: Sequence[ActiveBox], path: Path, gaps: Gaps | None = None) -> None:
        """Make the schedule.

        Args:
            rows: The box of each frame, in order; ``SKIPPED_IN_RECORDING`` for a frame without a result in the run.
            path: The file that they come from, for error texts.
            gaps: Frames that the recording lacks.
        """
        self._rows = rows
        self._path = path
        self.gaps = gaps or Gaps()
        """Gaps of the recording: missing frames for which the run has a result."""

    def of_frames(self, frames: Sequence[int], within: range | None = None) -> FileSchedule:
        """Return the schedule of a recording that holds only some frames of the run.

        Args:
            frames: Index in the run of each recorded frame.
            within: Indices of the frames that were captured while the recording went on; None for all of the run.
        """
        kept = [self._rows[frame] for frame in frames if frame < len(self._rows)]
        seen = [row is not SKIPPED_IN_RECORDING for row in self._rows]
        return FileSchedule(kept, self._path, Gaps.between([f for f in frames if f < len(seen)], seen, within))

    def __len__(self) -> int:
        return len(self._rows)

    def sides(self) -> list[int]:
        """Return the larger side of each box (frame pixels). Skips frames without a box."""
        return [max(row.box.w, row.box.h) for row in self._rows if row.box is not None]

    def offer(self, detection: Detection) -> None:
        """Ignore the detection: all boxes come from the file."""

    def choose(self, meta: FrameMeta) -> ActiveBox:
        """Return the box of a frame; ``SKIPPED_IN_RECORDING`` if the run has no result for it.

        Raises:
            ScheduleError: if the file ends before the frame.
        """
        if meta.index >= len(self._rows):
            raise ScheduleError(
                f"{self._path} has {len(self._rows)} rows, but the source has a frame {meta.index}; "
                "expected the box file of this very recording"
            )
        return self._rows[meta.index]
