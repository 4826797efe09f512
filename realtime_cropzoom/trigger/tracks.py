"""The last poses, point by point, and how they change: straight lines by least squares, by frame times.

A slope over a time is that through the points from now back to the newest that is at least so old: where
the frame rate allows more than two, a jitter of one frame counts little. A track that was interrupted for
longer than ``gap_ns`` begins anew, so that there is no slope rather than a jump.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from realtime_cropzoom.trigger.look import AnySpot, Look, Spot


@dataclass(frozen=True, slots=True)
class Slope:
    """How a track changes, and when: at the middle of the points it was made of."""

    vx: float
    """Per second."""
    vy: float
    middle_s: float
    """Seconds from the newest time, so at most 0."""


class Track:
    """The last places of a spot."""

    __slots__ = ("_gap_ns", "_spot", "keep_ns", "points")

    def __init__(self, spot: Spot, gap_ns: int) -> None:
        self._spot = spot
        self._gap_ns = gap_ns
        self.keep_ns = 0
        """How far back somebody will ask; set by those who do."""
        self.points: deque[tuple[int, float, float]] = deque()
        """(captured_ns, x, y), oldest first."""

    def feed(self, look: Look) -> None:
        """Take in a look."""
        if self._spot.seen(look):
            self._add(look.captured_ns, self._spot.x, self._spot.y)

    def reset(self) -> None:
        """Forget everything."""
        self.points.clear()

    def _add(self, at_ns: int, x: float, y: float) -> None:
        points = self.points
        if points and at_ns - points[-1][0] > self._gap_ns:
            points.clear()
        points.append((at_ns, x, y))
        oldest_ns = at_ns - self.keep_ns
        while len(points) > 2 and points[1][0] <= oldest_ns:
            points.popleft()


class HeadingTrack(Track):
    """The last directions from one spot to another, in degrees that go on counting at a full turn."""

    __slots__ = ("_tip",)

    def __init__(self, base: Spot, tip: Spot, gap_ns: int) -> None:
        super().__init__(base, gap_ns)
        self._tip = tip

    def feed(self, look: Look) -> None:
        """Take in a look."""
        if self._spot.seen(look) and self._tip.seen(look):
            degrees = direction_deg(self._spot, self._tip)
            if degrees is not None:
                before = self.points[-1][1] if self.points else degrees
                self._add(look.captured_ns, before + turned_deg(before, degrees), 0.0)


def direction_deg(base: AnySpot, tip: AnySpot) -> float | None:
    """Return the direction from one spot to another, 0 ≤ it < 360: 0 along x, 90 along y. None where they coincide."""
    dx, dy = tip.x - base.x, tip.y - base.y
    if dx == 0.0 and dy == 0.0:
        return None
    degrees = math.degrees(math.atan2(dy, dx)) % 360.0
    return degrees if degrees < 360.0 else 0.0  # of a tiny negative number the remainder is rounded to 360


def turned_deg(before: float, after: float) -> float:
    """Return the shorter way from one direction to another, −180 ≤ it < 180."""
    return (after - before + 180.0) % 360.0 - 180.0


def slope(track: Track, newest_ns: int, over_ns: int) -> Slope | None:
    """Return how a track changes over the ``over_ns`` before ``newest_ns``; None where it is shorter."""
    n, st, stt, sx, stx, sy, sty = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    x0 = y0 = 0.0
    for at_ns, x, y in reversed(track.points):
        t = (at_ns - newest_ns) * 1e-9
        if t > 0.0:
            continue
        if n == 0:
            x0, y0 = x, y
        n += 1
        st += t
        stt += t * t
        sx += x - x0
        stx += t * (x - x0)
        sy += y - y0
        sty += t * (y - y0)
        if newest_ns - at_ns >= over_ns:
            break
    else:
        return None
    spread = n * stt - st * st
    return Slope((n * stx - st * sx) / spread, (n * sty - st * sy) / spread, st / n) if spread > 0.0 else None
