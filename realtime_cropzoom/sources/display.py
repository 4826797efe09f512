"""Display orientation of a video: rotates and mirrors frames as their display matrix says, as players do.

A display matrix (MP4's ``tkhd``, H.264's and H.265's display orientation) takes a point of the coded
picture to the screen: x' = a·x + c·y, y' = b·x + d·y. Telephones and some recorders write one. Some programs
leave a matrix of zeros, which is ignored.
"""

from __future__ import annotations

import math
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from realtime_cropzoom.pictures.turn import AS_IT_IS, Turn
from realtime_cropzoom.sources.encoded import NotCopyable

TURNED = NotCopyable("its pictures are turned")
"""Why the packets of a source cannot be copied as they are."""
_TOLERANCE_DEG = 1.0
"""Maximum deviation (degrees) at which a rotation is still treated as a quarter turn. FFmpeg uses the same value."""


def read_turn(frame: av.VideoFrame) -> Turn:
    """Return the turn that a decoded frame needs for display; ``AS_IT_IS`` if it has no display matrix."""
    # Not frame.side_data: it ties the frame to itself, and the pixels stay in memory until the garbage collector runs.
    matrix: Any = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # PyAV does not declare it
    if matrix is None:
        return AS_IT_IS
    values = np.frombuffer(bytes(matrix), np.int32)
    return (
        turn_from_matrix(*(float(v) for v in (values[0], values[1], values[3], values[4])))
        if len(values) == 9
        else AS_IT_IS
    )


def turn_from_matrix(a: float, b: float, c: float, d: float) -> Turn:
    """Return the turn for a display matrix.

    Args:
        a: Horizontal part of the x axis on the screen: x' = a·x + c·y.
        b: Vertical part of the x axis: y' = b·x + d·y.
        c: Horizontal part of the y axis.
        d: Vertical part of the y axis.

    Returns:
        The turn, or the nearest one that needs no resampling; ``AS_IT_IS`` if the matrix is singular.
    """
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
