"""Calibration picture: a frame with the grid of arena space, by which a user can check a calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.plots.overlay import SHIFT, draw_caption, draw_cross
from realtime_cropzoom.types import Float64, UInt8

_LINES = 10
"""Approximate number of grid lines per side."""
_STRIP = 56
"""Height of the legend below the picture (its pixels)."""
_STEPS = 64
"""Number of points per line. With a lens, lines are curves."""
_GRID, _AXIS, _MARK, _DARK = (64, 214, 255), (255, 96, 64), (255, 64, 200), (15, 15, 15)


def draw_grid(image: UInt8, calibration: Calibration, given: Sequence[tuple[float, float]] = ()) -> UInt8:
    """Draw the grid over a frame.

    Args:
        image: The frame, (H, W, 3) RGB.
        calibration: The calibration.
        given: Points (frame pixels) that get a mark.

    Returns:
        The frame at twice its size, with numbered lines and a strip with a legend below it.
    """
    canvas: Any = _doubled(image)
    x, y = np.meshgrid(np.linspace(0, calibration.width - 1, 33), np.linspace(0, calibration.height - 1, 33))
    seen = calibration.to_arena(np.stack([x, y], axis=-1)).reshape(-1, 2)
    beyond = 20 * bool(np.isnan(seen).any())  # near a horizon inside the frame, distances grow without limit
    (left, top), (right, bottom) = np.nanpercentile(seen, [beyond, 100 - beyond], axis=0)
    step = spacing(max(right - left, bottom - top))
    for axis, (low, high, begin, end) in enumerate(((left, right, top, bottom), (top, bottom, left, right))):
        for at in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step:
            along = np.linspace(begin, end, _STEPS)
            line = np.stack([np.full(_STEPS, at), along] if axis == 0 else [along, np.full(_STEPS, at)], axis=-1)
            _draw_line(canvas, _in_frame(line, calibration), f"{at:g}", _AXIS if at == 0 else _GRID)
    for point in given:
        draw_cross(canvas, _pixel(point), 30, _MARK, thickness=3, tilted=True)
    height = canvas.shape[0]
    canvas = np.pad(canvas, ((0, _STRIP), (0, 0), (0, 0)))  # below the frame, so that it covers no number
    draw_caption(canvas, f"{calibration.unit}, every {step:g}", (18, height + _STRIP - 18), 0.9)
    return np.asarray(canvas, np.uint8)


def draw_straightened(image: UInt8, lens: Lens) -> UInt8:
    """Return the frame (H, W, 3) without the distortion of the lens, at twice its size."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    from_x, from_y = (side.astype(np.float32) for side in lens.distort(x, y))
    return _doubled(np.asarray(cv2.remap(image, from_x, from_y, cv2.INTER_LINEAR), np.uint8))


def spacing(extent: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about ten of it make ``extent``."""
    power = 10.0 ** math.floor(math.log10(extent / _LINES))
    return next(step * power for step in (1, 2, 5, 10) if step * power * _LINES >= extent * 0.999)


def _doubled(image: UInt8) -> UInt8:
    size = (image.shape[1] * 2, image.shape[0] * 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _in_frame(line: Float64, calibration: Calibration) -> Float64:
    """Return the points (frame pixels) of a line in arena space that the frame shows.

    Far outside of the frame a lens can map points back into it; these are left out.
    """
    xy = calibration.to_frame(line)
    there = np.abs(calibration.to_arena(xy) - line).max(axis=1) < 1e-6
    size = np.array([calibration.width, calibration.height])
    shown: Float64 = xy[there & (xy > -0.1 * size).all(axis=1) & (xy < 1.1 * size).all(axis=1)]
    return shown


def _draw_line(canvas: Any, points: Float64, text: str, colour: tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    if len(points) < 2:
        return
    outline = [((2 * points + 0.5) * (1 << SHIFT)).round().astype(np.int32)]
    cv2.polylines(canvas, outline, False, _DARK, 4, cv2.LINE_AA, SHIFT)
    cv2.polylines(canvas, outline, False, colour, 2, cv2.LINE_AA, SHIFT)
    height, width = canvas.shape[:2]
    shown = [(x, y) for x, y in map(_pixel, points) if 0 <= x < width - 50 and 25 <= y < height]
    if shown:
        draw_caption(canvas, text, (shown[0][0] + 5, shown[0][1] - 5), 0.6)


def _pixel(point: Sequence[float] | Float64) -> tuple[int, int]:
    """Return frame pixels as pixels of the picture, which is twice as large."""
    return round(2 * float(point[0]) + 0.5), round(2 * float(point[1]) + 0.5)
