"""Letterbox: the region is resized in uint8 until it fits into the input, and the rest gets one colour. No I/O.

Source: Ultralytics 8.4 (centre, 114), and DeepLabCut 3.0 (top left, 0).
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.inference.crop import Edge, cut
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Letterbox
from realtime_cropzoom.types import Box, Picture, UInt8

_TOWARDS_TOP_LEFT = 0.1
"""Taken from half of an odd number of rows or columns: the smaller half lies above or left."""


def show(geometry: Letterbox, size: tuple[int, int], image: Picture, box: Box, edge: Edge) -> tuple[UInt8, View]:
    """Resize a region until it fits into ``size`` (W, H); the arguments are those of ``geometries.show``."""
    pixels, used = cut(image, box, edge)
    width, height = _fitted(geometry, size, (used.w, used.h))
    left, top = _corner(geometry, size, (width, height))
    picture = np.full((size[1], size[0], 3), geometry.colour, np.uint8)
    inside = picture[top : top + height, left : left + width]
    if (width, height) == (used.w, used.h):
        inside[:] = pixels
    else:
        cv2.resize(pixels, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
    across, down = used.w / width, used.h / height  # frame pixels per input pixel
    return picture, View(used.x - left * across, used.y - top * down, size[0] * across, size[1] * down, size, box)


def input_size(geometry: Letterbox, region: tuple[int, int]) -> tuple[int, int] | None:
    """Return the smallest (W, H) for a region (pixels) that is resized to the target: as little padding as possible.

    None if the geometry has no target.
    """
    if geometry.target is None:
        return None
    fitted = _fitted(geometry, geometry.target, region)
    wide, high = (
        side + (limit - side) % geometry.multiple for side, limit in zip(fitted, geometry.target, strict=True)
    )
    return wide, high


def _fitted(geometry: Letterbox, size: tuple[int, int], region: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) of a region in an input of ``size``, with the aspect of the region."""
    whole = int if geometry.place == "top_left" else round  # as DeepLabCut and Ultralytics each do
    for limits in (geometry.target or size, size):
        scale = min(limits[0] / region[0], limits[1] / region[1])
        width, height = (max(1, whole(side * scale)) for side in region)
        if width <= size[0] and height <= size[1]:
            break
    return width, height


def _corner(geometry: Letterbox, size: tuple[int, int], fitted: tuple[int, int]) -> tuple[int, int]:
    if geometry.place == "top_left":
        return 0, 0
    left, top = (round((whole - part) / 2 - _TOWARDS_TOP_LEFT) for whole, part in zip(size, fitted, strict=True))
    return left, top
