"""Heatmaps → keypoints and likelihoods, as Lightning Pose decodes them.

Pure. The recipe (Lightning Pose, ``models/heads/heatmap.py``, ``run_subpixelmaxima``):
``downsample_factor`` times double the map (bicubic, then a 5×5 binomial filter with zero
border), softmax of 1000 × value, expectation in pixels, less the offset of the grid; the
likelihood is the softmax summed over the 5×5 pixels around the truncated expectation
(``data/heatmaps.py``, ``evaluate_heatmaps_at_location``).

Doubling is linear and separable, so the whole upsampling of a map is U_h · map · U_wᵀ with
two fixed matrices. ``reference`` multiplies them out; ``fast`` takes only the rows and
columns around the peak, where all the softmax's mass is, and takes the whole map only for a
keypoint whose mass is not in one place.

``reference`` also adds up the softmax's denominator the way torch does, one float32 sum for
each of 16 lanes. Over 65 536 pixels that sum is off by up to 3·10⁻⁵, which moves the keypoints
of a flat map by 0.01 px; ``fast`` adds pairwise and is the more exact of the two.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from realtime_cropzoom.crop import Method
from realtime_cropzoom.types import Float32, Keypoints

TEMPERATURE = np.float32(1000.0)
GRID_OFFSET = {1: 0.5, 2: 1.5, 3: 2.5}
"""Pixels between the upsampled grid and model space, by downsample factor."""

_LANES = 16
"""Float32 numbers in a vector of the machines that torch is fastest on."""
_PATCH = 12
"""Side of the fast path's window, in cells."""
_MARGIN = 3
"""Cells between the mass and the window's edge, so that the filters see all that matters."""
_NEGLIGIBLE = 0.025
"""Values this far under the highest weigh less than exp(−25) in the softmax."""


def decode(heatmaps: Float32, downsample_factor: int, method: Method) -> Keypoints:
    """Decode (K, h, w) heatmaps to keypoints in model pixels.

    A map with a value that is not finite gives NaN and likelihood 0.
    """
    heatmaps = heatmaps.astype(np.float32, copy=False)
    spoilt = np.asarray(~np.isfinite(heatmaps.reshape(len(heatmaps), -1)).all(axis=1))
    if spoilt.any():
        heatmaps = np.where(spoilt[:, None, None], np.float32(0), heatmaps)
    if method == "fast":
        found = _decode_peaks(heatmaps, downsample_factor)
    else:
        results = [_decode_map(heatmap, downsample_factor, method) for heatmap in heatmaps]
        found = Keypoints(np.stack([xy for xy, _ in results]), np.stack([likelihood for _, likelihood in results]))
    found.xy[spoilt], found.likelihood[spoilt] = np.nan, 0
    return found


def _decode_map(heatmap: Float32, levels: int, method: Method) -> tuple[Float32, np.float32]:
    height, width = heatmap.shape
    upsampled = np.asarray(_upsampling(height, levels) @ heatmap @ _upsampling(width, levels).T, np.float32)
    xy, likelihood = _expectation(upsampled[None], np.zeros((1, 2), np.float32), method)
    return xy[0] - np.float32(GRID_OFFSET[levels]), likelihood[0]


def _decode_peaks(heatmaps: Float32, levels: int) -> Keypoints:
    count, height, width = heatmaps.shape
    rows, cols = min(_PATCH, height), min(_PATCH, width)
    flat = heatmaps.reshape(count, -1)
    peak_y, peak_x = np.divmod(flat.argmax(axis=1), width)
    top = np.clip(peak_y - rows // 2, 0, height - rows)
    left = np.clip(peak_x - cols // 2, 0, width - cols)
    each = np.arange(count)[:, None, None]
    patches = heatmaps[each, top[:, None, None] + np.arange(rows)[:, None], left[:, None, None] + np.arange(cols)]

    upsampled: Float32 = _windows(height, rows, levels)[top] @ patches
    upsampled = upsampled @ _windows(width, cols, levels)[left].transpose(0, 2, 1)
    scale = 1 << levels
    origin = (np.stack([left, top], axis=1) * scale).astype(np.float32)
    xy, likelihood = _expectation(upsampled, origin, "fast")
    xy -= np.float32(GRID_OFFSET[levels])

    # A cell under the floor cannot become a pixel that weighs anything beside the highest one here.
    floor = upsampled.max(axis=(1, 2)) / _overshoot(height, width, levels) - np.float32(_NEGLIGIBLE)
    heavy_inside = np.count_nonzero(_inner(patches, top, left, height, width) >= floor[:, None, None], axis=(1, 2))
    heavy = np.count_nonzero(flat >= floor[:, None], axis=1)
    for k in np.flatnonzero((heavy != heavy_inside) | ~(floor > 0)):
        xy[k], likelihood[k] = _decode_map(heatmaps[k], levels, "fast")
    return Keypoints(xy, likelihood)


def _inner(patches: Float32, top: np.ndarray, left: np.ndarray, height: int, width: int) -> Float32:
    """The patches with −inf in the margin, but for sides that are the map's own border."""
    rows, cols = patches.shape[1:]
    y, x = np.arange(rows), np.arange(cols)
    y_margin = ((y < _MARGIN) & (top > 0)[:, None]) | ((y >= rows - _MARGIN) & (top + rows < height)[:, None])
    x_margin = ((x < _MARGIN) & (left > 0)[:, None]) | ((x >= cols - _MARGIN) & (left + cols < width)[:, None])
    inner: Float32 = np.where(y_margin[:, :, None] | x_margin[:, None, :], np.float32(-np.inf), patches)
    return inner


def _expectation(maps: Float32, origin: Float32, method: Method) -> tuple[Float32, Float32]:
    """Soft-argmax of (K, h, w) upsampled maps whose first pixel lies at ``origin`` (K, 2), and the likelihood."""
    count, height, width = maps.shape
    weights = maps * TEMPERATURE
    weights -= weights.max(axis=(1, 2), keepdims=True)
    np.exp(weights, out=weights)
    by_row = weights @ _count_and_position(width)  # of each row: its sum, and its sum times x
    sums = by_row.sum(axis=1)
    total = _sum_as_torch(weights) if method == "reference" else sums[:, 0]
    moments = np.stack([sums[:, 1], by_row[:, :, 0] @ _count_and_position(height)[:, 1]], axis=1)
    local = np.asarray(moments / total[:, None], np.float32)
    likelihood = np.zeros(count, np.float32)
    for k, (x, y) in enumerate(local.astype(int).tolist()):
        near = weights[k, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        likelihood[k] = near.sum() / total[k]
    xy: Float32 = local + origin
    return xy, likelihood


def _sum_as_torch(weights: Float32) -> Float32:
    """Sum of each map as torch's softmax adds it: 16 running float32 sums, then their sum."""
    flat = weights.reshape(len(weights), -1)
    lanes = np.pad(flat, ((0, 0), (0, -flat.shape[1] % _LANES))).reshape(len(flat), -1, _LANES)
    total: Float32 = np.add.reduce(lanes, axis=1).sum(axis=1)
    return total


@cache
def _count_and_position(n: int) -> Float32:
    return np.stack([np.ones(n), np.arange(n)], axis=1).astype(np.float32)


@cache
def _windows(cells: int, size: int, levels: int) -> Float32:
    """For each start of a window of ``size`` cells: the (size · 2^levels, size) block of the upsampling matrix."""
    matrix, scale = _upsampling(cells, levels), 1 << levels
    starts = range(cells - size + 1)
    return np.stack([matrix[s * scale : (s + size) * scale, s : s + size] for s in starts])


@cache
def _upsampling(cells: int, levels: int) -> Float32:
    """The (cells · 2^levels, cells) matrix of ``levels`` doublings along one axis."""
    matrix = np.eye(cells)
    for _ in range(levels):
        n = matrix.shape[0]
        matrix = _binomial(2 * n) @ _bicubic(n) @ matrix
    return matrix.astype(np.float32)


@cache
def _overshoot(height: int, width: int, levels: int) -> np.float32:
    """How far above its cells a pixel can come: bicubic weights are partly negative."""
    rows, cols = (_upsampling(n, levels).clip(min=0).sum(axis=1).max() for n in (height, width))
    return np.float32(rows * cols)


def _bicubic(n: int) -> np.ndarray:
    """Bicubic doubling of n samples (a = −0.75, half-pixel centres, edge samples repeated), as torch does it."""
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
    """The filter (1 4 6 4 1) / 16 with zero border."""
    taps = (1, 4, 6, 4, 1)
    return sum((tap / 16 * np.eye(n, k=k - 2) for k, tap in enumerate(taps)), np.zeros((n, n)))
