"""Antialiased resizing of uint8 pictures, equal to Pillow's bilinear ``resize`` of columns and then rows. No I/O.

torchvision resizes pictures in the same way, and SLEAP and others train on the result. OpenCV has no such filter: its
bilinear one skips pixels when it makes a picture smaller.

Columns are filtered first and rounded to uint8, then rows. Weights are integers of 22 bits, as in Pillow.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from realtime_cropzoom.compiled import compiled
from realtime_cropzoom.types import UInt8

_BITS = 22
"""Bits of the weights behind the point."""
_HALF = np.int32(1 << (_BITS - 1))
_TAPS_KEPT = 64
"""Number of sizes whose weights are kept."""

Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""What a filter reads along one axis: (n,) first position of each output pixel, and its (n, taps) weights."""


def resize_antialiased(pixels: UInt8, size: tuple[int, int]) -> UInt8:
    """Resize a picture.

    Args:
        pixels: (h, w, 3) uint8.
        size: (W, H) of the result (pixels).

    Returns:
        (H, W, 3) uint8: ``pixels`` itself if it has that size.
    """
    width, height = size
    if width != pixels.shape[1]:  # transposed, so that the loop runs along neighbours in memory
        columns = _resize_rows(np.asarray(cv2.transpose(pixels), np.uint8), width)
        pixels = np.asarray(cv2.transpose(columns), np.uint8)
    return pixels if height == pixels.shape[0] else _resize_rows(pixels, height)


def _resize_rows(pixels: UInt8, height: int) -> UInt8:
    old, width = pixels.shape[:2]
    out = np.empty((height, width * 3), np.uint8)
    filter_rows(np.ascontiguousarray(pixels).reshape(old, -1), *_taps(old, height), out)
    return out.reshape(height, width, 3)


@lru_cache(_TAPS_KEPT)
def _taps(old: int, new: int) -> Taps:
    """Return what the filter reads along an axis of ``old`` pixels for each of ``new`` pixels.

    Source: Pillow, ``Resample.c``, ``precompute_coeffs`` and ``normalize_coeffs_8bpc``.
    """
    step = old / new
    reach = max(step, 1.0)
    firsts, all_weights = [], []
    for place in range(new):
        centre = (place + 0.5) * step
        first, end = max(0, int(centre - reach + 0.5)), min(old, int(centre + reach + 0.5))
        weights = [max(0.0, 1 - abs((i - centre + 0.5) / reach)) for i in range(first, end)]
        total = sum(weights)
        firsts.append(first)
        all_weights.append([math.floor(0.5 + weight / total * (1 << _BITS)) for weight in weights])
    taps = min(old, max(map(len, all_weights)))
    table = np.zeros((new, taps), np.int32)
    for place, (first, row) in enumerate(zip(firsts, all_weights, strict=True)):
        firsts[place] = start = min(first, old - taps)  # the window stays inside; taps outside of it weigh nothing
        table[place, first - start : first - start + len(row)] = row
    return np.array(firsts, np.int64), table


@compiled("void(uint8[:, ::1], int64[::1], int32[:, ::1], uint8[:, ::1])")
def filter_rows(pixels: UInt8, first: Any, weights: Any, out: UInt8) -> None:
    """Filter each column of a picture.

    Args:
        pixels: (h, n) uint8.
        first: (H,) first row that each output row reads.
        weights: (H, taps) weights of the rows from there on.
        out: (H, n) uint8, overwritten with the result.
    """
    total = np.empty(out.shape[1], np.int32)
    for y in range(np.uintp(out.shape[0])):
        total[:] = _HALF
        for tap in range(np.uintp(weights.shape[1])):
            weight, row = weights[y, tap], pixels[np.uintp(first[y]) + tap]
            for x in range(np.uintp(total.shape[0])):
                total[x] += np.int32(row[x]) * weight
        for x in range(np.uintp(total.shape[0])):
            out[y, x] = total[x] >> np.int32(_BITS)
