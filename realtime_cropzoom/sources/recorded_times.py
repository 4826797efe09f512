"""Exact frame times of a run's recording, read from the ``_timing.csv`` file of the run next to it.

Containers round times: Matroska to a millisecond, MP4 to its time base. The timing file has nanoseconds.
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left
from pathlib import Path

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.paths import is_file
from realtime_cropzoom.sources.recording_table import read_captured_frames, timing_path

_TOLERANCE_NS = 1_000_000
"""Maximum rounding error (ns) of a container: the tick of Matroska."""


class RecordedTimes:
    """Frame times at capture; empty if none are known."""

    def __init__(self, pts_ns: array[int]) -> None:
        """``pts_ns`` holds the frame times (ns), strictly increasing."""
        self._pts_ns = pts_ns

    @property
    def are_known(self) -> bool:
        """Whether exact times are known."""
        return len(self._pts_ns) > 0

    def exactly(self, time_ns: int) -> int:
        """Return the recorded time (ns) that the container rounded to ``time_ns``; ``time_ns`` if none is near."""
        at = bisect_left(self._pts_ns, time_ns)
        near = min(self._pts_ns[max(0, at - 1) : at + 1], key=lambda t: abs(t - time_ns), default=time_ns)
        return near if abs(near - time_ns) <= _TOLERANCE_NS else time_ns


def recorded_times(video: Path, frames: int) -> RecordedTimes:
    """Return the exact times of the frames of ``video``.

    Args:
        video: The video file; its times are in the timing file of its run, next to it.
        frames: Number of frames that the container declares; 0 if it declares none.

    Returns:
        The times since the first frame of the video; empty unless there is one for each declared frame, and they
        increase.
    """
    path = timing_path(video)
    nothing = RecordedTimes(array("q"))
    if not is_file(path):
        return nothing
    try:
        times = _times_of(video, path)
    except (DataError, ValueError, KeyError, TypeError, IndexError):  # another program's file, or one cut off in a line
        return nothing
    fits = (frames in (0, len(times))) and len(times) > 0 and times[0] == 0
    return RecordedTimes(times) if fits and all(a < b for a, b in itertools.pairwise(times)) else nothing


def _times_of(video: Path, timing: Path) -> array[int]:
    """Return the frame times (ns) of a video; without a table of the recording, it has all frames of the run."""
    times = array("q", (int(row["pts_ns"]) for row in Records(timing)))
    frames = read_captured_frames(video)
    if frames is None or frames == list(range(len(times))):
        return times
    return array("q", (times[frame] - times[frames[0]] for frame in frames))
