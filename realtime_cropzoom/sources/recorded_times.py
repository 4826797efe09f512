"""The exact times of a recording that a run has made, from the ``_timing.csv`` beside it.

A container rounds: Matroska to a millisecond, MP4 to its time base. The session has nanoseconds.
"""

from __future__ import annotations

import csv
import itertools
from array import array
from bisect import bisect_left
from pathlib import Path

from realtime_cropzoom.files.paths import is_file

_TOLERANCE_NS = 1_000_000
"""Matroska's tick."""


class RecordedTimes:
    """Frame times as they were captured; empty where none are known."""

    def __init__(self, pts_ns: array[int]) -> None:
        """``pts_ns`` increases."""
        self._pts_ns = pts_ns

    @property
    def are_known(self) -> bool:
        """Whether there are any."""
        return len(self._pts_ns) > 0

    def exactly(self, time_ns: int) -> int:
        """Return the recorded time that the container has rounded to ``time_ns``; that itself where there is none."""
        at = bisect_left(self._pts_ns, time_ns)
        near = min(self._pts_ns[max(0, at - 1) : at + 1], key=lambda t: abs(t - time_ns), default=time_ns)
        return near if abs(near - time_ns) <= _TOLERANCE_NS else time_ns


def recorded_times(video: Path, frames: int) -> RecordedTimes:
    """Return the times beside ``video``, if they are of its frames.

    They are where ``<name>_timing.csv`` has as many rows as the container has frames, or the
    container does not say how many it has (0), and times increase from 0.
    """
    path = video.with_name(f"{video.stem}_timing.csv")
    nothing = RecordedTimes(array("q"))
    if not is_file(path):
        return nothing
    try:
        with path.open(newline="") as file:
            times = array("q", (int(row["pts_ns"]) for row in csv.DictReader(file)))
    except (OSError, ValueError, KeyError, TypeError):  # another program's file, or one cut off in a line
        return nothing
    fits = (frames in (0, len(times))) and len(times) > 0 and times[0] == 0
    return RecordedTimes(times) if fits and all(a < b for a, b in itertools.pairwise(times)) else nothing
