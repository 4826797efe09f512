"""Coordinates: decodes a regression model, whose output is the keypoints themselves. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.manifest import Coordinates
from realtime_cropzoom.types import Float32, Keypoints


def decode(decoder: Coordinates, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Return the (2 K,) coordinates as keypoints without a likelihood: it is NaN."""
    xy = np.ascontiguousarray(outputs[0].reshape(-1, 2), np.float32)
    spoilt = not np.isfinite(xy).all()
    return Keypoints(xy, np.full(len(xy), np.nan, np.float32), spoilt=spoilt)


def shapes(decoder: Coordinates, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shape of the output for one frame."""
    return [(2 * keypoints,)]
