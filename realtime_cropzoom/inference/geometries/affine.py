"""Affine: the region grows around its centre, then to the aspect of the input, and is warped to it. No I/O.

Source: rtmlib 0.0.16, which follows MMPose's top-down models.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from realtime_cropzoom.inference.crop import Edge, cut
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Affine
from realtime_cropzoom.types import Box, Picture, UInt8

_READ_BESIDE = 2
"""Pixels that are cut out beside the region, since a warp reads the neighbours of a pixel."""


def show(geometry: Affine, size: tuple[int, int], image: Picture, box: Box, edge: Edge) -> tuple[UInt8, View]:
    """Warp a region to ``size`` (W, H); the arguments are those of ``geometries.show``.

    ``edge`` has no say: the part outside the frame is always zeros, as in the maker's own crops.
    """
    view = grown(box, geometry.padding, size)
    left, top = math.floor(view.x) - _READ_BESIDE, math.floor(view.y) - _READ_BESIDE
    right, bottom = math.ceil(view.x + view.w) + _READ_BESIDE, math.ceil(view.y + view.h) + _READ_BESIDE
    pixels, read = cut(image, Box(left, top, right - left, bottom - top), "clamp")
    scale = size[0] / view.w
    matrix = np.array([[scale, 0, (read.x - view.x) * scale], [0, scale, (read.y - view.y) * scale]])
    return np.asarray(cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR), np.uint8), view


def grown(box: Box, padding: float, size: tuple[int, int]) -> View:
    """Return the view of a box whose sides have grown by a factor, and its shorter side to the aspect of ``size``."""
    aspect = size[0] / size[1]
    width, height = box.w * padding, box.h * padding
    width, height = max(width, height * aspect), max(height, width / aspect)
    return View(box.x + box.w / 2 - width / 2, box.y + box.h / 2 - height / 2, width, height, size, box)
