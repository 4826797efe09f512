"""Stretch: the region is resized to the input in uint8, width and height each on its own. No I/O.

Lightning Pose resizes in float32: ``crop.fill_input`` does that together with the normalisation, in one pass.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.inference.crop import Edge, cut
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Stretch
from realtime_cropzoom.types import Box, Picture, UInt8


def show(geometry: Stretch, size: tuple[int, int], image: Picture, box: Box, edge: Edge) -> tuple[UInt8, View]:
    """Resize a region to ``size`` (W, H); the arguments are those of ``geometries.show``."""
    region = widened(box, size) if geometry.widen else box
    pixels, used = cut(image, region, "pad" if geometry.widen else edge)
    if size != (used.w, used.h):
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return pixels, View(used.x, used.y, used.w, used.h, size, box)


def widened(box: Box, size: tuple[int, int]) -> Box:
    """Return a box with the aspect of ``size`` (W, H): its shorter side grows, its corners are rounded half to even.

    Source: DeepLabCut 3.0.2, top-down crops without margin.
    """
    aspect = size[0] / size[1]
    width, height = max(box.w, box.h * aspect), max(box.h, box.w / aspect)
    centre_x, centre_y = box.x + box.w / 2, box.y + box.h / 2
    left, top = round(centre_x - width / 2), round(centre_y - height / 2)
    return Box(left, top, round(centre_x + width / 2) - left, round(centre_y + height / 2) - top)
