"""The One Euro filter of one keypoint: a low pass that smooths what rests and follows what runs.

Casiez, Roussel and Vogel, CHI 2012. Two things differ, both for a point in a plane whose velocity is
used, too: the cutoff grows with the speed, in whatever direction, so that x and y are smoothed alike; and the
velocity is that of the measurements, not of what the filter lags behind them, so that it is not biased.
"""

from __future__ import annotations

import math

from realtime_cropzoom.filters.pose_filter import FilteredPoint


class OneEuroPoint:
    """Knows no uncertainty: its ``sigma`` is NaN, and it believes every measurement that is likely enough."""

    def __init__(self, *, min_cutoff_hz: float = 8.0, beta: float = 0.2, velocity_cutoff_hz: float = 10.0) -> None:
        """Set how much is smoothed.

        ``min_cutoff_hz``: of a keypoint at rest; lower is calmer.
        ``beta``: by how many Hz the cutoff grows with each pixel per second; higher lags less.
        ``velocity_cutoff_hz``: of the velocity.
        """
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._velocity_cutoff_hz = velocity_cutoff_hz
        self._x = self._y = self._vx = self._vy = 0.0
        self._measured = (0.0, 0.0)
        self._since_s = 0.0
        """Time since the last measurement."""
        self._moving = False
        """Whether there is a velocity yet: the first one is taken as it is."""

    def start(self, x: float, y: float, likelihood: float) -> None:
        """Begin anew at a measured place, at rest."""
        self._x, self._y, self._vx, self._vy = x, y, 0.0, 0.0
        self._measured, self._since_s, self._moving = (x, y), 0.0, False

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self._since_s += seconds

    def correct(self, x: float, y: float, likelihood: float) -> bool:
        """Move towards a measurement, the less the less likely it is."""
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
        """Where the keypoint will be, at the velocity it has."""
        seconds = self._since_s + ahead_s
        return FilteredPoint(self._x + self._vx * seconds, self._y + self._vy * seconds, self._vx, self._vy, math.nan)


def _weight(cutoff_hz: float, seconds: float) -> float:
    """How much of a new value a low pass takes."""
    turn = 2 * math.pi * cutoff_hz * seconds
    return turn / (turn + 1)
