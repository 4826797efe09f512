"""How a picture is to be shown: turned and mirrored as its display matrix says, as players do it.

A display matrix (MP4's ``tkhd``, H.264's and H.265's display orientation) takes a point of the coded
picture to the screen: x' = a·x + c·y, y' = b·x + d·y. Telephones and some recorders write one. A matrix of
zeros, which some programs leave, says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.sources.encoded import NotCopyable
from realtime_cropzoom.types import UInt8

TURNED = NotCopyable("its pictures are turned")
"""Why the packets of a source cannot be copied as they are."""
_TOLERANCE_DEG = 1.0
"""FFmpeg's own: so far off a quarter turn is still one."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is done with the rows and columns of a picture."""

    transposed: bool = False
    """Rows become columns; the two flips come after it."""
    flipped_across: bool = False
    """Left and right change places."""
    flipped_down: bool = False
    """Top and bottom change places."""
    left_out: str = ""
    """What else the matrix asks for and is not done, in words."""

    @property
    def is_none(self) -> bool:
        """Whether the picture stays as it is."""
        return not (self.transposed or self.flipped_across or self.flipped_down)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (W, H) of a picture once it is turned."""
        return (height, width) if self.transposed else (width, height)

    def of(self, pixels: UInt8) -> UInt8:
        """Return (H, W, C) pixels turned; a view, nothing is copied."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flipped_across:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.flipped_down else pixels


AS_IT_IS = Turn()


def turn_of(frame: av.VideoFrame) -> Turn:
    """Return how a decoded frame is to be shown."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return AS_IT_IS
    values = np.frombuffer(bytes(matrix), np.int32)
    return turn_by(*(float(v) for v in (values[0], values[1], values[3], values[4]))) if len(values) == 9 else AS_IT_IS


def turn_by(a: float, b: float, c: float, d: float) -> Turn:
    """Return the turn that a matrix asks for, or the nearest there is without another grid of pixels."""
    across, down = math.hypot(a, b), math.hypot(c, d)
    if across == 0 or down == 0 or abs(a * d - b * c) < 1e-6 * across * down:  # a point or a line: no picture
        return AS_IT_IS
    a, b, c, d = a / across, b / across, c / down, d / down
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    off = math.degrees(max(math.asin(min(1.0, abs(v))) for v in ((a, d) if transposed else (b, c))))
    left_out = f"a turn or shear of {off:.0f} degrees" if off > _TOLERANCE_DEG else ""
    if transposed:
        return Turn(True, c < 0, b < 0, left_out)
    return Turn(False, a < 0, d < 0, left_out)


def copy_rgb(reformatter: VideoReformatter, frame: av.VideoFrame, out: UInt8, turn: Turn = AS_IT_IS) -> None:
    """Write a frame's RGB pixels, turned as it is to be shown, into (H, W, 3) uint8."""
    rgb = reformatter.reformat(frame, format="rgb24")
    plane = rgb.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
    np.copyto(out, turn.of(rows[:, : rgb.width * 3].reshape(rgb.height, rgb.width, 3)))
