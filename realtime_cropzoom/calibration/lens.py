"""Lens distortion: OpenCV's model with five coefficients, and its inverse. Pure.

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
"""Number of Newton steps. Each doubles the correct digits. It is fixed, so that all points are treated equally."""

Number = TypeVar("Number", float, Float64)


@dataclass(frozen=True, slots=True)
class Lens:
    """Focal length, centre and distortion coefficients of a camera (OpenCV's k1, k2, p1, p2, k3)."""

    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    distortion: tuple[float, float, float, float, float]
    residual_px: float | None = None
    """Root mean square error (px) of the chessboard corners; None if not measured."""

    def undistort(self, x: Number, y: Number) -> tuple[Number, Number]:
        """Return where a lens without distortion would show points of the frame, in pixels."""
        (fx, fy), (cx, cy), (k1, k2, p1, p2, k3) = self.focal_px, self.centre_px, self.distortion
        to_x, to_y = (x - cx) / fx, (y - cy) / fy
        u, v = to_x, to_y
        for _ in range(_STEPS):
            uu, uv, vv = u * u, u * v, v * v
            rr = uu + vv
            radial = 1 + rr * (k1 + rr * (k2 + rr * k3))
            slope = 2 * (k1 + rr * (2 * k2 + rr * (3 * k3)))
            off_u = u * radial + 2 * p1 * uv + p2 * (rr + 2 * uu) - to_x
            off_v = v * radial + p1 * (rr + 2 * vv) + 2 * p2 * uv - to_y
            du_u = radial + uu * slope + 2 * p1 * v + 6 * p2 * u
            dv_v = radial + vv * slope + 6 * p1 * v + 2 * p2 * u
            mixed = uv * slope + 2 * p1 * u + 2 * p2 * v
            area = du_u * dv_v - mixed * mixed
            u = u - (off_u * dv_v - off_v * mixed) / area
            v = v - (off_v * du_u - off_u * mixed) / area
        return fx * u + cx, fy * v + cy

    def distort(self, x: Float64, y: Float64) -> tuple[Float64, Float64]:
        """Return the frame pixels of undistorted points (px): the inverse of ``undistort``."""
        (fx, fy), (cx, cy), (k1, k2, p1, p2, k3) = self.focal_px, self.centre_px, self.distortion
        u, v = (x - cx) / fx, (y - cy) / fy
        rr = u * u + v * v
        radial = 1 + rr * (k1 + rr * (k2 + rr * k3))
        bent_u = u * radial + 2 * p1 * u * v + p2 * (rr + 2 * u * u)
        bent_v = v * radial + p1 * (rr + 2 * v * v) + 2 * p2 * u * v
        return fx * bent_u + cx, fy * bent_v + cy

    def is_invertible(self, width: int, height: int) -> bool:
        """Return whether ``undistort`` works all over a frame (pixels): too strong a distortion folds the image."""
        x, y = np.meshgrid(np.linspace(-1, width, 33), np.linspace(-1, height, 33))
        with np.errstate(all="ignore"):
            back_x, back_y = self.distort(*self.undistort(x, y))
            return bool(np.hypot(back_x - x, back_y - y).max() < 1e-4)
