"""SimCC: decodes one classification of columns and one of rows, as RTMPose gives them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.manifest import SimCC
from realtime_cropzoom.types import Float32, Keypoints


def decode(decoder: SimCC, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Decode (K, W · split) values of columns and (K, H · split) values of rows: the highest bin / split.

    The likelihood is the mean or the minimum of the two highest values, after the softmax if there is one. It may
    exceed 1 without. A keypoint whose likelihood is not above the floor is absent, where its maker writes bin −1.

    Source: rtmlib 0.0.16, and the predictor of RTMPose models in DeepLabCut 3.0.2.
    """
    bins, highest = zip(*(_highest(values, decoder.sharpening) for values in outputs[:2]), strict=True)
    xy = np.stack(bins, axis=1).astype(np.float32) / np.float32(decoder.split)
    likelihood = np.minimum(*highest) if decoder.score == "minimum" else (highest[0] + highest[1]) / np.float32(2)
    spoilt = not np.isfinite(likelihood).all()
    absent = ~(likelihood > decoder.floor)  # also where it is NaN
    xy[absent], likelihood[absent] = np.nan, 0
    return Keypoints(xy, likelihood, spoilt=spoilt)


def shapes(decoder: SimCC, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shapes of the outputs for one frame."""
    return [(keypoints, round(side * decoder.split)) for side in size]


def _highest(values: Float32, sharpening: float | None) -> tuple[npt.NDArray[np.intp], Float32]:
    """Return the highest bin of each keypoint, and its value; NaN where a value is NaN or infinite."""
    bins, highest = values.argmax(axis=1), values.max(axis=1)
    highest[~np.isfinite(highest)] = np.nan
    if sharpening is None:
        return bins, highest
    weights = np.exp((values - highest[:, None]) * np.float32(sharpening))
    return bins, np.asarray(1 / weights.sum(axis=1), np.float32)
