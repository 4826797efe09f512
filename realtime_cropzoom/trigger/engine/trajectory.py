"""Trajectories of points over the last poses, and their slopes: least-squares lines over capture time.

The slope over a time uses the points from now back to the newest one that is at least that old. With more than two
points, an error of one frame has little effect. A track that was interrupted for longer than ``gap_ns`` starts again,
so that it has no slope instead of a jump.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from operator import itemgetter
from typing import NamedTuple

from realtime_cropzoom.trigger.engine.pose_sample import AnyPosition, KeypointPosition, PoseSample

Sums = tuple[int, int, int, int, int, int]
"""Sums of t, t², x, t·x, y and t·y; t in ns since the first point, x and y times ``_FIXED_POINT``.

They are whole numbers, so that a difference of two is exact for a track of any length.
"""
Point = tuple[int, float, Sums]
"""captured_ns, x, and the sums over all points before it."""
_NOTHING: Sums = (0, 0, 0, 0, 0, 0)
_FIXED_POINT = 2.0**32
_PER_S = 1e9 / _FIXED_POINT
_captured_ns = itemgetter(0)


class Slope(NamedTuple):
    """Slope of a track, and the time to which it applies: the middle of the points used."""

    vx: float
    """Per second."""
    vy: float
    middle_s: float
    """Seconds from the newest time, so at most 0."""


class Track:
    """Last positions of a keypoint, each with sums over all before it: a slope over any time costs the same."""

    __slots__ = ("_gap_ns", "_position", "first_ns", "keep_ns", "points", "sums")

    def __init__(self, position: KeypointPosition, gap_ns: int) -> None:
        self._position = position
        self._gap_ns = gap_ns
        self.keep_ns = 0
        """History (ns) to keep: the longest that a user of the track needs, set by its users."""
        self.points: deque[Point] = deque()
        """Oldest first."""
        self.sums: Sums = _NOTHING
        """Sums over all points so far."""
        self.first_ns = 0
        """Time (ns) at which the first of them was captured."""

    def feed(self, sample: PoseSample) -> None:
        """Add the position in a sample, if it is known."""
        if self._position.seen(sample):
            self._add(sample.captured_ns, self._position.x, self._position.y)

    def reset(self) -> None:
        """Clear the track."""
        self.points.clear()
        self.sums = _NOTHING

    def newest_before(self, at_ns: int) -> int | None:
        """Return the capture time (ns) of the newest point up to ``at_ns``; None if there is none."""
        place = bisect_right(self.points, at_ns, key=_captured_ns)
        return self.points[place - 1][0] if place else None

    def _add(self, at_ns: int, x: float, y: float) -> None:
        points = self.points
        if points and at_ns - points[-1][0] > self._gap_ns:
            self.reset()
        if not points:
            self.first_ns = at_ns
        points.append((at_ns, x, self.sums))
        t, fine_x, fine_y = at_ns - self.first_ns, int(x * _FIXED_POINT), int(y * _FIXED_POINT)
        st, stt, sx, stx, sy, sty = self.sums
        self.sums = st + t, stt + t * t, sx + fine_x, stx + t * fine_x, sy + fine_y, sty + t * fine_y
        oldest_ns = at_ns - self.keep_ns
        while len(points) > 2 and points[1][0] <= oldest_ns:
            points.popleft()


class HeadingTrack(Track):
    """Track of the direction from one position to another, in degrees that continue beyond a full turn."""

    __slots__ = ("_tip",)

    def __init__(self, base: KeypointPosition, tip: KeypointPosition, gap_ns: int) -> None:
        super().__init__(base, gap_ns)
        self._tip = tip

    def feed(self, sample: PoseSample) -> None:
        """Add the position in a sample, if it is known."""
        if self._position.seen(sample) and self._tip.seen(sample):
            degrees = direction_deg(self._position, self._tip)
            if degrees is not None:
                before = self.points[-1][1] if self.points else degrees
                self._add(sample.captured_ns, before + turned_deg(before, degrees), 0.0)


def direction_deg(base: AnyPosition, tip: AnyPosition) -> float | None:
    """Return the direction (degrees, 0 ≤ d < 360; 0 along x, 90 along y) from base to tip; None if they coincide."""
    dx, dy = tip.x - base.x, tip.y - base.y
    if dx == 0.0 and dy == 0.0:
        return None
    degrees = math.degrees(math.atan2(dy, dx)) % 360.0
    return degrees if degrees < 360.0 else 0.0  # the remainder of a tiny negative number is rounded to 360


def turned_deg(before: float, after: float) -> float:
    """Return the signed smaller angle (degrees, −180 ≤ a < 180) from one direction to another."""
    return (after - before + 180.0) % 360.0 - 180.0


def slope(track: Track, newest_ns: int, over_ns: int) -> Slope | None:
    """Return the slope of a track over the ``over_ns`` before ``newest_ns``; None if the track is shorter."""
    points, oldest_ns = track.points, newest_ns - over_ns
    if not points or points[0][0] > oldest_ns:
        return None
    end, until = len(points), track.sums
    if points[-1][0] > newest_ns:
        end = bisect_right(points, newest_ns, key=_captured_ns)
        until = points[end][2]
    begin = 0  # mostly: a track keeps no more than its users need
    if end > 1 and points[1][0] <= oldest_ns:
        begin = bisect_right(points, oldest_ns, 1, end, key=_captured_ns) - 1
    st, stt, sx, stx, sy, sty = until
    st0, stt0, sx0, stx0, sy0, sty0 = points[begin][2]
    n, st = end - begin, st - st0
    spread = n * (stt - stt0) - st * st
    if spread <= 0:
        return None
    vx = (n * (stx - stx0) - st * (sx - sx0)) / spread * _PER_S
    vy = (n * (sty - sty0) - st * (sy - sy0)) / spread * _PER_S
    return Slope(vx, vy, (st / n - (newest_ns - track.first_ns)) * 1e-9)
