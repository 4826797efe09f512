"""Boxes: several arenas side by side in one picture, with one animal each, as one camera above a rack sees them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings, Rendered
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.types import Float64, UInt8

_ASPECT = 4 / 3
"""Width of a box divided by its height, as near to this as the frame allows."""


def open_arena(settings: ArenaSettings) -> Arena | ArenaBoxes:
    """Return the arena, or several boxes if the settings name more than one. Raises ConfigError."""
    return Arena(settings) if settings.boxes == 1 else ArenaBoxes(settings)


class ArenaBoxes(Rendered):
    """Source of rendered frames with several boxes. Each is an ``Arena`` with a seed of its own."""

    keypoint_names = Arena.keypoint_names

    def __init__(self, settings: ArenaSettings) -> None:
        """Paint the boxes. The last ``settings.empty`` of them have no animal.

        Raises:
            ConfigError: if the frame is too small for them, or more are empty than there are.
        """
        s = self.settings = settings
        if s.empty > s.boxes:
            raise ConfigError(f"arena: empty: got {s.empty}, expected at most {s.boxes}, the number of boxes")
        columns, rows = _grid(s.boxes, s.width / s.height)
        width, height = s.width // columns, s.height // rows
        one = replace(s, width=width, height=height, boxes=1, empty=0)
        self._arenas = [
            Arena(replace(one, seed=s.seed + 1000 * i, animal=s.animal if i < s.boxes - s.empty else 0))
            for i in range(s.boxes)
        ]
        self._corners = [(i % columns * width, i // columns * height) for i in range(s.boxes)]
        self.info = SourceInfo("arena", s.width, s.height, s.fps, self._arenas[0].info.frame_count)

    def rectangles(self) -> dict[str, tuple[int, int, int, int]]:
        """Return the boxes by name, box1, box2 …: left and upper edge, width and height (frame pixels)."""
        s = self._arenas[0].settings
        return {f"box{i}": (x, y, s.width, s.height) for i, (x, y) in enumerate(self._corners, start=1)}

    def truth(self, index: int) -> Float64:
        """Return the true keypoints of a frame, (boxes, K, 2) float64 in frame pixels; NaN in an empty box."""
        found = zip(self._arenas, self._corners, strict=True)
        return np.stack([arena.truth(index) + np.array(corner, np.float64) for arena, corner in found])

    def render(self, index: int) -> UInt8:
        """Return one frame as an (H, W, 3) uint8 RGB array."""
        image = np.zeros((self.settings.height, self.settings.width, 3), np.uint8)
        for arena, (x, y, w, h) in zip(self._arenas, self.rectangles().values(), strict=True):
            arena.render_into(index, image[y : y + h, x : x + w])
        return image


def _grid(boxes: int, aspect: float) -> tuple[int, int]:
    """Return the number of columns and rows for a frame of this aspect, with as few empty places as possible."""

    def misfit(columns: int) -> tuple[int, float]:
        rows = math.ceil(boxes / columns)
        return columns * rows - boxes, abs(math.log(aspect * rows / columns / _ASPECT))

    columns = min(range(1, boxes + 1), key=misfit)
    return columns, math.ceil(boxes / columns)
