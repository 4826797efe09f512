"""Grid peaks: keypoints that the network itself has found, on the grid of its cells. No I/O.

Exports of SLEAP give them. They are less exact than a refined peak by up to half a step of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.decoders.instances import MAX_INSTANCES, Instance
from realtime_cropzoom.inference.manifest import GridPeaks
from realtime_cropzoom.types import Float32, Keypoints


def decode(decoder: GridPeaks, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Take (K, 2) positions and (K,) values as they are; a keypoint below the threshold is NaN with likelihood 0.

    With an axis of instances in front, the one whose values have the highest sum counts. A single keypoint may come
    without its axis.
    """
    xy, values = np.array(outputs[0], np.float32), np.array(outputs[1], np.float32)
    if decoder.several:
        xy, values = _slots(xy, values)
        best = int(_scores(decoder, values).argmax())
        xy, values = xy[best], values[best]
    return _keypoints(decoder, xy, values)


def decode_all(decoder: GridPeaks, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> list[Instance]:
    """Return the instances that have a keypoint, the one whose values have the highest sum first."""
    xy, values = _slots(np.array(outputs[0], np.float32), np.array(outputs[1], np.float32))
    scores = _scores(decoder, values)
    surest = np.argsort(-scores, kind="stable")[:MAX_INSTANCES]
    found = [Instance(_keypoints(decoder, xy[place], values[place]), float(scores[place])) for place in surest]
    return [one for one in found if not one.keypoints.spoilt and np.isfinite(one.keypoints.xy).any()]


def _slots(xy: Float32, values: Float32) -> tuple[Float32, Float32]:
    """Return positions (I, K, 2) and values (I, K). A single keypoint may come without its axis."""
    count = xy.shape[1] if xy.ndim == 3 else 1
    return xy.reshape(-1, count, 2), values.reshape(-1, count)


def _scores(decoder: GridPeaks, values: Float32) -> Float32:
    return np.asarray(np.where(values >= decoder.threshold, values, 0).sum(axis=1), np.float32)


def _keypoints(decoder: GridPeaks, xy: Float32, values: Float32) -> Keypoints:
    """Return (K, 2) positions and (K,) values as keypoints. Both arrays are changed."""
    absent = ~(values >= decoder.threshold) | np.isnan(xy).any(axis=1)
    spoilt = bool(np.isnan(values).any() or np.isinf(values[~absent]).any() or np.isinf(xy[~absent]).any())
    xy[absent], values[absent] = np.nan, 0
    return Keypoints(xy, values, spoilt=spoilt)


def shapes(decoder: GridPeaks, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shapes of positions and values of one frame."""
    if not decoder.several:
        return [(keypoints, 2), (keypoints,)]
    return [(None, 2), (None,)] if keypoints == 1 else [(None, keypoints, 2), (None, keypoints)]
