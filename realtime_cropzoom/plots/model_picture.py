"""Model picture: one frame with what a model has found in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from realtime_cropzoom.plots.overlay import draw_bone, draw_box, draw_keypoint, legend_strip, palette
from realtime_cropzoom.types import Box, Keypoints, UInt8

_MIN_WIDTH = 1200
"""Minimum width of the picture (pixels). A narrower frame is enlarged by a whole factor."""
_RADIUS_PX = 7
_SURE = 0.5
"""A keypoint of a lower likelihood is drawn hollow."""


def model_picture(
    image: UInt8, found: Keypoints, names: Sequence[str], skeleton: Sequence[tuple[int, int]], box: Box | None
) -> UInt8:
    """Return a frame with keypoints, skeleton, box, and the names of the keypoints below it.

    Args:
        image: The frame, (H, W, 3) RGB.
        found: The keypoints (frame pixels). One of NaN is not drawn.
        names: The names of the keypoints.
        skeleton: Pairs of keypoints (indices) that are joined.
        box: The box (frame pixels); None if there is none.
    """
    scale = max(1, -(-_MIN_WIDTH // image.shape[1]))
    canvas: Any = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    if box is not None:
        draw_box(canvas, box, scale)
    at = (found.xy + 0.5) * scale - 0.5
    seen = np.isfinite(at).all(axis=1)
    for a, b in skeleton:
        if seen[a] and seen[b]:
            draw_bone(canvas, (at[a][0], at[a][1]), (at[b][0], at[b][1]), 2)
    for point, likelihood, colour, there in zip(at, found.likelihood, palette(len(names)), seen, strict=True):
        if there:
            draw_keypoint(canvas, (point[0], point[1]), _RADIUS_PX, colour, sure=not likelihood < _SURE)
    return np.vstack([canvas, legend_strip(canvas.shape[1], names, 2.0)]).astype(np.uint8, copy=False)
