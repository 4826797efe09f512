"""Occlusion: hides parts of the animal in a view, as cables, bedding and objects do."""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.types import Float32, UInt8

_CABLE_SHARE = 0.15
_PATCH_SHARE = 0.12


def occlude(pixels: UInt8, xy_model: Float32, rng: np.random.Generator) -> None:
    """Draw a cable or patches into some of the pictures, in place. The keypoints keep their labels.

    Args:
        pixels: (H, W, 3) RGB.
        xy_model: (K, 2) keypoints in pixels of the picture; NaN if unknown.
        rng: Random numbers.
    """
    seen = xy_model[np.isfinite(xy_model).all(axis=1)]
    if len(seen) == 0:
        return
    if rng.random() < _CABLE_SHARE:
        _draw_cable(pixels, seen.mean(axis=0) + rng.normal(0, 0.05 * len(pixels), 2), rng)
    if rng.random() < _PATCH_SHARE:
        length = float(np.ptp(seen, axis=0).max())
        for _ in range(int(rng.integers(1, 4))):
            centre = seen[rng.integers(len(seen))] + rng.normal(0, 0.4 * length + 1, 2)
            _draw_patch(pixels, centre, max(1.0, 0.12 * length), rng)


def _draw_cable(pixels: UInt8, end: Float32, rng: np.random.Generator) -> None:
    """Draw a bent line from beyond the edge of the picture to ``end``."""
    side = max(pixels.shape[:2])
    start = end + side * 1.5 * _direction(rng)
    middle = (start + end) / 2 + rng.normal(0, 0.15 * side, 2)
    t = np.linspace(0, 1, 20)[:, None]
    line = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    level = int(rng.integers(0, 256))
    thickness = int(rng.integers(1, 4))
    cv2.polylines(pixels, [line.round().astype(np.int32)], False, (level,) * 3, thickness, cv2.LINE_AA)


def _draw_patch(pixels: UInt8, centre: Float32, radius: float, rng: np.random.Generator) -> None:
    """Draw a filled ellipse of one gray level."""
    axes = np.maximum(1, radius * rng.uniform(0.3, 1.2, 2)).round().astype(int).tolist()
    level = int(rng.integers(0, 256))
    place = centre.round().astype(int).tolist()
    cv2.ellipse(pixels, place, axes, float(rng.uniform(0, 180)), 0, 360, (level,) * 3, -1, cv2.LINE_AA)


def _direction(rng: np.random.Generator) -> Float32:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)], np.float32)
