"""Heatmaps with offsets: decodes models of DeepLabCut. No I/O.

Source: DeepLabCut 3.0.2, heatmap predictor of its PyTorch engine; equal to it up to the last bits of float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.manifest import HeatmapOffsets
from realtime_cropzoom.types import Float32, Keypoints


def decode(decoder: HeatmapOffsets, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Return the middle of the highest cell of each (h, w) heatmap, moved by the offset there.

    No keypoint is absent: DeepLabCut draws the line at drawing (``pcutoff``).
    """
    maps = outputs[0].reshape(len(outputs[0]), -1)
    if decoder.sigmoid:  # of all cells: saturated ones are equal, and then the first counts
        maps = np.asarray(1 / (1 + np.exp(-maps)), np.float32)
    cells = maps.argmax(axis=1)
    each = np.arange(len(maps))
    likelihood = maps[each, cells]
    rows, columns = np.divmod(cells, outputs[0].shape[2])
    xy = ((np.stack([columns, rows], axis=1) + 0.5) * decoder.stride).astype(np.float32)
    if decoder.offset_scale is not None:
        offsets = outputs[1].reshape(len(maps), 2, -1)[each, :, cells]
        xy += offsets * np.float32(decoder.offset_scale)
    spoilt = not (np.isfinite(likelihood).all() and np.isfinite(xy).all())
    if decoder.clip:
        likelihood = likelihood.clip(0, 1)
    return Keypoints(xy, likelihood, spoilt=spoilt)


def shapes(decoder: HeatmapOffsets, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shapes of the outputs for one frame. The maps may be a cell larger than the input / stride."""
    maps: list[tuple[int | None, ...]] = [(keypoints, None, None), (2 * keypoints, None, None)]
    return maps if decoder.offset_scale is not None else maps[:1]
