"""Compiled kernels: the loops that run for every frame, in machine code and without the interpreter lock.

NumPy and OpenCV do the same in many small calls. Between live frames the caches go cold, each call costs more than its
work, and after each call the thread may have to wait for the interpreter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from realtime_cropzoom.compiled import compiled, inlined
from realtime_cropzoom.types import Float32, UInt8

TEMPERATURE = np.float32(1000.0)
_VANISHES = np.float32(-30.0)
"""Logarithm of the smallest weight that counts. All smaller ones of a window together change no float32 sum."""
NEAR = 5
"""Side of the window in which the mass of a sharp heatmap lies (cells)."""
_MARGIN = 3
"""Minimum distance of the mass from the window's edge (cells), so that the filters see all relevant cells."""
_NEGLIGIBLE = np.float32(0.025)
"""Distance below the highest value from which a value weighs less than exp(−25) in the softmax."""
_NEARLY_WHOLE = np.float32(0.002)
"""Distance of a keypoint from a whole number (pixels) below which only exact sums decide on which side it lies."""


# Indices are unsigned, since numba lets a negative one count from the end, which costs a comparison in each step.


@compiled(
    "void(uint8[:, ::1], uintp[::1], uintp[::1], float32[::1], uintp[::1], uintp[::1], float32[::1],"
    " float32[::1], float32[::1], float32[:, :, ::1])"
)
def resize_bilinear(
    pixels: UInt8,
    above: Any,
    below: Any,
    down: Float32,
    left: Any,
    right: Any,
    across: Float32,
    scale: Float32,
    shift: Float32,
    out: Float32,
) -> None:
    """Resize an image bilinearly, and scale and shift its channels.

    Args:
        pixels: (h, 3·w) uint8, rows of RGB pixels.
        above: (H,) upper row of each output row.
        below: (H,) lower row of each output row.
        down: (H,) weight of the lower row.
        left: (W,) position of the left pixel of each output column in a row of ``pixels``.
        right: (W,) position of its right pixel.
        across: (W,) weight of the right pixel.
        scale: (3,) factor of each channel.
        shift: (3,) number added to each channel after that.
        out: (3, H, W) float32, overwritten with the result.
    """
    row = np.empty(pixels.shape[1], np.float32)
    for y in range(out.shape[1]):
        upper, lower, weight = pixels[above[y]], pixels[below[y]], down[y]
        for i in range(row.shape[0]):
            value = np.float32(upper[i])
            row[i] = value + (np.float32(lower[i]) - value) * weight
        red, green, blue = out[0, y], out[1, y], out[2, y]
        for x in range(out.shape[2]):
            i, j, weight = left[x], right[x], across[x]
            value = row[i]
            red[x] = (value + (row[j] - value) * weight) * scale[0] + shift[0]
            value = row[i + np.uintp(1)]
            green[x] = (value + (row[j + np.uintp(1)] - value) * weight) * scale[1] + shift[1]
            value = row[i + np.uintp(2)]
            blue[x] = (value + (row[j + np.uintp(2)] - value) * weight) * scale[2] + shift[2]


@inlined
def _highest(heatmap: Float32) -> Any:
    """Return row and column of the highest cell, and whether all cells are finite."""
    best, total = heatmap[0, 0], np.float32(0)
    at: Any = (np.uintp(0), np.uintp(0))
    for y in range(np.uintp(heatmap.shape[0])):
        for x in range(np.uintp(heatmap.shape[1])):
            value = heatmap[y, x]
            total += value * np.float32(0)  # NaN from the first value that is not finite on
            if value > best:
                best, at = value, (y, x)
    return at[0], at[1], total == 0


@inlined
def _sum_near(heatmap: Float32, y: Any, x: Any) -> Any:
    """Return the sum of the cells around one; 1 if the map is smaller than they are."""
    height, width, near = np.uintp(heatmap.shape[0]), np.uintp(heatmap.shape[1]), np.uintp(NEAR)
    if min(height, width) < near:
        return np.float32(1)
    top = min(y - min(y, near // np.uintp(2)), height - near)
    left = min(x - min(x, near // np.uintp(2)), width - near)
    total = np.float32(0)
    for i in range(near):
        for j in range(near):
            total += heatmap[top + i, left + j]
    return total


@inlined
def _upsample(
    heatmap: Float32, top: Any, left: Any, by_row: Float32, by_col: Float32, half: Float32, up: Float32
) -> None:
    """Write by_row · window · by_col to ``up``; ``half`` is scratch of the shape of window · by_col."""
    half[:] = 0
    for r in range(np.uintp(half.shape[0])):
        for c in range(np.uintp(by_col.shape[0])):
            value = heatmap[top + r, left + c]
            for j in range(np.uintp(half.shape[1])):
                half[r, j] += value * by_col[c, j]
    up[:] = 0
    for i in range(np.uintp(up.shape[0])):
        for r in range(np.uintp(half.shape[0])):
            weight = by_row[i, r]
            if weight != 0:
                for j in range(np.uintp(up.shape[1])):
                    up[i, j] += weight * half[r, j]


@inlined
def _expectation(up: Float32, highest: Any) -> Any:
    """Return the soft-argmax (x, y) of an upsampled window, in its pixels, and the likelihood. Overwrites ``up``."""
    total: Any = 0.0
    sum_x: Any = 0.0
    sum_y: Any = 0.0
    for i in range(np.uintp(up.shape[0])):
        for j in range(np.uintp(up.shape[1])):
            power = up[i, j] * TEMPERATURE - highest * TEMPERATURE
            weight = np.exp(power) if power > _VANISHES else np.float32(0)
            up[i, j] = weight
            if weight > 0:
                total += weight
                sum_x += weight * j
                sum_y += weight * i
    x, y = np.float32(sum_x / total), np.float32(sum_y / total)
    near: Any = 0.0
    for i in range(max(0, int(y) - 2), min(up.shape[0], int(y) + 3)):
        for j in range(max(0, int(x) - 2), min(up.shape[1], int(x) + 3)):
            near += up[i, j]
    return x, y, np.float32(near / total)


@inlined
def _is_inside(heatmap: Float32, floor: Any, top: Any, left: Any, rows: Any, cols: Any) -> Any:
    """Return whether all cells of at least ``floor`` are in the window and not in its margin.

    A side at the edge of the map needs no margin.
    """
    height, width, margin = np.uintp(heatmap.shape[0]), np.uintp(heatmap.shape[1]), np.uintp(_MARGIN)
    first_y = top + margin if top > 0 else top
    first_x = left + margin if left > 0 else left
    end_y = top + rows - margin if top + rows < height else height
    end_x = left + cols - margin if left + cols < width else width
    for y in range(height):
        inside = first_y <= y < end_y
        for x in range(width):
            if heatmap[y, x] >= floor and not (inside and first_x <= x < end_x):
                return False
    return True


@compiled(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[:, :, ::1], float32, float32,"
    " float32[:, ::1], float32[::1], float32[::1], boolean[::1])"
)
def decode_peaks(
    maps: Float32,
    by_row: Float32,
    by_col: Float32,
    overshoot: np.float32,
    offset: np.float32,
    xy: Float32,
    likelihood: Float32,
    sharpness: Float32,
    sure: Any,
) -> None:
    """Decode a window around the peak of each heatmap, see ``heatmaps``.

    Args:
        maps: (K, h, w) heatmaps.
        by_row: (h − rows + 1, rows · 2^levels, rows) upsampling of a column, for each first row of a window.
        by_col: (w − cols + 1, cols, cols · 2^levels) upsampling of a row, for each first column of a window.
        overshoot: Maximum ratio of an upsampled pixel to its cells.
        offset: Offset of the upsampled grid from model space (pixels).
        xy: (K, 2) float32, overwritten with positions in model pixels; NaN for a map with a value that is not finite.
        likelihood: (K,) float32, overwritten; 0 for a map with a value that is not finite.
        sharpness: (K,) float32, overwritten with the sum of each map around its highest cell.
        sure: (K,) overwritten with whether the window decides the result.
    """
    height, width = np.uintp(maps.shape[1]), np.uintp(maps.shape[2])
    rows, cols = np.uintp(by_row.shape[2]), np.uintp(by_col.shape[1])
    tall, wide = np.uintp(by_row.shape[1]), np.uintp(by_col.shape[2])
    half = np.empty((rows, wide), np.float32)
    up = np.empty((tall, wide), np.float32)
    for k in range(maps.shape[0]):
        heatmap = maps[k]
        peak_y, peak_x, finite = _highest(heatmap)
        sharpness[k] = _sum_near(heatmap, peak_y, peak_x)
        if not finite:
            xy[k, 0] = xy[k, 1] = np.nan
            likelihood[k] = 0
            sure[k] = True
            continue
        top = min(peak_y - min(peak_y, rows // np.uintp(2)), height - rows)
        left = min(peak_x - min(peak_x, cols // np.uintp(2)), width - cols)
        _upsample(heatmap, top, left, by_row[top], by_col[left], half, up)
        highest = up[0, 0]
        for i in range(tall):
            for j in range(wide):
                highest = max(highest, up[i, j])
        x, y, probability = _expectation(up, highest)
        floor = highest / overshoot - _NEGLIGIBLE
        sure[k] = (
            floor > 0
            and abs(x - np.rint(x)) >= _NEARLY_WHOLE
            and abs(y - np.rint(y)) >= _NEARLY_WHOLE
            and _is_inside(heatmap, floor, top, left, rows, cols)
        )
        scale = tall // rows
        xy[k, 0] = x + (np.float32(left * scale) - offset)
        xy[k, 1] = y + (np.float32(top * scale) - offset)
        likelihood[k] = probability


@compiled("void(float32[::1], float32[::1])")
def sum_lanes(values: Float32, lanes: Float32) -> None:
    """Sum every L-th value, one after the other: values 0, L, 2·L and so on, values 1, L + 1 and so on.

    Args:
        values: (N,) float32; a rest of fewer than L values is left out.
        lanes: (L,) float32, overwritten with the sums.
    """
    lanes[:] = 0
    for begin in range(0, values.shape[0] - lanes.shape[0] + 1, lanes.shape[0]):
        for lane in range(lanes.shape[0]):
            lanes[lane] += values[begin + lane]


@compiled("void(float32[:, ::1], int64, int64, float64, float64, float64, float64, float32[:, ::1])")
def scale_and_move(
    points: Float32, width: int, height: int, x: float, y: float, box_width: float, box_height: float, out: Float32
) -> None:
    """Map points from a grid of ``width`` x ``height`` pixels to a box.

    Args:
        points: (K, 2) float32, pixels of the grid.
        width: Width of the grid.
        height: Height of the grid.
        x: Left edge of the box.
        y: Top edge of the box.
        box_width: Width of the box.
        box_height: Height of the box.
        out: (K, 2) float32, overwritten with the points in the space of the box.
    """
    for k in range(points.shape[0]):
        out[k, 0] = points[k, 0] / np.float32(width) * np.float32(box_width) + np.float32(x)
        out[k, 1] = points[k, 1] / np.float32(height) * np.float32(box_height) + np.float32(y)


@compiled("boolean(float32[:, ::1], intp[::1], intp[::1], float64[::1], float64[::1], int64)")
def has_distances(points: Float32, one: Any, other: Any, least2: Any, most2: Any, side: int) -> bool:
    """Return whether the distances between points lie within limits. A point that is NaN has no distances.

    Args:
        points: (K, 2) float32.
        one: (P,) index of one point of each pair.
        other: (P,) index of the other point.
        least2: (P,) square of the minimum distance, as a share of ``side``.
        most2: (P,) square of the maximum distance.
        side: Unit of the limits.
    """
    for pair in range(one.shape[0]):
        i, j = one[pair], other[pair]
        x, y = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
        apart2 = (x * x + y * y) / np.float32(side * side)
        if apart2 < least2[pair] or apart2 > most2[pair]:  # neither, if a point is NaN
            return False
    return True


@compiled("int64(float32[:, ::1], float32[:, ::1], float64)")
def count_moved(points: Float32, before: Float32, limit: float) -> int:
    """Return how many of K points, (K, 2) float32, are farther than ``limit`` from where they were before."""
    moved = 0
    for k in range(points.shape[0]):
        x, y = points[k, 0] - before[k, 0], points[k, 1] - before[k, 1]
        moved += x * x + y * y > limit * limit
    return moved


@compiled("void(uint8[:, :, ::1], float32[:, ::1], int64, float32[:, :, ::1])")
def look_up(pixels: UInt8, tables: Float32, first: int, out: Float32) -> None:
    """Replace each value of an image by that of a table.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        tables: (3, 256) float32, the new value of each value, for each channel of the output.
        first: 0 keeps the order of the channels, 2 reverses it.
        out: (3, H, W) float32, overwritten with the result.
    """
    for c in range(3):
        channel, table, plane = abs(first - c), tables[c], out[c]
        for y in range(np.uintp(pixels.shape[0])):
            for x in range(np.uintp(pixels.shape[1])):
                plane[y, x] = table[pixels[y, x, channel]]


@compiled("void(uint8[:, :, ::1], float32[:, ::1], float32[:, :, ::1])")
def look_up_gray(pixels: UInt8, tables: Float32, out: Float32) -> None:
    """Replace each pixel of an image by the sum of three table values.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        tables: (3, 256) float32, the share of each value of R, G and B in the sum.
        out: (1, H, W) float32, overwritten with the result.
    """
    plane = out[0]
    for y in range(np.uintp(pixels.shape[0])):
        for x in range(np.uintp(pixels.shape[1])):
            plane[y, x] = tables[0, pixels[y, x, 0]] + tables[1, pixels[y, x, 1]] + tables[2, pixels[y, x, 2]]
