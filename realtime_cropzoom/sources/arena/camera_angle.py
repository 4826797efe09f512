"""Perspective of a camera that looks at the synthetic arena from the side."""

from __future__ import annotations

import math

import numpy as np

from realtime_cropzoom.types import Float64

_DISTANCE = 2.2
"""Distance of the camera from the middle of the arena, in frame heights."""


def tilted_view(width: int, height: int, degrees: float) -> Float64:
    """Return the homography, 3×3, from a picture seen from straight above to the one of a tilted camera.

    The camera turns about the horizontal line through the middle of the picture. With positive degrees the far side is
    at the top. The picture is as large as it can be with the whole arena in it.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        degrees: Angle between the camera and the vertical.
    """
    middle = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    angle, distance = math.radians(degrees), _DISTANCE * height
    turn = np.array([[1, 0, 0], [0, math.cos(angle), 0], [0, -math.sin(angle) / distance, 1]])
    view = turn @ middle
    corners = project(view, np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], float))
    size = np.ptp(corners, axis=0)
    zoom = float(min((width - 1) / size[0], (height - 1) / size[1]))
    low = (corners.min(axis=0) + corners.max(axis=0)) / 2 * zoom
    back = np.array([[zoom, 0, (width - 1) / 2 - low[0]], [0, zoom, (height - 1) / 2 - low[1]], [0, 0, 1]])
    return np.asarray(back @ view)


def project(view: Float64, xy: Float64) -> Float64:
    """Return (N, 2) points seen through a homography, in pixels."""
    seen = np.column_stack([xy, np.ones(len(xy))]) @ view.T
    return np.asarray(seen[:, :2] / seen[:, 2:])
