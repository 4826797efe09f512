"""Evaluation: runs an exported model on labelled frames with the code that runs live.

It measures what a user gets: the exported file instead of the network in memory, and the boxes of the detector
instead of the boxes of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.crop import Resize
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8


@dataclass(frozen=True, slots=True)
class Prediction:
    """The result for one frame."""

    keypoints: Keypoints
    """In frame pixels."""
    box: Box
    """The box that the model saw (frame pixels)."""


def predict(model: Model, image: UInt8, box: Box, resize: Resize = "linear") -> Keypoints:
    """Return the keypoints inside ``box`` of an (H, W, 3) uint8 image, both in frame pixels."""
    model_input = model.new_input()
    used = model.prepare(image, box, "pad", model_input, resize)
    return model.decode(model.infer(model_input), used)


def predict_frames(
    model: Model,
    frames: Sequence[LabelledFrame],
    *,
    crop_size: int | None,
    detector: Model | None,
    resize: Resize = "linear",
) -> list[Prediction]:
    """Run a model on labelled frames.

    Args:
        model: The model.
        frames: The frames.
        crop_size: Side of the boxes (frame pixels); None predicts on whole frames.
        detector: Makes the boxes; None makes them from the labels.
        resize: ``linear`` as live, or ``cubic`` as ``cropzoom predict`` does for labelled images.
    """
    predictions = []
    for frame in frames:
        box = whole_image(frame.image)
        if crop_size is not None:
            seen = predict(detector, frame.image, box, resize) if detector else frame.labels()
            box = BoxRule(crop_size=crop_size).box(seen) or box
        predictions.append(Prediction(predict(model, frame.image, box, resize), box))
    return predictions


def pixel_errors(predictions: Sequence[Prediction], frames: Sequence[LabelledFrame]) -> Float32:
    """Return the (N, K) errors (frame pixels); NaN for a keypoint without a label."""
    found = np.stack([prediction.keypoints.xy for prediction in predictions])
    errors: Float32 = np.linalg.norm(found - np.stack([frame.xy for frame in frames]), axis=2)
    return errors
