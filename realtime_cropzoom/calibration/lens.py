"""Lens distortion: OpenCV's model with five coefficients, and its inverse. No I/O.

The same code computes floats and arrays, so that one point and many points give the same numbers.
``cv2.undistortPoints`` is not used: its default stops after five steps, up to a pixel away from the solution, and the
option for more steps has another name in each major version of OpenCV. Tests hold both directions to OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from realtime_cropzoom.types import Float64

_STEPS = 5
"""Number of Newton steps. Each doubles the number of correct digits. The number is fixed, so that each point
gives the same result alone and in an array."""

Number = TypeVar("Number", float, Float64)


@dataclass(frozen=True, slots=True)
class Lens:
    """Focal length, centre and distortion coefficients of a camera (OpenCV's k1, k2, p1, p2, k3)."""

    focal_px: tuple[float, float]
    """Focal length in x and y (px)."""
    centre_px: tuple[float, float]
    """Principal point (x, y) in frame pixels."""
    distortion: tuple[float, float, float, float, float]
    """k1, k2, p1, p2, k3."""
    residual_px: float | None = None
    """Root mean square error (px) of the chessboard corners; None if not measured."""

    def undistort(self, x: Number, y: Number) -> tuple[Number, Number]:
        """Return where a lens without distortion would show points of the frame.

        Args:
            x: x in frame pixels: a float, or float64 of any shape.
            y: y in frame pixels, as ``x``.

        Returns:
            x and y in pixels, of the same type and shape; NaN for a NaN.
        """
        (fx, fy), (cx, cy), (k1, k2, p1, p2, k3) = self.focal_px, self.centre_px, self.distortion
        target_u, target_v = (x - cx) / fx, (y - cy) / fy
        u, v = target_u, target_v
        for _ in range(_STEPS):
            uu, uv, vv = u * u, u * v, v * v
            rr = uu + vv
            radial = 1 + rr * (k1 + rr * (k2 + rr * k3))
            slope = 2 * (k1 + rr * (2 * k2 + rr * (3 * k3)))
            error_u = u * radial + 2 * p1 * uv + p2 * (rr + 2 * uu) - target_u
            error_v = v * radial + p1 * (rr + 2 * vv) + 2 * p2 * uv - target_v
            du_u = radial + uu * slope + 2 * p1 * v + 6 * p2 * u
            dv_v = radial + vv * slope + 6 * p1 * v + 2 * p2 * u
            du_v = uv * slope + 2 * p1 * u + 2 * p2 * v
            det = du_u * dv_v - du_v * du_v
            u = u - (error_u * dv_v - error_v * du_v) / det
            v = v - (error_v * du_u - error_u * du_v) / det
        return fx * u + cx, fy * v + cy

    def distort(self, x: Float64, y: Float64) -> tuple[Float64, Float64]:
        """Return the frame pixels of undistorted points: the inverse of ``undistort``.

        Args:
            x: x in undistorted pixels, float64 of any shape.
            y: y in undistorted pixels, of the same shape.

        Returns:
            x and y in frame pixels, of the same shape; NaN for a NaN.
        """
        (fx, fy), (cx, cy), (k1, k2, p1, p2, k3) = self.focal_px, self.centre_px, self.distortion
        u, v = (x - cx) / fx, (y - cy) / fy
        rr = u * u + v * v
        radial = 1 + rr * (k1 + rr * (k2 + rr * k3))
        distorted_u = u * radial + 2 * p1 * u * v + p2 * (rr + 2 * u * u)
        distorted_v = v * radial + p1 * (rr + 2 * v * v) + 2 * p2 * u * v
        return fx * distorted_u + cx, fy * distorted_v + cy

    def is_invertible(self, width: int, height: int) -> bool:
        """Return whether ``undistort`` is correct in a whole frame (px). If the distortion is too strong, it is not."""
        x, y = np.meshgrid(np.linspace(-1, width, 33), np.linspace(-1, height, 33))
        with np.errstate(all="ignore"):
            back_x, back_y = self.distort(*self.undistort(x, y))
            return bool(np.hypot(back_x - x, back_y - y).max() < 1e-4)
