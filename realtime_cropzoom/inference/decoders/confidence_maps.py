"""Confidence maps, as SLEAP trains them: the highest cell of each map, refined by the cells around it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from realtime_cropzoom.compiled import compiled
from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.decoders.instances import MAX_INSTANCES, Instance
from realtime_cropzoom.inference.manifest import ConfidenceMaps
from realtime_cropzoom.types import Float32, Keypoints

REACH = 2
"""Cells around the highest one that refine it, in each direction."""


def decode(decoder: ConfidenceMaps, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Decode (K, h, w) maps: keypoints at (cell + offset) · stride, their likelihood is the height of the peak.

    It may be a little above 1. A keypoint below the threshold is NaN with likelihood 0.

    Source: sleap-nn 0.3.5, ``inference/ops/peaks.py``, ``find_global_peaks``.
    """
    maps = np.ascontiguousarray(outputs[0], np.float32)
    count = len(maps)
    xy, likelihood = np.empty((count, 2), np.float32), np.empty(count, np.float32)
    cells = maps.reshape(count, -1).argmax(axis=1)
    reach = REACH if decoder.refinement == "integral" else 0
    finite = find_peaks(maps, cells, reach, decoder.threshold, decoder.stride, xy, likelihood)
    return Keypoints(xy, likelihood, spoilt=not finite)


def decode_all(
    decoder: ConfidenceMaps, outputs: Sequence[Float32], size: tuple[int, int], method: Method
) -> list[Instance]:
    """Decode the (1, h, w) map of a single keypoint: each peak is an animal, the surest first.

    A peak is above the threshold and not lower than the eight cells around it; of equal neighbours the last one counts.

    Source: sleap-nn 0.3.5, ``inference/ops/peaks.py``, ``find_local_peaks``.
    """
    maps = np.ascontiguousarray(outputs[0][:1], np.float32)
    cells = _peaks(maps[0], decoder.threshold)
    cells = cells[np.argsort(-maps.reshape(-1)[cells], kind="stable")][:MAX_INSTANCES]
    reach = REACH if decoder.refinement == "integral" else 0
    found = []
    for cell in cells:
        xy, likelihood = np.empty((1, 2), np.float32), np.empty(1, np.float32)
        if find_peaks(maps, cell.reshape(1), reach, decoder.threshold, decoder.stride, xy, likelihood):
            found.append(Instance(Keypoints(xy, likelihood), float(likelihood[0])))
    return found


def _peaks(values: Float32, threshold: float) -> Any:
    """Return the numbers of the cells of an (h, w) map that are peaks, row by row."""
    around = np.pad(values, 1, constant_values=-np.inf)
    is_peak = values > np.float32(threshold)
    for number in range(9):
        if number != 4:
            row, column = divmod(number, 3)
            neighbour = around[row : row + values.shape[0], column : column + values.shape[1]]
            is_peak &= values >= neighbour if number < 4 else values > neighbour
    return np.flatnonzero(is_peak)


def shapes(decoder: ConfidenceMaps, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shape of the maps of one frame."""
    return [(keypoints, int(size[1] / decoder.stride), int(size[0] / decoder.stride))]


@compiled("boolean(float32[:, :, ::1], intp[::1], int64, float64, float64, float32[:, ::1], float32[::1])")
def find_peaks(
    maps: Float32, cells: Any, reach: int, threshold: float, stride: float, xy: Float32, likelihood: Float32
) -> bool:
    """Refine the highest cell of each map by the centre of mass of the cells around it; cells outside are zero.

    Args:
        maps: (K, h, w) maps.
        cells: (K,) number of the highest cell of each map, row by row.
        reach: How many cells count in each direction; 0 for the cell alone.
        threshold: Least height of a peak.
        stride: Input pixels per cell.
        xy: (K, 2) float32, overwritten with positions in input pixels.
        likelihood: (K,) float32, overwritten with the height of the peaks.

    Returns:
        Whether all numbers that were read are finite.
    """
    finite = True
    for k in range(maps.shape[0]):
        row, column = cells[k] // maps.shape[2], cells[k] % maps.shape[2]
        highest = maps[k, row, column]
        if not highest >= np.float32(threshold):
            finite = finite and highest == highest
            xy[k, 0] = xy[k, 1] = np.nan
            likelihood[k] = 0
            continue
        total = sum_x = sum_y = np.float32(0)
        for y in range(max(0, row - reach), min(maps.shape[1], row + reach + 1)):
            for x in range(max(0, column - reach), min(maps.shape[2], column + reach + 1)):
                value = maps[k, y, x]
                total += value
                sum_x += value * np.float32(x - column)
                sum_y += value * np.float32(y - row)
        xy[k, 0] = (np.float32(column) + sum_x / total) * np.float32(stride)
        xy[k, 1] = (np.float32(row) + sum_y / total) * np.float32(stride)
        likelihood[k] = highest
        finite = finite and np.isfinite(xy[k, 0]) and np.isfinite(xy[k, 1]) and np.isfinite(highest)
    return finite
