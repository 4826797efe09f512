"""Verdict: says in words, from the error on held-out frames, whether a trained model can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.types import Float32, Float64

GOOD, USABLE = 0.05, 0.10
"""Maximum median error of a good and of a usable model, relative to the length of the animal."""
FAR_ERROR = 0.25
"""Error, relative to the length of the animal, above which a keypoint is on a wrong part of it, or outside it."""
GOOD_FAR_SHARE, USABLE_FAR_SHARE = 0.02, 0.10
"""Maximum share of such keypoints, of a good and of a usable model."""
FEW_FRAMES = 10
"""Minimum number of held-out frames for an error that is more than a rough figure."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors of the exported model on frames that it was not trained on."""

    errors_px: Float32 | Float64
    """(N, K) errors (pixels of the training images); NaN for a keypoint without a label."""
    animal_px: float
    """Length of the animal in those pixels, see ``animal_length``; NaN if unknown."""

    @property
    def median_px(self) -> float:
        """Median error (pixels); NaN without held-out frames."""
        return float(np.nanmedian(self.errors_px)) if np.isfinite(self.errors_px).any() else float("nan")

    @property
    def far_share(self) -> float:
        """Share of keypoints with an error above ``FAR_ERROR`` of the animal's length."""
        known = self.errors_px[np.isfinite(self.errors_px)]
        return float((known > FAR_ERROR * self.animal_px).mean())


def animal_lengths(labels_xy: Sequence[Float32]) -> list[float]:
    """Return the largest distance between two labelled keypoints (pixels) of each frame that has two.

    ``labels_xy`` holds a (K, 2) array per frame, with NaN for a keypoint without a label.
    """
    with_two = [there for xy in labels_xy if len(there := xy[np.isfinite(xy).all(axis=1)]) > 1]
    return [float(np.linalg.norm(xy[:, None] - xy[None], axis=2).max()) for xy in with_two]


def animal_length(labels_xy: Sequence[Float32]) -> float:
    """Return the median length (pixels), see ``animal_lengths``; NaN if no frame has two labelled keypoints."""
    lengths = animal_lengths(labels_xy)
    return float(np.median(lengths)) if lengths else float("nan")


def verdict(held_out: HeldOut) -> str:
    """Return one to three sentences that begin with "good", "usable", "poor" or "unknown"."""
    frames = int(np.isfinite(held_out.errors_px).any(axis=1).sum()) if held_out.errors_px.size else 0
    if not frames:
        return "unknown: no labelled frame was held out. Set training.train_prob below 1 to measure the error"
    if not held_out.animal_px > 0:
        return f"unknown: off by {held_out.median_px:.1f} px in the median, but the labels do not give a body length"
    part, far = held_out.median_px / held_out.animal_px, held_out.far_share
    figures = (
        f"on {frames} held-out frame{'s' * (frames > 1)} the keypoints are off by {held_out.median_px:.1f} px in the "
        f"median, {part:.1%} of the animal's length; {far:.0%} are on the wrong place"
    )
    rough = f". {frames} frames are few: the figures are rough" if frames < FEW_FRAMES else ""
    if part <= GOOD and far <= GOOD_FAR_SHARE:
        return f"good: {figures}{rough}"
    word = "usable with care" if part <= USABLE and far <= USABLE_FAR_SHARE else "poor"
    advice = "Train longer, or label more frames like those with the largest errors in predictions_pixel_error.csv"
    return f"{word}: {figures}{rough}. {advice}"
