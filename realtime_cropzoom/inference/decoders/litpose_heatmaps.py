"""Heatmaps of Lightning Pose and cropzoom: decodes one set, or the two of a context model. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime_cropzoom.inference import heatmaps
from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.manifest import LitposeHeatmaps
from realtime_cropzoom.types import Float32, Keypoints


def decode(decoder: LitposeHeatmaps, outputs: Sequence[Float32], size: tuple[int, int], method: Method) -> Keypoints:
    """Decode (K, h, w) heatmaps.

    A context model gives two sets, from one frame and from five. For each keypoint the more likely one counts
    (Lightning Pose, ``models/heatmap_tracker_mhcrnn.py``, ``predict_step``).
    """
    found = heatmaps.decode(outputs[0], decoder.downsample_factor, method)
    if decoder.context:
        other = heatmaps.decode(outputs[1], decoder.downsample_factor, method)
        better = other.likelihood > found.likelihood
        found.xy[better], found.likelihood[better] = other.xy[better], other.likelihood[better]
        if found.sharpness is not None and other.sharpness is not None:
            found.sharpness[better] = other.sharpness[better]
    spoilt = not np.isfinite(found.xy).all()
    return Keypoints(found.xy, found.likelihood, found.sharpness, spoilt=spoilt)


def shapes(decoder: LitposeHeatmaps, keypoints: int, size: tuple[int, int]) -> list[tuple[int | None, ...]]:
    """Return the shapes of the outputs for one frame."""
    scale = 1 << decoder.downsample_factor
    return [(keypoints, size[1] // scale, size[0] // scale)] * (2 if decoder.context else 1)
