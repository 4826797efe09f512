"""Scale: the region is resized by one factor with antialiasing, and padded right and below to a multiple. No I/O.

SLEAP shows frames and crops to its networks in this way. With factor 1 the region is only padded.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.inference.antialias import resize_antialiased
from realtime_cropzoom.inference.crop import Edge, pad
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Scale
from realtime_cropzoom.types import Box, Picture, UInt8

_BORDERS = {"zero": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}


def show(geometry: Scale, size: tuple[int, int], image: Picture, box: Box, edge: Edge) -> tuple[UInt8, View]:
    """Resize a region and pad it to ``size`` (W, H); the arguments are those of ``geometries.show``.

    ``edge`` does not count: outside the frame is zero, as the makers have it. A pixel of the input is 1 / factor frame
    pixels, also where the resized region is rounded down to whole pixels. Source: sleap-nn 0.3.5, ``data/resizing.py``.
    """
    pixels = resize_antialiased(pad(image, box), _scaled(geometry, (box.w, box.h)))
    right, below = size[0] - pixels.shape[1], size[1] - pixels.shape[0]
    if right or below:
        padded = cv2.copyMakeBorder(pixels, 0, below, 0, right, _BORDERS[geometry.border])
        pixels = np.asarray(padded, np.uint8)
    return pixels, View(box.x, box.y, size[0] / geometry.factor, size[1] / geometry.factor, size, box)


def input_size(geometry: Scale, region: tuple[int, int]) -> tuple[int, int]:
    """Return (W, H) of the input for a region of (width, height) frame pixels."""
    width, height = (-(-side // geometry.multiple) * geometry.multiple for side in _scaled(geometry, region))
    return width, height


def _scaled(geometry: Scale, region: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) of a resized region, without padding."""
    return max(1, int(region[0] * geometry.factor)), max(1, int(region[1] * geometry.factor))
