"""Homography: a projective map from one plane to another, its inverse, and its fit to pairs of points. No I/O."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.types import Float64

Homography = tuple[float, float, float, float, float, float, float, float, float]
"""A 3 × 3 homography in row-major order. Points for which its last row gives 0 or less lie beyond the horizon and have
no image."""


def project(h: Homography, x: float, y: float) -> tuple[float, float]:
    """Map one point.

    Returns:
        (x, y); NaN if the point is NaN or beyond the horizon.
    """
    scale = h[6] * x + h[7] * y + h[8]
    if not scale > 0:
        return math.nan, math.nan
    return (h[0] * x + h[1] * y + h[2]) / scale, (h[3] * x + h[4] * y + h[5]) / scale


def project_all(h: Homography, x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Map arrays of points. The numbers equal those of ``project`` bit for bit.

    Args:
        h: The homography.
        x: x of the points, any shape.
        y: y of the points, same shape.

    Returns:
        x and y of the images, same shape; NaN for points that are NaN or beyond the horizon.
    """
    scale = h[6] * x + h[7] * y + h[8]
    scale = np.where(scale > 0, scale, np.nan)
    return (h[0] * x + h[1] * y + h[2]) / scale, (h[3] * x + h[4] * y + h[5]) / scale


def inverse(h: Homography) -> Homography:
    """Return the inverse. Raises ConfigError if the matrix is singular."""
    try:
        back = np.linalg.inv(np.array(h).reshape(3, 3))
    except np.linalg.LinAlgError:
        raise ConfigError("the homography has no inverse. Repeat the calibration with other points") from None
    return to_homography(back)


def to_homography(matrix: Any) -> Homography:
    """Return a 3 × 3 matrix as a homography in row-major order."""
    a, b, c, d, e, f, g, h, i = np.asarray(matrix, np.float64).ravel().tolist()
    return a, b, c, d, e, f, g, h, i


def orient(h: Homography, x: float, y: float) -> Homography:
    """Return the same map with the sign for which the point (x, y) is on the valid side of the horizon."""
    sign = -1.0 if h[6] * x + h[7] * y + h[8] < 0 else 1.0
    return to_homography(sign * np.array(h))


def fit_homography(given: Float64, wanted: Float64) -> Homography:
    """Return the homography that maps ``given`` to ``wanted`` with the least sum of squared distances in ``wanted``.

    The fit starts with the direct linear transform of centred and scaled points (Hartley and Zisserman 2004, 4.4) and
    refines it by Gauss-Newton steps on the distances. ``cv2.findHomography`` minimises the same sum, but in single
    precision, which moves points by up to 0.01 pixels; and calibrations are used where OpenCV is not loaded.

    Args:
        given: (N, 2) points to map, N ≥ 4.
        wanted: (N, 2) their images.

    Raises:
        ConfigError: if the points do not determine a homography, because they lie on a line or are the same.
    """
    to_given, to_wanted = _normalization(given), _normalization(wanted)
    a, b = _apply_affine(to_given, given), _apply_affine(to_wanted, wanted)
    singular, h = _linear(a, b)
    if singular[7] < 1e-9 * singular[0]:
        raise ConfigError("the points lie on a line or are the same; give at least four, no three of them on one line")
    refined = _refine(h / np.linalg.norm(h), a, b)
    return orient(to_homography(np.linalg.inv(to_wanted) @ refined.reshape(3, 3) @ to_given), *given.mean(axis=0))


def _normalization(points: Float64) -> Float64:
    """Return the 3 × 3 matrix that moves the points to mean 0 and mean distance √2 from it. Raises ConfigError."""
    centre = points.mean(axis=0)
    spread = np.linalg.norm(points - centre, axis=1).mean()
    if spread == 0:
        raise ConfigError("all points are the same; give at least four, no three of them on one line")
    scale = math.sqrt(2) / spread
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def _apply_affine(matrix: Float64, points: Float64) -> Float64:
    moved: Float64 = points * matrix[0, 0] + matrix[:2, 2]
    return moved


def _linear(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return the singular values of the equations of all pairs, and the solution with the least residual."""
    rows = []
    for (x, y), (u, v) in zip(a, b, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    rows += [[0.0] * 9] * (9 - len(rows))  # four pairs are eight equations
    _, singular, vectors = np.linalg.svd(np.array(rows))
    return singular, vectors[8]


def _refine(h: Float64, a: Float64, b: Float64) -> Float64:
    x, y = a.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    for _ in range(10):
        scale = h[6] * x + h[7] * y + h[8]
        u, v = (h[0] * x + h[1] * y + h[2]) / scale, (h[3] * x + h[4] * y + h[5]) / scale
        of_u = np.array([x, y, one, zero, zero, zero, -u * x, -u * y, -u]) / scale
        of_v = np.array([zero, zero, zero, x, y, one, -v * x, -v * y, -v]) / scale
        off = np.concatenate([b[:, 0] - u, b[:, 1] - v])
        step = np.linalg.lstsq(np.concatenate([of_u.T, of_v.T]), off, rcond=1e-12)[0]
        h = (h + step) / np.linalg.norm(h + step)
    return h
