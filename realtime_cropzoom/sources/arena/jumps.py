"""Path of a synthetic animal that jumps between two places. Units and directions are as in ``posture``."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from realtime_cropzoom.sources.arena.build import MOUSE, Build
from realtime_cropzoom.sources.arena.posture import Posture, Rect

_TAIL = (math.pi,) * 5
_JITTER = 0.25
"""Maximum deviation of a jump, as a fraction of the interval. Without it, all jumps would come at the same phase of the
detector's own rate."""


class Jumps:
    """Path of an animal that jumps between a place left of the middle and one right of it."""

    def __init__(self, floor: Rect, every_s: float, distance: float, seed: int, build: Build = MOUSE) -> None:
        """Place the animal on the left. The first jump comes after about one interval.

        Args:
            floor: Floor of the arena.
            every_s: Interval (s) between jumps; each deviates from it by up to a quarter.
            distance: Distance (body lengths) between the two places.
            seed: Seed of the deviations.
            build: Proportions of the animal.
        """
        self._y = (floor.y0 + floor.y1) / 2
        middle = (floor.x0 + floor.x1) / 2
        self._xs = (middle - distance / 2, middle + distance / 2)
        self._every_s = every_s
        self._build = build
        self._draw = np.random.default_rng([seed, 7])
        self._times_s: list[float] = []

    def at(self, time_s: float) -> Posture:
        """Return the posture at ``time_s`` ≥ 0."""
        side = self._jumps_before(time_s) % 2
        breath = 2 * math.pi * 2.3 * time_s
        return Posture(self._xs[side], self._y, 0.0, 0.0, 0.0, 0.0, 0.0, _TAIL, breath, self._build)

    def arrivals(self, seconds: float) -> list[float]:
        """Return the times (s) at which the animal appears on the right, up to ``seconds``."""
        return self._times_s[: self._jumps_before(seconds)][::2]

    def _jumps_before(self, time_s: float) -> int:
        """Return the number of jumps up to and at ``time_s``."""
        while not self._times_s or self._times_s[-1] <= time_s:
            number = len(self._times_s) + 1
            self._times_s.append((number + _JITTER * float(self._draw.uniform(-1, 1))) * self._every_s)
        return bisect_right(self._times_s, time_s)
