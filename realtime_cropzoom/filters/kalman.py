"""A Kalman filter of one keypoint that moves at constant velocity, disturbed by white acceleration.

State: position and velocity. x and y have the same noise, so one 2 × 2 covariance serves both. Over a
time t the process noise adds q·t³/3 to the variance of the position, q·t to that of the velocity, and
q·t²/2 to their covariance (Bar-Shalom, Li and Kirubarajan 2001, 6.2.2); √q is ``velocity_noise_px_s``.
"""

from __future__ import annotations

import math

from realtime_cropzoom.filters.pose_filter import FilteredPoint


class KalmanPoint:
    """Constant-velocity filter. It weighs measurements by their likelihood and ignores implausible ones."""

    def __init__(self, *, noise_px: float = 1.0, velocity_noise_px_s: float = 1000.0, gate: float = 5.0) -> None:
        """Set the noise of the measurements and of the animal's movement.

        Args:
            noise_px: Standard deviation (px) of a measured coordinate at likelihood 1. It grows as 1 / likelihood.
            velocity_noise_px_s: Standard deviation (px/s) of the change of velocity within one second.
            gate: Maximum distance of a measurement from its prediction, in standard deviations. Measurements
                outside are ignored.
        """
        self._noise_variance = noise_px * noise_px
        self._q = velocity_noise_px_s * velocity_noise_px_s
        self._gate_squared = gate * gate
        self._x = self._y = self._vx = self._vy = 0.0
        self._p_place = self._p_both = self._p_velocity = 0.0

    def start(self, x: float, y: float, likelihood: float) -> None:
        """Restart at a measured position (px) and velocity 0, with the velocity's uncertainty of one second."""
        self._x, self._y, self._vx, self._vy = x, y, 0.0, 0.0
        self._p_place, self._p_both, self._p_velocity = self._variance(likelihood), 0.0, self._q

    def advance(self, seconds: float) -> None:
        """Extrapolate at constant velocity for ``seconds`` and increase the uncertainty."""
        self._x += self._vx * seconds
        self._y += self._vy * seconds
        self._p_place, self._p_both, self._p_velocity = self._covariance_after(seconds)

    def correct(self, x: float, y: float, likelihood: float) -> bool:
        """Update with a measured position (px); return False, unchanged, if it is outside the gate."""
        off_x, off_y = x - self._x, y - self._y
        expected = self._p_place + self._variance(likelihood)
        if off_x * off_x + off_y * off_y > self._gate_squared * expected:
            return False
        gain, gain_velocity = self._p_place / expected, self._p_both / expected
        self._x += gain * off_x
        self._y += gain * off_y
        self._vx += gain_velocity * off_x
        self._vy += gain_velocity * off_y
        self._p_velocity -= gain_velocity * self._p_both
        self._p_both -= gain * self._p_both
        self._p_place -= gain * self._p_place
        return True

    def point(self, ahead_s: float = 0.0) -> FilteredPoint:
        """Return the extrapolated position ``ahead_s`` seconds from now, with its standard deviation."""
        variance = self._p_place if ahead_s == 0 else self._covariance_after(ahead_s)[0]
        x, y = self._x + self._vx * ahead_s, self._y + self._vy * ahead_s
        return FilteredPoint(x, y, self._vx, self._vy, math.sqrt(variance))

    def _covariance_after(self, seconds: float) -> tuple[float, float, float]:
        place, both, velocity, q = self._p_place, self._p_both, self._p_velocity, self._q
        return (
            place + seconds * (2 * both + seconds * (velocity + q * seconds / 3)),
            both + seconds * (velocity + q * seconds / 2),
            velocity + q * seconds,
        )

    def _variance(self, likelihood: float) -> float:
        return self._noise_variance / (likelihood * likelihood)
