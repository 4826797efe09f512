"""The One Euro filter of one keypoint: a low-pass filter that smooths slow movement more than fast movement.

Source: Casiez, Roussel and Vogel, CHI 2012. Two things differ. The cutoff grows with the speed in the
plane, so that x and y are smoothed equally. The velocity is computed from the measurements and not from
the lagging filter output, so that it is not biased.
"""

from __future__ import annotations

import math

from realtime_cropzoom.filters.pose_filter import FilteredPoint


class OneEuroPoint:
    """One Euro filter. It estimates no uncertainty (``sigma`` is NaN) and accepts every measurement."""

    def __init__(self, *, min_cutoff_hz: float = 8.0, beta: float = 0.2, velocity_cutoff_hz: float = 10.0) -> None:
        """Set the amount of smoothing.

        Args:
            min_cutoff_hz: Cutoff (Hz) at rest. A lower value smooths more.
            beta: Growth of the cutoff with the speed, Hz per px/s. A higher value lags less.
            velocity_cutoff_hz: Cutoff (Hz) of the velocity.
        """
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._velocity_cutoff_hz = velocity_cutoff_hz
        self._x = self._y = self._vx = self._vy = 0.0
        self._measured = (0.0, 0.0)
        self._since_s = 0.0
        """Time (s) since the last measurement."""
        self._moving = False
        """Whether a velocity is known. The first one is used without smoothing."""

    def start(self, x: float, y: float, likelihood: float) -> None:
        """Restart at a measured position (px), at rest."""
        self._x, self._y, self._vx, self._vy = x, y, 0.0, 0.0
        self._measured, self._since_s, self._moving = (x, y), 0.0, False

    def advance(self, seconds: float) -> None:
        """Add ``seconds`` to the time since the last measurement."""
        self._since_s += seconds

    def correct(self, x: float, y: float, likelihood: float) -> bool:
        """Update with a measured position (px), weighted by its likelihood. Always returns True."""
        seconds = self._since_s
        if seconds <= 0:  # a second measurement of the same moment has no velocity
            return True
        weight = likelihood * (_weight(self._velocity_cutoff_hz, seconds) if self._moving else 1.0)
        self._vx += weight * ((x - self._measured[0]) / seconds - self._vx)
        self._vy += weight * ((y - self._measured[1]) / seconds - self._vy)
        cutoff_hz = self._min_cutoff_hz + self._beta * math.hypot(self._vx, self._vy)
        weight = likelihood * _weight(cutoff_hz, seconds)
        self._x += weight * (x - self._x)
        self._y += weight * (y - self._y)
        self._measured, self._since_s, self._moving = (x, y), 0.0, True
        return True

    def point(self, ahead_s: float = 0.0) -> FilteredPoint:
        """Return the extrapolated position ``ahead_s`` seconds from now; ``sigma`` is NaN."""
        seconds = self._since_s + ahead_s
        return FilteredPoint(self._x + self._vx * seconds, self._y + self._vy * seconds, self._vx, self._vy, math.nan)


def _weight(cutoff_hz: float, seconds: float) -> float:
    """Return the weight of a new value in the low-pass filter, 0 to 1."""
    turn = 2 * math.pi * cutoff_hz * seconds
    return turn / (turn + 1)
