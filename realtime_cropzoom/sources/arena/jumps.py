"""An animal that stands still and is elsewhere from one frame to the next, at known times: for measuring latency.

Units and directions are those of arena_posture.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from realtime_cropzoom.sources.arena.posture import Posture, Rect

_TAIL = (math.pi,) * 5
_JITTER = 0.25
"""Of the interval: jumps come at no fixed phase of the detector's own rate."""


class Jumps:
    """To and fro between a place on the left and one on the right of the middle, ``distance`` apart."""

    def __init__(self, floor: Rect, every_s: float, distance: float, seed: int) -> None:
        """The first jump, to the right, comes after one interval; each is off by up to a quarter of one."""
        self._y = (floor.y0 + floor.y1) / 2
        middle = (floor.x0 + floor.x1) / 2
        self._xs = (middle - distance / 2, middle + distance / 2)
        self._every_s = every_s
        self._draw = np.random.default_rng([seed, 7])
        self._times_s: list[float] = []

    def at(self, time_s: float) -> Posture:
        """The posture at ``time_s`` ≥ 0."""
        side = self._jumps_before(time_s) % 2
        return Posture(self._xs[side], self._y, 0.0, 0.0, 0.0, 0.0, 0.0, _TAIL, 2 * math.pi * 2.3 * time_s)

    def arrivals(self, seconds: float) -> list[float]:
        """The times at which the animal appears on the right, up to ``seconds``."""
        return self._times_s[: self._jumps_before(seconds)][::2]

    def _jumps_before(self, time_s: float) -> int:
        """How many jumps there were up to and at ``time_s``."""
        while not self._times_s or self._times_s[-1] <= time_s:
            number = len(self._times_s) + 1
            self._times_s.append((number + _JITTER * float(self._draw.uniform(-1, 1))) * self._every_s)
        return bisect_right(self._times_s, time_s)
