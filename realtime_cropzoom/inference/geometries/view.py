"""View: where the input of a network lies in the frame, and the map between both. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from realtime_cropzoom.inference.kernels import scale_and_move
from realtime_cropzoom.types import Box, Float32


class View(NamedTuple):
    """The region of the frame that a network's input shows, in frame pixels. Parts of it may be padding."""

    x: float
    """Left edge."""
    y: float
    """Top edge."""
    w: float
    """Width, > 0."""
    h: float
    """Height, > 0."""
    size: tuple[int, int]
    """(W, H) of the input (pixels)."""
    box: Box
    """The region that was asked for: the box, or the whole frame."""

    @classmethod
    def of(cls, box: Box, size: tuple[int, int]) -> View:
        """Return the view of a box that fills the whole input of ``size`` (W, H)."""
        return cls(box.x, box.y, box.w, box.h, size, box)

    def to_frame(self, points: Float32) -> Float32:
        """Map (K, 2) float32 points from input pixels to frame pixels; NaN stays NaN.

        Without a half-pixel term: x = x_input / W · w + x_view. Source: Lightning Pose, ``data/bboxes.py``,
        ``model_to_frame``; float32 as there.
        """
        xy = np.empty_like(points)
        scale_and_move(points, *self.size, self.x, self.y, self.w, self.h, xy)
        return xy

    def to_input(self, points: Float32) -> Float32:
        """Map (K, 2) float32 points from frame pixels to input pixels: the inverse of ``to_frame``."""
        origin, extent = np.array([self.x, self.y], np.float32), np.array([self.w, self.h], np.float32)
        return np.asarray((points - origin) / extent * np.array(self.size, np.float32), np.float32)
