"""Heatmap decoding: computes keypoints and likelihoods from heatmaps, as Lightning Pose does.

No I/O. The recipe (Lightning Pose, ``models/heads/heatmap.py``, ``run_subpixelmaxima``):
``downsample_factor`` times double the map (bicubic, then a 5×5 binomial filter with zero
border), softmax of 1000 × value, expectation in pixels, minus the offset of the grid; the
likelihood is the softmax summed over the 5×5 pixels around the truncated expectation
(``data/heatmaps.py``, ``evaluate_heatmaps_at_location``).

Doubling is linear and separable, so the whole upsampling of a map is U_h · map · U_wᵀ with
two fixed matrices. ``reference`` computes the whole product; ``fast`` computes only the rows
and columns around the peak, where all the softmax's mass is. ``fast`` passes two kinds of
keypoints to ``reference``, and its result is then equal:

* The mass is not in one place. ``reference`` sums the softmax's denominator as torch does,
  with one float32 sum for each of 16 lanes. Over 65 536 pixels that sum is off by up to
  3·10⁻⁵, which moves the keypoints of a flat map by 0.01 px.
* x or y is nearly a whole number. The likelihood jumps there, because it is summed around the
  truncated position: from 0.155 to 0.179 over less than a thousandth of a pixel, for example.

All other keypoints are within 0.001 px of those of ``reference`` and have the same likelihood.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.kernels import NEAR, TEMPERATURE, decode_peaks, sum_lanes
from realtime_cropzoom.types import Float32, Keypoints

GRID_OFFSET = {1: 0.5, 2: 1.5, 3: 2.5}
"""Offset of the upsampled grid from model space (pixels), by downsample factor."""

_LANES = 16
"""Number of float32 sums that torch keeps: the size of a vector on the machines on which it is fastest."""
_PATCH = 12
"""Side of the window of the fast path (cells)."""


def decode(heatmaps: Float32, downsample_factor: int, method: Method) -> Keypoints:
    """Decode heatmaps to keypoints.

    Args:
        heatmaps: (K, h, w) heatmaps of one frame.
        downsample_factor: Number of doublings from a heatmap to model space: 1, 2 or 3.
        method: ``reference`` or ``fast``.

    Returns:
        K keypoints in model pixels, float32. A map with a value that is not finite gives NaN and likelihood 0.
        ``sharpness`` is the sum of each map around its highest cell.
    """
    heatmaps = np.ascontiguousarray(heatmaps, np.float32)
    if method == "fast":
        return _decode_peaks(heatmaps, downsample_factor)
    spoilt = np.asarray(~np.isfinite(heatmaps.reshape(len(heatmaps), -1)).all(axis=1))
    if spoilt.any():
        heatmaps = np.where(spoilt[:, None, None], np.float32(0), heatmaps)
    results = [_decode_map(heatmap, downsample_factor) for heatmap in heatmaps]
    xy, likelihood = np.stack([xy for xy, _ in results]), np.stack([likelihood for _, likelihood in results])
    xy[spoilt], likelihood[spoilt] = np.nan, 0
    return Keypoints(xy, likelihood, sharpness(heatmaps))


def sharpness(heatmaps: Float32) -> Float32:
    """Return the sum of each heatmap in the 5×5 cells around its highest cell. Runs for every frame.

    Args:
        heatmaps: (K, h, w) heatmaps of one frame.

    Returns:
        (K,) float32. 1 if the maps are smaller than 5 cells; not finite for a map with NaN or +inf.
    """
    count, height, width = heatmaps.shape
    if min(height, width) < NEAR:
        return np.ones(count, np.float32)
    flat = heatmaps.reshape(count, -1)
    peak = flat.argmax(axis=1)
    top = np.minimum(np.maximum(peak // width - NEAR // 2, 0), height - NEAR)
    left = np.minimum(np.maximum(peak % width - NEAR // 2, 0), width - NEAR)
    cells = (top * width + left)[:, None] + _near_cells(width)
    near: Float32 = flat[np.arange(count)[:, None], cells].sum(axis=1, dtype=np.float32)
    return near


@cache
def _near_cells(width: int) -> np.ndarray:
    return (np.arange(NEAR)[:, None] * width + np.arange(NEAR)).ravel()


def _decode_map(heatmap: Float32, levels: int) -> tuple[Float32, np.float32]:
    """Return position and likelihood from the whole map, with the sums of the recipe."""
    height, width = heatmap.shape
    upsampled = np.asarray(_upsampling(height, levels) @ heatmap @ _upsampling(width, levels).T, np.float32)
    weights = np.multiply(upsampled, TEMPERATURE, out=upsampled)
    weights -= weights.max()
    np.exp(weights, out=weights)
    # The likelihood depends on the integer part of the position: near a whole number only exact sums decide it.
    exact, total = weights.astype(np.float64), _sum_as_torch(weights)
    xy = np.array([exact.sum(axis=0) @ np.arange(exact.shape[1]), exact.sum(axis=1) @ np.arange(exact.shape[0])])
    xy = np.asarray(xy / total, np.float32)
    x, y = xy.astype(int)
    near = weights[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].sum()
    return xy - np.float32(GRID_OFFSET[levels]), near / total


def _decode_peaks(heatmaps: Float32, levels: int) -> Keypoints:
    """Decode a window around each map's peak, or the whole map if the window is not enough."""
    count, height, width = heatmaps.shape
    xy, (likelihood, near) = np.empty((count, 2), np.float32), np.empty((2, count), np.float32)
    sure = np.empty(count, np.bool_)
    upsampling = _windows(height, min(_PATCH, height), levels), _windows_across(width, min(_PATCH, width), levels)
    # A cell below the floor cannot become a pixel with a relevant weight relative to the highest one here.
    overshoot, offset = _overshoot(height, width, levels), np.float32(GRID_OFFSET[levels])
    decode_peaks(heatmaps, *upsampling, overshoot, offset, xy, likelihood, near, sure)
    if not sure.all():
        for k in np.flatnonzero(~sure):
            xy[k], likelihood[k] = _decode_map(heatmaps[k], levels)
    return Keypoints(xy, likelihood, near)


def _sum_as_torch(weights: Float32) -> np.float32:
    """Return the sum of a map as torch's softmax computes it: 16 running float32 sums, then their sum."""
    flat, lanes = weights.ravel(), np.empty(_LANES, np.float32)
    sum_lanes(flat, lanes)
    rest = len(flat) % _LANES
    lanes[:rest] += flat[len(flat) - rest :]
    total: np.float32 = lanes.sum()
    return total


@cache
def _windows(cells: int, size: int, levels: int) -> Float32:
    """Return the (size · 2^levels, size) block of the upsampling matrix per start of a window of ``size`` cells."""
    matrix, scale = _upsampling(cells, levels), 1 << levels
    starts = range(cells - size + 1)
    return np.stack([matrix[s * scale : (s + size) * scale, s : s + size] for s in starts])


@cache
def _windows_across(cells: int, size: int, levels: int) -> Float32:
    """Return the same blocks, each transposed."""
    return np.ascontiguousarray(_windows(cells, size, levels).transpose(0, 2, 1))


@cache
def _upsampling(cells: int, levels: int) -> Float32:
    """Return the (cells · 2^levels, cells) matrix of ``levels`` doublings along one axis."""
    matrix = np.eye(cells)
    for _ in range(levels):
        n = matrix.shape[0]
        matrix = _binomial(2 * n) @ _bicubic(n) @ matrix
    return matrix.astype(np.float32)


@cache
def _overshoot(height: int, width: int, levels: int) -> np.float32:
    """Return the maximum ratio of a pixel to its cells. It exceeds 1 because some bicubic weights are negative."""
    rows, cols = (_upsampling(n, levels).clip(min=0).sum(axis=1).max() for n in (height, width))
    return np.float32(rows * cols)


def _bicubic(n: int) -> np.ndarray:
    """Return the matrix of torch's bicubic doubling of n samples (a = −0.75, half-pixel centres, edges repeated)."""
    matrix = np.zeros((2 * n, n))
    for out in range(2 * n):
        position = (out + 0.5) / 2 - 0.5
        base = int(np.floor(position))
        for tap in range(base - 1, base + 3):
            matrix[out, min(max(tap, 0), n - 1)] += _cubic(abs(position - tap))
    return matrix


def _cubic(distance: float, a: float = -0.75) -> float:
    if distance <= 1:
        return ((a + 2) * distance - (a + 3)) * distance**2 + 1
    return a * (((distance - 5) * distance + 8) * distance - 4)


def _binomial(n: int) -> np.ndarray:
    """Return the matrix of the filter (1 4 6 4 1) / 16 with zero border."""
    taps = (1, 4, 6, 4, 1)
    return sum((tap / 16 * np.eye(n, k=k - 2) for k, tap in enumerate(taps)), np.zeros((n, n)))
